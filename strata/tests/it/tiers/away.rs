//! A tier that is away: what its callers notice, which is nothing, and what it is told when it is back.

use std::time::Duration;

use cache_core::{ErrorKind, Key, StoreExt};
use cache_testkit::chaos::Fault;
use strata::layer::Passage;
use strata::{Pattern, Tags};
use tokio::time::Instant;

use super::*;

pub(super) const DOWN: Fault = Fault::Fails(ErrorKind::Unavailable);

pub(super) async fn below(world: &World, key: u32) -> Option<String> {
    let found = world.far_node(ttl(600)).get(&key).await.expect("never fails");
    found.map(|hit| hit.as_str().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_tier_that_is_away_fails_nobody_and_costs_nothing_once_that_is_known() {
    for fault in [DOWN, Fault::Hangs] {
        let world = World::new();
        let node = world.far_node(ttl(600));
        world.far.set(Some(fault));
        for key in 0..10 {
            assert_eq!(world.get_or_load(&node, key).await.source(), Source::Loader);
            node.insert(100 + key, "a".to_owned()).await.expect("never fails");
            assert!(node.get(&(100 + key)).await.expect("never fails").is_some());
            node.remove(&(200 + key)).await.expect("never fails");
        }
        assert_eq!(node.tiers()[0].passage, Some(Passage::Open));
        // What was on its way when that became known holds the turn of its key until its own limit.
        world.pass(PAUSE / 2).await;
        let began = Instant::now();
        for key in 1000..1100 {
            node.insert(key, "a".to_owned()).await.expect("never fails");
            assert!(node.get(&(key + 1000)).await.expect("never fails").is_none());
        }
        assert_eq!(began.elapsed(), Duration::ZERO, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_ever_the_probe_of_a_tier_that_may_still_hang() {
    let world = World::new();
    let node = world.far_node(ttl(600));
    world.far.set(Some(Fault::Hangs));
    for key in 0..5 {
        assert!(node.get(&key).await.expect("never fails").is_none());
    }
    let asked = world.far.operations();
    for round in 0..200 {
        world.pass(Duration::from_millis(50)).await;
        let began = Instant::now();
        assert!(node.get(&round).await.expect("never fails").is_none());
        assert_eq!(began.elapsed(), Duration::ZERO, "round {round}");
    }
    let probes = world.far.operations() - asked;
    assert!((5..20).contains(&probes), "one in each pause and its timeout, and not {probes}");
}

#[tokio::test(start_paused = true)]
async fn a_tier_that_is_back_is_in_use_again_though_nobody_asked_for_it() {
    let world = World::new();
    let node = world.far_node(ttl(600));
    node.insert(1, "a".to_owned()).await.expect("never fails");
    world.far.set(Some(DOWN));
    for key in 10..15 {
        assert!(node.get(&key).await.expect("never fails").is_none());
    }
    world.pass(Duration::from_secs(10)).await;
    assert!(!node.health().is_whole());
    world.far.set(None);
    world.pass(PAUSE + Duration::from_millis(150)).await;
    assert_eq!(node.tiers()[0].passage, Some(Passage::Closed));
    assert!(node.health().is_whole());
    assert_eq!(below(&world, 1).await.as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_a_tier_cannot_remove_takes_everything_there_along() {
    let world = World::new();
    let node = world.far_node(ttl(600));
    let tagged = Options::new().with_tags(Tags::new(["t"]).expect("legal"));
    node.insert_with(1, "a".to_owned(), tagged).await.expect("never fails");
    world.far.set_only("remove tag", Fault::Fails(ErrorKind::Invalid));
    node.remove_tag("t").await.expect("never fails");
    assert_eq!(node.tiers()[0].backlog, 1);
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(node.tiers()[0].backlog, 0);
    assert_eq!(below(&world, 1).await, None);

    world.far.set_only("remove prefix", Fault::Fails(ErrorKind::Invalid));
    node.clear().await.expect("never fails");
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(node.tiers()[0].backlog, 0, "what can never be told is not owed for ever");
}

#[tokio::test(start_paused = true)]
async fn a_cache_is_not_closed_before_its_tiers_know_everything_unless_time_is_up() {
    let world = World::new();
    let node = world.far_node(ttl(600));
    world.far.set(Some(DOWN));
    for key in 0..3 {
        node.insert(key, "a".to_owned()).await.expect("never fails");
    }
    assert_eq!(node.close(Duration::ZERO).await.untold, 3);
    assert_eq!(node.close(Duration::from_secs(1)).await.untold, 3);
    let health = node.health().to_string();
    assert_eq!(health, "memory has been away for 0.0 s; memory has not been told of 3 changes yet");
    world.far.set(None);
    world.clock.advance(PAUSE);
    assert_eq!(node.close(Duration::from_secs(1)).await.untold, 0);
    assert_eq!(below(&world, 2).await.as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_is_written_when_the_tier_is_back() {
    let world = World::new();
    let node = world.far_node(ttl(600));
    node.insert(1, "old".to_owned()).await.expect("never fails");
    node.insert(2, "old".to_owned()).await.expect("never fails");
    world.far.set(Some(DOWN));
    node.insert(1, "new".to_owned()).await.expect("never fails");
    node.insert(1, "newest".to_owned()).await.expect("never fails");
    node.remove(&2).await.expect("never fails");
    // What was loaded can be loaded again.
    assert_eq!(world.get_or_load(&node, 3).await.as_str(), "load 1");
    assert_eq!(node.tiers()[0].backlog, 2);
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(node.tiers()[0].backlog, 2);

    world.far.set(None);
    world.pass(Duration::from_secs(1)).await;
    let stats = node.tiers()[0];
    assert_eq!((stats.backlog, stats.repaired, stats.passage), (0, 2, Some(Passage::Closed)));
    assert_eq!(below(&world, 1).await.as_deref(), Some("newest"));
    assert_eq!(below(&world, 2).await, None);
    assert_eq!(below(&world, 3).await, None);
    assert_eq!(world.far_node(ttl(1)).ttl(&1).await.expect("never fails"), Some(Ttl::from_secs(589)));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_believed_of_what_a_tier_could_not_be_told() {
    let world = World::new();
    let bare = Tier::new(Arc::<Chaos>::clone(&world.far)).without_guards();
    let node = world.build(ttl(600), |builder| builder.tier(bare));
    let tags = Tags::new(["t"]).expect("legal");
    for key in 1..=5 {
        let options = if key == 4 { Options::new().with_tags(tags.clone()) } else { Options::new() };
        node.insert_with(key, "old".to_owned(), options).await.expect("never fails");
    }
    world.far.set(Some(DOWN));
    node.remove(&1).await.expect("never fails");
    node.insert(2, "new".to_owned()).await.expect("never fails");
    node.remove_prefix(&3).await.expect("never fails");
    node.remove_tag("t").await.expect("never fails");
    // The tier is back before anybody has told it anything.
    world.far.set(None);
    node.memory().clear();
    for key in 1..=4 {
        assert!(node.get(&key).await.expect("never fails").is_none(), "{key} is older than what was said");
    }
    assert!(node.get(&5).await.expect("never fails").is_some());
    world.pass(Duration::from_secs(1)).await;
    let left =
        [below(&world, 1).await, below(&world, 2).await, below(&world, 3).await, below(&world, 4).await];
    assert_eq!(left.map(|it| it.is_some()), [false, true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_could_not_be_removed_takes_what_waits_along() {
    let world = World::new();
    let node = world.far_node(ttl(600));
    let tagged = Options::new().with_tags(Tags::new(["t"]).expect("legal"));
    world.far.set(Some(DOWN));
    node.insert_with(1, "old".to_owned(), tagged).await.expect("never fails");
    node.insert(2, "old".to_owned()).await.expect("never fails");
    node.remove_tag("t").await.expect("never fails");
    node.remove_pattern(&Pattern::new("9*").expect("legal")).await.expect("never fails");
    node.insert(3, "new".to_owned()).await.expect("never fails");
    world.far.set(None);
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(node.tiers()[0].backlog, 0);
    assert_eq!([below(&world, 1).await, below(&world, 2).await].map(|it| it.is_some()), [false, true]);
    assert_eq!(below(&world, 3).await.as_deref(), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn what_another_process_has_written_meanwhile_is_not_overwritten() {
    let world = World::new();
    // Two ways to the same store, of which only one is cut.
    let store: Arc<dyn cache_core::Store> = Arc::<Chaos>::clone(&world.far);
    let cut = Arc::new(Chaos::new(store));
    let mine = world.build(ttl(600), |builder| builder.tier(world.tier(&cut)));
    let other = world.far_node(ttl(600));
    cut.set(Some(DOWN));
    mine.insert(1, "mine".to_owned()).await.expect("never fails");
    mine.remove(&2).await.expect("never fails");
    world.clock.advance(Duration::from_millis(1));
    other.insert(1, "newer".to_owned()).await.expect("never fails");
    other.insert(2, "newer".to_owned()).await.expect("never fails");
    cut.set(None);
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(mine.tiers()[0].backlog, 0);
    assert_eq!(below(&world, 1).await.as_deref(), Some("newer"));
    assert_eq!(below(&world, 2).await, None, "a removal too many is a miss");
}

#[tokio::test(start_paused = true)]
async fn too_much_to_remember_becomes_the_removal_of_everything() {
    let world = World::new();
    let node = world.far_node(ttl(600));
    node.insert(1, "old".to_owned()).await.expect("never fails");
    world.far.set(Some(DOWN));
    node.remove(&1).await.expect("never fails");
    for key in 10..10_020 {
        node.remove(&key).await.expect("never fails");
    }
    let stats = node.tiers()[0];
    assert_eq!(stats.overflows, 1);
    assert!(stats.backlog < 100, "{stats:?}");
    world.far.set(None);
    world.clock.advance(PAUSE);
    assert!(node.get(&1).await.expect("never fails").is_none());
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(node.tiers()[0].backlog, 0);
    let key = Key::new("users:1").expect("legal");
    assert_eq!(world.far.get(&key).await.expect("memory"), None);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_a_tier_will_never_take_is_no_obstacle_to_others() {
    let world = World::new();
    let node = world.far_node(ttl(600));
    node.insert(1, "old".to_owned()).await.expect("never fails");
    world.far.set(Some(Fault::Fails(ErrorKind::Refused)));
    node.insert(1, "new".to_owned()).await.expect("never fails");
    crate::settle().await;
    world.far.set(None);
    world.pass(Duration::from_secs(1)).await;
    assert_eq!((node.tiers()[0].backlog, below(&world, 1).await), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_cache_repairs_nothing_any_more() {
    let world = World::new();
    let node = world.far_node(ttl(600));
    world.far.set(Some(DOWN));
    node.insert(1, "a".to_owned()).await.expect("never fails");
    drop(node);
    world.pass(Duration::from_secs(2)).await;
    let asked = world.far.operations();
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(world.far.operations(), asked);
}

#[tokio::test(start_paused = true)]
async fn what_waits_does_not_outlive_a_group_that_is_removed_once_the_tier_is_back() {
    let world = World::new();
    let node = world.far_node(ttl(600));
    let tagged = Options::new().with_tags(Tags::new(["t"]).expect("legal"));
    world.far.set(Some(DOWN));
    node.insert_with(1, "old".to_owned(), tagged).await.expect("never fails");
    node.insert(2, "new".to_owned()).await.expect("never fails");
    // It is back before it has been told what it is owed.
    world.far.set(None);
    node.remove_tag("t").await.expect("never fails");
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(node.tiers()[0].backlog, 0);
    assert_eq!(below(&world, 1).await, None, "the removal came after it");
    assert_eq!(below(&world, 2).await.as_deref(), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn what_was_forced_leaves_nothing_older_in_a_tier_that_did_not_take_it() {
    let world = World::new();
    let node = world.far_node(ttl(600));
    node.insert(1, "old".to_owned()).await.expect("never fails");
    world.far.set(Some(DOWN));
    let forced = Options::new().with_force_refresh(true);
    let hit = node.get_or_load(&1, world.loader()).with(forced).await.expect("the loader never fails");
    assert_eq!(hit.as_str(), "load 1");
    behind(&node).await;
    world.far.set(None);
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(below(&world, 1).await, None);
}

#[test]
fn a_tier_is_told_what_it_is_owed_though_the_runtime_is_gone_that_owed_it() {
    let world = World::new();
    let node = world.far_node(ttl(600));
    let insert = async |key: u32| node.insert(key, "a".to_owned()).await.expect("never fails");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    world.far.set(Some(DOWN));
    runtime().expect("a runtime").block_on(insert(1));
    world.far.set(None);
    runtime().expect("a runtime").block_on(async {
        insert(2).await;
        world.pass(Duration::from_secs(1)).await;
    });
    assert_eq!((node.tiers()[0].backlog, node.tiers()[0].repaired), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn while_a_tier_does_not_answer_a_read_without_a_loader_is_answered_by_a_copy_that_may_stand_in() {
    let world = World::new();
    let options = |window| ttl(10).with_fail_safe_for(Duration::from_secs(window));
    let (with, without) = (world.far_node(options(60)), world.far_node(options(0)));
    for node in [&with, &without] {
        node.insert(1, "one".to_owned()).await.expect("never fails");
        node.insert(2, "two".to_owned()).await.expect("never fails");
    }
    world.clock.advance(Duration::from_secs(11));
    assert!(
        with.get(&1).await.expect("never fails").is_none(),
        "what has ended is no answer while the tier says so"
    );

    world.far.set(Some(DOWN));
    with.remove(&2).await.expect("never fails");
    let hit = with.get(&1).await.expect("never fails").expect("the copy");
    assert_eq!((hit.as_str(), hit.stale()), ("one", Some(strata::Stale::Unreachable)));
    let many = with.get_many(&[1, 2, 3]).await.expect("never fails");
    assert_eq!(
        many.iter().map(|hit| hit.as_ref().map(strata::Hit::is_stale)).collect::<Vec<_>>(),
        [Some(true), None, None]
    );
    assert_eq!(with.stats().stale_unreachable, 2);
    assert!(without.get(&1).await.expect("never fails").is_none());

    world.clock.advance(Duration::from_mins(1));
    assert!(with.get(&1).await.expect("never fails").is_none(), "its window is over");
}

#[tokio::test(start_paused = true)]
async fn memory_that_is_a_fallback_answers_only_while_a_tier_does_not() {
    let world = World::new();
    let options = ttl(600).with_fail_safe_for(Duration::from_mins(1));
    let node =
        || world.build(options.clone(), |builder| builder.tier(world.tier(&world.near)).memory_as_fallback());
    let (mine, other) = (node(), node());
    world.get_or_load(&mine, 1).await;
    assert_eq!(source(&world.get_or_load(&mine, 1).await), ("load 1", Source::Tier));
    other.insert(1, "changed".to_owned()).await.expect("never fails");
    assert_eq!(source(&world.get_or_load(&mine, 1).await), ("changed", Source::Tier));
    let found = mine.get(&1).await.expect("never fails").expect("there");
    assert_eq!(source(&found), ("changed", Source::Tier));
    assert!(mine.get_local(&1).is_none(), "memory alone is not asked");

    world.near.set(Some(DOWN));
    let found = mine.get(&1).await.expect("never fails").expect("the copy");
    assert_eq!((found.as_str(), found.stale()), ("changed", Some(strata::Stale::Unreachable)));
    for _ in 0..5 {
        mine.get(&2).await.expect("never fails");
    }
    let before = world.loads.load(SeqCst);
    for _ in 0..100 {
        world.get_or_load(&mine, 3).await;
    }
    assert_eq!(world.loads.load(SeqCst), before + 1, "while the tier is away, the source is asked once");
    world.clock.advance(Duration::from_secs(5));
    world.get_or_load(&mine, 3).await;
    assert_eq!(world.loads.load(SeqCst), before + 2, "and again after five seconds");

    world.near.set(None);
    while mine.tiers()[0].away_for.is_some() || mine.tiers()[0].backlog > 0 {
        world.pass(Duration::from_secs(1)).await;
    }
    world.clock.advance(Duration::from_secs(5));
    other.insert(3, "after".to_owned()).await.expect("never fails");
    assert_eq!(source(&world.get_or_load(&mine, 3).await), ("after", Source::Tier));
    world.clock.advance(Duration::from_mins(1));
    world.near.set(Some(DOWN));
    assert!(mine.get(&1).await.expect("never fails").is_none(), "its window is over");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_is_not_set_up_has_a_thousand_entries() {
    let store = Arc::new(MemoryStore::new(64 << 20));
    let builder = || Cache::<u32, String>::builder("users").framer(Framer::new("user", Raw));
    let options = Options::new().with_fail_safe_for(Duration::from_mins(1));
    let builder_over = builder().tier(Tier::new(store)).options(options);
    let cache = builder_over.memory_as_fallback().build().expect("legal");
    assert_eq!(cache.memory().max_entries(), Some(1000));
    for key in 0..1500 {
        cache.insert(key, key.to_string()).await.expect("never fails");
        cache.get(&0).await.expect("never fails").expect("it is below");
    }
    assert_eq!(cache.memory().len(), 1000);
    let held: Vec<bool> = [0, 1, 1499].map(|key| cache.memory().contains(&key)).into();
    assert_eq!(held, [true, false, true], "what was used last stays");
    let alone = builder().memory_as_fallback().build().expect("legal");
    assert_eq!(alone.memory().max_entries(), Some(10_000));
}
