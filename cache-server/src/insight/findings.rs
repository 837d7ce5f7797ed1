//! What the figures mean, in plain words: each finding with the number behind it and, where something can be done, the
//! setting to change. A pure function of a snapshot.

use schemars::JsonSchema;
use serde::Serialize;

use super::health::{DEGRADED_ERROR_RATE, MEANINGFUL_ANSWERS};
use super::region::Region;
use super::snapshot::Snapshot;

/// Below this a region does not do what it is for. The alert of the same name uses the same figure.
const LOW_HIT_RATIO: f64 = 0.7;
/// Fewer reads than this say nothing about a ratio, and fewer entries nothing about their lives.
const MEANINGFUL_READS: u64 = 1000;
const MEANINGFUL_ENTRIES: u64 = 100;
/// From here on room is what is missing.
const MANY_EVICTIONS_PER_MINUTE: f64 = 60.0;
const NEARLY_FULL: f64 = 0.9;
/// So many of the entries that were stored ended by time and were never read.
const MOSTLY_UNREAD: f64 = 0.9;
/// So many reads for one key are more than one entry should be trusted with.
const HOT_KEY_SHARE: f64 = 0.25;
/// Slower than this at the 99th percentile is not what a cache in memory is for.
const SLOW_P99_MS: f64 = 100.0;

/// Something that the figures tell.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub(crate) struct Finding {
    /// Which it is, for programs.
    pub(crate) kind: &'static str,
    pub(crate) severity: Severity,
    /// The region it is about; nothing if it is about the server.
    pub(crate) region: Option<String>,
    pub(crate) text: String,
    /// The figure that it was found by.
    pub(crate) number: f64,
    pub(crate) unit: &'static str,
    pub(crate) advice: Option<Advice>,
}

/// What can be done.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub(crate) struct Advice {
    pub(crate) text: String,
    /// The setting, or the request, that changes it.
    pub(crate) setting: String,
}

/// How much it matters.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Critical,
    Warning,
    Info,
}

/// All that is to be said, what matters most first.
pub(crate) fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    let of_region = |region| {
        let hit_ratio = hit_ratio(region);
        let is_short_of_room = hit_ratio.as_ref().is_some_and(|finding| finding.is_about(&limit(region).0));
        // Whoever is to raise a limit need not be told that it is reached.
        let nearly_full = nearly_full(region).filter(|_| !is_short_of_room);
        [hit_ratio, evictions(region), unread(region), never_read(region)]
            .into_iter()
            .chain([nearly_full, hot_key(region), too_large(region)])
            .flatten()
            .chain(tiers(region))
    };
    let of_server = [errors(snapshot), connections(snapshot), rejected(snapshot), slow(snapshot)];
    let mut all: Vec<Finding> =
        of_server.into_iter().flatten().chain(snapshot.regions.iter().flat_map(of_region)).collect();
    all.sort_by_key(|finding| finding.severity);
    all
}

impl Finding {
    fn new(
        kind: &'static str,
        severity: Severity,
        (number, unit): (f64, &'static str),
        text: String,
    ) -> Self {
        Self { kind, severity, region: None, text, number, unit, advice: None }
    }

    fn of(mut self, region: &Region) -> Self {
        self.region = Some(region.name.clone());
        self
    }

    fn is_about(&self, setting: &str) -> bool {
        self.advice.as_ref().is_some_and(|advice| advice.setting == setting)
    }

    fn advise(mut self, setting: impl Into<String>, text: impl Into<String>) -> Self {
        self.advice = Some(Advice { text: text.into(), setting: setting.into() });
        self
    }
}

fn hit_ratio(region: &Region) -> Option<Finding> {
    let ratio = region.stats.hit_ratio.filter(|_| region.reads() >= MEANINGFUL_READS)?;
    let (percent, reads) = (100.0 * ratio, grouped(region.reads()));
    let name = &region.name;
    let figure = (percent, "percent");
    if ratio >= LOW_HIT_RATIO {
        let text = format!("{percent:.1} % of {reads} reads of {name} were hits");
        return Some(Finding::new("hit_ratio", Severity::Info, figure, text).of(region));
    }
    let low = format!("only {percent:.1} % of {reads} reads of {name} were hits");
    let evicted = region.recent.evicted_per_minute;
    let is_short_of_room = evicted >= MANY_EVICTIONS_PER_MINUTE;
    let text = if is_short_of_room {
        format!("{low}, and {} entries a minute are evicted to make room", rounded(evicted))
    } else {
        low
    };
    let finding = Finding::new("low_hit_ratio", Severity::Warning, figure, text).of(region);
    Some(if is_short_of_room {
        let (setting, limit) = limit(region);
        finding.advise(setting, format!("give {name} more room: its limit is {limit}"))
    } else if region.ttl_seconds.is_some() && 2 * region.stats.expired >= region.stats.inserts {
        let (expired, stored) = (grouped(region.stats.expired), grouped(region.stats.inserts));
        let advice = format!("let entries live longer: {expired} of {stored} that were stored ended by time");
        finding.advise(format!("region.{name}.ttl"), advice)
    } else {
        finding
    })
}

/// Much is evicted, though the hit ratio does not suffer from it yet.
fn evictions(region: &Region) -> Option<Finding> {
    let evicted = region.recent.evicted_per_minute;
    let suffers = region.reads() >= MEANINGFUL_READS
        && region.stats.hit_ratio.is_some_and(|ratio| ratio < LOW_HIT_RATIO);
    if evicted < MANY_EVICTIONS_PER_MINUTE || suffers {
        return None;
    }
    let text = format!("{} entries of {} a minute are evicted to make room", rounded(evicted), region.name);
    let finding = Finding::new("evictions", Severity::Info, (evicted, "per minute"), text).of(region);
    let (setting, limit) = limit(region);
    Some(
        finding
            .advise(setting, format!("if those are still wanted, give it more room: its limit is {limit}")),
    )
}

/// Each hit reads one entry, so that at least `expired - hits` of those that ended by time were never read.
fn unread(region: &Region) -> Option<Finding> {
    let stats = &region.stats;
    let unread = stats.expired.saturating_sub(stats.hits);
    let share = super::share(unread, stats.inserts)?;
    if stats.expired < MEANINGFUL_ENTRIES || share < MOSTLY_UNREAD {
        return None;
    }
    let name = &region.name;
    let text =
        format!("at least {:.0} % of the entries of {name} ended by time without being read", 100.0 * share);
    let finding =
        Finding::new("expire_unread", Severity::Warning, (100.0 * share, "percent"), text).of(region);
    let now =
        region.ttl_seconds.map_or("not set; the writers say how long".to_owned(), |ttl| format!("{ttl} s"));
    let advice = format!("let them live longer, or do not store them: the default time-to-live is {now}");
    Some(finding.advise(format!("region.{name}.ttl"), advice))
}

fn never_read(region: &Region) -> Option<Finding> {
    let (name, held) = (&region.name, region.stats.entries);
    if region.reads() > 0 || held < MEANINGFUL_ENTRIES {
        return None;
    }
    let text = format!("{name} holds {} entries, and nobody has ever read one", grouped(held));
    #[expect(clippy::cast_precision_loss, reason = "a count up to 2^53 is exact enough")]
    let finding = Finding::new("never_read", Severity::Info, (held as f64, "entries"), text).of(region);
    let advice = "stop writing to it, or make it smaller: it takes room from others";
    Some(finding.advise(format!("region.{name}.max_bytes"), advice))
}

fn nearly_full(region: &Region) -> Option<Finding> {
    let full = region.utilization.filter(|full| *full >= NEARLY_FULL)?;
    let text = format!("{} is {:.0} % full", region.name, 100.0 * full);
    let finding = Finding::new("nearly_full", Severity::Info, (100.0 * full, "percent"), text).of(region);
    let (setting, limit) = limit(region);
    Some(finding.advise(setting, format!("that is well if its hit ratio is; its limit is {limit}")))
}

fn hot_key(region: &Region) -> Option<Finding> {
    let top = region.top_keys.first()?;
    if region.sampled_hits < MEANINGFUL_READS || top.share < HOT_KEY_SHARE {
        return None;
    }
    let (name, percent) = (&region.name, 100.0 * top.share);
    let text = format!("one key takes {percent:.0} % of the hits of {name}: {}", shown(&top.key));
    let finding = Finding::new("hot_key", Severity::Info, (percent, "percent"), text).of(region);
    let advice = "let its readers keep a copy for a moment, and write it before it ends: when it is missing, all of them miss at once";
    Some(finding.advise(format!("PATCH /v1/regions/{name}/entries/{{key}}"), advice))
}

fn too_large(region: &Region) -> Option<Finding> {
    let refused = region.stats.too_large;
    if refused == 0 {
        return None;
    }
    let name = &region.name;
    let text =
        format!("{} values were refused because each alone exceeds the limit of {name}", grouped(refused));
    #[expect(clippy::cast_precision_loss, reason = "a count up to 2^53 is exact enough")]
    let finding = Finding::new("too_large", Severity::Warning, (refused as f64, "values"), text).of(region);
    let limit = region.max_bytes.map_or_else(|| "none".to_owned(), bytes);
    Some(finding.advise(format!("region.{name}.max_bytes"), format!("its limit is {limit}")))
}

fn tiers(region: &Region) -> impl Iterator<Item = Finding> {
    region.tiers.iter().filter_map(move |tier| {
        let away = tier.away_seconds?;
        let text = format!(
            "{} of {} has been away for {away:.0} s; memory serves alone, and {} changes wait for it",
            tier.name,
            region.name,
            grouped(tier.backlog)
        );
        Some(Finding::new("tier_away", Severity::Critical, (away, "seconds"), text).of(region))
    })
}

fn errors(snapshot: &Snapshot) -> Option<Finding> {
    let traffic = &snapshot.traffic;
    if traffic.total_operations < MEANINGFUL_ANSWERS || traffic.error_rate < DEGRADED_ERROR_RATE {
        return None;
    }
    let percent = 100.0 * traffic.error_rate;
    let text = format!(
        "{} of {} answers ({percent:.1} %) were errors of the server",
        grouped(traffic.errors),
        grouped(traffic.total_operations)
    );
    let finding = Finding::new("errors", Severity::Critical, (percent, "percent"), text);
    Some(finding.advise("log", "look at the log: each is a line of level error"))
}

fn connections(snapshot: &Snapshot) -> Option<Finding> {
    let process = &snapshot.process;
    process.is_nearly_full().then(|| {
        let percent = 100.0 * super::ratio(process.connections, process.max_connections);
        let text =
            format!("{} of at most {} connections are open", process.connections, process.max_connections);
        let finding = Finding::new("connections", Severity::Warning, (percent, "percent"), text);
        finding.advise("max_connections", "raise it, or let clients share connections")
    })
}

fn rejected(snapshot: &Snapshot) -> Option<Finding> {
    let rejected = snapshot.process.rejected_connections;
    let text = format!("{} connections were turned away because there were too many", grouped(rejected));
    #[expect(clippy::cast_precision_loss, reason = "a count up to 2^53 is exact enough")]
    let figure = (rejected as f64, "connections");
    let finding = || Finding::new("rejected_connections", Severity::Warning, figure, text);
    (rejected > 0).then(|| finding().advise("max_connections", "raise it, or let clients share connections"))
}

fn slow(snapshot: &Snapshot) -> Option<Finding> {
    let latency = &snapshot.http.latency;
    let p99 = latency.p99_ms.filter(|p99| latency.timed >= MEANINGFUL_ANSWERS && *p99 >= SLOW_P99_MS)?;
    let text = format!("one answer in a hundred took {p99:.0} ms or more");
    let finding = Finding::new("slow", Severity::Warning, (p99, "milliseconds"), text);
    Some(finding.advise(
        "body_timeout",
        "look at the routes: large bodies, slow clients or walks of a region take long",
    ))
}

/// The limit that a region is nearer to: its setting and its value.
fn limit(region: &Region) -> (String, String) {
    let full = |held, limit: Option<u64>| limit.map_or(0.0, |limit| super::ratio(held, limit));
    let by_entries = full(region.stats.entries, region.max_entries);
    let by_bytes = full(region.stats.bytes, region.max_bytes);
    let name = &region.name;
    match (region.max_entries, region.max_bytes) {
        (Some(limit), _) if by_entries > by_bytes => {
            (format!("region.{name}.max_entries"), format!("{} entries", grouped(limit)))
        }
        (_, Some(limit)) => (format!("region.{name}.max_bytes"), bytes(limit)),
        _ => (format!("region.{name}.max_entries"), "none".to_owned()),
    }
}

/// A key as a sentence can bear it.
fn shown(key: &str) -> String {
    const LONGEST: usize = 64;
    match key.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &key[..end]),
        None => key.to_owned(),
    }
}

/// A count with its thousands apart: 12,345.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is at least zero")]
fn rounded(rate: f64) -> String {
    grouped(rate.round() as u64)
}

fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.iter().find(|(size, _)| count >= *size);
    unit.map_or_else(
        || format!("{count} bytes"),
        |(size, unit)| format!("{:.1} {unit}", super::ratio(count, *size)),
    )
}

#[cfg(test)]
mod tests {
    use super::super::health::{Health, Status};
    use super::super::latency::Percentiles;
    use super::super::region::{Counts, Recent, Tier, TopKey};
    use super::super::snapshot::{Http, Process, Sum};
    use super::super::traffic::Traffic;
    use super::*;

    /// A server with one region, of which a test changes what it is about.
    fn snapshot(change: impl FnOnce(&mut Snapshot)) -> Snapshot {
        let mut snapshot = Snapshot {
            version: "0",
            uptime_seconds: 0.0,
            health: Health { status: Status::Healthy, reasons: Vec::new() },
            traffic: Traffic::default(),
            sum: Sum::default(),
            regions: vec![Region { name: "quotes".to_owned(), ..Region::default() }],
            http: Http::default(),
            process: Process { max_connections: 10, ..Process::default() },
            recent_seconds: 60.0,
        };
        change(&mut snapshot);
        snapshot
    }

    fn region(change: impl FnOnce(&mut Region)) -> Snapshot {
        snapshot(|snapshot| change(&mut snapshot.regions[0]))
    }

    fn reads(hits: u64, misses: u64) -> Counts {
        Counts { hits, misses, hit_ratio: super::super::share(hits, hits + misses), ..Counts::default() }
    }

    #[track_caller]
    fn check(snapshot: &Snapshot, expected: &[(&str, Option<&str>)]) {
        let found = findings(snapshot);
        let kinds: Vec<_> = found
            .iter()
            .map(|finding| (finding.kind, finding.advice.as_ref().map(|advice| advice.setting.as_str())))
            .collect();
        assert_eq!(kinds, expected, "{found:#?}");
    }

    #[test]
    fn a_server_without_traffic_has_nothing_to_tell() {
        check(&snapshot(|_| ()), &[]);
    }

    #[test]
    fn a_hit_ratio_is_low_below_70_percent_of_a_thousand_reads() {
        check(&region(|region| region.stats = reads(0, 999)), &[]);
        check(&region(|region| region.stats = reads(700, 300)), &[("hit_ratio", None)]);
        check(&region(|region| region.stats = reads(699, 301)), &[("low_hit_ratio", None)]);
    }

    #[test]
    fn evictions_ask_for_room_and_say_how_much_there_is() {
        let crowded = |per_minute| {
            region(move |region| {
                region.stats = Counts { entries: 90, bytes: 1 << 20, ..reads(520, 480) };
                (region.max_entries, region.max_bytes) = (Some(1000), Some(1 << 20));
                region.utilization = Some(0.5);
                region.recent = Recent { evicted_per_minute: per_minute, ..Recent::default() };
            })
        };
        check(&crowded(59.9), &[("low_hit_ratio", None)]);
        let snapshot = crowded(3400.4);
        check(&snapshot, &[("low_hit_ratio", Some("region.quotes.max_bytes"))]);
        let found = &findings(&snapshot)[0];
        let text = "only 52.0 % of 1,000 reads of quotes were hits, and 3,400 entries a minute are evicted to make room";
        assert_eq!((found.text.as_str(), found.number), (text, 52.0));
        let advice = found.advice.as_ref().map(|advice| advice.text.as_str());
        assert_eq!(advice, Some("give quotes more room: its limit is 1.0 MiB"));
        // That it is full is said to those alone who need not raise the same limit.
        let full = |mut snapshot: Snapshot| {
            snapshot.regions[0].utilization = Some(1.0);
            snapshot
        };
        check(&full(snapshot), &[("low_hit_ratio", Some("region.quotes.max_bytes"))]);
        let both = [("low_hit_ratio", None), ("nearly_full", Some("region.quotes.max_bytes"))];
        check(&full(crowded(59.9)), &both);
    }

    #[test]
    fn evictions_are_named_though_the_hit_ratio_is_well() {
        let evicted = |per_minute| {
            region(move |region| {
                (region.max_entries, region.stats.entries) = (Some(10), 10);
                region.recent.evicted_per_minute = per_minute;
            })
        };
        check(&evicted(59.9), &[]);
        check(&evicted(60.0), &[("evictions", Some("region.quotes.max_entries"))]);
    }

    #[test]
    fn a_life_is_too_short_if_nine_of_ten_end_unread() {
        let short = |expired, hits| {
            let stats = Counts { inserts: 1000, expired, hits, misses: 1, ..Counts::default() };
            region(move |region| region.stats = stats)
        };
        check(&short(900, 0), &[("expire_unread", Some("region.quotes.ttl"))]);
        check(&short(899, 0), &[]);
        check(&short(900, 1), &[]);
        let few = Counts { inserts: 99, expired: 99, misses: 1, ..Counts::default() };
        check(&region(|region| region.stats = few), &[]);
    }

    #[test]
    fn misses_of_what_has_ended_ask_for_a_longer_life() {
        let ended = |inserts| {
            region(move |region| {
                region.stats = Counts { inserts, expired: 500, ..reads(600, 400) };
                region.ttl_seconds = Some(5.0);
            })
        };
        check(&ended(1000), &[("low_hit_ratio", Some("region.quotes.ttl"))]);
        check(&ended(1001), &[("low_hit_ratio", None)]);
    }

    #[test]
    fn a_region_that_nobody_reads_is_named_from_a_hundred_entries_on() {
        let unread = |entries, misses| {
            region(move |region| region.stats = Counts { entries, misses, ..Counts::default() })
        };
        check(&unread(99, 0), &[]);
        check(&unread(100, 0), &[("never_read", Some("region.quotes.max_bytes"))]);
        check(&unread(100, 1), &[]);
    }

    #[test]
    fn a_region_is_nearly_full_at_90_percent() {
        let full = |share| region(move |region| region.utilization = Some(share));
        check(&full(0.899), &[]);
        check(&full(0.9), &[("nearly_full", Some("region.quotes.max_entries"))]);
    }

    #[test]
    fn one_key_is_hot_with_a_quarter_of_a_thousand_hits() {
        let hot = |share, sampled_hits| {
            region(move |region| {
                region.top_keys = vec![TopKey { key: "é".repeat(100), hits: 400, share }];
                region.sampled_hits = sampled_hits;
            })
        };
        let setting = Some("PATCH /v1/regions/quotes/entries/{key}");
        check(&hot(0.25, 1000), &[("hot_key", setting)]);
        check(&hot(0.249, 1000), &[]);
        check(&hot(0.25, 999), &[]);
        let text = &findings(&hot(0.4, 1000))[0].text;
        assert!(text.starts_with("one key takes 40 % of the hits") && text.ends_with("é…"), "{text}");
    }

    #[test]
    fn values_that_are_too_large_ask_for_a_larger_region() {
        check(
            &region(|region| region.stats.too_large = 1),
            &[("too_large", Some("region.quotes.max_bytes"))],
        );
    }

    #[test]
    fn errors_of_one_in_a_hundred_answers_come_first() {
        let failing = |answers, error_rate| {
            snapshot(move |snapshot| {
                snapshot.traffic =
                    Traffic { total_operations: answers, error_rate, errors: 1, ..Traffic::default() };
                snapshot.regions[0].stats.too_large = 1;
            })
        };
        let too_large = ("too_large", Some("region.quotes.max_bytes"));
        check(&failing(100, 0.01), &[("errors", Some("log")), too_large]);
        check(&failing(99, 0.5), &[too_large]);
        check(&failing(100, 0.0099), &[too_large]);
    }

    #[test]
    fn connections_are_scarce_at_nine_of_ten_or_once_one_was_turned_away() {
        let setting = Some("max_connections");
        check(&snapshot(|snapshot| snapshot.process.connections = 8), &[]);
        check(&snapshot(|snapshot| snapshot.process.connections = 9), &[("connections", setting)]);
        check(
            &snapshot(|snapshot| snapshot.process.rejected_connections = 1),
            &[("rejected_connections", setting)],
        );
    }

    #[test]
    fn answers_are_slow_at_100_milliseconds_if_enough_were_timed() {
        let slow = |timed, p99| {
            let latency = Percentiles { timed, p99_ms: Some(p99), ..Percentiles::default() };
            snapshot(move |snapshot| snapshot.http.latency = latency)
        };
        check(&slow(100, 100.0), &[("slow", Some("body_timeout"))]);
        check(&slow(99, 100.0), &[]);
        check(&slow(100, 99.9), &[]);
    }

    #[test]
    fn a_tier_that_is_away_is_critical() {
        let tier = |away_seconds| Tier {
            name: "redis",
            hits: 0,
            misses: 0,
            writes: 0,
            errors: 0,
            backlog: 12_345,
            away_seconds,
        };
        check(&region(|region| region.tiers = vec![tier(None)]), &[]);
        let found = findings(&region(|region| region.tiers = vec![tier(None), tier(Some(7.4))]));
        let text =
            "redis of quotes has been away for 7 s; memory serves alone, and 12,345 changes wait for it";
        assert_eq!((found[0].severity, found[0].text.as_str()), (Severity::Critical, text));
    }

    #[test]
    fn counts_are_grouped_and_bytes_have_units() {
        let counts = [0, 999, 1000, 12_345, 1_234_567].map(grouped);
        assert_eq!(counts, ["0", "999", "1,000", "12,345", "1,234,567"]);
        let sizes = [1023, 1024, 3 << 19, 256 << 20, 1 << 30].map(bytes);
        assert_eq!(sizes, ["1023 bytes", "1.0 KiB", "1.5 MiB", "256.0 MiB", "1.0 GiB"]);
    }
}
