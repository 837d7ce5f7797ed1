//! Ends, touches, many keys, and the verbs without a loader.

use std::time::Duration;

use strata::{Cache, LoadError, Options, Source, Stale, Ttl};

use super::{FRESH, World, kept, secs, seen};
use crate::{Down, settle};

#[tokio::test]
async fn without_windows_a_value_is_gone_at_the_end_of_its_life() {
    let world = World::filled(Options::new().with_ttl(secs(10))).await;
    world.pass(secs(9));
    assert_eq!(seen(world.get().await), FRESH);
    world.pass(secs(1));
    world.breaks();
    assert!(matches!(world.get().await, Err(LoadError::Failed(_))));
}

#[tokio::test]
async fn jitter_spreads_ends_and_lengthens_none() {
    let world = World::new(Options::new().with_ttl(secs(100)).with_jitter(0.5));
    for key in 0..200 {
        world.cache.insert(key, key).await.expect("memory");
    }
    let mut lives = Vec::new();
    for key in 0..200 {
        lives.push(world.cache.ttl(&key).await.expect("memory").expect("stored"));
    }
    assert!(lives.iter().all(|life| (Ttl::from_secs(50)..=Ttl::from_secs(100)).contains(life)));
    lives.sort_unstable();
    lives.dedup();
    assert!(lives.len() > 190, "they end apart");
}

#[tokio::test]
async fn a_life_of_zero_or_of_ages_is_kept_to() {
    // C41
    let world = World::new(kept().with_jitter(0.5).with_eager_at(0.5));
    let zero = Options::new().with_ttl(Ttl::ZERO);
    assert_eq!(seen(world.get_with(zero).await), (1, Source::Loader, None));
    assert_eq!(world.cache.memory().len(), 0, "returned, not stored");
    for longest in [
        Ttl::from(Duration::MAX.saturating_sub(Duration::from_nanos(1))),
        Ttl::FOREVER,
        Ttl::from_secs(u64::MAX),
    ] {
        let options = Options::new().with_ttl(longest).with_stale_for(Duration::MAX).with_force_refresh(true);
        assert!(world.get_with(options).await.expect("loaded").is_loaded());
        world.pass(secs(1 << 30));
        assert_eq!(world.get().await.expect("there").source(), Source::Memory);
    }
    let brief = Options::new().with_ttl(Ttl::from_millis(999)).with_jitter(0.0).with_force_refresh(true);
    assert!(world.get_with(brief).await.is_ok());
    world.pass(Duration::from_millis(998));
    assert!(world.cache.get_local(&1).is_some());
    world.pass(Duration::from_millis(1));
    assert!(world.cache.get_local(&1).is_none());
}

#[tokio::test]
async fn a_touched_value_has_its_windows_after_its_new_life() {
    let world = World::filled(kept().with_eager_at(0.5)).await;
    assert!(world.cache.touch(&1, secs(100)).await.expect("memory"));
    world.pass(secs(49));
    assert_eq!(seen(world.get().await), FRESH);
    settle().await;
    assert_eq!(world.asked(), 1);
    world.breaks();
    world.pass(secs(51 + 99));
    assert!(!world.cache.touch(&1, secs(100)).await.expect("memory"), "a stale value is not there");
    assert!(world.cache.get_and_touch(&1, secs(100)).await.expect("memory").is_none());
    assert_eq!(seen(world.get().await).2, Some(Stale::Failed));
    world.pass(secs(1));
    assert!(world.get().await.is_err());
    assert_eq!(world.cache.stats().memory.hits, 1, "what was too stale is a miss");
}

#[tokio::test]
async fn verbs_without_a_loader_see_fresh_values_only() {
    let world = World::filled(kept().with_stale_for(secs(50))).await;
    world.pass(secs(10));
    let cache = &world.cache;
    assert!(cache.get_local(&1).is_none() && cache.peek(&1).is_none());
    assert!(cache.get(&1).await.expect("memory").is_none());
    assert!(cache.get_many(&[1]).await.expect("memory")[0].is_none());
    assert!(!cache.contains(&1).await.expect("memory"));
    assert_eq!(cache.ttl(&1).await.expect("memory"), None);
    assert_eq!((cache.stats().memory.hits, cache.stats().memory.misses), (0, 4));
}

#[tokio::test]
async fn many_keys_have_the_same_ages_and_one_loader_call() {
    let world = World::new(kept().with_eager_at(0.5));
    for key in 1..=3 {
        let ttl = Options::new().with_ttl(secs(u64::from(key) * 10));
        world.cache.insert_with(key, key, ttl).await.expect("memory");
    }
    world.pass(secs(10));
    // Key 1 is stale, key 2 due, key 3 fresh, key 4 missing.
    let load = |mut wanted: Vec<u32>| async move {
        wanted.sort_unstable();
        assert_eq!(wanted, [1, 2, 4]);
        Err::<Vec<(u32, u32)>, _>(Down(0))
    };
    assert!(world.cache.get_or_load_many(&[1, 2, 3, 4], load).await.is_err(), "nothing stands in for key 4");
    let never = |_: Vec<u32>| async { Err::<Vec<(u32, u32)>, _>(Down(0)) };
    let answers = world.cache.get_or_load_many(&[3, 2, 1], never).await.expect("all stand in");
    let why: Vec<_> = answers.iter().map(|hit| hit.as_ref().map(|hit| (**hit, hit.stale()))).collect();
    assert_eq!(why, [Some((3, None)), Some((2, None)), Some((1, Some(Stale::Throttled)))]);
    world.pass(secs(30));
    let brings =
        |wanted: Vec<u32>| async move { Ok::<_, Down>(wanted.into_iter().map(|key| (key, key * 10))) };
    let answers = world.cache.get_or_load_many(&[1, 2, 4], brings).await.expect("loaded");
    assert_eq!(answers.iter().flatten().map(|hit| **hit).collect::<Vec<_>>(), [10, 20, 40]);
}

#[tokio::test]
async fn options_that_can_never_work_are_refused_with_what_would_be_right() {
    let built = |options| Cache::<u32, u32>::builder("wrong").options(options).build();
    let error = built(Options::new().with_eager_at(1.5)).expect_err("not a share");
    assert_eq!(error.to_string(), "the option eager_at is 1.5; it has to be more than 0 and less than 1");
    assert!(built(Options::new().with_jitter(-0.1)).is_err());
    assert!(built(Options::new().with_hard_timeout(Duration::ZERO)).is_err());
}
