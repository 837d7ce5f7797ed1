//! One cache runs one course: what an application does, get, and insert on a miss, in one thread.

use std::time::Duration;

use super::course::{Course, Item, Step};

/// A cache of any make.
pub(super) trait Contender {
    /// Whether the key is there; counts as a use.
    fn get(&mut self, key: u32) -> bool;

    /// Stores what a miss has made.
    fn insert(&mut self, key: u32, item: Item);

    /// Time has come to this moment. Most caches take their time from the system and learn nothing.
    fn arrive(&mut self, _at: Duration) {}
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Score {
    pub(super) requests: u64,
    pub(super) hits: u64,
    pub(super) byte_hit_ratio: f64,
    pub(super) cost_saved_ratio: f64,
}

/// The score of a cache on a course.
///
/// Lifetimes end here as well as in the cache: a cache that cannot be told the trace's time answers with what is over,
/// and that is a miss.
pub(super) fn replay(course: &Course<'_>, contender: &mut dyn Contender) -> Score {
    let mut ends = vec![Duration::MAX; if course.lifetimes { course.trace.unique() as usize } else { 0 }];
    let mut sum = Sum::default();
    for Step { key, item, at } in course.steps() {
        if course.lifetimes {
            contender.arrive(at);
        }
        let alive = ends.get(key as usize).is_none_or(|&end| at < end);
        let hit = contender.get(key) && alive;
        sum.add(hit, item);
        if !hit {
            contender.insert(key, item);
            if let Some(end) = ends.get_mut(key as usize) {
                *end = item.ttl.map_or(Duration::MAX, |ttl| at.saturating_add(ttl));
            }
        }
    }
    sum.score()
}

#[derive(Default)]
struct Sum {
    requests: u64,
    hits: u64,
    bytes: [u64; 2],
    cost: [u64; 2],
}

impl Sum {
    fn add(&mut self, hit: bool, item: Item) {
        let hit = u64::from(hit);
        self.requests += 1;
        self.hits += hit;
        for (sum, amount) in [(&mut self.bytes, item.bytes), (&mut self.cost, item.cost)] {
            let [all, saved] = sum;
            *all += u64::from(amount);
            *saved += u64::from(amount) * hit;
        }
    }

    fn score(self) -> Score {
        let share = |[all, saved]: [u64; 2]| ratio(saved, all);
        Score {
            requests: self.requests,
            hits: self.hits,
            byte_hit_ratio: share(self.bytes),
            cost_saved_ratio: share(self.cost),
        }
    }
}

/// `part` of `whole`; 0 where there is nothing.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share, which needs no more digits than an f64 has")]
    let share = part as f64 / whole.max(1) as f64;
    share
}

#[cfg(test)]
mod tests {
    use cache_testkit::trace::Trace;

    use super::super::course::By;
    use super::*;

    /// Holds everything for ever.
    struct Unlimited(Vec<u32>);

    impl Contender for Unlimited {
        fn get(&mut self, key: u32) -> bool {
            self.0.contains(&key)
        }

        fn insert(&mut self, key: u32, _item: Item) {
            self.0.push(key);
        }
    }

    #[test]
    fn hits_bytes_and_costs_are_shares_of_all() {
        let trace = Trace::new("t", [1, 2, 1, 1])
            .with_sizes(|it| [4, 2, 4, 10][it])
            .with_costs(|it| [7, 1, 7, 5][it]);
        let course = Course { trace: &trace, by: By::Bytes, lifetimes: false };
        let score = replay(&course, &mut Unlimited(Vec::new()));
        let expected = Score { requests: 4, hits: 2, byte_hit_ratio: 0.7, cost_saved_ratio: 0.6 };
        assert_eq!(score, expected);
    }

    #[test]
    fn what_is_over_is_a_miss_even_if_the_cache_does_not_know() {
        let trace = Trace::new("t", [1; 4]).with_ttls(|_| 10).with_times(|it| [0, 9, 10, 19][it]);
        let hits = |lifetimes| {
            let course = Course { trace: &trace, by: By::Requests, lifetimes };
            replay(&course, &mut Unlimited(Vec::new())).hits
        };
        assert_eq!((hits(false), hits(true)), (3, 2));
    }
}
