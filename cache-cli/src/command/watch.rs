//! What happens on the server, as it happens.
//!
//! The server sends events, and each kind of event is shown in its own way: figures are a line of what has changed since the ones before.
//! Changes of a region are a line each.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::error::Error;
use crate::http::{Client, Request, broke};
use crate::output::{Out, Style};
use crate::report::{Report, Stats};
use crate::sse::{Event, Events};
use crate::table;

pub(super) const FIGURES: &str = "/v1/events/stats";

/// How long the server may say nothing of changes: every 15 seconds it shows that it is there.
const PATIENCE: Duration = Duration::from_secs(40);

/// Follows the figures.
pub(super) fn figures(client: &Client, out: &mut Out, count: u64) -> Result<(), Error> {
    let mut follower = Follower::default();
    let mut shown = 0;
    follow(client, client.server("GET", FIGURES), |event| {
        shown += u64::from(follower.show(out, event)?);
        out.flush()?;
        Ok(count == 0 || shown < count)
    })
}

/// Follows what changes in the region.
pub(super) fn changes(client: &Client, out: &mut Out, count: u64) -> Result<(), Error> {
    let mut shown = 0;
    let patience = client.target().timeout.max(PATIENCE);
    follow(client, client.region("GET", "/events").with_patience(patience), |event| {
        let change: Value = serde_json::from_str(&event.data).map_err(|error| not_said(&error))?;
        if out.is_json {
            out.json(&change)?;
        } else {
            let of = ["key", "tag", "prefix", "pattern", "reason"];
            let what = of.iter().find_map(|name| change[*name].as_str()).unwrap_or_default();
            let line = format!("{:<9} {}", out.shown(&event.name), out.shown(what));
            out.line(line.trim_end())?;
        }
        out.flush()?;
        shown += 1;
        Ok(count == 0 || shown < count)
    })
}

fn not_said(error: &serde_json::Error) -> Error {
    Error::Unreachable {
        what: format!("an event is not what a cache-server says: {error}"),
        hint: "is it one, and of this version? `strata health` asks it",
    }
}

/// Hands over each event of a stream, until that says `false` or the stream ends.
pub(super) fn follow(
    client: &Client,
    stream: Request<'_>,
    mut take: impl FnMut(&Event) -> Result<bool, Error>,
) -> Result<(), Error> {
    let answer = stream.header("accept", "text/event-stream").send()?.checked()?;
    let mut events = Events::new(answer.into_reader());
    while let Some(event) = events.next_event().map_err(|error| broke(&error))? {
        if !take(&event)? {
            return Ok(());
        }
    }
    Err(Error::Unreachable {
        what: format!("{} ends the stream: it is stopping", client.target().url),
        hint: "`strata health` tells when it is there again",
    })
}

/// The figures of a second, or of the time since the server's start for the first line.
#[derive(Debug, Serialize)]
struct Line {
    uptime_seconds: f64,
    reads_per_second: f64,
    writes_per_second: f64,
    hit_ratio: Option<f64>,
    answers_per_second: f64,
    errors_per_second: f64,
    evicted_per_second: f64,
    entries: u64,
    bytes: u64,
    p99_ms: Option<f64>,
}

#[derive(Default)]
struct Follower {
    before: Stats,
    is_begun: bool,
}

impl Follower {
    /// Writes what an event says; whether it was a line.
    fn show(&mut self, out: &mut Out, event: &Event) -> Result<bool, Error> {
        if event.name != "stats" {
            return Ok(false);
        }
        let report: Report = serde_json::from_str(&event.data).map_err(|error| not_said(&error))?;
        let line = Line::between(&self.before, &report.stats);
        if out.is_json {
            out.json(&line)?;
        } else {
            if !self.is_begun {
                out.line(out.styled(Style::Bold, HEADING))?;
            }
            out.line(line.text())?;
        }
        (self.before, self.is_begun) = (report.stats, true);
        Ok(true)
    }
}

const HEADING: &str =
    "      up   reads/s  writes/s     hits  answers/s  errors/s  evicted/s     entries       size        p99";

impl Line {
    fn between(before: &Stats, now: &Stats) -> Self {
        // A server that was started anew counts from nothing.
        let is_later = now.uptime_seconds > before.uptime_seconds;
        let none = Stats::default();
        let before = if is_later { before } else { &none };
        let seconds = now.uptime_seconds - before.uptime_seconds;
        let (then, sum) = (&before.sum.stats, &now.sum.stats);
        let rate =
            |now: u64, then: u64| if seconds > 0.0 { float(now.saturating_sub(then)) / seconds } else { 0.0 };
        let (reads, hits) = (sum.reads().saturating_sub(then.reads()), sum.hits.saturating_sub(then.hits));
        Self {
            uptime_seconds: now.uptime_seconds,
            reads_per_second: rate(sum.reads(), then.reads()),
            writes_per_second: rate(sum.inserts, then.inserts),
            hit_ratio: (reads > 0).then(|| float(hits) / float(reads)),
            answers_per_second: rate(now.traffic.total_operations, before.traffic.total_operations),
            errors_per_second: rate(now.traffic.errors, before.traffic.errors),
            evicted_per_second: rate(sum.evicted, then.evicted),
            entries: sum.entries,
            bytes: sum.bytes,
            p99_ms: now.http.latency.p99_ms,
        }
    }

    fn text(&self) -> String {
        format!(
            "{:>8} {:>9.0} {:>9.0} {:>8} {:>10.0} {:>9.1} {:>10.1} {:>11} {:>10} {:>10}",
            table::life(Some(self.uptime_seconds)),
            self.reads_per_second,
            self.writes_per_second,
            table::percent(self.hit_ratio),
            self.answers_per_second,
            self.errors_per_second,
            self.evicted_per_second,
            self.entries,
            table::bytes(self.bytes),
            table::millis(self.p99_ms),
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count up to 2^53 is exact enough")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(uptime_seconds: f64, hits: u64, misses: u64) -> Stats {
        let mut stats = Stats { uptime_seconds, ..Stats::default() };
        (stats.sum.stats.hits, stats.sum.stats.misses) = (hits, misses);
        stats
    }

    #[track_caller]
    fn check(before: &Stats, now: &Stats, expected: (f64, Option<f64>)) {
        let line = Line::between(before, now);
        assert!((line.reads_per_second - expected.0).abs() < 1e-9, "{line:?}");
        assert_eq!(line.hit_ratio, expected.1);
    }

    #[test]
    fn a_line_is_what_has_changed_and_a_server_that_was_started_anew_counts_from_nothing() {
        check(&stats(10.0, 100, 0), &stats(12.0, 130, 10), (20.0, Some(0.75)));
        check(&stats(10.0, 100, 0), &stats(11.0, 100, 0), (0.0, None));
        check(&stats(900.0, 100, 0), &stats(2.0, 4, 0), (2.0, Some(1.0)));
        check(&Stats::default(), &stats(0.0, 0, 0), (0.0, None));
    }
}
