//! The scrape of what is below memory: tiers, their breakers, the bus, Redis and the disk.

use cache_core::metric::{self, Metric};
use metrics::Label;
use strata::layer::Passage;
use strata::redis::ConnectionStats;
use strata::{BusStats, Doubt, TierStats};

use super::{counter, gauge, set};
use crate::places::Places;
use crate::regions::BlobCache;

type Labels<'a> = &'a [(&'static str, &'a str)];

fn labels(pairs: Labels<'_>) -> Vec<Label> {
    pairs.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect()
}

fn count(metric: &Metric, pairs: Labels<'_>, count: u64) {
    counter(metric, labels(pairs)).absolute(count);
}

fn now(metric: &Metric, pairs: Labels<'_>, figure: u64) {
    set(&gauge(metric, labels(pairs)), figure);
}

/// The tiers of a region.
pub(super) fn region(cache: &BlobCache) {
    for tier in cache.tiers() {
        let TierStats { name, hits, misses, unreadable, writes, overtaken, errors, .. } = tier;
        let of = |metric: &Metric, more: Labels<'_>, figure: u64| {
            count(metric, &[&[("region", cache.name()), ("tier", name)], more].concat(), figure);
        };
        for (result, figure) in [("hit", hits), ("miss", misses)] {
            of(&metric::TIER_REQUESTS, &[("result", result)], figure);
        }
        for (result, figure) in [("taken", writes), ("overtaken", overtaken)] {
            of(&metric::TIER_WRITES, &[("result", result)], figure);
        }
        for (kind, figure) in [("failed", errors), ("unreadable", unreadable)] {
            of(&metric::TIER_ERRORS, &[("kind", kind)], figure);
        }
        of(&metric::TIER_OVERFLOWS, &[], tier.overflows);
        of(&metric::TIER_REPAIRED, &[], tier.repaired);
        let own = [("region", cache.name()), ("tier", name)];
        now(&metric::TIER_BACKLOG, &own, tier.backlog);
        if let Some(passage) = tier.passage {
            let state = match passage {
                Passage::Closed => 0,
                Passage::HalfOpen => 1,
                _ => 2,
            };
            now(&metric::BREAKER_STATE, &own, state);
        }
        if let Some(breaker) = tier.breaker {
            for (to, figure) in [("open", breaker.opened), ("closed", breaker.closed)] {
                of(&metric::BREAKER_TRANSITIONS, &[("to", to)], figure);
            }
            of(&metric::BREAKER_REFUSED, &[], breaker.refused);
        }
    }
}

/// What all regions share.
pub(super) fn places(places: &Places) {
    if let Some((connections, bus, is_whole)) = places.shared() {
        redis(&connections);
        news(&bus, is_whole);
    }
    if let Some((disk, limit)) = places.disk() {
        self::disk(&disk, limit);
    }
}

fn redis(stats: &ConnectionStats) {
    let connections = [("made", stats.connects), ("failed", stats.failed_connects), ("lost", stats.lost)];
    for (result, figure) in connections {
        count(&metric::REDIS_CONNECTIONS, &[("result", result)], figure);
    }
    for (kind, figure) in [("timeout", stats.timeouts), ("crowded", stats.crowded)] {
        count(&metric::REDIS_ERRORS, &[("kind", kind)], figure);
    }
    count(&metric::REDIS_REDIRECTS, &[], stats.redirects);
    now(&metric::REDIS_IN_FLIGHT, &[], stats.in_flight as u64);
}

fn news(stats: &BusStats, is_whole: bool) {
    let events =
        [("published", stats.published), ("received", stats.events), ("dropped", stats.outbox_dropped)];
    for (result, figure) in events {
        count(&metric::BUS_EVENTS, &[("result", result)], figure);
    }
    let messages = [
        ("sent", stats.sent),
        ("unsent", stats.unsent),
        ("received", stats.received),
        ("echo", stats.echoes),
        ("late", stats.late),
        ("malformed", stats.malformed),
        ("forged", stats.forged),
        ("replayed", stats.replayed),
    ];
    for (result, figure) in messages {
        count(&metric::BUS_MESSAGES, &[("result", result)], figure);
    }
    for why in Doubt::ALL {
        count(&metric::BUS_DOUBTS, &[("why", why.as_str())], stats.doubts(why));
    }
    count(&metric::BUS_GAPS, &[], stats.gaps);
    count(&metric::BUS_RESUBSCRIBES, &[], stats.resubscribes);
    now(&metric::BUS_OUTBOX, &[], stats.outbox_len as u64);
    now(&metric::BUS_WHOLE, &[], is_whole.into());
}

/// All regions have one folder, so its figures are of all of them.
const ALL_REGIONS: (&str, &str) = ("region", "all");

fn disk(stats: &strata::disk::Stats, limit: u64) {
    let of = |metric: &Metric, more: Labels<'_>, figure: u64| {
        count(metric, &[&[ALL_REGIONS], more].concat(), figure);
    };
    for (result, figure) in [("hit", stats.hits), ("miss", stats.misses)] {
        of(&metric::DISK_REQUESTS, &[("result", result)], figure);
    }
    let causes = [
        ("expired", stats.expired),
        ("evicted", stats.evicted),
        ("replaced", stats.replaced),
        ("removed", stats.removed),
        ("corrupt", stats.corrupt),
    ];
    for (cause, figure) in causes {
        of(&metric::DISK_REMOVALS, &[("cause", cause)], figure);
    }
    for (kind, figure) in [("io", stats.io_errors), ("overflow", stats.overflows), ("size", stats.too_large)]
    {
        of(&metric::DISK_ERRORS, &[("kind", kind)], figure);
    }
    of(&metric::DISK_INSERTS, &[], stats.inserts);
    of(&metric::DISK_WRITTEN_BYTES, &[], stats.bytes_written);
    for (gauge, figure) in [
        (&metric::DISK_ENTRIES, stats.entries),
        (&metric::DISK_BYTES, stats.bytes),
        (&metric::DISK_LIMIT_BYTES, limit),
    ] {
        now(gauge, &[ALL_REGIONS], figure);
    }
}
