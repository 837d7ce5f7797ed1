//! The judge of admissions: how many there were within any window, wherever it begins.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Somebody was admitted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Admission {
    pub(super) key: u32,
    /// When it was asked and when answered, in nanoseconds since 1970.
    pub(super) asked: u64,
    pub(super) answered: u64,
    /// Whether the shared counters have admitted it.
    pub(super) is_counted: bool,
}

/// What is found about all admissions.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Judged {
    /// The most that was asked and answered within a window: so many were admitted in it for certain.
    pub(super) most: u64,
    /// The most that was answered within a window, whenever it was admitted.
    pub(super) most_answered: u64,
    pub(super) admitted: u64,
    /// Those that were admitted without the shared counters.
    pub(super) without_counters: u64,
    /// The longest time in which nobody was admitted, of any key.
    pub(super) longest_idle_seconds: f64,
    /// The admissions that ended a window with more than the limit.
    pub(super) too_full: u64,
}

impl Judged {
    pub(super) fn new(admissions: Vec<Admission>, limit: u64, window: Duration) -> Self {
        let window = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        let mut judged = Self {
            admitted: admissions.len() as u64,
            without_counters: admissions.iter().filter(|it| !it.is_counted).count() as u64,
            ..Self::default()
        };
        let mut keys: BTreeMap<u32, Vec<Admission>> = BTreeMap::new();
        for admission in admissions {
            keys.entry(admission.key).or_default().push(admission);
        }
        for mut those in keys.into_values() {
            those.sort_by_key(|it| it.answered);
            let counts: Vec<u64> = within(&those, window, |it| it.asked).collect();
            judged.most = judged.most.max(counts.iter().copied().max().unwrap_or(0));
            judged.too_full += counts.iter().filter(|count| **count > limit).count() as u64;
            let answered = within(&those, window, |it| it.answered).max().unwrap_or(0);
            judged.most_answered = judged.most_answered.max(answered);
            for pair in those.windows(2) {
                let idle = Duration::from_nanos(pair[1].answered - pair[0].answered).as_secs_f64();
                judged.longest_idle_seconds = judged.longest_idle_seconds.max(idle);
            }
        }
        judged
    }
}

/// For each admission, in the order of their answers, how many are in the window that ends with its answer: those that began, by
/// this, after the beginning of the window, which is itself no part of it.
fn within(
    answered: &[Admission],
    window: u64,
    began: impl Fn(&Admission) -> u64 + Copy,
) -> impl Iterator<Item = u64> {
    let mut inside: VecDeque<u64> = VecDeque::new();
    answered.iter().map(move |admission| {
        // In the order of their beginnings, of which a few are out of the order of the answers.
        let began = began(admission);
        let place = inside.partition_point(|other| *other <= began);
        inside.insert(place, began);
        while inside.front().is_some_and(|began| began.saturating_add(window) <= admission.answered) {
            inside.pop_front();
        }
        inside.len() as u64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(times: &[(u64, u64)]) -> Judged {
        let admission = |(asked, answered)| Admission { key: 1, asked, answered, is_counted: true };
        Judged::new(times.iter().copied().map(admission).collect(), 2, Duration::from_nanos(100))
    }

    #[test]
    fn what_is_asked_and_answered_within_a_window_is_admitted_in_it() {
        let three = judged(&[(1, 5), (40, 50), (90, 100)]);
        assert_eq!((three.most, three.too_full), (3, 1));
        let may_be_earlier = judged(&[(0, 5), (40, 50), (90, 100)]);
        assert_eq!((may_be_earlier.most, may_be_earlier.most_answered), (2, 3));
        let apart = judged(&[(0, 5), (50, 60), (110, 120), (170, 180)]);
        assert_eq!((apart.most, apart.too_full), (2, 0));
    }

    #[test]
    fn answers_out_of_order_and_other_keys_are_told_apart() {
        let late = judged(&[(10, 95), (20, 30), (25, 96)]);
        assert_eq!((late.most, late.admitted), (3, 3));
        let other = |key| Admission { key, asked: 10, answered: 20, is_counted: key == 1 };
        let apart = Judged::new((1..=5).map(other).collect(), 2, Duration::from_nanos(100));
        assert_eq!((apart.most, apart.admitted, apart.without_counters), (1, 5, 4));
    }
}
