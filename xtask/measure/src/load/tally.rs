//! What one worker counts. Workers share nothing while they run; tallies are added up at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::Outcome;

/// Counts, latencies and errors of one worker, or of all.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) operations: u64,
    pub(super) hits: u64,
    pub(super) latency: Histogram<u64>,
    pub(super) errors: BTreeMap<&'static str, u64>,
    /// The first few errors in full.
    pub(super) examples: Vec<String>,
}

/// An operation that failed: its kind, to be counted, and what happened.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: &'static str,
    pub(super) detail: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Failure {}

impl Tally {
    pub(super) fn new() -> Outcome<Self> {
        let latency = Histogram::new_with_max(LONGEST_NANOS, SIGNIFICANT_DIGITS)?;
        let (errors, examples) = (BTreeMap::new(), Vec::new());
        Ok(Self { requests: 0, operations: 0, hits: 0, latency, errors, examples })
    }

    pub(super) fn record(&mut self, latency: Duration) {
        self.latency.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST_NANOS));
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        *self.errors.entry(failure.kind).or_default() += 1;
        self.remember([failure.detail]);
    }

    pub(super) fn add(&mut self, other: Self) -> Outcome {
        self.requests += other.requests;
        self.operations += other.operations;
        self.hits += other.hits;
        self.latency.add(&other.latency)?;
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
        self.remember(other.examples);
        Ok(())
    }

    fn remember(&mut self, details: impl IntoIterator<Item = String>) {
        for detail in details {
            if self.examples.len() < EXAMPLES && !self.examples.contains(&detail) {
                self.examples.push(detail);
            }
        }
    }
}

const LONGEST_NANOS: u64 = 100_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;
const EXAMPLES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_and_keep_the_first_few_errors() {
        let mut all = Tally::new().unwrap();
        for worker in 0..3 {
            let mut tally = Tally::new().unwrap();
            tally.requests = 10;
            tally.record(Duration::from_micros(worker));
            for error in 0..4 {
                tally.fail(Failure { kind: "status", detail: format!("worker {worker}, error {error}") });
            }
            all.add(tally).unwrap();
        }
        assert_eq!((all.requests, all.errors["status"], all.latency.len()), (30, 12, 3));
        assert_eq!(all.examples.len(), EXAMPLES);
        assert_eq!(all.examples[0], "worker 0, error 0");
    }
}
