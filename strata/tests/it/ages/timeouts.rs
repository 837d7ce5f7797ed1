//! Soft and hard timeouts, and loads that go on after them.

use strata::{LoadError, Options, Source, Stale};

use super::{FRESH, World, kept, secs, seen};
use crate::{Down, settle};

#[tokio::test(start_paused = true)]
async fn a_soft_timeout_answers_stale_and_the_load_is_stored_when_it_ends() {
    // C32
    let world = World::filled(kept().with_soft_timeout(secs(1))).await;
    world.pass(secs(10));
    world.hangs();
    let call = world.call().await;
    tokio::time::advance(secs(1)).await;
    assert_eq!(seen(call.await.expect("no panic")), (1, Source::Memory, Some(Stale::TimedOut)));
    for _ in 0..20 {
        assert_eq!(seen(world.get().await), (1, Source::Memory, Some(Stale::Throttled)), "at once");
    }
    assert_eq!(world.asked(), 2);
    world.answers().await;
    assert_eq!(seen(world.get().await), (2, Source::Memory, None), "the result is visible later");
    assert_eq!(world.cache.stats().soft_timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_soft_timeout_waits_where_nothing_stands_in() {
    // C33
    let world = World::new(kept().with_soft_timeout(secs(1)));
    world.hangs();
    let call = world.call().await;
    tokio::time::advance(secs(60)).await;
    settle().await;
    assert!(!call.is_finished());
    world.answers().await;
    assert_eq!(seen(call.await.expect("no panic")), (1, Source::Loader, None));
}

#[tokio::test(start_paused = true)]
async fn a_hard_timeout_is_an_error_and_what_the_load_brings_is_stored_all_the_same() {
    // C33
    let world = World::new(Options::new().with_hard_timeout(secs(1)));
    world.hangs();
    let calls = [world.call().await, world.call().await];
    tokio::time::advance(secs(1)).await;
    for call in calls {
        assert!(matches!(call.await.expect("no panic"), Err(LoadError::TimedOut)));
    }
    let stats = world.cache.stats();
    assert_eq!((stats.abandoned, stats.abandoned_running, stats.in_flight, stats.running), (1, 1, 0, 1));
    world.answers().await;
    assert_eq!(seen(world.get().await), FRESH);
    let stats = world.cache.stats();
    assert_eq!((stats.abandoned_running, stats.running, stats.hard_timeouts), (0, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_hangs_for_ever_does_not_keep_the_next_one_from_running() {
    // C34
    let world = World::with(Options::new().with_hard_timeout(secs(1)), |builder| builder.max_abandoned(2));
    world.hangs();
    for number in 1..=5_u32 {
        let call = world.call().await;
        assert_eq!(world.asked(), number, "a run of its own");
        tokio::time::advance(secs(1)).await;
        assert!(matches!(call.await.expect("no panic"), Err(LoadError::TimedOut)));
        settle().await;
        let stats = world.cache.stats();
        assert_eq!(stats.running, u64::from(number.min(2)), "no more go on than were allowed");
        assert_eq!(stats.loads_lost, u64::from(number.saturating_sub(2)));
    }
    let last = world.call().await;
    world.answers().await;
    assert_eq!(seen(last.await.expect("no panic")), (6, Source::Loader, None));
    assert_eq!(seen(world.get().await), (6, Source::Memory, None), "an abandoned load does not overwrite it");
    assert_eq!(world.cache.stats().fenced, 2);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_load_is_not_stored_over_a_removal() {
    let world = World::new(Options::new().with_hard_timeout(secs(1)));
    world.hangs();
    let call = world.call().await;
    tokio::time::advance(secs(1)).await;
    assert!(call.await.expect("no panic").is_err());
    world.cache.remove(&1).await.expect("memory");
    world.answers().await;
    assert!(world.cache.get_local(&1).is_none());
}

#[tokio::test(start_paused = true)]
async fn many_keys_have_timeouts_too() {
    let world = World::new(kept().with_soft_timeout(secs(1)).with_hard_timeout(secs(2)));
    world.cache.insert(1, 1).await.expect("memory");
    world.pass(secs(10));
    let ask = |keys: &'static [u32]| {
        let cache = world.cache.clone();
        tokio::spawn(async move {
            let hangs = |_: Vec<u32>| std::future::pending::<Result<Vec<(u32, u32)>, Down>>();
            cache.get_or_load_many(keys, hangs).await
        })
    };
    let kept = ask(&[1]).await.expect("no panic").expect("stands in");
    assert_eq!(kept[0].as_ref().expect("there").stale(), Some(Stale::TimedOut));
    assert!(matches!(ask(&[2]).await.expect("no panic"), Err(LoadError::TimedOut)));
    assert_eq!(world.cache.stats().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_late_caller_is_not_given_up_with_the_load_it_has_joined() {
    // C34
    let world = World::new(Options::new().with_hard_timeout(secs(10)));
    world.hangs();
    let first = world.call().await;
    tokio::time::advance(secs(9)).await;
    let late = world.call().await;
    tokio::time::advance(secs(1)).await;
    assert!(matches!(first.await.expect("no panic"), Err(LoadError::TimedOut)));
    settle().await;
    assert!(!late.is_finished());
    assert_eq!(world.asked(), 2, "a load of its own");
    tokio::time::advance(secs(9)).await;
    assert!(
        matches!(late.await.expect("no panic"), Err(LoadError::TimedOut)),
        "ten seconds after it was asked"
    );
}
