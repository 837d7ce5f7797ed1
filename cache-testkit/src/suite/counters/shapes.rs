//! What every [`Counters`] promises of quotas that are exact or smooth: the first count each unit by itself, the second admit a
//! burst and then a rate.

use std::num::NonZeroU32;
use std::time::Duration;

use cache_core::{Charge, Counters, Quota, Receipt, Result, Time, Verdict};

use super::windows::{Admissions, random_below};
use super::{HOUR, assert_admits, assert_denies, assert_denies_for_all, charge, is_admitted, quota, taken};
use crate::clock::Passage;
use crate::suite::{GRAIN, key, pass_until};

/// A window that some backends let pass for real.
const WINDOW: Duration = Duration::from_millis(200);
/// How long one unit of a rate takes.
const EACH: Duration = Duration::from_millis(40);
/// How coarsely a backend may count: an exact quota counts in microseconds, and a clock may be read in between.
pub(super) const COARSE: Duration = Duration::from_micros(2);

/// Asks everything.
pub async fn all(counters: &dyn Counters, time: &dyn Passage) {
    run! {
        both_admit_the_limit_and_count_it_down(counters);
        a_smooth_and_an_exact_quota_and_a_window_are_charged_together_or_not_at_all(counters);
        each_shape_of_a_quota_is_a_limit_of_its_own(counters);
        a_smooth_quota_gives_back_if_nothing_was_charged_since(counters);
        a_smooth_quota_gives_back_nothing_that_may_have_drained(counters, time);
        an_exact_quota_admits_again_when_each_unit_is_a_window_old(counters, time);
        no_window_of_an_exact_quota_has_more_and_none_is_denied_that_fits(counters, time);
        a_rate_admits_its_burst_and_then_one_at_a_time(counters, time);
        a_rate_saves_up_no_more_than_its_burst(counters, time);
    }
}

/// As windows do; and who asks for nothing changes nothing, and who asks for too much never gets it.
pub async fn both_admit_the_limit_and_count_it_down(counters: &dyn Counters) -> Result<()> {
    for (name, quota) in [("exact", exact(5, HOUR)), ("smooth", smooth(HOUR, 5))] {
        let of = |cost| charge(name, quota, cost);
        assert_eq!(counters.charge(&[of(6)]).await?.0, Verdict::Never, "{name}");
        for remaining in (1..5).rev() {
            assert_admits(counters, &of(1), remaining).await?;
            assert_admits(counters, &of(0), remaining).await?;
        }
        assert_denies(counters, &of(2)).await?;
        assert_admits(counters, &of(1), 0).await?;
        assert_admits(counters, &of(0), 0).await?;
        assert_denies(counters, &of(1)).await?;
    }
    Ok(())
}

/// Whichever of them has no room.
pub async fn a_smooth_and_an_exact_quota_and_a_window_are_charged_together_or_not_at_all(
    counters: &dyn Counters,
) -> Result<()> {
    let quotas = [quota(3, HOUR), exact(3, HOUR), smooth(HOUR, 3)];
    for (number, full) in quotas.into_iter().enumerate() {
        let name = format!("together:{number}");
        let all = quotas.map(|quota| charge(&name, quota, 1));
        assert_eq!(counters.charge(&all).await?.0, Verdict::Admitted { remaining: 2 });
        assert_admits(counters, &charge(&name, full, 2), 0).await?;
        assert_denies_for_all(counters, &all).await?;
        for other in quotas.into_iter().filter(|quota| *quota != full) {
            assert_admits(counters, &charge(&name, other, 0), 2).await?;
        }
    }
    Ok(())
}

/// Though limit and window are the same.
pub async fn each_shape_of_a_quota_is_a_limit_of_its_own(counters: &dyn Counters) -> Result<()> {
    for quota in [quota(2, HOUR), exact(2, HOUR), smooth(HOUR / 2, 2)] {
        assert_eq!((quota.limit(), quota.per()), (2, HOUR));
        assert_admits(counters, &charge("shapes", quota, 2), 0).await?;
    }
    Ok(())
}

/// The latest first, and each once.
pub async fn a_smooth_quota_gives_back_if_nothing_was_charged_since(counters: &dyn Counters) -> Result<()> {
    let of = |cost| charge("kept", smooth(HOUR, 3), cost);
    let (first, second) = (taken(counters, &of(1), 2).await?, taken(counters, &of(2), 0).await?);
    let (first_again, second_again) = (first.marks().to_vec(), second.marks().to_vec());
    counters.refund(&[of(1)], first).await?;
    assert_denies(counters, &of(1)).await?;
    counters.refund(&[of(2)], second).await?;
    counters.refund(&[of(2)], Receipt::new(second_again)).await?;
    assert_admits(counters, &of(0), 2).await?;
    counters.refund(&[of(1)], Receipt::new(first_again)).await?;
    assert_admits(counters, &of(3), 0).await?;
    assert_denies(counters, &of(1)).await
}

/// What was charged after that was charged into a place that was free again: the burst is not exceeded by it.
pub async fn a_smooth_quota_gives_back_nothing_that_may_have_drained(
    counters: &dyn Counters,
    time: &dyn Passage,
) -> Result<()> {
    let of = |cost| charge("drained", smooth(EACH, 3), cost);
    let first = taken(counters, &of(3), 0).await?;
    time.pass(EACH * 3 + GRAIN).await;
    let second = time.now();
    assert!(is_admitted(counters.charge(&[of(3)]).await?.0));
    counters.refund(&[of(3)], first).await?;
    let mut admitted = 3;
    for _ in 0..3 {
        admitted += u64::from(is_admitted(counters.charge(&[of(1)]).await?.0));
        assert_rate(second, time.now(), admitted, 3);
    }
    Ok(())
}

/// One after the other, as they were charged, and none before.
pub async fn an_exact_quota_admits_again_when_each_unit_is_a_window_old(
    counters: &dyn Counters,
    time: &dyn Passage,
) -> Result<()> {
    let call = [charge("leaves", exact(3, WINDOW), 1)];
    let mut charged = Vec::new();
    for _ in 0..3 {
        let before = time.now();
        assert!(is_admitted(counters.charge(&call).await?.0));
        charged.push((before, time.now()));
        time.pass(WINDOW / 5).await;
    }
    for (before, after) in charged {
        let asked = time.now();
        if let Verdict::Denied { wait } = counters.charge(&call).await?.0 {
            let latest = after.after(WINDOW + COARSE);
            assert!(asked.after(wait) <= latest, "{wait:?} at {asked:?} is longer than until {latest:?}");
            pass_until(time, time.now().after(wait)).await;
            assert!(is_admitted(counters.charge(&call).await?.0), "{wait:?} was too short");
        }
        assert!(time.now() >= before.after(WINDOW), "admitted inside the window");
    }
    Ok(())
}

/// Random schedules, and the oracle over all that was admitted, and all that was not.
pub async fn no_window_of_an_exact_quota_has_more_and_none_is_denied_that_fits(
    counters: &dyn Counters,
    time: &dyn Passage,
) -> Result<()> {
    for seed in 0..6_u32 {
        let quota = exact(u64::from(seed + 1), GRAIN * 20);
        let key = key(&format!("exactly:{seed}"));
        let mut admissions = Admissions::default();
        for random in random_below(NonZeroU32::MIN.saturating_add(39), seed).take(100) {
            time.pass(GRAIN * if random < 36 { random % 8 } else { 45 }).await;
            let cost = u64::from(random % 3);
            let charge = Charge::new(key.clone(), quota, cost);
            let begun = time.now();
            let verdict = admissions.charge(counters, time, charge).await?;
            if matches!(verdict, Verdict::Denied { .. }) {
                let may_count = admissions.may_count_at(begun, quota.per() + COARSE);
                assert!(may_count + cost > quota.limit(), "denied {cost} beside {may_count}, seed {seed}");
            }
        }
        admissions.assert_no_window_exceeds(quota, seed);
    }
    Ok(())
}

/// The burst at once; then a unit fits as often as one has drained.
pub async fn a_rate_admits_its_burst_and_then_one_at_a_time(
    counters: &dyn Counters,
    time: &dyn Passage,
) -> Result<()> {
    let call = [charge("rate", smooth(EACH, 3), 1)];
    let begun = time.now();
    let mut admitted = 0;
    while admitted < 7 {
        match counters.charge(&call).await?.0 {
            Verdict::Admitted { .. } => {
                admitted += 1;
                assert_rate(begun, time.now(), admitted, 3);
            }
            Verdict::Denied { wait } => {
                assert!(admitted >= 3 && !wait.is_zero() && wait <= EACH, "{wait:?} after {admitted}");
                let after = time.now();
                pass_until(time, after.after(wait)).await;
                assert!(is_admitted(counters.charge(&call).await?.0), "{wait:?} was too short");
                admitted += 1;
                assert_rate(begun, time.now(), admitted, 3);
            }
            Verdict::Never => panic!("one fits into three"),
        }
    }
    Ok(())
}

/// However long it has idled.
pub async fn a_rate_saves_up_no_more_than_its_burst(
    counters: &dyn Counters,
    time: &dyn Passage,
) -> Result<()> {
    let quota = smooth(EACH, 4);
    let key = key("idle");
    for idle in [EACH * 2, EACH * 9] {
        time.pass(idle).await;
        let begun = time.now();
        let mut admitted = 0;
        for _ in 0..20 {
            let call = [Charge::new(key.clone(), quota, 1)];
            if is_admitted(counters.charge(&call).await?.0) {
                admitted += 1;
                assert_rate(begun, time.now(), admitted, 4);
            }
        }
        assert!(admitted >= 2, "{admitted} after {idle:?}");
    }
    Ok(())
}

/// No more than a burst, and what the rate has given since.
fn assert_rate(begun: Time, now: Time, admitted: u64, burst: u64) {
    let given = u64::try_from(now.since(begun).as_nanos() / EACH.as_nanos()).unwrap_or(u64::MAX);
    assert!(admitted <= burst + given, "{admitted} with {given} drained");
}

#[expect(clippy::expect_used, reason = "the suites' quotas are legal")]
pub(super) fn exact(limit: u64, per: Duration) -> Quota {
    Quota::exact(limit, per).expect("a small limit")
}

#[expect(clippy::expect_used, reason = "the suites' quotas are legal")]
pub(super) fn smooth(each: Duration, burst: u64) -> Quota {
    Quota::smooth(1, each, burst).expect("a rate and a burst")
}
