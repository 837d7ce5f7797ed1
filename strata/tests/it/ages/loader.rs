//! What a loader may say, and what it is shown; negative results and remembered errors.

use std::sync::Arc;
use std::time::Duration;

use cache_testkit::clock::ManualClock;
use strata::{Cache, Last, LoadError, Loaded, Memory, Options, Pattern, Priority, Source, Tags, Ttl};

use super::{FRESH, World, kept, secs, seen};
use crate::{Down, settle};

#[tokio::test]
async fn nothing_is_a_value_with_a_life_of_its_own() {
    // C43
    let clock = ManualClock::new();
    let memory = Memory::new().with_clock(Arc::new(clock.clone()));
    let users: Cache<u32, Option<u32>> = Cache::builder("users")
        .memory(memory)
        .options(Options::new().with_ttl(secs(100)).with_negative_ttl(secs(5)))
        .negative_if(Option::is_none)
        .build()
        .expect("legal");
    let absent = || async { Ok::<_, Down>(None) };
    assert!(users.get_or_load(&1, absent).await.expect("loaded").is_loaded());
    let again = users.get_or_load(&1, || async { Err::<Option<u32>, _>(Down(0)) }).await.expect("a hit");
    assert_eq!((*again, again.source()), (None, Source::Memory));
    assert!(users.get_local(&2).is_none(), "which is not a miss");
    clock.advance(secs(5));
    assert!(users.get_local(&1).is_none());
    assert_eq!((users.stats().negative_hits, users.stats().memory.misses), (1, 3));
    users.get_or_load(&1, || async { Ok::<_, Down>(Some(3)) }).await.expect("loaded");
    assert_eq!(users.ttl(&1).await.expect("memory"), Some(Ttl::from_secs(100)));
    let denied = || async { Ok::<_, Down>(Loaded::new(Some(0)).as_negative()) };
    users.get_or_load(&3, denied).await.expect("loaded");
    assert_eq!(users.ttl(&3).await.expect("memory"), Some(Ttl::from_secs(5)), "the loader may say so");
}

#[tokio::test]
async fn errors_are_remembered_only_where_asked_and_for_as_long() {
    let world = World::new(Options::new().with_cache_errors_for(secs(5)));
    world.breaks();
    for _ in 0..3 {
        let error = world.get().await.expect_err("down").into_failure().expect("the loader's own");
        assert_eq!(*error, Down(1));
    }
    assert_eq!((world.asked(), world.cache.stats().error_hits), (1, 2));
    assert!(world.get_with(Options::new().with_force_refresh(true)).await.is_err());
    assert_eq!(world.asked(), 2, "whoever wants to know it now asks");
    world.pass(secs(5));
    assert!(world.get().await.is_err());
    assert_eq!(world.asked(), 3);
    let pattern = Pattern::new("1").expect("legal");
    for how in 0..8 {
        let before = world.asked();
        let (cache, tags) = (&world.cache, Options::new().with_tags(Tags::new(["t"]).expect("legal")));
        assert!(world.get_with(tags.with_force_refresh(true)).await.is_err());
        match how {
            0 => assert!(!cache.remove(&1).await.expect("memory")),
            1 => assert_eq!(cache.remove_tag("t").await.expect("memory"), 0),
            2 => assert_eq!(cache.remove_prefix(&1).await.expect("memory"), 0),
            3 => assert_eq!(cache.clear().await.expect("memory"), 0),
            4 => assert!(!cache.expire(&1).await.expect("memory")),
            5 => assert_eq!(cache.remove_pattern(&pattern).await.expect("memory"), 0),
            6 => assert_eq!(cache.expire_pattern(&pattern).await.expect("memory"), 0),
            _ => assert_eq!(cache.expire_tag("t").await.expect("memory"), 0),
        }
        assert!(world.get().await.is_err());
        assert_eq!(world.asked(), before + 2, "{how}: an invalidation forgets errors too");
    }
}

#[tokio::test]
async fn an_error_is_not_remembered_past_an_invalidation_of_its_load() {
    let world = World::new(Options::new().with_cache_errors_for(secs(5)));
    world.breaks();
    world.hangs();
    let call = world.call().await;
    world.cache.remove(&1).await.expect("memory");
    world.answers().await;
    assert!(call.await.expect("no panic").is_err());
    world.recovers();
    assert_eq!(*world.get().await.expect("asked again"), 2);
}

/// What a loader was shown: the value and its validator.
type Shown = Option<(u32, Option<String>)>;

#[tokio::test]
async fn a_loader_sees_what_is_left_and_may_say_that_it_is_still_right() {
    let world = World::new(kept().with_tags(Tags::new(["default"]).expect("legal")));
    let ask = |loaded: fn() -> Loaded<u32>| {
        let cache = world.cache.clone();
        async move {
            let shown: Arc<std::sync::Mutex<Shown>> = Arc::default();
            let seen = Arc::clone(&shown);
            let load = move |last: Option<Last<u32>>| async move {
                let of = |last: &Last<u32>| (**last.value(), last.validator().map(str::to_owned));
                *seen.lock().expect("whole") = last.as_ref().map(of);
                Ok::<_, Down>(loaded())
            };
            let hit = cache.get_or_refresh(&1, load).await.expect("loaded");
            let shown = shown.lock().expect("whole").clone();
            (*hit, hit.stale(), shown)
        }
    };
    let first = || {
        let tags = Tags::new(["own"]).expect("legal");
        Loaded::new(5).with_validator("v1").with_tags(tags).with_ttl(secs(3))
    };
    assert_eq!(ask(first).await, (5, None, None));
    assert_eq!(world.cache.ttl(&1).await.expect("memory"), Some(Ttl::from_secs(3)));
    world.pass(secs(3));
    let shown = Some((5, Some("v1".to_owned())));
    assert_eq!(ask(Loaded::not_modified).await, (5, None, shown.clone()));
    assert_eq!(world.cache.ttl(&1).await.expect("memory"), Some(Ttl::from_secs(10)), "a new life");
    world.pass(secs(10));
    assert_eq!(ask(|| Loaded::new(6)).await, (6, None, shown), "the validator was kept");
    world.pass(secs(10));
    assert_eq!(ask(|| Loaded::new(7)).await.2, Some((6, None)), "and goes with its value");
    assert_eq!(world.cache.stats().not_modified, 1);
}

#[tokio::test]
async fn not_modified_keeps_the_tags_of_the_value_where_the_caller_names_none() {
    let world = World::new(kept());
    let tagged = || async { Ok::<_, Down>(Loaded::new(5).with_tags(Tags::new(["own"]).expect("legal"))) };
    world.cache.get_or_load(&1, tagged).await.expect("loaded");
    world.pass(secs(10));
    let same = |_| async { Ok::<_, Down>(Loaded::<u32>::not_modified()) };
    world.cache.get_or_refresh(&1, same).await.expect("there");
    assert_eq!(world.cache.remove_tag("own").await.expect("memory"), 1);
}

#[tokio::test]
async fn not_modified_of_nothing_is_an_error() {
    let world = World::new(Options::new());
    let same = || async { Ok::<_, Down>(Loaded::<u32>::not_modified()) };
    let answer = world.cache.get_or_load(&1, same).await;
    assert!(matches!(answer, Err(LoadError::NothingToKeep)));
}

#[tokio::test]
async fn what_the_loader_says_is_honoured_behind_an_answer_too() {
    // C42
    let world = World::filled(Options::new().with_ttl(secs(10)).with_eager_at(0.5)).await;
    world.pass(secs(5));
    let load = || async {
        let tags = Tags::new(["late"]).expect("legal");
        Ok::<_, Down>(Loaded::new(2).with_ttl(secs(77)).with_tags(tags).with_priority(Priority::High))
    };
    assert_eq!(seen(world.cache.get_or_load(&1, load).await), FRESH);
    settle().await;
    assert_eq!(world.cache.ttl(&1).await.expect("memory"), Some(Ttl::from_secs(77)));
    assert_eq!(world.cache.keys_with_tag("late").await.expect("memory"), [1]);
    world.pass(secs(40));
    let unsure = || async { Ok::<_, Down>(Loaded::new(3).do_not_store()) };
    assert_eq!(*world.cache.get_or_load(&1, unsure).await.expect("there"), 2);
    settle().await;
    assert!(world.cache.get_local(&1).is_none(), "what the source disowns is not kept");
}

#[tokio::test]
async fn priority_and_cost_from_the_loader_reach_the_policy() {
    // V7
    let memory = Memory::new()
        .with_max_entries(10)
        .with_shards(1)
        .with_policy(strata::Policy::Hybrid(strata::Objective::Cost));
    let cheap = Options::new().with_cost(Duration::from_millis(1));
    let cache: Cache<u32, u32> = Cache::builder("dear").memory(memory).options(cheap).build().expect("legal");
    for key in 0..10 {
        let load = move || async move {
            let loaded = Loaded::new(key);
            Ok::<_, Down>(match key {
                3 => loaded.with_priority(Priority::Critical),
                5 => loaded.with_cost(secs(1000)),
                _ => loaded,
            })
        };
        cache.get_or_load(&key, load).await.expect("loaded");
    }
    for key in 10..18 {
        cache.insert(key, key).await.expect("memory");
    }
    assert!(cache.peek(&3).is_some(), "critical");
    assert!(cache.peek(&5).is_some(), "dear");
}
