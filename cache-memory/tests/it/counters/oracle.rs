//! A naive model: a list of all charges with their times, searched from end to end for each answer.
//!
//! It follows the rule of the seam word by word, and the counters must agree with it in every verdict: over every
//! schedule of small quotas at every half bucket, and over random calls of many limits. The windows are judged apart
//! from it, by the times of the admissions alone.

use std::num::NonZeroU32;
use std::time::Duration;

use cache_core::{Charge, Clock, Counters, Key, Quota, Result, Time, Verdict};
use cache_testkit::load::{Shape, Workload};
use proptest::prelude::*;

use super::{by_hand, charge, is_admitted};

/// Every charge that was admitted.
#[derive(Default)]
struct Oracle(Vec<(Charge, Time)>);

impl Oracle {
    fn charge(&mut self, charges: &[Charge], now: Time) -> Verdict {
        if charges
            .iter()
            .any(|charge| asked(charges, charge) + spared(charges, charge) > u128::from(charge.quota.limit()))
        {
            return Verdict::Never;
        }
        let fits = |at: &Time| charges.iter().all(|charge| self.left(charges, charge, *at).is_some());
        if fits(&now) {
            let left = charges.iter().filter_map(|charge| {
                let spare = if asked(charges, charge) == 0 { most_spared(charges, charge) } else { 0 };
                Some(self.left(charges, charge, now)?.saturating_sub(spare))
            });
            let remaining = left.min().unwrap_or(u64::MAX);
            self.0.extend(charges.iter().map(|charge| (charge.clone(), now)));
            return Verdict::Admitted { remaining };
        }
        let ends = self.0.iter().map(|(charge, at)| leaves(charge.quota, *at));
        let first = ends.filter(|at| *at > now && fits(at)).min().expect("some day everything has left");
        Verdict::Denied { wait: first.since(now) }
    }

    /// What this limit would have left at that moment after this call, if there is room for it.
    fn left(&self, charges: &[Charge], of: &Charge, at: Time) -> Option<u64> {
        let counts =
            |(charge, when): &&(Charge, Time)| is_same(charge, of) && leaves(charge.quota, *when) > at;
        let taken: u128 = self.0.iter().filter(counts).map(|(charge, _)| u128::from(charge.cost)).sum();
        let left =
            u128::from(of.quota.limit()).checked_sub(taken + asked(charges, of) + spared(charges, of))?;
        Some(u64::try_from(left).expect("at most the limit"))
    }

    /// What is in one bucket cannot be told apart.
    fn refund(&mut self, of: &Charge, charged: Time) {
        let mut rest = of.cost;
        for (charge, at) in &mut self.0 {
            if is_same(charge, of) && bucket(charge.quota, *at) == bucket(charge.quota, charged) {
                let returned = rest.min(charge.cost);
                charge.cost -= returned;
                rest -= returned;
            }
        }
    }

    fn reset(&mut self, key: &Key) {
        self.0.retain(|(charge, _)| charge.key != *key);
    }
}

fn is_same(one: &Charge, other: &Charge) -> bool {
    one.key == other.key && one.quota == other.quota
}

fn asked(charges: &[Charge], of: &Charge) -> u128 {
    charges.iter().filter(|charge| is_same(charge, of)).map(|charge| u128::from(charge.cost)).sum()
}

/// What a call that takes something of a limit has to leave of it.
fn spared(charges: &[Charge], of: &Charge) -> u128 {
    if asked(charges, of) == 0 { 0 } else { u128::from(most_spared(charges, of)) }
}

fn most_spared(charges: &[Charge], of: &Charge) -> u64 {
    charges.iter().filter(|charge| is_same(charge, of)).map(|charge| charge.spare).max().unwrap_or(0)
}

fn bucket(quota: Quota, at: Time) -> u128 {
    u128::from(at.as_nanos()) / quota.bucket().as_nanos()
}

/// The end of the bucket, and a window more.
fn leaves(quota: Quota, at: Time) -> Time {
    let end = (bucket(quota, at) + 1) * quota.bucket().as_nanos() + quota.per().as_nanos();
    Time::from_nanos(u64::try_from(end).expect("tests end early"))
}

/// The most that any interval of this length admitted; its begin counts, its end does not.
fn worst_window(admissions: &[(Time, u64)], per: Duration) -> u64 {
    let from = |first: usize| {
        let begin = admissions[first].0;
        admissions[first..]
            .iter()
            .take_while(move |(at, _)| at.since(begin) < per)
            .map(|(_, cost)| cost)
            .sum()
    };
    (0..admissions.len()).map(from).max().unwrap_or(0)
}

#[test]
fn every_schedule_of_every_small_quota_is_as_the_rule_says() {
    for limit in 1..=3 {
        for buckets in 1..=4 {
            let quota =
                Quota::with_buckets(limit, Duration::from_millis(1) * buckets, buckets).expect("legal");
            // Two ticks a bucket, through a window and two buckets: the first charge has left, and the next ones too.
            let ticks = 2 * (buckets + 2);
            for schedule in 0..1_u32 << ticks {
                pollster::block_on(follow(quota, schedule, ticks)).expect("in reach");
            }
        }
    }
}

/// Calls at every tick whose bit is set.
async fn follow(quota: Quota, schedule: u32, ticks: u32) -> Result<()> {
    let (counters, clock) = by_hand();
    let mut oracle = Oracle::default();
    let call = [charge("k", quota, 1)];
    let mut admissions = Vec::new();
    for tick in 0..ticks {
        if schedule >> tick & 1 == 1 {
            let verdict = counters.charge(&call).await?.0;
            assert_eq!(verdict, oracle.charge(&call, clock.now()), "tick {tick} of {schedule:#b}, {quota:?}");
            admissions.extend(is_admitted(verdict).then(|| (clock.now(), 1)));
        }
        clock.advance(Duration::from_micros(500));
    }
    let worst = worst_window(&admissions, quota.per());
    assert!(worst <= quota.limit(), "{worst} in a window of {schedule:#b}, {quota:?}");
    Ok(())
}

#[test]
fn no_window_of_ten_thousand_random_calls_exceeds_the_limit() {
    for (seed, buckets) in (0..20).zip([1, 2, 7, 60].into_iter().cycle()) {
        let quota = Quota::with_buckets(20, Duration::from_millis(100), buckets).expect("legal");
        let random = Workload::new(Shape::Uniform, NonZeroU32::MIN.saturating_add(29)).with_seed(seed);
        let (counters, clock) = by_hand();
        let mut admissions = Vec::new();
        for number in random.ids().take(10_000) {
            // Steps of up to 14 ms with odd nanoseconds, half of the calls at the same moment as the one before.
            clock.advance(Duration::from_nanos(999_983) * number.saturating_sub(15));
            let cost = u64::from(number % 4);
            let verdict =
                pollster::block_on(counters.charge(&[charge("k", quota, cost)])).expect("in reach").0;
            admissions.extend(is_admitted(verdict).then(|| (clock.now(), cost)));
        }
        let worst = worst_window(&admissions, quota.per());
        assert!(worst <= quota.limit(), "{worst} in a window of {quota:?}, seed {seed}");
        assert!(worst > quota.limit() / 2, "the limit was never in reach, seed {seed}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Which key, quota, cost, and how much is to be left.
    Charge(Vec<(usize, usize, u64, u64)>),
    /// Of the calls that were admitted and not given back the one that is so many before the latest, and how much of each cost.
    Refund(usize, u64),
    Reset(usize),
    Pass(u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    let cost = || prop_oneof![8 => 0_u64..4, 1 => Just(u64::MAX), 1 => Just(u64::MAX / 2)];
    let spare = || prop_oneof![5 => Just(0), 3 => 0..5_u64, 1 => Just(u64::MAX)];
    let limit = move || (0..KEYS.len(), 0..4_usize, cost(), spare());
    prop_oneof![
        6 => proptest::collection::vec(limit(), 0..4).prop_map(Step::Charge),
        3 => (0..4_usize, prop_oneof![Just(u64::MAX), Just(1)]).prop_map(|(later, most)| Step::Refund(later, most)),
        1 => (0..KEYS.len()).prop_map(Step::Reset),
        4 => (0_u32..3000).prop_map(Step::Pass),
    ]
}

const KEYS: [&str; 3] = ["a", "b", "c"];

/// A plain one, one that its buckets do not divide, one in a single bucket, and one without bounds.
fn quotas() -> [Quota; 4] {
    [(5, 4, 4), (3, 7, 3), (1, 2, 1), (u64::MAX, 5, 2)].map(|(limit, millis, buckets)| {
        Quota::with_buckets(limit, Duration::from_millis(millis), buckets).expect("legal")
    })
}

async fn compare(steps: Vec<Step>) -> Result<()> {
    let (counters, clock) = by_hand();
    let mut oracle = Oracle::default();
    let mut admitted = Vec::new();
    let limit = |(key, quota, cost, spare): (usize, usize, u64, u64)| Charge {
        spare,
        ..charge(KEYS[key], quotas()[quota], cost)
    };
    for step in steps {
        match step {
            Step::Charge(limits) => {
                let charges: Vec<Charge> = limits.into_iter().map(limit).collect();
                let now = clock.now();
                let (verdict, receipt) = counters.charge(&charges).await?;
                assert_eq!(verdict, oracle.charge(&charges, now), "{charges:?} at {now:?}");
                if is_admitted(verdict) {
                    admitted.push((charges, now, receipt));
                }
            }
            Step::Refund(later, most) => {
                let Some(at) = admitted.len().checked_sub(later + 1) else { continue };
                let (mut charges, when, receipt) = admitted.remove(at);
                for charge in &mut charges {
                    charge.cost = charge.cost.min(most);
                    oracle.refund(charge, when);
                }
                counters.refund(&charges, receipt).await?;
            }
            Step::Reset(key) => {
                let key = limit((key, 0, 0, 0)).key;
                oracle.reset(&key);
                counters.reset(&key).await?;
            }
            Step::Pass(micros) => clock.advance(Duration::from_micros(micros.into())),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_calls_get_the_answers_of_the_oracle(steps in proptest::collection::vec(any_step(), 0..60)) {
        pollster::block_on(compare(steps)).expect("in reach");
    }
}
