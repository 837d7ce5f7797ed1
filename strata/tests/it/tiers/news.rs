//! Processes on a bus: what one changes no other serves from memory, whatever becomes of the messages.

use std::time::Duration;

use cache_core::{ErrorKind, Store};
use cache_memory::MemoryTransport;
use cache_testkit::chaos::{ChaosTransport, Fault, Way};
use strata::{Bus, CacheKey, KeyWriter, Pattern, Stale, Tags, Wall};

use super::*;

/// Three processes with one tier and a bus, each behind a link of its own.
pub(super) struct Fleet {
    pub(super) world: World,
    pub(super) nodes: Vec<Cache<u32, String>>,
    links: Vec<Arc<ChaosTransport>>,
    buses: Vec<Bus>,
}

impl Fleet {
    pub(super) async fn new(options: Options) -> Self {
        Self::over(options, |world| world.tier(&world.far)).await
    }

    pub(super) async fn over(options: Options, tier: impl Fn(&World) -> Tier) -> Self {
        let (world, transport) = (World::new(), Arc::new(MemoryTransport::new()));
        let link = |_| Arc::new(ChaosTransport::new(Arc::<MemoryTransport>::clone(&transport)));
        let links: Vec<_> = (0..3).map(link).collect();
        let bus = |(at, link): (usize, &Arc<ChaosTransport>)| {
            Bus::builder(Arc::<ChaosTransport>::clone(link))
                .with_seed(at as u64)
                .open()
                .expect("there is a runtime")
        };
        let buses: Vec<_> = links.iter().enumerate().map(bus).collect();
        let node =
            |bus: &Bus| world.build(options.clone(), |builder| builder.tier(tier(&world)).bus(bus.clone()));
        let nodes = buses.iter().map(node).collect();
        let fleet = Self { world, nodes, links, buses };
        fleet.world.pass(Duration::from_secs(3)).await;
        assert!(fleet.buses.iter().all(Bus::is_whole));
        fleet
    }

    /// What the others answer from memory.
    pub(super) fn held(&self, key: u32) -> [Option<String>; 2] {
        [1, 2].map(|node: usize| self.nodes[node].get_local(&key).map(|hit| hit.as_str().to_owned()))
    }

    pub(super) async fn fill(&self, keys: impl IntoIterator<Item = u32>) {
        for key in keys {
            let tags = Options::new().with_tags(Tags::new([format!("t{key}")]).expect("legal"));
            self.nodes[0].insert_with(key, "old".to_owned(), tags).await.expect("never fails");
            self.world.pass(Duration::from_millis(50)).await;
            for node in &self.nodes[1..] {
                assert!(node.get(&key).await.expect("never fails").is_some());
            }
            assert_eq!(self.held(key).map(|held| held.is_some()), [true, true]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_process_changes_no_other_holds_on_to() {
    let fleet = Fleet::new(ttl(600)).await;
    let mine = &fleet.nodes[0];
    let gone = async |key: u32| {
        fleet.world.pass(Duration::from_millis(50)).await;
        assert_eq!(fleet.held(key), [None, None], "{key}");
    };
    fleet.fill(1..=9).await;
    mine.insert(1, "new".to_owned()).await.expect("never fails");
    gone(1).await;
    assert_eq!(fleet.nodes[2].get(&1).await.expect("never fails").expect("below").as_str(), "new");
    mine.remove(&2).await.expect("never fails");
    gone(2).await;
    mine.remove_tag("t3").await.expect("never fails");
    gone(3).await;
    mine.remove_prefix(&4).await.expect("never fails");
    gone(4).await;
    mine.remove_pattern(&Pattern::new("5").expect("legal")).await.expect("never fails");
    gone(5).await;
    mine.expire(&6).await.expect("never fails");
    gone(6).await;
    let forced = Options::new().with_force_refresh(true);
    mine.get_or_load(&7, fleet.world.loader()).with(forced).await.expect("the loader never fails");
    gone(7).await;
    mine.remove_many(&[8]).await.expect("never fails");
    gone(8).await;
    assert_eq!(fleet.held(9).map(|held| held.is_some()), [true, true], "nothing else was meant");
    mine.clear().await.expect("never fails");
    gone(9).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_expired_elsewhere_may_still_stand_in() {
    let fleet = Fleet::new(ttl(600).with_fail_safe_for(Duration::from_hours(1))).await;
    fleet.fill([1, 2]).await;
    fleet.nodes[0].expire(&1).await.expect("never fails");
    fleet.nodes[0].remove(&2).await.expect("never fails");
    fleet.world.pass(Duration::from_millis(50)).await;
    let down = || async { Err::<String, _>(Down(1)) };
    let hit = fleet.nodes[1].get_or_load(&1, down).await.expect("a copy stands in");
    assert_eq!((hit.as_str(), hit.stale()), ("old", Some(Stale::Failed)));
    assert!(fleet.nodes[1].get_or_load(&2, down).await.is_err(), "what was removed is gone");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_another_process_has_overtaken_is_not_kept() {
    let fleet = Fleet::new(ttl(600)).await;
    let (answer, answered) = tokio::sync::oneshot::channel();
    let load = || async { answered.await.map_err(|_| Down(0)) };
    let asked = tokio::spawn({
        let node = fleet.nodes[1].clone();
        async move { node.get_or_load(&1, load).await.expect("the loader never fails") }
    });
    crate::settle().await;
    fleet.nodes[0].insert(1, "new".to_owned()).await.expect("never fails");
    fleet.world.pass(Duration::from_millis(50)).await;
    answer.send("old".to_owned()).expect("the loader waits");
    assert_eq!(asked.await.expect("no panic").as_str(), "old");
    behind(&fleet.nodes[1]).await;
    for node in &fleet.nodes {
        assert_eq!(node.get(&1).await.expect("never fails").expect("there").as_str(), "new");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_cut_off_answers_nothing_that_it_cannot_know_for_long() {
    let fleet = Fleet::new(ttl(600)).await;
    fleet.fill([1, 2]).await;
    fleet.links[1].set_in(Way::Lost);
    fleet.nodes[0].insert(1, "new".to_owned()).await.expect("never fails");
    // Until it notices: the silence that the bus bears, and a heartbeat.
    fleet.world.pass(Duration::from_secs(4)).await;
    assert!(!fleet.buses[1].is_whole());
    assert_eq!(fleet.held(1), [None, None]);
    assert_eq!(fleet.held(2), [None, Some("old".to_owned())], "who hears all holds on to what it has");

    // Cut off, it goes on with what the tier says, and asks again after a while.
    let node = &fleet.nodes[1];
    assert_eq!(node.get(&2).await.expect("never fails").expect("below").as_str(), "old");
    fleet.nodes[0].insert(2, "new".to_owned()).await.expect("never fails");
    fleet.world.pass(Duration::from_secs(4)).await;
    assert_eq!(node.get(&2).await.expect("never fails").expect("there").as_str(), "old", "nobody could tell");
    fleet.world.pass(Duration::from_secs(1)).await;
    assert_eq!(node.get(&2).await.expect("never fails").expect("below").as_str(), "new");

    fleet.nodes[0].insert(2, "newest".to_owned()).await.expect("never fails");
    fleet.links[1].set_in(Way::Open);
    fleet.world.pass(Duration::from_secs(2)).await;
    assert!(fleet.buses[1].is_whole());
    assert_eq!(fleet.held(2)[0], None, "what it stored meanwhile is not believed");
    assert_eq!(node.get(&2).await.expect("never fails").expect("below").as_str(), "newest");
    fleet.world.pass(Duration::from_mins(1)).await;
    assert_eq!(fleet.held(2)[0].as_deref(), Some("newest"), "and from now on it holds on to it");
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_heard_and_goes_on_changing_is_believed_no_longer_than_anybody() {
    let fleet = Fleet::new(ttl(600)).await;
    fleet.fill([1]).await;
    // It reaches the tier, and what it says on the bus does not arrive.
    fleet.links[0].set_out(Way::Lost);
    for version in 0..10 {
        fleet.nodes[0].insert(1, version.to_string()).await.expect("never fails");
        // The silence that the bus bears, and a heartbeat.
        fleet.world.pass(Duration::from_secs(4)).await;
        assert!(fleet.buses[1].is_whole());
        for node in &fleet.nodes[1..] {
            let read = node.get(&1).await.expect("never fails").expect("below");
            assert_eq!(read.as_str(), version.to_string());
        }
    }
    // Whoever never comes back is given up: what is read is held on to again.
    fleet.world.pass(Duration::from_mins(1)).await;
    for node in &fleet.nodes[1..] {
        assert!(node.get(&1).await.expect("never fails").is_some());
    }
    fleet.world.pass(Duration::from_mins(1)).await;
    assert_eq!(fleet.held(1).map(|held| held.is_some()), [true, true]);
}

#[tokio::test(start_paused = true)]
async fn what_a_tier_is_told_late_the_others_are_told_again() {
    let fleet = Fleet::new(ttl(600)).await;
    fleet.fill([1, 2]).await;
    // Only this process does not reach the tier.
    let cut = Arc::new(cache_testkit::chaos::Chaos::new(Arc::<Chaos>::clone(&fleet.world.far)));
    let mine = fleet
        .world
        .build(ttl(600), |builder| builder.tier(fleet.world.tier(&cut)).bus(fleet.buses[0].clone()));
    cut.set(Some(Fault::Fails(ErrorKind::Unavailable)));
    mine.insert(1, "new".to_owned()).await.expect("never fails");
    mine.remove_tag("t2").await.expect("never fails");
    fleet.world.pass(Duration::from_millis(50)).await;
    for key in [1, 2] {
        assert_eq!(fleet.held(key), [None, None]);
        // The tier does not know better yet.
        assert_eq!(fleet.nodes[1].get(&key).await.expect("never fails").expect("below").as_str(), "old");
    }
    cut.set(None);
    fleet.world.pass(Duration::from_secs(1)).await;
    assert_eq!(fleet.held(1), [None, None]);
    assert!(fleet.nodes[1].get(&1).await.expect("never fails").is_none(), "what was older is gone");
    assert!(fleet.nodes[1].get(&2).await.expect("never fails").is_none());
}

#[tokio::test(start_paused = true)]
async fn among_others_nothing_is_written_late_whatever_the_clocks_say() {
    let fleet = Fleet::new(ttl(600)).await;
    let cut = Arc::new(cache_testkit::chaos::Chaos::new(Arc::<Chaos>::clone(&fleet.world.far)));
    // Its wall clock is an hour ahead, so all of its versions are the newest.
    let hour = || Wall::from_unix_millis(3_600_000);
    let mine = fleet.world.build(ttl(600), |builder| {
        builder.tier(fleet.world.tier(&cut)).bus(fleet.buses[0].clone()).wall_clock(hour)
    });
    cut.set(Some(Fault::Fails(ErrorKind::Unavailable)));
    for key in [1, 2] {
        mine.insert(key, "mine".to_owned()).await.expect("never fails");
    }
    fleet.world.pass(Duration::from_millis(50)).await;
    fleet.nodes[1].insert(1, "newer".to_owned()).await.expect("never fails");
    fleet.world.pass(Duration::from_millis(50)).await;
    cut.set(None);
    fleet.world.pass(Duration::from_secs(1)).await;
    assert_eq!(mine.tiers()[0].backlog, 0);
    let found = fleet.nodes[2].get_many(&[1, 2]).await.expect("never fails");
    let found: Vec<_> = found.iter().map(|hit| hit.as_ref().map(|hit| hit.as_str())).collect();
    assert_eq!(found, [None, None]);
    assert_eq!(mine.get_local(&2).expect("it is the newest").as_str(), "mine");
}

#[tokio::test(start_paused = true)]
async fn clocks_that_are_apart_change_nothing() {
    for apart in [5_000, 3_600_000] {
        let fleet = Fleet::new(ttl(600)).await;
        let node = |bus: &Bus, wall: u64| {
            fleet.world.build(ttl(600), |builder| {
                let builder = builder.tier(fleet.world.tier(&fleet.world.far)).bus(bus.clone());
                builder.wall_clock(move || Wall::from_unix_millis(10_000_000 + wall))
            })
        };
        let behind_and_ahead = [(0, apart), (apart, 0)];
        for (mine, other) in behind_and_ahead {
            let (mine, other) = (node(&fleet.buses[1], mine), node(&fleet.buses[2], other));
            let there = async |node: &Cache<u32, String>, key: u32| {
                node.get(&key).await.expect("never fails").map(|hit| hit.as_str().to_owned())
            };
            let tagged = Options::new().with_tags(Tags::new(["t"]).expect("legal"));
            mine.insert_with(1, "tagged".to_owned(), tagged).await.expect("never fails");
            assert!(other.get(&1).await.expect("never fails").is_some());
            fleet.world.pass(Duration::from_secs(1)).await;
            other.remove_tag("t").await.expect("never fails");
            fleet.world.pass(Duration::from_millis(50)).await;
            assert_eq!((there(&mine, 1).await, there(&other, 1).await), (None, None));

            mine.insert(2, "first".to_owned()).await.expect("never fails");
            fleet.world.pass(Duration::from_millis(50)).await;
            other.insert(2, "second".to_owned()).await.expect("never fails");
            fleet.world.pass(Duration::from_millis(50)).await;
            let second = Some("second".to_owned());
            assert_eq!((there(&mine, 2).await, there(&other, 2).await), (second.clone(), second));
            other.remove(&2).await.expect("never fails");
            fleet.world.pass(Duration::from_millis(50)).await;
            assert_eq!((there(&mine, 2).await, there(&other, 2).await), (None, None));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_message_that_comes_late_moves_nothing_back() {
    use cache_invalidation::{Action, Event, Target};

    let fleet = Fleet::new(ttl(600)).await;
    fleet.nodes[0].insert(1, "new".to_owned()).await.expect("never fails");
    fleet.world.pass(Duration::from_millis(50)).await;
    assert!(fleet.nodes[1].get(&1).await.expect("never fails").is_some());
    for action in [Action::Expire, Action::Remove] {
        let late = Event::new("users", Target::Key("users:1".to_owned()), action).expect("legal");
        fleet.buses[2].publish(late.with_version(1)).await;
        fleet.world.pass(Duration::from_millis(50)).await;
        assert_eq!(fleet.nodes[1].get(&1).await.expect("never fails").expect("below").as_str(), "new");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tier_of_ones_own_is_told_what_others_change_and_not_read_in_doubt() {
    let fleet = Fleet::new(ttl(600)).await;
    let own = Arc::new(Chaos::new(Arc::new(
        MemoryStore::new(1 << 20).with_clock(Arc::new(fleet.world.clock.clone())),
    )));
    let node = fleet.world.build(ttl(600), |builder| {
        let far = fleet.world.tier(&fleet.world.far);
        builder.tier(far).tier(fleet.world.tier(&own).local()).bus(fleet.buses[1].clone())
    });
    let mine = &fleet.nodes[0];
    let found = async |key: u32| {
        node.memory().clear();
        node.get(&key).await.expect("never fails").map(|hit| hit.as_str().to_owned())
    };
    for key in 1..=4 {
        node.insert(key, "old".to_owned()).await.expect("never fails");
    }
    // The shared tier forgets everything: only that of its own is left.
    fleet.world.far.remove_prefix("").await.expect("memory");
    assert_eq!(found(1).await.as_deref(), Some("old"));
    fleet.world.far.remove_prefix("").await.expect("memory");
    mine.remove(&1).await.expect("never fails");
    mine.insert(2, "new".to_owned()).await.expect("never fails");
    fleet.world.pass(Duration::from_millis(100)).await;
    assert_eq!((found(1).await, found(2).await.as_deref()), (None, Some("new")));
    fleet.world.far.remove_prefix("").await.expect("memory");
    assert_eq!((found(2).await, found(3).await.as_deref()), (None, Some("old")));

    fleet.world.far.remove_prefix("").await.expect("memory");
    fleet.links[1].set_in(Way::Lost);
    fleet.world.pass(Duration::from_secs(4)).await;
    assert_eq!(found(4).await, None, "nobody knows whether it still holds");
    fleet.links[1].set_in(Way::Open);
    fleet.world.pass(Duration::from_secs(2)).await;
    assert!(fleet.buses[1].is_whole());
    assert_eq!(found(4).await, None, "nor what was there while nothing was heard");
}

#[tokio::test(start_paused = true)]
async fn processes_without_a_tier_drop_what_others_change() {
    let fleet = Fleet::new(ttl(600)).await;
    let node = |bus: &Bus| fleet.world.build(ttl(600), |builder| builder.bus(bus.clone()));
    let (mine, other) = (node(&fleet.buses[0]), node(&fleet.buses[1]));
    for changed in 1..=2 {
        other.insert(changed, "old".to_owned()).await.expect("never fails");
        fleet.world.pass(Duration::from_millis(50)).await;
        assert!(other.get_local(&changed).is_some());
        match changed {
            1 => drop(mine.insert(changed, "new".to_owned()).await.expect("never fails")),
            _ => drop(mine.remove(&changed).await.expect("never fails")),
        }
        fleet.world.pass(Duration::from_millis(50)).await;
        assert!(other.get_local(&changed).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_read_back_is_found_all_the_same() {
    #[derive(Clone, PartialEq, Eq, Hash)]
    struct Opaque(u32);

    impl CacheKey for Opaque {
        fn write(&self, out: &mut KeyWriter) {
            out.push(format_args!("<{}>", self.0));
        }
    }

    let fleet = Fleet::new(ttl(600)).await;
    let node =
        |bus: &Bus, name: &str| Cache::<Opaque, u32>::builder(name).bus(bus.clone()).build().expect("legal");
    let (mine, other) = (node(&fleet.buses[0], "opaque"), node(&fleet.buses[1], "opaque"));
    let unrelated = node(&fleet.buses[1], "unrelated");
    for cache in [&other, &unrelated] {
        cache.insert(Opaque(1), 1).await.expect("never fails");
        cache.insert(Opaque(2), 2).await.expect("never fails");
    }
    fleet.world.pass(Duration::from_millis(50)).await;
    mine.remove(&Opaque(1)).await.expect("never fails");
    fleet.world.pass(Duration::from_millis(50)).await;
    let left = |cache: &Cache<Opaque, u32>| [1, 2].map(|key| cache.get_local(&Opaque(key)).is_some());
    assert_eq!((left(&other), left(&unrelated)), ([false, true], [true, true]));
}

#[tokio::test(start_paused = true)]
async fn of_two_who_write_at_once_nobody_holds_on_to_what_the_other_has_overwritten() {
    let fleet = Fleet::new(ttl(600)).await;
    let (near, far) = (&fleet.world.near, &fleet.world.far);
    let mine = fleet.world.build(ttl(600), |builder| {
        let own = fleet.world.tier(near).local();
        builder.tier(own).tier(fleet.world.tier(far)).bus(fleet.buses[1].clone())
    });
    // What this one writes is in the shared tier, and not yet in its own.
    near.set_only("put", Fault::Waits);
    let insert = tokio::spawn({
        let node = mine.clone();
        async move { node.insert(1, "first".to_owned()).await }
    });
    crate::settle().await;
    fleet.nodes[0].insert(1, "second".to_owned()).await.expect("never fails");
    fleet.world.pass(Duration::from_millis(50)).await;
    assert!(!insert.is_finished());
    near.set(None);
    insert.await.expect("no panic").expect("never fails");
    fleet.world.pass(Duration::from_secs(1)).await;
    for node in [&mine, &fleet.nodes[0], &fleet.nodes[2]] {
        assert_eq!(node.get(&1).await.expect("never fails").expect("below").as_str(), "second");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_and_touches_what_he_has_holds_on_to_it_no_longer() {
    let fleet = Fleet::new(ttl(600)).await;
    fleet.links[1].set_in(Way::Lost);
    fleet.world.pass(Duration::from_secs(4)).await;
    fleet.nodes[1].insert(1, "old".to_owned()).await.expect("never fails");
    fleet.nodes[0].insert(1, "new".to_owned()).await.expect("never fails");
    assert!(fleet.nodes[1].touch(&1, Ttl::from_secs(600)).await.expect("never fails"));
    fleet.world.pass(Duration::from_secs(5)).await;
    assert_eq!(fleet.nodes[1].get(&1).await.expect("never fails").expect("below").as_str(), "new");
}

#[tokio::test(start_paused = true)]
async fn a_life_of_zero_is_a_removal_that_others_are_told_of() {
    let fleet = Fleet::new(ttl(600)).await;
    fleet.fill([1]).await;
    fleet.nodes[0].touch(&1, Ttl::ZERO).await.expect("never fails");
    fleet.world.pass(Duration::from_millis(50)).await;
    assert_eq!(fleet.held(1), [None, None]);
}

#[tokio::test(start_paused = true)]
async fn what_a_tier_of_ones_own_is_told_is_nobodys_news() {
    let fleet = Fleet::new(ttl(600)).await;
    let node = |bus: &Bus| {
        let own = Arc::new(MemoryStore::new(1 << 20).with_clock(Arc::new(fleet.world.clock.clone())));
        let own = Tier::from(own).without_guards().local();
        fleet.world.build(ttl(600), |builder| {
            builder.tier(own).tier(fleet.world.tier(&fleet.world.far)).bus(bus.clone())
        })
    };
    let nodes = [node(&fleet.buses[0]), node(&fleet.buses[1])];
    nodes[0].insert(1, "a".to_owned()).await.expect("never fails");
    fleet.world.pass(Duration::from_secs(1)).await;
    assert_eq!([0, 1].map(|bus: usize| fleet.buses[bus].stats().published), [1, 0]);
    assert_eq!(nodes[1].get(&1).await.expect("never fails").expect("below").as_str(), "a");
}
