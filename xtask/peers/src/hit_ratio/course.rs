//! A trace as a contest needs it: every request with a size and a cost, known or agreed upon.

use std::time::Duration;

use cache_testkit::trace::{Request, Trace};

use crate::scramble::scrambled;

/// What decides, and what the capacity counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum By {
    /// The share of requests that hit; the capacity is a number of entries
    #[default]
    Requests,
    /// The share of bytes that hit; the capacity is in bytes
    Bytes,
    /// The share of the cost of all requests that hits save; the capacity is in bytes
    Cost,
}

/// A trace that caches run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course<'a> {
    pub(super) trace: &'a Trace,
    pub(super) by: By,
    /// Whether entries end by the trace's times and times-to-live.
    pub(super) lifetimes: bool,
}

/// What is stored for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) bytes: u32,
    /// Microseconds to make it again.
    pub(super) cost: u32,
    pub(super) ttl: Option<Duration>,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) key: u32,
    pub(super) item: Item,
    /// Since the start of the trace; zero where it records no times.
    pub(super) at: Duration,
}

impl Course<'_> {
    /// Every request, in order.
    pub(super) fn steps(&self) -> impl ExactSizeIterator<Item = Step> {
        self.trace.requests().map(|request| Step {
            key: request.key,
            item: Item {
                // A size of zero would never have to leave.
                bytes: request.size.unwrap_or(1).max(1),
                cost: cost(&request),
                ttl: request.ttl.filter(|_| self.lifetimes),
            },
            at: request.at.filter(|_| self.lifetimes).unwrap_or_default(),
        })
    }

    /// What holds everything: the number of keys, or the sum of their sizes, each at its first request.
    pub(super) fn whole(&self) -> u64 {
        if self.by == By::Requests {
            return self.trace.unique().into();
        }
        let mut next = 0;
        let mut sum = 0;
        for step in self.steps() {
            // Keys are numbered by first occurrence.
            if step.key == next {
                next += 1;
                sum += u64::from(step.item.bytes);
            }
        }
        sum
    }
}

/// What the trace says, or else 1, 100 or 10,000 with equal chance by the key, the spread of the GreedyDual papers.
fn cost(request: &Request) -> u32 {
    let agreed = || COSTS[usize::try_from(scrambled(request.key.into()) % 3).unwrap_or(0)];
    request.cost.map_or_else(agreed, |cost| u32::try_from(cost.as_micros()).unwrap_or(u32::MAX))
}

const COSTS: [u32; 3] = [1, 100, 10_000];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_keys_or_the_bytes_of_each_key_once() {
        let trace = Trace::new("t", [5, 6, 5]).with_sizes(|request| [10, 0, 30][request]);
        let whole = |by| Course { trace: &trace, by, lifetimes: false }.whole();
        assert_eq!([whole(By::Requests), whole(By::Bytes), whole(By::Cost)], [2, 11, 11]);
    }

    #[test]
    fn costs_are_those_of_the_trace_or_spread_over_three() {
        let trace = Trace::new("t", 0..3_000);
        let course = Course { trace: &trace, by: By::Cost, lifetimes: false };
        for cost in COSTS {
            let count = course.steps().filter(|step| step.item.cost == cost).count();
            assert!((900..1_100).contains(&count), "{count} keys cost {cost}");
        }
        let priced = trace.clone().with_costs(|_| 7);
        assert!(Course { trace: &priced, ..course }.steps().all(|step| step.item.cost == 7));
    }

    #[test]
    fn lifetimes_count_only_when_asked_for() {
        let trace = Trace::new("t", [1]).with_ttls(|_| 3).with_times(|_| 9);
        let step = |lifetimes| Course { trace: &trace, by: By::Requests, lifetimes }.steps().next().unwrap();
        assert_eq!((step(false).item.ttl, step(false).at), (None, Duration::ZERO));
        assert_eq!(
            (step(true).item.ttl, step(true).at),
            (Some(Duration::from_secs(3)), Duration::from_secs(9))
        );
    }
}
