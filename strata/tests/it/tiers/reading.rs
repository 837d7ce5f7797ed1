//! Reading through tiers: what is found where, how long it lives from there on, and what it stands in for.

use std::time::Duration;

use cache_core::{Entry, Key, StoreExt};
use cache_testkit::chaos::Fault;
use strata::codec::{Framer, Raw};
use strata::{BuildError, Loaded, Stale, Tags};

use super::*;

#[tokio::test(start_paused = true)]
async fn what_one_process_has_loaded_another_finds_with_the_rest_of_its_life() {
    let world = World::new();
    // What the other one writes itself it keeps for longer.
    let (mine, other) = (world.node(ttl(60)), world.node(ttl(600)));
    assert_eq!(source(&world.get_or_load(&mine, 1).await), ("load 1", Source::Loader));
    world.clock.advance(Duration::from_secs(20));

    let hit = world.get_or_load(&other, 1).await;
    assert_eq!(source(&hit), ("load 1", Source::Tier));
    assert_eq!(source(&world.get_or_load(&other, 1).await), ("load 1", Source::Memory));
    assert_eq!(other.ttl(&1).await.expect("never fails"), Some(Ttl::from_secs(40)));

    world.clock.advance(Duration::from_secs(40));
    assert_eq!(world.get_or_load(&other, 1).await.as_str(), "load 2");
}

#[tokio::test(start_paused = true)]
async fn all_who_miss_a_key_look_below_once() {
    let world = World::new();
    world.node(ttl(60)).insert(1, "a".to_owned()).await.expect("never fails");
    let (node, before) = (world.node(ttl(60)), world.near.operations());
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let (node, load) = (node.clone(), world.loader());
        asked.spawn(async move { node.get_or_load(&1, load).await.expect("the loader never fails") });
    }
    assert!(asked.join_all().await.iter().all(|hit| hit.as_str() == "a"));
    assert_eq!((world.near.operations() - before, world.loads.load(SeqCst)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_while_a_tier_is_asked_takes_nobody_with_it() {
    let world = World::new();
    world.node(ttl(60)).insert(1, "a".to_owned()).await.expect("never fails");
    let (node, before) = (world.node(ttl(60)), world.near.operations());
    world.near.set(Some(Fault::Waits));
    let ask = || {
        let (node, load) = (node.clone(), world.loader());
        tokio::spawn(async move { node.get_or_load(&1, load).await.expect("the loader never fails") })
    };
    let first = ask();
    crate::settle().await;
    assert_eq!(world.near.operations() - before, 1, "it has begun to ask");
    let others: Vec<_> = (0..20).map(|_| ask()).collect();
    crate::settle().await;
    first.abort();
    crate::settle().await;
    world.near.set(None);
    for other in others {
        assert_eq!(other.await.expect("not aborted").as_str(), "a");
    }
    assert_eq!((world.near.operations() - before, world.loads.load(SeqCst)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn verbs_without_a_loader_look_below_too() {
    let world = World::new();
    let (mine, other) = (world.node(ttl(60)), world.node(ttl(60)));
    mine.insert_many([(1, "a".to_owned()), (2, "b".to_owned())], Options::new()).await.expect("never fails");
    assert!(other.contains(&1).await.expect("never fails"));
    assert_eq!(other.ttl(&2).await.expect("never fails"), Some(Ttl::from_secs(60)));
    assert_eq!(other.memory().len(), 0, "whether it is there is no use of it");

    let before = world.near.operations();
    let found = other.get_many(&[1, 3, 2, 1]).await.expect("never fails");
    let found: Vec<_> = found.iter().map(|hit| hit.as_ref().map(|hit| hit.as_str())).collect();
    assert_eq!(found, [Some("a"), None, Some("b"), Some("a")]);
    assert_eq!(world.near.operations() - before, 1, "many keys are one question");
    assert_eq!(source(&other.get(&2).await.expect("never fails").expect("there")), ("b", Source::Memory));

    let third = world.node(ttl(60));
    assert_eq!(source(&third.get(&2).await.expect("never fails").expect("there")), ("b", Source::Tier));
    assert!(third.touch(&1, Ttl::from_secs(600)).await.expect("never fails"));
    third.remove_local(&1);
    assert_eq!(third.ttl(&1).await.expect("never fails"), Some(Ttl::from_secs(600)));
    assert!(third.get_and_touch(&1, Ttl::from_secs(900)).await.expect("never fails").is_some());
    assert_eq!(third.ttl(&1).await.expect("never fails"), Some(Ttl::from_secs(900)));
    assert!(!third.touch(&9, Ttl::from_secs(1)).await.expect("never fails"));
}

#[tokio::test(start_paused = true)]
async fn tiers_are_asked_in_order_and_those_above_get_what_was_found() {
    let world = World::new();
    let (both, far) = (world.node(ttl(60)), world.far_node(ttl(60)));
    far.insert(1, "a".to_owned()).await.expect("never fails");
    world.clock.advance(Duration::from_secs(20));
    assert_eq!(source(&both.get(&1).await.expect("never fails").expect("there")), ("a", Source::Tier));
    behind(&both).await;

    let near = world.build(ttl(60), |builder| builder.tier(world.tier(&world.near)));
    assert_eq!(near.ttl(&1).await.expect("never fails"), Some(Ttl::from_secs(40)));
    let stats = both.tiers();
    // Before it is written further up it is looked at again.
    assert_eq!((stats[0].misses, stats[0].hits, stats[1].hits, stats[0].writes), (1, 0, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn many_keys_are_looked_up_below_before_the_rest_is_loaded() {
    let world = World::new();
    let (mine, other) = (world.node(ttl(60)), world.node(ttl(60)));
    mine.insert(1, "a".to_owned()).await.expect("never fails");
    let load = |missing: Vec<u32>| async move {
        assert_eq!(missing, [2, 3]);
        Ok::<_, Down>(missing.into_iter().map(|key| (key, format!("loaded {key}"))).collect::<Vec<_>>())
    };
    let found = other.get_or_load_many(&[1, 2, 3], load).await.expect("the loader never fails");
    let found: Vec<_> = found.iter().flatten().map(source).collect();
    assert_eq!(found, [("a", Source::Tier), ("loaded 2", Source::Loader), ("loaded 3", Source::Loader)]);
    behind(&other).await;
    assert_eq!(mine.get(&3).await.expect("never fails").expect("there").as_str(), "loaded 3");
}

#[tokio::test(start_paused = true)]
async fn a_copy_below_stands_in_for_what_cannot_be_loaded() {
    let world = World::new();
    let options = ttl(60).with_fail_safe_for(Duration::from_mins(10));
    let (mine, other) = (world.node(options.clone()), world.node(options));
    mine.insert(1, "old".to_owned()).await.expect("never fails");
    world.clock.advance(Duration::from_secs(100));
    assert!(other.get(&1).await.expect("never fails").is_none(), "it is not fresh");
    other.remove_local(&1);

    let down = || async { Err::<String, _>(Down(1)) };
    let hit = other.get_or_load(&1, down).await.expect("a copy stands in");
    assert_eq!((hit.as_str(), hit.stale()), ("old", Some(Stale::Failed)));
    // It stands in for as long as at the process that stored it: 60 + 600 seconds, of which 100 are over.
    world.clock.advance(Duration::from_secs(559));
    assert!(other.get_or_load(&1, down).await.is_ok());
    world.clock.advance(Duration::from_secs(1));
    assert!(other.get_or_load(&1, down).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_over_is_over_below_too() {
    let world = World::new();
    let options = ttl(60).with_stale_for(Duration::from_secs(50)).with_fail_safe_for(Duration::from_mins(10));
    let (mine, other) = (world.node(options.clone()), world.node(options));
    mine.insert(1, "old".to_owned()).await.expect("never fails");
    world.clock.advance(Duration::from_secs(111));
    // It may stand in, but no longer answer while it is refreshed.
    assert_eq!(source(&world.get_or_load(&other, 1).await), ("load 1", Source::Loader));
}

#[tokio::test(start_paused = true)]
async fn windows_that_a_value_brings_along_hold_wherever_it_is_read() {
    let world = World::new();
    // Neither has windows of its own.
    let (mine, other) = (world.node(ttl(60)), world.node(ttl(60)));
    let load = || async {
        let loaded = Loaded::new("old".to_owned()).with_ttl(Ttl::from_secs(60));
        let loaded =
            loaded.with_stale_for(Duration::from_secs(50)).with_fail_safe_for(Duration::from_secs(100));
        Ok::<_, Down>(loaded)
    };
    let down = || async { Err::<String, _>(Down(1)) };
    mine.get_or_load(&1, load).await.expect("the loader never fails");
    behind(&mine).await;
    let throttle = Options::new().with_fail_safe_throttle(Duration::ZERO);
    for (after, expected) in
        [(61, Some(Stale::Refreshing)), (48, Some(Stale::Refreshing)), (2, Some(Stale::Failed))]
    {
        world.clock.advance(Duration::from_secs(after));
        for node in [&mine, &other] {
            let hit = node.get_or_load(&1, down).with(throttle.clone()).await.expect("a copy answers");
            assert_eq!((hit.as_str(), hit.stale()), ("old", expected));
            behind(node).await;
            other.remove_local(&1);
        }
    }
    world.clock.advance(Duration::from_secs(50));
    for node in [&mine, &other] {
        assert!(node.get_or_load(&1, down).await.is_err(), "both windows are over");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_below_answers_while_it_is_refreshed() {
    let world = World::new();
    let options = ttl(60).with_stale_for(Duration::from_mins(10));
    let (mine, other) = (world.node(options.clone()), world.node(options));
    mine.insert(1, "old".to_owned()).await.expect("never fails");
    world.clock.advance(Duration::from_secs(100));
    let hit = world.get_or_load(&other, 1).await;
    assert_eq!((hit.as_str(), hit.source(), hit.stale()), ("old", Source::Tier, Some(Stale::Refreshing)));
    assert_eq!(source(&world.get_or_load(&other, 1).await), ("load 1", Source::Memory));
    assert_eq!(world.get_or_load(&mine, 1).await.stale(), Some(Stale::Refreshing));
    assert_eq!(source(&world.get_or_load(&mine, 1).await), ("load 1", Source::Memory));
    assert_eq!(world.loads.load(SeqCst), 1, "the second process found what the first had refreshed");
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_refreshed_before_its_end_is_not_by_another_copy_of_it() {
    let world = World::new();
    let options = ttl(100).with_eager_at(0.8);
    let (mine, other) = (world.node(options.clone()), world.node(options));
    world.get_or_load(&mine, 1).await;
    world.get_or_load(&other, 1).await;
    world.clock.advance(Duration::from_secs(90));
    assert_eq!(source(&world.get_or_load(&other, 1).await), ("load 1", Source::Memory));
    assert_eq!(source(&world.get_or_load(&other, 1).await), ("load 2", Source::Memory));
    // The other one refreshes by what has been refreshed.
    world.get_or_load(&mine, 1).await;
    assert_eq!(source(&world.get_or_load(&mine, 1).await), ("load 2", Source::Memory));
    assert_eq!(world.loads.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn validators_tags_and_negatives_survive_below() {
    let world = World::new();
    let options = ttl(60).with_fail_safe_for(Duration::from_mins(10));
    let (mine, other) = (world.node(options.clone()), world.node(options));
    let tags = Tags::new(["team:7"]).expect("legal");
    let load = |_| async {
        Ok::<_, Down>(Loaded::new("a".to_owned()).with_validator("v1").with_tags(tags).as_negative())
    };
    mine.get_or_refresh(&1, load).await.expect("the loader never fails");
    behind(&mine).await;
    assert!(other.get(&1).await.expect("never fails").is_some());
    assert_eq!(other.keys_with_tag("team:7").await.expect("never fails"), [1]);
    world.get_or_load(&other, 1).await;
    assert_eq!(other.stats().negative_hits, 1);

    world.clock.advance(Duration::from_secs(61));
    let third = world.node(ttl(60).with_fail_safe_for(Duration::from_mins(10)));
    let same = |last: Option<strata::Last<String>>| async move {
        assert_eq!(last.as_ref().and_then(|last| last.validator()), Some("v1"));
        Ok::<_, Down>(Loaded::not_modified())
    };
    assert_eq!(third.get_or_refresh(&1, same).await.expect("the loader never fails").as_str(), "a");
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_a_value_no_longer_than_it_may() {
    let world = World::new();
    let node = || {
        world
            .build(ttl(60), |builder| builder.tier(world.tier(&world.near)).max_memory_ttl(Ttl::from_secs(5)))
    };
    let (mine, other) = (node(), node());
    world.get_or_load(&mine, 1).await;
    world.get_or_load(&other, 1).await;
    other.insert(1, "changed".to_owned()).await.expect("never fails");
    assert_eq!(source(&world.get_or_load(&mine, 1).await), ("load 1", Source::Memory));
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(source(&world.get_or_load(&mine, 1).await), ("changed", Source::Tier));
    assert_eq!(world.loads.load(SeqCst), 1);

    // Nor by being touched.
    assert!(mine.touch(&1, Ttl::from_secs(60)).await.expect("never fails"));
    assert!(mine.get_and_touch(&1, Ttl::from_secs(60)).await.expect("never fails").is_some());
    other.insert(1, "again".to_owned()).await.expect("never fails");
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(source(&world.get_or_load(&mine, 1).await), ("again", Source::Tier));
}

#[tokio::test(start_paused = true)]
async fn a_forced_load_does_not_look_below_and_is_found_there() {
    let world = World::new();
    let (mine, other) = (world.node(ttl(60)), world.node(ttl(60)));
    mine.insert(1, "old".to_owned()).await.expect("never fails");
    let forced = other.get_or_load(&1, world.loader()).with(Options::new().with_force_refresh(true)).await;
    assert_eq!(source(&forced.expect("the loader never fails")), ("load 1", Source::Loader));
    behind(&other).await;
    assert_eq!(world.get_or_load(&world.node(ttl(60)), 1).await.as_str(), "load 1");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_value_of_the_cache_is_a_miss_and_is_overwritten() {
    let world = World::new();
    let node = world.node(ttl(60));
    let key = Key::new("users:1").expect("legal");
    world.near.put(key.clone(), Entry::new("anything")).await.expect("memory");
    assert!(node.get(&1).await.expect("never fails").is_none());
    assert_eq!((node.tiers()[0].unreadable, node.tiers()[1].unreadable), (1, 0));
    assert_eq!(world.get_or_load(&node, 1).await.as_str(), "load 1");
    assert_eq!(world.get_or_load(&world.node(ttl(60)), 1).await.source(), Source::Tier);
}

#[test]
fn tiers_without_a_framer_are_refused() {
    let world = World::new();
    let built = Cache::<u32, String>::builder("users").tier(Arc::clone(&world.near)).build();
    assert_eq!(built.err(), Some(BuildError::NoFramer));
    let unused = Cache::<u32, String>::builder("users").framer(Framer::new("user", Raw)).build();
    assert!(unused.is_ok_and(|cache| cache.framer().is_none()));
}
