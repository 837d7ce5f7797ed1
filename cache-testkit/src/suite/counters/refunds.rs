//! What every [`Counters`] promises of what is given back late: it makes room for what was charged in its place, and for nothing else.
//!
//! Nothing here takes a backend for fast: where time runs by itself, what might have left meanwhile is not asked about.

use std::num::NonZeroU32;
use std::time::Duration;

use cache_core::{Charge, Counters, Quota, Receipt, Result, Shape, Verdict};

use super::shapes::{COARSE, exact, smooth};
use super::windows::{Admissions, random_below};
use super::{HOUR, assert_admits, charge, in_buckets, is_admitted, taken};
use crate::clock::Passage;
use crate::suite::{GRAIN, key, pass_until};

/// A window that some backends let pass for real.
const WINDOW: Duration = Duration::from_millis(200);
const BUCKET: Duration = Duration::from_millis(50);

/// Asks everything.
pub async fn all(counters: &dyn Counters, time: &dyn Passage) {
    run! {
        a_refund_finds_its_bucket_however_late(counters, time);
        a_refund_takes_nothing_that_others_have_charged(counters, time);
        what_others_have_charged_counts_as_long_as_without_a_refund(counters, time);
        a_refund_of_what_has_left_gives_nothing(counters, time);
        what_is_given_back_makes_room_for_itself_alone(counters, time);
    }
}

/// So long that nothing leaves them, in buckets that some backends let pass for real.
fn long(limit: u64) -> [(&'static str, Quota); 2] {
    [("buckets", in_buckets(limit, BUCKET * 1000, 1000)), ("exactly", exact(limit, HOUR))]
}

/// In whatever order, and in parts.
pub async fn a_refund_finds_its_bucket_however_late(
    counters: &dyn Counters,
    time: &dyn Passage,
) -> Result<()> {
    for (name, quota) in long(5) {
        let of = |cost| charge(&format!("late:{name}"), quota, cost);
        let first = taken(counters, &of(3), 2).await?;
        time.pass(BUCKET + GRAIN).await;
        let second = taken(counters, &of(2), 0).await?;
        time.pass(BUCKET + GRAIN).await;
        counters.refund(&[of(3)], first).await?;
        assert_admits(counters, &of(1), 2).await?;
        counters.refund(&[of(1)], second).await?;
        assert_admits(counters, &of(0), 3).await?;
    }
    Ok(())
}

/// Whoever gives back twice finds nothing the second time, though there is something before and behind it.
pub async fn a_refund_takes_nothing_that_others_have_charged(
    counters: &dyn Counters,
    time: &dyn Passage,
) -> Result<()> {
    for (name, quota) in long(6) {
        let of = |cost| charge(&format!("others:{name}"), quota, cost);
        assert_admits(counters, &of(1), 5).await?;
        time.pass(BUCKET + GRAIN).await;
        let mine = taken(counters, &of(2), 3).await?;
        time.pass(BUCKET + GRAIN).await;
        assert_admits(counters, &of(3), 0).await?;
        let twice = Receipt::new(mine.marks().to_vec());
        for receipt in [mine, twice] {
            counters.refund(&[of(2)], receipt).await?;
            assert_admits(counters, &of(0), 2).await?;
        }
    }
    Ok(())
}

/// The second of two counts for a window of its own, whatever becomes of the first.
pub async fn what_others_have_charged_counts_as_long_as_without_a_refund(
    counters: &dyn Counters,
    time: &dyn Passage,
) -> Result<()> {
    for (name, quota) in [("buckets", in_buckets(2, WINDOW, 4)), ("exactly", exact(2, WINDOW))] {
        let of = |cost| charge(&format!("as long:{name}"), quota, cost);
        let first = taken(counters, &of(1), 1).await?;
        time.pass(BUCKET + GRAIN).await;
        let second = time.now();
        assert!(is_admitted(counters.charge(&[of(1)]).await?.0));
        counters.refund(&[of(1)], first).await?;
        // Between the moments at which the first would have left and the second does.
        pass_until(time, second.after(WINDOW.saturating_sub(GRAIN))).await;
        let both = counters.charge(&[of(2)]).await?.0;
        assert!(!is_admitted(both) || time.now() >= second.after(WINDOW), "{name}: the second still counts");
    }
    Ok(())
}

/// What was charged in the room that it has left is another's.
pub async fn a_refund_of_what_has_left_gives_nothing(
    counters: &dyn Counters,
    time: &dyn Passage,
) -> Result<()> {
    for (name, quota) in [("buckets", in_buckets(2, WINDOW, 4)), ("exactly", exact(2, WINDOW))] {
        let of = |cost| charge(&format!("left:{name}"), quota, cost);
        let first = taken(counters, &of(2), 0).await?;
        time.pass(WINDOW + BUCKET + GRAIN).await;
        let second = time.now();
        assert_admits(counters, &of(2), 0).await?;
        counters.refund(&[of(2)], first).await?;
        let third = counters.charge(&[of(1)]).await?.0;
        assert!(!is_admitted(third) || time.now() >= second.after(WINDOW), "{name}: the second still counts");
    }
    Ok(())
}

/// Random schedules in which a third of the calls is given back, at once, late or too late: no window has more than its limit of what
/// was not, and in a window nothing is denied for the sake of what was.
pub async fn what_is_given_back_makes_room_for_itself_alone(
    counters: &dyn Counters,
    time: &dyn Passage,
) -> Result<()> {
    for seed in 0..3_u32 {
        let (limit, window) = (u64::from(seed % 3 + 2), GRAIN * 20);
        let quotas =
            [in_buckets(limit, window, seed % 5 + 1), exact(limit, window), smooth(GRAIN * 5, limit)];
        let mut admissions: [Admissions; 3] = Default::default();
        let numbers = |of: u32| random_below(NonZeroU32::MIN.saturating_add(39), seed + 100 * of);
        for ((pause, chosen), later) in numbers(0).zip(numbers(1)).zip(numbers(2)).take(60) {
            time.pass(GRAIN * if pause < 36 { pause % 8 } else { 45 }).await;
            for (quota, admissions) in quotas.into_iter().zip(&mut admissions) {
                if chosen % 3 == 0 {
                    admissions.give_back(counters, usize::try_from(later % 4).unwrap_or(0)).await?;
                    continue;
                }
                let cost = u64::from(chosen % 2 + 1);
                let begun = time.now();
                let charge = Charge::new(key(&format!("net:{seed}")), quota, cost);
                let verdict = admissions.charge(counters, time, charge).await?;
                admissions.assert_no_window_exceeds(quota, seed);
                let is_window = !matches!(quota.shape(), Shape::Smooth { .. });
                if is_window && matches!(verdict, Verdict::Denied { .. }) {
                    let may_count = admissions.may_count_at(begun, quota.per() + quota.bucket() + COARSE);
                    assert!(
                        may_count + cost > limit,
                        "denied {cost} beside {may_count}, {quota:?}, seed {seed}"
                    );
                }
            }
        }
    }
    Ok(())
}
