//! What every [`Counters`] promises: never more than the limit in any window, all charges or none, and a wait that is
//! neither too short nor too long.
//!
//! Here is what happens while time stands still, or nearly so; [`windows`] is about time, [`shapes`] about quotas that are exact or
//! smooth, and [`refunds`] about what is given back late.

pub mod refunds;
pub mod shapes;
pub mod windows;

use std::time::Duration;

use cache_core::{Charge, Counters, Quota, Receipt, Result, Verdict};
use futures_util::future;

use super::key;
use crate::clock::Passage;

/// So long that nothing leaves it while a function runs.
const HOUR: Duration = Duration::from_hours(1);

/// Asks everything.
pub async fn all(counters: &dyn Counters, time: &dyn Passage) {
    run! {
        the_limit_is_admitted_and_no_more(counters);
        each_key_is_counted_apart(counters);
        a_key_has_a_limit_per_quota(counters);
        a_cost_is_taken_as_a_whole(counters);
        a_cost_of_zero_only_asks(counters);
        a_cost_above_the_limit_never_fits(counters);
        a_limit_of_zero_admits_nothing(counters);
        a_huge_limit_is_exact(counters);
        the_largest_limit_does_not_overflow(counters);
        no_charges_are_admitted(counters);
        all_are_charged_or_none(counters);
        one_limit_twice_in_a_call_counts_twice(counters);
        never_is_said_even_where_another_limit_is_full(counters);
        the_least_that_remains_is_reported(counters);
        many_at_once_get_exactly_the_limit(counters);
        what_is_spared_is_left_to_others(counters);
        a_refund_makes_room(counters);
        a_refund_gives_back_no_more_than_was_taken(counters);
        a_call_over_many_limits_is_given_back_as_a_whole(counters);
        a_reset_forgets_every_quota_of_the_key(counters);
        a_reset_of_an_unknown_key_is_nothing(counters);
    }
    windows::all(counters, time).await;
    shapes::all(counters, time).await;
    refunds::all(counters, time).await;
}

/// N calls fit, the next does not, and the remainder counts down to zero.
pub async fn the_limit_is_admitted_and_no_more(counters: &dyn Counters) -> Result<()> {
    let charge = charge("limit", quota(5, HOUR), 1);
    for remaining in (0..5).rev() {
        assert_admits(counters, &charge, remaining).await?;
    }
    assert_denies(counters, &charge).await?;
    assert_denies(counters, &charge).await
}

/// What one key has used up, another has not.
pub async fn each_key_is_counted_apart(counters: &dyn Counters) -> Result<()> {
    for name in ["apart", "apart:1", "Apart", "apart*", "größe"] {
        assert_admits(counters, &charge(name, quota(1, HOUR), 1), 0).await?;
    }
    assert_denies(counters, &charge("apart", quota(1, HOUR), 1)).await
}

/// The same key under another quota starts from nothing, be it the limit, the window or the buckets that differ.
pub async fn a_key_has_a_limit_per_quota(counters: &dyn Counters) -> Result<()> {
    let quotas = [quota(2, HOUR), quota(3, HOUR), quota(2, HOUR * 2), in_buckets(2, HOUR, 7)];
    for quota in quotas {
        assert_admits(counters, &charge("quotas", quota, 2), quota.limit() - 2).await?;
    }
    assert_denies(counters, &charge("quotas", quotas[0], 1)).await?;
    assert_admits(counters, &charge("quotas", quotas[1], 1), 0).await
}

/// A cost that does not fit takes nothing, and a smaller one still fits.
pub async fn a_cost_is_taken_as_a_whole(counters: &dyn Counters) -> Result<()> {
    let of = |cost| charge("whole", quota(10, HOUR), cost);
    assert_admits(counters, &of(7), 3).await?;
    assert_denies(counters, &of(4)).await?;
    assert_admits(counters, &of(3), 0).await
}

/// Asking changes nothing, however often: before, and when the limit is used up.
pub async fn a_cost_of_zero_only_asks(counters: &dyn Counters) -> Result<()> {
    let of = |cost| charge("ask", quota(3, HOUR), cost);
    for _ in 0..100 {
        assert_admits(counters, &of(0), 3).await?;
    }
    assert_admits(counters, &of(3), 0).await?;
    assert_admits(counters, &of(0), 0).await?;
    assert_denies(counters, &of(1)).await
}

/// No wait would help, and that is a different answer.
pub async fn a_cost_above_the_limit_never_fits(counters: &dyn Counters) -> Result<()> {
    let of = |cost| charge("never", quota(3, HOUR), cost);
    for cost in [4, u64::MAX] {
        assert_eq!(counters.charge(&[of(cost)]).await?.0, Verdict::Never, "cost {cost}");
    }
    assert_admits(counters, &of(3), 0).await?;
    assert_eq!(counters.charge(&[of(4)]).await?.0, Verdict::Never, "also when the limit is used up");
    Ok(())
}

/// Zero is a limit, and the only thing that fits in it is a question.
pub async fn a_limit_of_zero_admits_nothing(counters: &dyn Counters) -> Result<()> {
    assert_eq!(counters.charge(&[charge("zero", quota(0, HOUR), 1)]).await?.0, Verdict::Never);
    assert_admits(counters, &charge("zero", quota(0, HOUR), 0), 0).await
}

/// A limit that is meant as "no limit" is one, and what does not fit even there is refused.
pub async fn the_largest_limit_does_not_overflow(counters: &dyn Counters) -> Result<()> {
    let of = |cost| charge("largest", quota(u64::MAX, HOUR), cost);
    for _ in 0..2 {
        assert!(is_admitted(counters.charge(&[of(u64::MAX / 2)]).await?.0));
    }
    assert_denies(counters, &of(u64::MAX / 2)).await?;
    assert_eq!(counters.charge(&[of(u64::MAX), of(u64::MAX)]).await?.0, Verdict::Never);
    Ok(())
}

/// To the unit, up to 2^53 - 1, which is what every backend can count exactly.
pub async fn a_huge_limit_is_exact(counters: &dyn Counters) -> Result<()> {
    let limit = (1 << 53) - 1;
    let of = |cost| charge("huge", quota(limit, HOUR), cost);
    assert_admits(counters, &of(limit - 1), 1).await?;
    assert_denies(counters, &of(2)).await?;
    assert_admits(counters, &of(1), 0).await?;
    assert_denies(counters, &of(1)).await
}

/// Of nothing there is room for all.
pub async fn no_charges_are_admitted(counters: &dyn Counters) -> Result<()> {
    let (verdict, receipt) = counters.charge(&[]).await?;
    assert!(is_admitted(verdict), "{verdict:?}");
    counters.refund(&[], receipt).await
}

/// If one limit has no room, the others are as they were.
pub async fn all_are_charged_or_none(counters: &dyn Counters) -> Result<()> {
    let [wide, narrow] =
        [("all:wide", 10), ("all:narrow", 1)].map(|(name, limit)| charge(name, quota(limit, HOUR), 1));
    let both = [wide.clone(), narrow.clone()];
    assert!(matches!(counters.charge(&both).await?.0, Verdict::Admitted { remaining: 0 }));
    for order in [[wide.clone(), narrow.clone()], [narrow, wide.clone()]] {
        assert!(matches!(counters.charge(&order).await?.0, Verdict::Denied { .. }));
    }
    assert_admits(counters, &wide, 8).await
}

/// Two charges of one limit in one call are their sum.
pub async fn one_limit_twice_in_a_call_counts_twice(counters: &dyn Counters) -> Result<()> {
    let of = |cost| charge("twice", quota(5, HOUR), cost);
    assert_eq!(counters.charge(&[of(2), of(2)]).await?.0, Verdict::Admitted { remaining: 1 });
    assert!(matches!(counters.charge(&[of(1), of(1)]).await?.0, Verdict::Denied { .. }));
    assert_eq!(counters.charge(&[of(3), of(3)]).await?.0, Verdict::Never);
    assert_admits(counters, &of(1), 0).await
}

/// Waiting for the full limit would be in vain.
pub async fn never_is_said_even_where_another_limit_is_full(counters: &dyn Counters) -> Result<()> {
    let full = charge("in vain:full", quota(1, HOUR), 1);
    let small = charge("in vain:small", quota(1, HOUR), 2);
    assert_admits(counters, &full, 0).await?;
    for order in [[full.clone(), small.clone()], [small, full]] {
        assert_eq!(counters.charge(&order).await?.0, Verdict::Never);
    }
    Ok(())
}

/// The remainder is that of the narrowest limit, wherever it stands.
pub async fn the_least_that_remains_is_reported(counters: &dyn Counters) -> Result<()> {
    let [a, b, c] = [("least:a", 9), ("least:b", 4), ("least:c", 7)]
        .map(|(name, limit)| charge(name, quota(limit, HOUR), 1));
    assert_eq!(counters.charge(&[a, b, c]).await?.0, Verdict::Admitted { remaining: 3 });
    Ok(())
}

/// 64 callers at the same time, ten calls each: exactly the limit is admitted.
pub async fn many_at_once_get_exactly_the_limit(counters: &dyn Counters) -> Result<()> {
    let charges = [charge("at once", quota(100, HOUR), 1)];
    let caller = async || {
        let mut admitted = 0;
        for _ in 0..10 {
            admitted += u64::from(is_admitted(counters.charge(&charges).await?.0));
        }
        Ok(admitted)
    };
    let admitted = future::try_join_all((0..64).map(|_| caller())).await?;
    assert_eq!(admitted.iter().sum::<u64>(), 100);
    Ok(())
}

/// Whoever has to leave something is denied what others may have, is charged no more than they are, and waits until it is there.
pub async fn what_is_spared_is_left_to_others(counters: &dyn Counters) -> Result<()> {
    let smooth = shapes::smooth(HOUR, 5);
    for (name, quota) in [("buckets", quota(5, HOUR)), ("exact", shapes::exact(5, HOUR)), ("smooth", smooth)]
    {
        let of = |cost, spare| Charge { spare, ..charge(&format!("spared:{name}"), quota, cost) };
        for never in [of(4, 2), of(1, 5), of(1, u64::MAX)] {
            assert_eq!(counters.charge(&[never]).await?.0, Verdict::Never, "{name}");
        }
        assert_admits(counters, &of(0, 3), 2).await?;
        assert_admits(counters, &of(0, u64::MAX), 0).await?;
        assert_admits(counters, &of(2, 2), 1).await?;
        let receipt = taken(counters, &of(1, 2), 0).await?;
        assert_denies(counters, &of(1, 2)).await?;
        assert_admits(counters, &of(0, 2), 0).await?;
        assert_admits(counters, &of(0, 0), 2).await?;
        counters.refund(&[of(1, 2)], receipt).await?;
        assert_admits(counters, &of(1, 0), 2).await?;
        // Of a limit that stands twice in a call, what is to be left is left after both.
        assert_denies_for_all(counters, &[of(1, 0), of(0, 2)]).await?;
    }
    Ok(())
}

/// What was given back can be taken again.
pub async fn a_refund_makes_room(counters: &dyn Counters) -> Result<()> {
    let of = |cost| charge("refund", quota(5, HOUR), cost);
    let receipt = taken(counters, &of(5), 0).await?;
    counters.refund(&[of(2)], receipt).await?;
    assert_admits(counters, &of(0), 2).await?;
    assert_admits(counters, &of(2), 0).await?;
    assert_denies(counters, &of(1)).await
}

/// A refund that is too large, comes twice or comes for nothing earns no credit.
pub async fn a_refund_gives_back_no_more_than_was_taken(counters: &dyn Counters) -> Result<()> {
    let of = |cost| charge("credit", quota(5, HOUR), cost);
    counters.refund(&[of(3)], Receipt::default()).await?;
    let receipt = taken(counters, &of(2), 3).await?;
    let again = || Receipt::new(receipt.marks().to_vec());
    counters.refund(&[of(u64::MAX), of(1)], again()).await?;
    assert_admits(counters, &of(0), 3).await?;
    for _ in 0..2 {
        counters.refund(&[of(5)], again()).await?;
        assert_admits(counters, &of(0), 5).await?;
    }
    assert_admits(counters, &of(5), 0).await?;
    assert_denies(counters, &of(1)).await
}

/// Each limit of a call gets back what it was charged, and a limit that stood there twice gets back both.
pub async fn a_call_over_many_limits_is_given_back_as_a_whole(counters: &dyn Counters) -> Result<()> {
    let [a, b] = ["whole:a", "whole:b"].map(|name| charge(name, quota(9, HOUR), 2));
    let other = charge("whole:a", quota(9, HOUR * 2), 1);
    let nothing = charge("whole:c", quota(9, HOUR), 0);
    let call = [a.clone(), nothing, b.clone(), other.clone(), a.clone()];
    let (verdict, receipt) = counters.charge(&call).await?;
    assert_eq!(verdict, Verdict::Admitted { remaining: 5 });
    counters.refund(&call, receipt).await?;
    for limit in [a, b, other] {
        assert_admits(counters, &Charge { cost: 0, ..limit }, 9).await?;
    }
    Ok(())
}

/// All windows of a key end, and those of other keys do not.
pub async fn a_reset_forgets_every_quota_of_the_key(counters: &dyn Counters) -> Result<()> {
    let [short, long] = [charge("reset", quota(1, HOUR), 1), charge("reset", quota(1, HOUR * 2), 1)];
    let other = charge("reset:other", quota(1, HOUR), 1);
    for charge in [&short, &long, &other] {
        assert_admits(counters, charge, 0).await?;
    }
    counters.reset(&key("reset")).await?;
    assert_admits(counters, &short, 0).await?;
    assert_admits(counters, &long, 0).await?;
    assert_denies(counters, &other).await
}

/// There is nothing to forget, and that is no error.
pub async fn a_reset_of_an_unknown_key_is_nothing(counters: &dyn Counters) -> Result<()> {
    counters.reset(&key("unknown")).await
}

fn quota(limit: u64, per: Duration) -> Quota {
    in_buckets(limit, per, 60)
}

#[expect(clippy::expect_used, reason = "the suites' quotas are legal")]
fn in_buckets(limit: u64, per: Duration, buckets: u32) -> Quota {
    Quota::with_buckets(limit, per, buckets).expect("buckets of at least a millisecond")
}

fn charge(name: &str, quota: Quota, cost: u64) -> Charge {
    Charge::new(key(name), quota, cost)
}

fn is_admitted(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Admitted { .. })
}

async fn assert_admits(counters: &dyn Counters, charge: &Charge, remaining: u64) -> Result<()> {
    taken(counters, charge, remaining).await.map(drop)
}

/// The receipt of a charge that has to be admitted.
async fn taken(counters: &dyn Counters, charge: &Charge, remaining: u64) -> Result<Receipt> {
    let (verdict, receipt) = counters.charge(std::slice::from_ref(charge)).await?;
    assert_eq!(verdict, Verdict::Admitted { remaining }, "{charge:?}");
    Ok(receipt)
}

async fn assert_denies(counters: &dyn Counters, charge: &Charge) -> Result<()> {
    assert_denies_for_all(counters, std::slice::from_ref(charge)).await.map(|_| ())
}

async fn assert_denies_for_all(counters: &dyn Counters, charges: &[Charge]) -> Result<Duration> {
    let verdict = counters.charge(charges).await?.0;
    let Verdict::Denied { wait } = verdict else { panic!("{charges:?} should be denied, not {verdict:?}") };
    assert!(!wait.is_zero(), "a denial without a wait");
    Ok(wait)
}
