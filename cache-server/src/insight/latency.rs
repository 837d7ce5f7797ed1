//! How long answers took: counted in steps of a fifth, so that percentiles can be told of any stretch of time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

/// Steps for each doubling, from a microsecond to 67 seconds.
const STEPS_PER_DOUBLING: u32 = 4;
const STEPS: usize = 26 * STEPS_PER_DOUBLING as usize;

/// Counts of durations, written to from everywhere.
#[derive(Debug)]
pub(crate) struct Latency([AtomicU64; STEPS]);

/// The same at one moment, or of a stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timings([u64; STEPS]);

/// What timings say, in milliseconds, each at most a fifth too high. `None` where nothing was timed.
#[derive(Clone, Copy, Debug, Default, JsonSchema, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    /// How many answers were timed.
    pub(crate) timed: u64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p95_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

impl Latency {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    pub(crate) fn record(&self, took: Duration) {
        self.0[step(took)].fetch_add(1, Relaxed);
    }

    pub(crate) fn timings(&self) -> Timings {
        Timings(std::array::from_fn(|at| self.0[at].load(Relaxed)))
    }
}

impl Default for Timings {
    fn default() -> Self {
        Self([0; STEPS])
    }
}

impl Timings {
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, more)| *sum += more);
    }

    /// What came after an earlier moment.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at].saturating_sub(earlier.0[at])))
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        let timed = self.0.iter().sum();
        let of = |percent: u64| self.percentile(percent, timed);
        Percentiles { timed, p50_ms: of(50), p95_ms: of(95), p99_ms: of(99) }
    }

    fn percentile(&self, percent: u64, timed: u64) -> Option<f64> {
        let rank = (timed * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let reached = self.0.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        reached.map(upper_bound_ms)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at least zero, and cut to the last step"
)]
fn step(took: Duration) -> usize {
    let doublings = (took.as_secs_f64() * 1e6).max(1.0).log2();
    ((doublings * f64::from(STEPS_PER_DOUBLING)) as usize).min(STEPS - 1)
}

fn upper_bound_ms(step: usize) -> f64 {
    let steps = u32::try_from(step + 1).unwrap_or(u32::MAX);
    (f64::from(steps) / f64::from(STEPS_PER_DOUBLING)).exp2() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_at_most_a_fifth_too_high_and_never_too_low() {
        for micros in [2, 3, 17, 250, 999, 1000, 45_678, 1_000_000, 60_000_000] {
            let latency = Latency::new();
            latency.record(Duration::from_micros(micros));
            let shown = latency.timings().percentiles().p50_ms.expect("one was timed");
            let true_ms = Duration::from_micros(micros).as_secs_f64() * 1e3;
            assert!((true_ms..=true_ms * 1.2).contains(&shown), "{shown} for {true_ms}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_stretch() {
        let latency = Latency::new();
        (0..1000).for_each(|_| latency.record(Duration::from_secs(1)));
        let before = latency.timings();
        assert_eq!(before.since(&before).percentiles(), Percentiles::default());
        (0..98).for_each(|_| latency.record(Duration::from_micros(100)));
        (0..2).for_each(|_| latency.record(Duration::from_millis(10)));
        let stretch = latency.timings().since(&before).percentiles();
        assert_eq!(stretch.timed, 100);
        assert!(
            stretch.p50_ms.is_some_and(|ms| ms < 0.13) && stretch.p95_ms == stretch.p50_ms,
            "{stretch:?}"
        );
        assert!(stretch.p99_ms.is_some_and(|ms| (10.0..12.0).contains(&ms)), "{stretch:?}");
    }

    #[test]
    fn nothing_and_for_ever_are_counted_as_well() {
        let latency = Latency::new();
        latency.record(Duration::ZERO);
        latency.record(Duration::MAX);
        assert_eq!(latency.timings().percentiles().timed, 2);
    }
}
