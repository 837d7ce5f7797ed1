//! What a load run found: a table to read, an object for machines.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::tally::Tally;
use crate::source::Source;

/// The figures of one run. Its fields are the names in `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    target: String,
    source: String,
    concurrency: usize,
    requests: u64,
    requests_offered: u64,
    seconds: f64,
    hits: u64,
    misses: u64,
    hit_ratio: f64,
    operations: u64,
    operations_per_second: f64,
    latency: Latency,
    errors: BTreeMap<&'static str, u64>,
    error_examples: Vec<String>,
    memory: MemoryUse,
}

/// Latencies in microseconds.
#[derive(Debug, Serialize)]
struct Latency {
    recorded: Recorded,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
}

/// Which operations have their latency taken.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) enum Recorded {
    /// All.
    #[serde(rename = "every operation")]
    Every,
    /// Too few to be felt, and each with the cost of two looks at the clock.
    #[serde(rename = "one operation in 64")]
    OneIn64,
}

/// The memory of the process that holds the cache, in bytes; what is not known is absent.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct MemoryUse {
    /// The most it ever held.
    #[serde(rename = "peak_bytes")]
    pub(super) peak: Option<u64>,
    /// What it held before the first request: the source and the program.
    #[serde(rename = "before_bytes")]
    pub(super) before: Option<u64>,
    /// What it held at the end.
    #[serde(rename = "after_bytes")]
    pub(super) after: Option<u64>,
}

/// What was run, in words.
pub(super) struct Setup {
    pub(super) target: String,
    pub(super) concurrency: usize,
    pub(super) recorded: Recorded,
}

impl Report {
    pub(super) fn new(
        setup: Setup,
        source: &Source,
        tally: Tally,
        took: Duration,
        memory: MemoryUse,
    ) -> Self {
        let seconds = took.as_secs_f64();
        let failed: u64 = tally.errors.values().sum();
        Self {
            target: setup.target,
            source: source.name(),
            concurrency: setup.concurrency,
            requests: tally.requests,
            requests_offered: source.len(),
            seconds,
            hits: tally.hits,
            misses: tally.requests - tally.hits - failed,
            hit_ratio: ratio(tally.hits, tally.requests),
            operations: tally.operations,
            operations_per_second: per_second(tally.operations, seconds),
            latency: Latency::new(&tally, setup.recorded),
            errors: tally.errors,
            error_examples: tally.examples,
            memory,
        }
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors.values().sum()
    }
}

impl Latency {
    fn new(tally: &Tally, recorded: Recorded) -> Self {
        let micros = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64() * 1e6;
        let at = |quantile| micros(tally.latency.value_at_quantile(quantile));
        let max_us = micros(tally.latency.max());
        Self { recorded, p50_us: at(0.5), p99_us: at(0.99), p999_us: at(0.999), max_us }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} at once: {}", self.target, self.concurrency, self.source)?;
        let (requests, offered) = (grouped(self.requests), grouped(self.requests_offered));
        let cut = if self.requests < self.requests_offered { " (ended early)" } else { "" };
        writeln!(f, "  requests   {requests} of {offered} in {:.2} s{cut}", self.seconds)?;
        let (hits, misses) = (grouped(self.hits), grouped(self.misses));
        writeln!(f, "  hit ratio  {:.2} %: {hits} hits, {misses} misses", self.hit_ratio * 100.0)?;
        let (operations, speed) = (grouped(self.operations), grouped(self.operations_per_second.round()));
        writeln!(f, "  speed      {speed} operations per second, {operations} in all")?;
        writeln!(f, "  latency    {}", self.latency)?;
        self.list_errors(f)?;
        writeln!(f, "  memory     {}", self.memory)
    }
}

impl Report {
    fn list_errors(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.errors.is_empty() {
            return writeln!(f, "  errors     none");
        }
        let kinds: Vec<_> =
            self.errors.iter().map(|(kind, count)| format!("{} {kind}", grouped(*count))).collect();
        writeln!(f, "  errors     {}; the first of them:", kinds.join(", "))?;
        self.error_examples.iter().try_for_each(|example| writeln!(f, "    {example}"))
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_us, p99_us, p999_us, max_us, recorded } = self;
        write!(f, "p50 {p50_us:.2} us, p99 {p99_us:.2} us, p99.9 {p999_us:.2} us, max {max_us:.2} us")?;
        match recorded {
            Recorded::Every => write!(f, " (every operation)"),
            Recorded::OneIn64 => write!(f, " (one operation in 64, with the cost of the clock)"),
        }
    }
}

impl fmt::Display for MemoryUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.peak, self.after) {
            (Some(peak), _) => write!(f, "peak {}", mebibytes(peak))?,
            (None, Some(after)) => write!(f, "{} at the end, peak unknown", mebibytes(after))?,
            (None, None) => return write!(f, "unknown"),
        }
        match self.before {
            Some(before) => write!(f, ", {} of it before the first request", mebibytes(before)),
            None => Ok(()),
        }
    }
}

/// `part` of `whole`; 0 where there is nothing.
fn ratio(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share of requests, far below 2^53")]
    let share = part as f64 / whole.max(1) as f64;
    share
}

fn per_second(operations: u64, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of operations, far below 2^53")]
    let operations = operations as f64;
    if seconds > 0.0 { operations / seconds } else { 0.0 }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", per_second(bytes, 1_048_576.0))
}

/// 1234567 as `1,234,567`.
pub(super) fn grouped(number: impl fmt::Display) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(grouped(1e4), "10,000");
    }

    #[test]
    fn memory_says_what_it_knows() {
        let mib = |count: u64| Some(count << 20);
        let known = MemoryUse { peak: mib(5), before: mib(2), after: None };
        assert_eq!(known.to_string(), "peak 5.0 MiB, 2.0 MiB of it before the first request");
        let server = MemoryUse { after: mib(7), ..MemoryUse::default() };
        assert_eq!(server.to_string(), "7.0 MiB at the end, peak unknown");
        assert_eq!(MemoryUse::default().to_string(), "unknown");
    }
}
