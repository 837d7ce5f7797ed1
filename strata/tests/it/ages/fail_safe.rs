//! The last good value stands in: when a load fails, and when it is not admitted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use cache_testkit::clock::ManualClock;
use strata::{Cache, LoadError, Memory, Options, Source, Stale};

use super::{FRESH, World, kept, secs, seen};
use crate::{Down, settle};

#[tokio::test]
async fn a_failed_load_is_answered_by_the_last_good_value_and_not_repeated_within_the_throttle() {
    // C29
    let world = World::filled(kept().with_fail_safe_throttle(secs(5))).await;
    world.pass(secs(10));
    world.breaks();
    assert_eq!(seen(world.get().await), (1, Source::Memory, Some(Stale::Failed)));
    world.pass(secs(4));
    for _ in 0..20 {
        assert_eq!(seen(world.get().await), (1, Source::Memory, Some(Stale::Throttled)));
    }
    assert_eq!(world.asked(), 2);
    world.pass(secs(1));
    assert_eq!(seen(world.get().await), (1, Source::Memory, Some(Stale::Failed)));
    assert_eq!(world.asked(), 3, "then exactly one");
    world.pass(secs(5));
    world.recovers();
    assert_eq!(seen(world.get().await), (4, Source::Loader, None));
    let stats = world.cache.stats();
    assert_eq!((stats.stale_failed, stats.stale_throttled, stats.loads_failed), (2, 20, 2));
}

#[tokio::test]
async fn the_throttle_counts_from_the_failure_however_long_ago_the_value_became_stale() {
    // C30
    let world = World::filled(kept().with_fail_safe_throttle(secs(5))).await;
    world.pass(secs(90));
    world.breaks();
    assert_eq!(seen(world.get().await).2, Some(Stale::Failed));
    world.pass(secs(4));
    assert_eq!(seen(world.get().await).2, Some(Stale::Throttled));
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn a_value_stands_in_no_longer_than_its_window() {
    // C31
    let world = World::filled(kept().with_fail_safe_throttle(secs(1000))).await;
    world.breaks();
    world.pass(secs(109));
    assert_eq!(seen(world.get().await).2, Some(Stale::Failed));
    world.pass(secs(1));
    assert!(matches!(world.get().await, Err(LoadError::Failed(_))), "not even while the source rests");
    assert!(!world.cache.memory().contains(&1), "nor is it held");
}

#[tokio::test]
async fn all_who_wait_for_a_failing_or_panicking_load_get_the_value_that_stands_in() {
    // C28
    let world = World::filled(kept()).await;
    world.pass(secs(10));
    let mut calls = Vec::new();
    for _ in 0..20 {
        let cache = world.cache.clone();
        calls.push(tokio::spawn(async move {
            let load = || async { std::panic::panic_any("a loader of the user") };
            let load = move || async move { Ok::<u32, Down>(load().await) };
            cache.get_or_load(&1, load).await
        }));
    }
    for call in calls {
        let (value, source, why) = seen(call.await.expect("the caller lives"));
        assert_eq!((value, source), (1, Source::Memory));
        assert!(matches!(why, Some(Stale::Failed | Stale::Throttled)));
    }
    assert_eq!(world.cache.stats().loads_lost, 1);
    world.pass(secs(30));
    assert_eq!(seen(world.get().await), (2, Source::Loader, None), "the key is not poisoned");
}

#[tokio::test]
async fn a_copy_that_was_evicted_during_the_load_still_stands_in() {
    let clock = ManualClock::new();
    let memory = Memory::new().with_clock(Arc::new(clock.clone())).with_max_entries(1);
    let cache: Cache<u32, u32> =
        Cache::builder("tiny").memory(memory).options(kept()).build().expect("legal");
    cache.insert(1, 1).await.expect("memory");
    clock.advance(secs(10));
    let other = cache.clone();
    let load = move || async move {
        other.insert(2, 2).await.expect("memory");
        Err::<u32, _>(Down(0))
    };
    assert_eq!(seen(cache.get_or_load(&1, load).await), (1, Source::Memory, Some(Stale::Failed)));
}

#[tokio::test]
async fn over_its_budget_a_cache_answers_with_what_stands_in_or_says_so() {
    let admits = Arc::new(AtomicBool::new(true));
    let gate = Arc::clone(&admits);
    let world = World::with(kept(), |builder| builder.budget(move || gate.load(SeqCst)));
    assert_eq!(*world.get().await.expect("loaded"), 1);
    admits.store(false, SeqCst);
    world.pass(secs(10));
    for _ in 0..3 {
        assert_eq!(seen(world.get().await), (1, Source::Memory, Some(Stale::OverBudget)));
    }
    assert!(world.cache.remove(&1).await.expect("memory"));
    let refused = world.get().await.expect_err("nothing stands in");
    assert!(matches!(refused, LoadError::OverBudget { retry_in: None }));
    admits.store(true, SeqCst);
    assert_eq!(*world.get().await.expect("loaded"), 2, "no throttle after a refusal");
    assert_eq!((world.cache.stats().refused, world.cache.stats().in_flight), (4, 0));
}

#[tokio::test]
async fn no_more_loads_run_than_were_allowed() {
    // H16
    let world = World::with(Options::new(), |builder| builder.max_loads(2));
    world.hangs();
    let held: Vec<_> = (0..5)
        .map(|key| {
            let (cache, source) = (world.cache.clone(), Arc::clone(&world.source));
            tokio::spawn(async move { cache.get_or_load(&key, move || World::ask(source)).await })
        })
        .collect();
    settle().await;
    assert_eq!((world.asked(), world.cache.stats().running), (2, 2));
    world.answers().await;
    let mut refused = 0;
    for call in held {
        refused += u32::from(matches!(call.await.expect("no panic"), Err(LoadError::OverBudget { .. })));
    }
    assert_eq!((refused, world.cache.stats().refused), (3, 3));
}

#[tokio::test]
async fn a_forced_load_that_fails_is_answered_by_what_may_stand_in() {
    let world = World::filled(kept()).await;
    world.breaks();
    let forced = Options::new().with_force_refresh(true);
    assert_eq!(seen(world.get_with(forced.clone()).await), (1, Source::Memory, Some(Stale::Failed)));
    assert_eq!(seen(world.get().await), FRESH, "which is as fresh as before");
    let plain = World::filled(Options::new()).await;
    plain.breaks();
    assert!(plain.get_with(forced).await.is_err());
}
