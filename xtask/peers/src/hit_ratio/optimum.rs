//! What no cache can beat: exact where all entries are alike, a bound where they differ in size.
//!
//! With entries counted, Belady's rule is optimal: keep what is needed soonest, and do not even store what is needed
//! later than all that is held. With sizes the optimum is out of reach, so this gives PFOO-L, the bound of Berger,
//! Beckmann and Harchol-Balter ("Practical bounds on optimal caching with variable object sizes", SIGMETRICS 2018):
//! the capacity may be overdrawn at one moment if it is left unused at another.

use std::collections::BinaryHeap;

use super::course::{By, Course, Item, Step};
use super::replay::{Score, ratio};

/// The best score on this course, or one that is better still.
pub(super) fn score(course: &Course<'_>, capacity: u64) -> Score {
    let keys = course.trace.keys();
    let requests = keys.len() as u64;
    if course.by == By::Requests {
        return Score { requests, hits: belady(keys, course.trace.unique(), capacity), ..Score::default() };
    }
    let next = next_uses(keys, course.trace.unique());
    let steps: Vec<Step> = course.steps().collect();
    let bound = |worth: fn(Item) -> u32| pfoo_l(&steps, &next, capacity, worth);
    let share = |worth: fn(Item) -> u32| {
        let all: u64 = steps.iter().map(|step| u64::from(worth(step.item))).sum();
        ratio(bound(worth), all)
    };
    Score {
        requests,
        hits: bound(|_| 1),
        byte_hit_ratio: share(|item| item.bytes),
        cost_saved_ratio: share(|item| item.cost),
    }
}

/// The most hits that are possible with so many entries.
fn belady(keys: &[u32], unique: u32, capacity: u64) -> u64 {
    let next = next_uses(keys, unique);
    // Where each key that is held is needed next; `NEVER` for those that are not held.
    let mut due = vec![NEVER; unique as usize];
    // The same, latest first, along with what has been true before.
    let mut latest = BinaryHeap::new();
    let (mut held, mut hits) = (0, 0);
    for (&key, &again) in keys.iter().zip(&next) {
        let due_now = &mut due[key as usize];
        if *due_now != NEVER {
            hits += 1;
            held -= 1;
        }
        *due_now = again;
        if again == NEVER {
            continue;
        }
        held += 1;
        latest.push((again, key));
        while held > capacity {
            let Some((position, key)) = latest.pop() else { break };
            if due[key as usize] == position {
                due[key as usize] = NEVER;
                held -= 1;
            }
        }
    }
    hits
}

/// The most worth of hits if only the sum of space over time were limited, rounded down.
///
/// Each stay from one request of a key to the next takes its size for its length and is worth what it saves; the best
/// per space and time are taken first, the last of them in part.
fn pfoo_l(steps: &[Step], next: &[usize], capacity: u64, worth: fn(Item) -> u32) -> u64 {
    let fits = |item: Item| u64::from(item.bytes) <= capacity;
    let mut stays: Vec<(f64, f64)> = (0..steps.len())
        .filter(|&at| next[at] != NEVER && fits(steps[at].item) && worth(steps[next[at]].item) > 0)
        .map(|at| {
            let space = f64::from(steps[at].item.bytes) * float(next[at] - at);
            (space, f64::from(worth(steps[next[at]].item)))
        })
        .collect();
    stays.sort_unstable_by(|(a, of_a), (b, of_b)| (a / of_a).total_cmp(&(b / of_b)));
    #[expect(clippy::cast_precision_loss, reason = "a bound of a ratio that is printed with four digits")]
    let mut left = capacity as f64 * float(steps.len());
    let mut sum = 0.0;
    for (space, worth) in stays {
        sum += worth * (left / space).min(1.0);
        left -= space;
        if left <= 0.0 {
            break;
        }
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded down on purpose")]
    let whole = sum as u64;
    whole
}

/// For each request, where its key is asked for next.
fn next_uses(keys: &[u32], unique: u32) -> Vec<usize> {
    let mut next = vec![NEVER; keys.len()];
    let mut seen = vec![NEVER; unique as usize];
    for (at, &key) in keys.iter().enumerate().rev() {
        next[at] = std::mem::replace(&mut seen[key as usize], at);
    }
    next
}

fn float(number: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "positions in a trace are far below 2^53")]
    let float = number as f64;
    float
}

const NEVER: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use cache_testkit::load::{Shape, Workload};
    use cache_testkit::trace::Trace;

    use super::*;

    /// Tries every choice there is: after each request, every set of at most `capacity` of what may be held.
    fn exhaustive(keys: &[u32], capacity: u32) -> u64 {
        let mut states: Vec<(u32, u64)> = vec![(0, 0)];
        for &key in keys {
            let bit = 1 << key;
            let mut after: Vec<(u32, u64)> = Vec::new();
            for (held, hits) in states {
                let hits = hits + u64::from(held & bit != 0);
                let with = held | bit;
                let kept = (0..32).map(|victim| with & !(1 << victim)).chain([with]);
                after.extend(kept.filter(|set| set.count_ones() <= capacity).map(|set| (set, hits)));
            }
            after.sort_unstable_by(|a, b| b.cmp(a));
            let mut sets = HashSet::new();
            after.retain(|(set, _)| sets.insert(*set));
            states = after;
        }
        states.into_iter().map(|(_, hits)| hits).max().unwrap()
    }

    #[test]
    fn no_choice_beats_belady() {
        for seed in 0..60 {
            let workload = Workload::new(Shape::Uniform, 6.try_into().unwrap()).with_seed(seed);
            let trace = Trace::new("t", workload.ids().take(16).map(u64::from));
            for capacity in 1..=4 {
                let best = exhaustive(trace.keys(), capacity);
                assert_eq!(belady(trace.keys(), trace.unique(), capacity.into()), best, "seed {seed}");
            }
        }
    }

    #[test]
    fn the_bound_is_no_less_than_the_optimum_and_all_of_what_fits() {
        let workload = Workload::new(Shape::Mix, 200.try_into().unwrap());
        let trace = Trace::new("t", workload.ids().take(5_000).map(u64::from));
        let course = |by| Course { trace: &trace, by, lifetimes: false };
        for capacity in [1, 10, 50, 200] {
            let (exact, bound) =
                (score(&course(By::Requests), capacity), score(&course(By::Bytes), capacity));
            assert!(bound.hits >= exact.hits, "{capacity}: {} < {}", bound.hits, exact.hits);
            assert!((bound.byte_hit_ratio - ratio(bound.hits, 5_000)).abs() < 1e-9, "all sizes are 1");
        }
        let everything = score(&course(By::Cost), 1_000_000);
        assert_eq!(everything.hits, 5_000 - u64::from(trace.unique()));
    }

    #[test]
    fn what_is_larger_than_the_cache_never_hits() {
        let trace = Trace::new("t", [1, 1, 2, 2]).with_sizes(|at| [9, 9, 5, 5][at]);
        let course = Course { trace: &trace, by: By::Bytes, lifetimes: false };
        assert_eq!(score(&course, 8).hits, 1);
    }
}
