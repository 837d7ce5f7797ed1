//! Writing through tiers: what is removed is gone everywhere, and nothing old comes back from below.

use cache_core::{Key, StoreExt};
use cache_testkit::chaos::Fault;
use strata::{Inserted, Pattern, Tags};

use super::*;

#[tokio::test(start_paused = true)]
async fn what_is_removed_is_gone_below_too() {
    let world = World::new();
    let mine = world.node(ttl(60));
    let tags = Tags::new(["team:7"]).expect("legal");
    let fill = async || {
        for key in 1..=3 {
            mine.insert_with(key, "a".to_owned(), Options::new().with_tags(tags.clone()))
                .await
                .expect("never fails");
        }
    };
    let left = async || {
        let found = world.node(ttl(60)).get_many(&[1, 2, 3]).await.expect("never fails");
        found.iter().flatten().count()
    };
    fill().await;
    assert_eq!((mine.remove(&1).await.expect("never fails"), left().await), (true, 2));
    assert!(!mine.remove(&1).await.expect("never fails"));
    assert_eq!((mine.remove_many(&[1, 2]).await.expect("never fails"), left().await), (1, 1));
    fill().await;
    assert_eq!((mine.remove_tag("team:7").await.expect("never fails"), left().await), (3, 0));
    fill().await;
    assert_eq!((mine.remove_prefix(&2).await.expect("never fails"), left().await), (1, 2));
    fill().await;
    let pattern = Pattern::new("[12]").expect("legal");
    mine.remove_pattern(&pattern).await.expect("never fails");
    assert_eq!(
        (mine.memory().len(), left().await),
        (1, 0),
        "a tier knows no patterns, and removes all that may match"
    );
    fill().await;
    assert_eq!((mine.clear().await.expect("never fails"), left().await), (3, 0));
    fill().await;
    assert!(mine.expire(&1).await.expect("never fails"));
    assert_eq!(left().await, 2);
    mine.expire_tag("team:7").await.expect("never fails");
    assert_eq!(left().await, 0);
    fill().await;
    mine.expire_all().await.expect("never fails");
    assert_eq!(left().await, 0);
}

#[tokio::test(start_paused = true)]
async fn removals_that_memory_knows_nothing_of_count_what_was_below() {
    let world = World::new();
    world.node(ttl(60)).insert(1, "a".to_owned()).await.expect("never fails");
    let other = world.node(ttl(60));
    assert!(other.remove(&1).await.expect("never fails"));
    assert!(!other.remove(&1).await.expect("never fails"));
}

#[tokio::test(start_paused = true)]
async fn caches_that_share_a_tier_share_no_keys_and_no_groups() {
    let world = World::new();
    let users = world.node(ttl(60));
    let named = |name: &str| {
        Cache::<u32, String>::builder(name)
            .framer(strata::codec::Framer::new("user", strata::codec::Raw))
            .tier(world.tier(&world.near))
            .build()
            .expect("legal")
    };
    let (longer, other) = (named("users2"), named("teams"));
    let tagged = || Options::new().with_tags(Tags::new(["t"]).expect("legal"));
    for cache in [&users, &longer, &other] {
        cache.insert_with(1, "a".to_owned(), tagged()).await.expect("never fails");
        cache.memory().clear();
    }
    users.remove_tag("t").await.expect("never fails");
    users.clear().await.expect("never fails");
    assert!(users.get(&1).await.expect("never fails").is_none());
    assert!(longer.get(&1).await.expect("never fails").is_some());
    assert!(other.get(&1).await.expect("never fails").is_some());
}

#[tokio::test(start_paused = true)]
async fn what_memory_cannot_hold_is_below_and_what_is_not_to_be_stored_is_nowhere() {
    let world = World::new();
    let memory = Memory::new().with_max_bytes(100).with_weigher(|_, value: &Arc<String>| value.len() as u64);
    let small = world.build(ttl(60), |builder| builder.memory(memory).tier(world.tier(&world.near)));
    let large = "x".repeat(1000);
    assert_eq!(small.insert(1, large.clone()).await.expect("never fails"), Inserted::TooLarge);
    assert_eq!(source(&small.get(&1).await.expect("never fails").expect("below")), (&*large, Source::Tier));

    let inserted = small.insert_with(1, large, ttl(0)).await.expect("never fails");
    assert_eq!(inserted, Inserted::Expired);
    assert!(small.get(&1).await.expect("never fails").is_none(), "the older value is no longer true");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_a_removal_has_overtaken_is_not_written_below() {
    let world = World::new();
    let node = world.node(ttl(60));
    let (answer, answered) = tokio::sync::oneshot::channel();
    let load = || async { answered.await.map_err(|_| Down(0)) };
    let asked = tokio::spawn({
        let node = node.clone();
        async move { node.get_or_load(&1, load).await.expect("the loader never fails") }
    });
    crate::settle().await;
    node.remove(&1).await.expect("never fails");
    answer.send("old".to_owned()).expect("the loader waits");
    assert_eq!(asked.await.expect("no panic").as_str(), "old");
    behind(&node).await;
    assert!(world.node(ttl(60)).get(&1).await.expect("never fails").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_removal_waits_for_writes_that_were_let_through_before_it() {
    for group in [false, true] {
        let world = World::new();
        let node = world.far_node(ttl(60));
        let loaded = node.get_or_load(&1, {
            let (far, load) = (Arc::clone(&world.far), world.loader());
            move || {
                // The write of what is loaded will be on its way for long.
                far.set_only("put noted", Fault::Waits);
                load()
            }
        });
        loaded.await.expect("the loader never fails");
        crate::settle().await;
        let removal = tokio::spawn({
            let node = node.clone();
            async move { if group { node.clear().await } else { node.remove_many(&[1]).await } }
        });
        crate::settle().await;
        assert!(!removal.is_finished(), "the write is still on its way");
        world.far.set(None);
        removal.await.expect("no panic").expect("never fails");
        let key = Key::new("users:1").expect("legal");
        assert_eq!(world.far.get(&key).await.expect("memory"), None);
        assert!(node.get(&1).await.expect("never fails").is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_between_memory_and_the_tiers_is_not_written_there() {
    // No note stands behind the fence.
    let world = World::with(Chaos::without_notes);
    let node = world.far_node(ttl(60));
    // Of two keys that are written in one turn, the other one is being written for long.
    let both =
        |keys: Vec<u32>| async move { Ok::<_, Down>(keys.into_iter().map(|key| (key, "old".to_owned()))) };
    world.far.set_only("put", Fault::Waits);
    let insert = tokio::spawn({
        let node = node.clone();
        async move { node.insert(1, "new".to_owned()).await }
    });
    crate::settle().await;
    node.get_or_load_many(&[1, 2], both).await.expect("the loader never fails");
    crate::settle().await;
    assert_eq!(node.get_local(&2).expect("loaded").as_str(), "old");
    let removal = tokio::spawn({
        let node = node.clone();
        async move { node.remove(&2).await }
    });
    crate::settle().await;
    world.far.set(None);
    insert.await.expect("no panic").expect("never fails");
    removal.await.expect("no panic").expect("never fails");
    behind(&node).await;
    let there = world.far_node(ttl(60)).get_many(&[1, 2]).await.expect("never fails");
    let there: Vec<_> = there.iter().map(|hit| hit.as_ref().map(|hit| hit.as_str())).collect();
    assert_eq!(there, [Some("new"), None]);
}

#[tokio::test(start_paused = true)]
async fn what_is_read_below_during_a_removal_does_not_stay() {
    let world = World::new();
    let node = world.node(ttl(60));
    node.insert(1, "old".to_owned()).await.expect("never fails");
    // The far tier is told first, and does not answer for a while: the near one still has it.
    world.far.set(Some(Fault::Waits));
    let removal = tokio::spawn({
        let node = node.clone();
        async move { node.remove(&1).await }
    });
    crate::settle().await;
    assert_eq!(
        source(&node.get(&1).await.expect("never fails").expect("not yet removed")),
        ("old", Source::Tier)
    );
    world.far.set(None);
    assert!(removal.await.expect("no panic").expect("never fails"));
    assert!(node.get(&1).await.expect("never fails").is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_read_below_during_a_removal_of_a_group_does_not_stay() {
    let tagged = || Options::new().with_tags(Tags::new(["t"]).expect("legal"));
    for by_tag in [true, false] {
        let world = World::new();
        let node = world.node(ttl(60));
        node.insert_with(1, "old".to_owned(), tagged()).await.expect("never fails");
        // As with a single key: the far tier is told first, and takes its time.
        world.far.set(Some(Fault::Waits));
        let removal = tokio::spawn({
            let node = node.clone();
            async move { if by_tag { node.remove_tag("t").await } else { node.clear().await } }
        });
        crate::settle().await;
        let read = node.get(&1).await.expect("never fails").expect("not yet removed");
        assert_eq!(source(&read), ("old", Source::Tier));
        assert!(node.get_local(&1).is_some(), "it was read into memory");
        world.far.set(None);
        removal.await.expect("no panic").expect("never fails");
        assert!(node.get_local(&1).is_none(), "what was removed below does not stay in memory");
        assert!(node.get(&1).await.expect("never fails").is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_process_removes_while_it_is_promoted_does_not_come_back() {
    let world = World::new();
    let (node, other) = (world.node(ttl(60)), world.node(ttl(60)));
    let key = Key::new("users:1").expect("legal");
    node.insert(1, "old".to_owned()).await.expect("never fails");
    world.near.remove(&key).await.expect("memory");
    let reader = world.node(ttl(60));
    // The near tier notes what it knows of the key only after the other process has removed it, of which no bus tells.
    world.near.set_only("note", Fault::Waits);
    assert_eq!(reader.get(&1).await.expect("never fails").expect("there").as_str(), "old");
    crate::settle().await;
    other.remove(&1).await.expect("never fails");
    world.near.set(None);
    behind(&reader).await;
    assert_eq!(world.near.get(&key).await.expect("memory"), None, "what was found is not there any more");
    assert!(other.get(&1).await.expect("never fails").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_caller_has_gone_is_made_whole() {
    let world = World::new();
    let node = world.node(ttl(60));
    node.insert(1, "old".to_owned()).await.expect("never fails");
    world.near.set(Some(Fault::Waits));
    let insert = tokio::spawn({
        let node = node.clone();
        async move { node.insert(1, "new".to_owned()).await }
    });
    crate::settle().await;
    insert.abort();
    world.near.set(None);
    behind(&node).await;
    for cache in [&node, &world.node(ttl(60)), &world.far_node(ttl(60))] {
        assert_eq!(cache.get(&1).await.expect("never fails").expect("there").as_str(), "new");
    }
}

#[tokio::test(start_paused = true)]
async fn writes_of_one_key_end_alike_in_all_tiers() {
    let world = World::with(|store| store.dawdling(7));
    let node = world.node(ttl(60));
    for round in 0..50 {
        let mut writes = tokio::task::JoinSet::new();
        for number in 0..8 {
            let node = node.clone();
            writes.spawn(async move {
                if number % 4 == 3 {
                    node.remove(&1).await.expect("never fails");
                } else {
                    node.insert(1, format!("{round} {number}")).await.expect("never fails");
                }
            });
        }
        writes.join_all().await;
        let here = node.get_local(&1).map(|hit| hit.as_str().to_owned());
        for cache in [world.node(ttl(60)), world.far_node(ttl(60))] {
            let there = cache.get(&1).await.expect("never fails").map(|hit| hit.as_str().to_owned());
            assert_eq!(there, here, "round {round}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_life_of_zero_is_a_removal_that_a_tier_is_told_late_too() {
    let world = World::new();
    let node = world.far_node(ttl(60));
    node.insert(1, "old".to_owned()).await.expect("never fails");
    world.far.set(Some(Fault::Fails(cache_core::ErrorKind::Unavailable)));
    assert!(node.touch(&1, Ttl::ZERO).await.expect("never fails"));
    world.far.set(None);
    assert!(node.get(&1).await.expect("never fails").is_none());
    world.pass(std::time::Duration::from_secs(1)).await;
    assert!(world.far_node(ttl(60)).get(&1).await.expect("never fails").is_none());
}
