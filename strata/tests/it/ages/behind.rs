//! What runs behind an answer: stale-while-revalidate, eager and early refreshes.

use std::sync::Arc;
use std::time::Duration;

use strata::{Options, Source, Stale};

use super::{FRESH, World, secs, seen};
use crate::{Down, settle};

#[tokio::test]
async fn a_value_in_its_stale_window_answers_at_once_and_is_refreshed_behind() {
    let world = World::filled(Options::new().with_ttl(secs(10)).with_stale_for(secs(5))).await;
    world.pass(secs(14));
    world.hangs();
    for _ in 0..20 {
        assert_eq!(seen(world.get().await), (1, Source::Memory, Some(Stale::Refreshing)));
    }
    settle().await;
    assert_eq!(world.asked(), 2, "one refresh per key");
    world.answers().await;
    assert_eq!(seen(world.get().await), (2, Source::Memory, None));
    world.pass(secs(15));
    assert_eq!(seen(world.get().await), (3, Source::Loader, None), "the window is over");
    let stats = world.cache.stats();
    assert_eq!((stats.stale_refreshing, stats.refreshes, stats.loads_ok), (20, 1, 3));
}

#[tokio::test]
async fn an_eager_refresh_runs_once_behind_the_first_read_past_its_share() {
    let world = World::filled(Options::new().with_ttl(secs(10)).with_eager_at(0.8)).await;
    world.pass(secs(7));
    assert_eq!(seen(world.get().await), FRESH);
    settle().await;
    assert_eq!(world.asked(), 1, "not yet due");
    world.pass(secs(1));
    world.hangs();
    for _ in 0..20 {
        assert_eq!(seen(world.get().await), FRESH, "a due value is fresh");
    }
    settle().await;
    assert_eq!(world.asked(), 2);
    world.answers().await;
    assert_eq!(seen(world.get().await), (2, Source::Memory, None));
    assert_eq!(world.cache.stats().refreshes, 1);
}

#[tokio::test]
async fn a_miss_during_an_eager_refresh_waits_for_it() {
    // C35
    for options in [Options::new(), Options::new().with_fail_safe_for(secs(100))] {
        let world = World::filled(options.with_ttl(secs(10)).with_eager_at(0.8)).await;
        world.pass(secs(9));
        world.hangs();
        assert_eq!(seen(world.get().await), FRESH);
        settle().await;
        world.pass(secs(1));
        let call = world.call().await;
        assert!(!call.is_finished());
        world.answers().await;
        assert_eq!(seen(call.await.expect("no panic")), (2, Source::Joined, None));
        assert_eq!(world.asked(), 2);
    }
}

#[tokio::test]
async fn a_failed_eager_refresh_leaves_the_value_until_its_end() {
    // C35
    let world = World::filled(Options::new().with_ttl(secs(10)).with_eager_at(0.8)).await;
    world.pass(secs(8));
    world.breaks();
    assert_eq!(seen(world.get().await), FRESH);
    settle().await;
    world.pass(secs(1));
    assert_eq!(seen(world.get().await), FRESH);
    settle().await;
    assert_eq!(world.asked(), 2, "the source is left alone");
    world.pass(secs(1));
    assert!(world.get().await.is_err());
}

#[tokio::test]
async fn an_eager_refresh_outlives_the_caller_that_began_it() {
    // C36
    let world = World::filled(Options::new().with_ttl(secs(10)).with_eager_at(0.8)).await;
    world.pass(secs(9));
    world.hangs();
    let caller = world.call().await;
    caller.abort();
    settle().await;
    assert_eq!(world.cache.stats().in_flight, 1);
    world.answers().await;
    assert_eq!(seen(world.get().await), (2, Source::Memory, None));
    assert_eq!(world.cache.stats().in_flight, 0);
}

#[tokio::test]
async fn an_early_refresh_comes_the_earlier_the_longer_the_load_took() {
    let due = |took: Duration| async move {
        let world = World::new(Options::new().with_ttl(secs(1000)).with_early_beta(1.0));
        let clock = world.clock.clone();
        let load = move || async move {
            clock.advance(took);
            Ok::<_, Down>(1)
        };
        world.cache.get_or_load(&1, load).await.expect("loaded");
        let mut passed = 0;
        while world.asked() == 0 && passed < 999 {
            world.pass(secs(1));
            passed += 1;
            assert_eq!(seen(world.get().await), FRESH);
            settle().await;
        }
        passed
    };
    let (instant, brief, long) = (due(Duration::ZERO).await, due(secs(20)).await, due(secs(100)).await);
    assert_eq!(instant, 999, "what costs nothing is not loaded early");
    assert!(long < brief && brief < instant, "{long} {brief} {instant}");
}

#[tokio::test]
async fn a_dropped_cache_ends_everything_that_runs_behind() {
    // C46
    let alive = Arc::new(());
    for _ in 0..1000 {
        let world = World::filled(Options::new().with_ttl(secs(10)).with_eager_at(0.5)).await;
        world.pass(secs(6));
        let held = Arc::clone(&alive);
        let hangs = move || async move {
            std::future::pending::<()>().await;
            drop(held);
            Ok::<u32, Down>(0)
        };
        assert_eq!(seen(world.cache.get_or_load(&1, hangs).await), FRESH);
        settle().await;
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(world);
        settle().await;
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
