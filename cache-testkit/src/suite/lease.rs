//! What every [`Lease`] promises: one holder at a time, an end by time alone, and fencing numbers that only grow.

use std::time::Duration;

use cache_core::{Grant, Key, Lease, Result};
use futures_util::future;

use super::{GRAIN, key, pass_until};
use crate::clock::Passage;

/// Short, because some backends let it pass for real.
const LIFE: Duration = Duration::from_millis(200);
/// So long that it does not end while a function runs.
const LONG: Duration = Duration::from_mins(10);

/// Asks everything.
pub async fn all(lease: &dyn Lease, time: &dyn Passage) {
    run! {
        a_lease_is_exclusive(lease);
        each_key_is_a_lease_of_its_own(lease);
        of_many_at_once_one_gets_it(lease);
        a_released_lease_is_free(lease);
        a_lease_is_released_once(lease);
        an_expired_lease_passes_on(lease, time);
        a_lease_is_held_until_its_end(lease, time);
        a_renewed_lease_lives_on(lease, time);
        a_renewal_counts_from_now(lease, time);
        a_former_holder_cannot_renew(lease, time);
        a_former_holder_cannot_release(lease, time);
        an_expired_grant_is_not_held(lease, time);
        a_stranger_cannot_renew_or_release(lease);
        fences_grow_with_every_grant(lease);
        fences_grow_after_expiry_and_long_idleness(lease, time);
        a_renewal_keeps_the_fence(lease);
        a_long_life_does_not_overflow(lease, time);
    }
}

/// While one holds it, nobody else gets it: not even the same caller again.
pub async fn a_lease_is_exclusive(lease: &dyn Lease) -> Result<()> {
    let key = key("exclusive");
    let grant = acquired(lease, &key, LONG).await?;
    assert_eq!(grant.key(), &key);
    assert_taken(lease, &key).await?;
    assert_taken(lease, &key).await
}

/// Holding one says nothing about another.
pub async fn each_key_is_a_lease_of_its_own(lease: &dyn Lease) -> Result<()> {
    for name in ["own", "Own", "own ", "own:1", "own*"] {
        acquired(lease, &key(name), LONG).await?;
    }
    Ok(())
}

/// 64 ask at the same time: one is granted it, 63 are not.
pub async fn of_many_at_once_one_gets_it(lease: &dyn Lease) -> Result<()> {
    let key = key("race");
    let grants = future::try_join_all((0..64).map(|_| lease.acquire(&key, LONG))).await?;
    assert_eq!(grants.iter().flatten().count(), 1, "holders at the same time");
    Ok(())
}

/// What was given back can be taken at once.
pub async fn a_released_lease_is_free(lease: &dyn Lease) -> Result<()> {
    let key = key("released");
    for _ in 0..3 {
        let grant = acquired(lease, &key, LONG).await?;
        assert!(lease.release(grant).await?, "it was held");
    }
    Ok(())
}

/// Giving it back again finds nothing to give back.
pub async fn a_lease_is_released_once(lease: &dyn Lease) -> Result<()> {
    let grant = acquired(lease, &key("once"), LONG).await?;
    assert!(lease.release(grant.clone()).await?, "it was held");
    assert!(!lease.release(grant.clone()).await?, "it had been given back");
    assert!(!lease.renew(&grant, LONG).await?, "what was given back cannot be renewed");
    Ok(())
}

/// A holder that is never heard of again is not waited for.
pub async fn an_expired_lease_passes_on(lease: &dyn Lease, time: &dyn Passage) -> Result<()> {
    let key = key("expired");
    acquired(lease, &key, LIFE).await?;
    time.pass(LIFE + GRAIN).await;
    acquired(lease, &key, LONG).await?;
    assert_taken(lease, &key).await
}

/// Nobody takes it a moment too early.
pub async fn a_lease_is_held_until_its_end(lease: &dyn Lease, time: &dyn Passage) -> Result<()> {
    let key = key("until");
    let begun = time.now();
    let grant = acquired(lease, &key, LIFE).await?;
    pass_until(time, begun.after(LIFE.saturating_sub(GRAIN))).await;
    let other = lease.acquire(&key, LONG).await?;
    // Time that cannot be stopped may have run past the end meanwhile.
    assert!(other.is_none() || time.now() >= begun.after(LIFE), "{grant:?} was ended early");
    Ok(())
}

/// Who renews in time keeps it, as often as it likes.
pub async fn a_renewed_lease_lives_on(lease: &dyn Lease, time: &dyn Passage) -> Result<()> {
    let key = key("renewed");
    let life = LIFE * 5;
    let grant = acquired(lease, &key, life).await?;
    for _ in 0..3 {
        time.pass(life / 2).await;
        assert!(lease.renew(&grant, life).await?, "it was held");
        assert_taken(lease, &key).await?;
    }
    Ok(())
}

/// A renewal sets the end, it does not add to it; so it can also bring it nearer.
pub async fn a_renewal_counts_from_now(lease: &dyn Lease, time: &dyn Passage) -> Result<()> {
    let key = key("nearer");
    let grant = acquired(lease, &key, LONG).await?;
    assert!(lease.renew(&grant, LIFE).await?, "it was held");
    time.pass(LIFE + GRAIN).await;
    acquired(lease, &key, LONG).await?;
    Ok(())
}

/// Once it has passed on, the one before cannot get it back by renewing.
pub async fn a_former_holder_cannot_renew(lease: &dyn Lease, time: &dyn Passage) -> Result<()> {
    let key = key("former:renew");
    let former = acquired(lease, &key, LIFE).await?;
    time.pass(LIFE + GRAIN).await;
    let present = acquired(lease, &key, LONG).await?;
    assert!(!lease.renew(&former, LONG).await?, "it had passed on");
    assert!(lease.renew(&present, LONG).await?, "it was held");
    Ok(())
}

/// Once it has passed on, the one before cannot end it for its successor.
pub async fn a_former_holder_cannot_release(lease: &dyn Lease, time: &dyn Passage) -> Result<()> {
    let key = key("former:release");
    let former = acquired(lease, &key, LIFE).await?;
    time.pass(LIFE + GRAIN).await;
    let present = acquired(lease, &key, LONG).await?;
    assert!(!lease.release(former).await?, "it had passed on");
    assert_taken(lease, &key).await?;
    assert!(lease.release(present).await?, "it was held");
    Ok(())
}

/// Also where nobody has taken it meanwhile: whoever is told "held" must have held it all along.
pub async fn an_expired_grant_is_not_held(lease: &dyn Lease, time: &dyn Passage) -> Result<()> {
    for name in ["late:renew", "late:release"] {
        let grant = acquired(lease, &key(name), LIFE).await?;
        time.pass(LIFE + GRAIN).await;
        let held =
            if name == "late:renew" { lease.renew(&grant, LONG).await } else { lease.release(grant).await };
        assert!(!held?, "{name} found it still held");
        acquired(lease, &key(name), LONG).await?;
    }
    Ok(())
}

/// A grant that was never given opens nothing.
pub async fn a_stranger_cannot_renew_or_release(lease: &dyn Lease) -> Result<()> {
    let key = key("stranger");
    let grant = acquired(lease, &key, LONG).await?;
    for fence in [grant.fence().wrapping_sub(1), grant.fence().wrapping_add(1), u64::MAX] {
        let forged = Grant::new(key.clone(), fence);
        assert!(!lease.renew(&forged, LONG).await?, "renewed by a stranger");
        assert!(!lease.release(forged).await?, "released by a stranger");
    }
    assert!(
        !lease.renew(&Grant::new(super::key("nobody's"), grant.fence()), LONG).await?,
        "renewed from nothing"
    );
    assert!(lease.renew(&grant, LONG).await?, "it was held");
    Ok(())
}

/// The later grant has the larger number.
pub async fn fences_grow_with_every_grant(lease: &dyn Lease) -> Result<()> {
    let key = key("fences");
    let mut last = None;
    for _ in 0..20 {
        let grant = acquired(lease, &key, LONG).await?;
        last = larger_fence(&grant, last);
        lease.release(grant).await?;
    }
    Ok(())
}

/// Neither an end by time nor a time in which nothing of the lease is left lets the numbers begin again.
pub async fn fences_grow_after_expiry_and_long_idleness(lease: &dyn Lease, time: &dyn Passage) -> Result<()> {
    let key = key("idle");
    let mut last = None;
    for idle in [LIFE + GRAIN, LIFE * 10] {
        last = larger_fence(&acquired(lease, &key, LIFE).await?, last);
        time.pass(idle).await;
        for other in 0..20 {
            lease.acquire(&super::key(&format!("idle:{other}")), GRAIN).await?;
        }
    }
    larger_fence(&acquired(lease, &key, LIFE).await?, last);
    Ok(())
}

/// The holder goes on under the number it has.
pub async fn a_renewal_keeps_the_fence(lease: &dyn Lease) -> Result<()> {
    let key = key("same fence");
    let grant = acquired(lease, &key, LONG).await?;
    assert!(lease.renew(&grant, LONG).await?, "it was held");
    assert!(lease.release(grant.clone()).await?, "it was held by the same grant");
    larger_fence(&acquired(lease, &key, LONG).await?, Some(grant.fence()));
    Ok(())
}

/// The longest life that can be written is not a short one by mistake.
pub async fn a_long_life_does_not_overflow(lease: &dyn Lease, time: &dyn Passage) -> Result<()> {
    let key = key("long");
    let grant = acquired(lease, &key, Duration::MAX).await?;
    time.pass(GRAIN).await;
    assert_taken(lease, &key).await?;
    assert!(lease.renew(&grant, Duration::MAX).await?, "it was held");
    time.pass(GRAIN).await;
    assert_taken(lease, &key).await
}

async fn acquired(lease: &dyn Lease, key: &Key, ttl: Duration) -> Result<Grant> {
    let grant = lease.acquire(key, ttl).await?;
    let Some(grant) = grant else { panic!("{key} is free, and yet was not granted") };
    Ok(grant)
}

async fn assert_taken(lease: &dyn Lease, key: &Key) -> Result<()> {
    let second = lease.acquire(key, LONG).await?;
    assert_eq!(second, None, "{key} is held, and yet was granted");
    Ok(())
}

fn larger_fence(grant: &Grant, last: Option<u64>) -> Option<u64> {
    let fence = Some(grant.fence());
    assert!(fence > last, "{grant:?} came after {last:?}");
    fence
}
