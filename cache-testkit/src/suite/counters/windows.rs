//! What every [`Counters`] promises about time: charges leave when their bucket is a window old, and not before.
//!
//! The judge of the limit is an interval oracle: it knows only when each admission began and ended, and condemns what
//! no order of events could excuse. So it works for a clock that is moved by hand and for one that runs.

use std::num::NonZeroU32;
use std::time::Duration;

use cache_core::{Charge, Counters, Quota, Receipt, Result, Shape, Time, Verdict};

use super::{HOUR, assert_admits, assert_denies_for_all, charge, in_buckets, is_admitted};
use crate::clock::Passage;
use crate::load::{self, Workload};
use crate::suite::{GRAIN, key, pass_until};

/// A window that some backends let pass for real, in buckets long enough to ask something within one.
const WINDOW: Duration = Duration::from_millis(200);
const BUCKETS: u32 = 4;
const BUCKET: Duration = Duration::from_millis(50);

/// Asks everything about time.
pub async fn all(counters: &dyn Counters, time: &dyn Passage) {
    run! {
        a_window_admits_again_when_its_buckets_have_left(counters, time);
        an_edge_between_windows_admits_no_more(counters, time);
        a_wait_is_long_enough_and_no_longer(counters, time);
        the_longest_wait_is_reported(counters, time);
        a_burst_limit_inside_a_long_one(counters, time);
        no_window_ever_admits_more_than_the_limit(counters, time);
    }
}

/// A window and a bucket after the last admission nothing is left of it.
pub async fn a_window_admits_again_when_its_buckets_have_left(
    counters: &dyn Counters,
    time: &dyn Passage,
) -> Result<()> {
    let charge = charge("again", in_buckets(3, WINDOW, BUCKETS), 3);
    for _ in 0..3 {
        assert_admits(counters, &charge, 0).await?;
        time.pass(WINDOW + BUCKET + GRAIN).await;
    }
    Ok(())
}

/// Wherever the buckets and windows of the backend begin: a full limit admits nothing for the length of a window.
pub async fn an_edge_between_windows_admits_no_more(
    counters: &dyn Counters,
    time: &dyn Passage,
) -> Result<()> {
    let charge = charge("edge", in_buckets(3, WINDOW, BUCKETS), 1);
    let whole = Charge { cost: 3, ..charge.clone() };
    for start in 1..4 {
        let begun = time.now();
        assert_admits(counters, &whole, 0).await?;
        while time.now() < begun.after(WINDOW.saturating_sub(GRAIN)) {
            let verdict = counters.charge(std::slice::from_ref(&charge)).await?.0;
            assert!(!is_admitted(verdict) || time.now() >= begun.after(WINDOW), "admitted inside the window");
            pass_until(time, time.now().after(BUCKET / 3).min(begun.after(WINDOW.saturating_sub(GRAIN))))
                .await;
        }
        // The next round begins at another place within a bucket.
        pass_until(time, begun.after((WINDOW + BUCKET) * 2 + BUCKET * start / 4)).await;
    }
    Ok(())
}

/// Denied a moment before `wait` has passed, admitted when it has: at each of the limit's steps.
pub async fn a_wait_is_long_enough_and_no_longer(counters: &dyn Counters, time: &dyn Passage) -> Result<()> {
    let of = |cost| charge("wait", in_buckets(6, WINDOW, BUCKETS), cost);
    let begun = time.now();
    for (cost, remaining) in [(1, 5), (2, 3), (3, 0)] {
        assert_admits(counters, &of(cost), remaining).await?;
        time.pass(BUCKET + GRAIN).await;
    }
    for (cost, buckets) in [(1, 0), (3, 1), (6, 2)] {
        let before = time.now();
        let (verdict, receipt) = counters.charge(&[of(cost)]).await?;
        let after = time.now();
        let Verdict::Denied { wait } = verdict else {
            // Time that cannot be stopped may have run past the moment from which on there is room.
            assert!(after >= begun.after(WINDOW + BUCKET * buckets), "no room for {cost} yet: {verdict:?}");
            counters.refund(&[of(cost)], receipt).await?;
            continue;
        };
        assert!(!wait.is_zero() && wait <= WINDOW + BUCKET, "a wait of {wait:?}");
        pass_until(time, before.after(wait.saturating_sub(GRAIN))).await;
        let (early, mut receipt) = counters.charge(&[of(cost)]).await?;
        if is_admitted(early) {
            assert!(time.now() >= before.after(wait), "{wait:?} is too long for a cost of {cost}");
        } else {
            pass_until(time, after.after(wait)).await;
            let late;
            (late, receipt) = counters.charge(&[of(cost)]).await?;
            assert!(is_admitted(late), "{wait:?} is too short for a cost of {cost}: {late:?}");
        }
        counters.refund(&[of(cost)], receipt).await?;
    }
    Ok(())
}

/// Of several full limits the one that takes longest decides.
pub async fn the_longest_wait_is_reported(counters: &dyn Counters, time: &dyn Passage) -> Result<()> {
    let [short, long] =
        [WINDOW, WINDOW * 2].map(|window| charge("longest", in_buckets(1, window, BUCKETS), 1));
    let both = [short.clone(), long.clone()];
    assert!(is_admitted(counters.charge(&both).await?.0));
    let wait = assert_denies_for_all(counters, &both).await?;
    let after = time.now();
    assert!(wait > WINDOW, "{wait:?} is not the wait of the longer window");
    pass_until(time, after.after(wait)).await;
    assert!(is_admitted(counters.charge(&both).await?.0), "{wait:?} was too short for both");
    Ok(())
}

/// Few in a short time inside many in a long one: first the short limit denies, later the long one.
pub async fn a_burst_limit_inside_a_long_one(counters: &dyn Counters, time: &dyn Passage) -> Result<()> {
    let burst = charge("burst", in_buckets(4, WINDOW, BUCKETS), 1);
    let long = charge("burst", in_buckets(10, HOUR, 60), 1);
    let both = [burst, long];
    for allowed in [4, 4, 2] {
        for number in 0..allowed {
            let verdict = counters.charge(&both).await?.0;
            assert!(is_admitted(verdict), "call {number} of {allowed} in this burst: {verdict:?}");
        }
        let wait = assert_denies_for_all(counters, &both).await?;
        let by_the_burst = wait <= WINDOW + BUCKET;
        assert_eq!(by_the_burst, allowed == 4, "{wait:?} after {allowed} calls");
        time.pass(WINDOW + BUCKET + GRAIN).await;
    }
    Ok(())
}

/// Random schedules, and the oracle over all that was admitted.
pub async fn no_window_ever_admits_more_than_the_limit(
    counters: &dyn Counters,
    time: &dyn Passage,
) -> Result<()> {
    for seed in 0..8_u32 {
        let quota = in_buckets(u64::from(seed + 1), GRAIN * 20, seed % 5 + 1);
        let key = key(&format!("schedule:{seed}"));
        let mut admissions = Admissions::default();
        for random in random_below(NonZeroU32::MIN.saturating_add(39), seed).take(100) {
            // Bursts, steps inside the window, and now and then a pause that empties it.
            time.pass(GRAIN * if random < 36 { random % 8 } else { 45 }).await;
            let charge = Charge::new(key.clone(), quota, u64::from(random % 3));
            admissions.charge(counters, time, charge).await?;
        }
        admissions.assert_no_window_exceeds(quota, seed);
    }
    Ok(())
}

/// What was admitted and not given back.
#[derive(Default)]
pub(super) struct Admissions(Vec<Admission>);

/// Not before the first moment, not after the second.
struct Admission {
    begin: Time,
    end: Time,
    charge: Charge,
    receipt: Receipt,
}

impl Admissions {
    pub(super) async fn charge(
        &mut self,
        counters: &dyn Counters,
        time: &dyn Passage,
        charge: Charge,
    ) -> Result<Verdict> {
        let begin = time.now();
        let (verdict, receipt) = counters.charge(std::slice::from_ref(&charge)).await?;
        if is_admitted(verdict) {
            self.0.push(Admission { begin, end: time.now(), charge, receipt });
        }
        Ok(verdict)
    }

    /// Gives back the one before so many others, if there is one.
    pub(super) async fn give_back(&mut self, counters: &dyn Counters, later: usize) -> Result<()> {
        let Some(at) = self.0.len().checked_sub(later + 1) else { return Ok(()) };
        let Admission { charge, receipt, .. } = self.0.remove(at);
        counters.refund(&[charge], receipt).await
    }

    /// How much can still count from this moment on, if it does so for this long.
    pub(super) fn may_count_at(&self, moment: Time, window: Duration) -> u64 {
        let counts = self.0.iter().filter(|admission| admission.end.after(window) > moment);
        counts.map(|admission| admission.charge.cost).sum()
    }

    /// Of a smooth quota: that nothing is faster than its rate after its burst.
    pub(super) fn assert_no_window_exceeds(&self, quota: Quota, seed: u32) {
        for (first, Admission { begin, .. }) in self.0.iter().enumerate() {
            let mut admitted = 0;
            for Admission { end, charge, .. } in &self.0[first..] {
                admitted += charge.cost;
                let at_most = end.since(*begin);
                let most = match quota.shape() {
                    Shape::Smooth { each } => {
                        u128::from(quota.limit()) + at_most.as_nanos() / each.as_nanos()
                    }
                    _ if at_most < quota.per() => u128::from(quota.limit()),
                    _ => break,
                };
                assert!(
                    u128::from(admitted) <= most,
                    "{admitted} units from {begin:?} on, with {quota:?}, seed {seed}"
                );
            }
        }
    }
}

pub(super) fn random_below(end: NonZeroU32, seed: u32) -> impl Iterator<Item = u32> {
    Workload::new(load::Shape::Uniform, end).with_seed(seed.into()).ids()
}
