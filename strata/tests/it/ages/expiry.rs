//! Two kinds of invalidation, and what runs while they happen.

use strata::{Options, Pattern, Source, Stale, Tags};

use super::{World, kept, secs, seen};
use crate::settle;

#[tokio::test]
async fn what_is_expired_may_stand_in_and_what_is_removed_may_not() {
    // C24, for every way to name it
    let pattern = Pattern::new("[^2]").expect("legal");
    for how in 0..5 {
        for removes in [false, true] {
            let tags = Tags::new(["t"]).expect("legal");
            let world = World::filled(kept().with_stale_for(secs(50)).with_tags(tags)).await;
            world.cache.insert_with(2, 2, Options::new().with_tags(Tags::NONE)).await.expect("memory");
            let cache = &world.cache;
            let gone = match (how, removes) {
                (0, false) => u64::from(cache.expire(&1).await.expect("memory")),
                (0, true) => u64::from(cache.remove(&1).await.expect("memory")),
                (1, false) => cache.expire_tag("t").await.expect("memory"),
                (1, true) => cache.remove_tag("t").await.expect("memory"),
                (2, false) => cache.expire_prefix(&1).await.expect("memory"),
                (2, true) => cache.remove_prefix(&1).await.expect("memory"),
                (4, false) => cache.expire_pattern(&pattern).await.expect("memory"),
                (4, true) => cache.remove_pattern(&pattern).await.expect("memory"),
                (_, false) => cache.expire_all().await.expect("memory"),
                (_, true) => cache.clear().await.expect("memory"),
            };
            assert_eq!(gone, if how == 3 { 2 } else { 1 }, "{how}, removes: {removes}");
            assert!(cache.get_local(&1).is_none());
            world.breaks();
            if removes {
                assert!(world.get().await.is_err(), "nothing brings it back");
            } else {
                let stand_in = (1, Source::Memory, Some(Stale::Failed));
                assert_eq!(seen(world.get().await), stand_in, "not before the source was asked");
            }
            world.pass(secs(100));
            assert!(world.get().await.is_err(), "the window counts from now");
            assert!(!cache.memory().contains(&1), "and nothing is held beyond it");
        }
    }
}

#[tokio::test]
async fn to_expire_what_has_no_copy_is_to_remove_it() {
    let world = World::filled(Options::new()).await;
    assert!(world.cache.expire(&1).await.expect("memory"));
    assert_eq!((world.cache.memory().len(), world.cache.expire(&1).await.expect("memory")), (0, false));
}

#[tokio::test]
async fn a_load_that_an_expiry_has_overtaken_is_not_stored() {
    // C06, C07
    let pattern = Pattern::new("?").expect("legal");
    for how in 0..5 {
        let tags = Tags::new(["t"]).expect("legal");
        let world = World::filled(kept().with_tags(tags)).await;
        world.pass(secs(10));
        world.hangs();
        let call = world.call().await;
        match how {
            0 => assert!(world.cache.expire(&1).await.expect("memory")),
            1 => assert_eq!(world.cache.expire_tag("t").await.expect("memory"), 1),
            2 => assert_eq!(world.cache.expire_prefix(&1).await.expect("memory"), 1),
            3 => assert_eq!(world.cache.expire_pattern(&pattern).await.expect("memory"), 1),
            _ => assert_eq!(world.cache.expire_all().await.expect("memory"), 1),
        }
        world.answers().await;
        assert_eq!(
            seen(call.await.expect("no panic")),
            (2, Source::Loader, None),
            "its own caller is answered"
        );
        assert!(world.cache.get_local(&1).is_none());
        assert_eq!(world.cache.stats().fenced, 1);
    }
}

#[tokio::test]
async fn what_runs_behind_is_fenced_like_any_load() {
    // C06, C07: eager, stale-while-revalidate; by tag, key and all, removed and expired
    for how in 0..6 {
        for past in [secs(9), secs(12)] {
            let options = Options::new().with_ttl(secs(10)).with_eager_at(0.8).with_stale_for(secs(5));
            let world = World::filled(options.with_tags(Tags::new(["t"]).expect("legal"))).await;
            world.pass(past);
            world.hangs();
            assert_eq!(*world.get().await.expect("answered"), 1);
            settle().await;
            assert_eq!(world.asked(), 2);
            let cache = &world.cache;
            let gone = match how {
                0 => cache.remove_tag("t").await.expect("memory"),
                1 => cache.expire_tag("t").await.expect("memory"),
                2 => u64::from(cache.remove(&1).await.expect("memory")),
                3 => u64::from(cache.expire(&1).await.expect("memory")),
                4 => cache.clear().await.expect("memory"),
                _ => cache.expire_all().await.expect("memory"),
            };
            assert_eq!(gone, 1);
            world.answers().await;
            assert!(world.cache.get_local(&1).is_none(), "{how}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_goes_on_after_a_soft_timeout_is_fenced_like_any_other() {
    // C06
    let tags = Tags::new(["t"]).expect("legal");
    let world = World::filled(kept().with_soft_timeout(secs(1)).with_tags(tags)).await;
    world.pass(secs(10));
    world.hangs();
    let call = world.call().await;
    tokio::time::advance(secs(1)).await;
    assert_eq!(seen(call.await.expect("no panic")).2, Some(Stale::TimedOut));
    assert_eq!(world.cache.remove_tag("t").await.expect("memory"), 1);
    world.answers().await;
    assert!(world.cache.get_local(&1).is_none());
}

#[tokio::test]
async fn a_removal_during_a_failing_load_leaves_nothing_to_stand_in() {
    let world = World::filled(kept()).await;
    world.pass(secs(10));
    world.hangs();
    world.breaks();
    let call = world.call().await;
    world.cache.remove(&1).await.expect("memory");
    world.answers().await;
    assert!(call.await.expect("no panic").is_err());
}
