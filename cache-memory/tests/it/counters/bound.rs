//! The bound on keys: who makes room for a new one, who never does, and what time gives back.

use std::num::NonZeroUsize;

use cache_core::{Counters, ErrorKind, Receipt, Result, Verdict};
use cache_memory::MemoryCounters;
use cache_testkit::clock::ManualClock;

use super::{MINUTE, by_hand, charge, is_admitted, per_minute};

fn bounded(max_keys: usize) -> (MemoryCounters, ManualClock) {
    let (counters, clock) = by_hand();
    (counters.with_max_keys(NonZeroUsize::new(max_keys).expect("not zero")), clock)
}

async fn admits(counters: &MemoryCounters, name: &str, limit: u64) -> Result<bool> {
    Ok(is_admitted(counters.charge(&[charge(name, per_minute(limit), 1)]).await?.0))
}

async fn deny(counters: &MemoryCounters, name: &str) -> Result<()> {
    assert!(
        admits(counters, name, 1).await? && !admits(counters, name, 1).await?,
        "{name} is now at its limit"
    );
    Ok(())
}

#[pollster::test]
async fn a_flood_of_keys_neither_grows_the_table_nor_frees_who_is_denied() -> Result<()> {
    let (counters, _) = bounded(1000);
    deny(&counters, "attacker").await?;
    for number in 0..100_000 {
        assert!(admits(&counters, &format!("flood:{number}"), 100).await?, "newcomers are served");
        assert!(counters.keys() <= 1000, "{} keys", counters.keys());
    }
    assert!(!admits(&counters, "attacker", 1).await?, "the flood has washed the attacker free");
    Ok(())
}

#[pollster::test]
async fn idle_keys_make_room_before_any_other_though_they_were_denied() -> Result<()> {
    let (counters, clock) = bounded(7);
    for idle in 0..6 {
        deny(&counters, &format!("idle {idle}")).await?;
    }
    clock.advance(MINUTE * 2);
    assert!(admits(&counters, "busy", 2).await?);
    // Every call frees two idle keys anyway; one with many new keys needs more room than that.
    let newcomers = ["a", "b", "c", "d", "e"].map(|name| charge(name, per_minute(2), 1));
    assert!(is_admitted(counters.charge(&newcomers).await?.0));
    assert!(admits(&counters, "busy", 2).await? && !admits(&counters, "busy", 2).await?, "busy was kept");
    Ok(())
}

#[pollster::test]
async fn no_key_makes_room_for_another_of_its_own_call() -> Result<()> {
    let (counters, clock) = bounded(2);
    let mine = charge("mine", per_minute(2), 1);
    assert!(is_admitted(counters.charge(std::slice::from_ref(&mine)).await?.0));
    clock.advance(MINUTE / 2);
    assert!(admits(&counters, "later, and so better placed", 2).await?);
    assert!(is_admitted(counters.charge(&[charge("new", per_minute(2), 1), mine.clone()]).await?.0));
    assert!(matches!(counters.charge(&[mine]).await?.0, Verdict::Denied { .. }), "both of its calls count");
    Ok(())
}

#[pollster::test]
async fn who_would_be_free_soonest_makes_room() -> Result<()> {
    let (counters, clock) = bounded(2);
    assert!(admits(&counters, "early", 2).await?);
    clock.advance(MINUTE / 2);
    assert!(admits(&counters, "late", 2).await?);
    assert!(admits(&counters, "new", 2).await?);
    assert!(admits(&counters, "late", 2).await? && !admits(&counters, "late", 2).await?, "late was kept");
    Ok(())
}

#[pollster::test]
async fn if_all_are_denied_a_new_key_is_refused_and_nothing_is_charged() -> Result<()> {
    let (counters, clock) = bounded(2);
    assert!(admits(&counters, "old", 10).await?);
    deny(&counters, "denied").await?;
    let call = ["new 1", "new 2"].map(|name| charge(name, per_minute(10), 1));
    let error = counters.charge(&call).await.expect_err("there is room for one at most");
    assert_eq!(error.kind(), ErrorKind::Refused);
    let old = counters.charge(&[charge("old", per_minute(10), 0)]).await?.0;
    assert_eq!(old, Verdict::Admitted { remaining: 9 }, "given up in vain");
    assert!(!admits(&counters, "denied", 1).await?);
    clock.advance(MINUTE * 2);
    assert!(is_admitted(counters.charge(&call).await?.0));
    Ok(())
}

#[pollster::test]
async fn a_denied_key_that_is_admitted_again_or_refunded_can_make_room() -> Result<()> {
    let (counters, _) = bounded(1);
    for way in ["refunded", "admitted"] {
        let (verdict, receipt) = counters.charge(&[charge(way, per_minute(2), 1)]).await?;
        assert!(is_admitted(verdict));
        let two = charge(way, per_minute(2), 2);
        assert!(matches!(counters.charge(&[two]).await?.0, Verdict::Denied { .. }));
        assert!(counters.charge(&[charge("new", per_minute(2), 1)]).await.is_err(), "{way} is denied");
        if way == "admitted" {
            assert!(admits(&counters, way, 2).await?);
        } else {
            counters.refund(&[charge(way, per_minute(2), 1)], receipt).await?;
        }
        assert!(admits(&counters, "new", 2).await?);
    }
    Ok(())
}

#[pollster::test]
async fn idle_keys_are_freed_as_others_call() -> Result<()> {
    let (counters, clock) = bounded(100_000);
    for number in 0..1000 {
        assert!(admits(&counters, &format!("once:{number}"), 5).await?);
    }
    clock.advance(MINUTE * 2);
    for calls in 1..=500 {
        assert!(admits(&counters, "lively", 1000).await?);
        assert_eq!(counters.keys(), 1001 - 2 * calls);
    }
    Ok(())
}

#[pollster::test]
async fn questions_and_refusals_take_no_room() -> Result<()> {
    let (counters, _) = bounded(10);
    for number in 0..100 {
        let name = format!("asked:{number}");
        for (limit, cost) in [(5, 0), (5, 6), (0, 0), (0, 1)] {
            counters.charge(&[charge(&name, per_minute(limit), cost)]).await?;
        }
        counters.refund(&[charge(&name, per_minute(5), 1)], Receipt::new(vec![0])).await?;
    }
    assert_eq!(counters.keys(), 0);
    Ok(())
}

#[pollster::test]
async fn what_is_refunded_or_reset_takes_no_room() -> Result<()> {
    let (counters, _) = bounded(10);
    let [one, two] = ["one", "two"].map(|name| charge(name, per_minute(5), 1));
    let (_, receipt) = counters.charge(&[one.clone(), two.clone()]).await?;
    assert_eq!(counters.keys(), 2);
    counters.refund(&[one], receipt).await?;
    assert_eq!(counters.keys(), 1);
    counters.reset(&two.key).await?;
    assert_eq!(counters.keys(), 0);
    Ok(())
}
