//! The consistency monitor: it finds what memory and a tier disagree about, says for how long, and disturbs nobody.

use std::num::NonZeroU32;
use std::sync::atomic::AtomicU64;

use cache_core::Store;
use strata::{BuildError, Disagreement, Finding, Monitor};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Ten looks a second, two at a time.
fn monitor() -> Monitor {
    Monitor::new().with_looks_per_second(NonZeroU32::new(10).expect("not zero"))
}

impl World {
    /// A process with the second tier and a monitor.
    fn watched(&self, options: Options, monitor: Monitor) -> Cache<u32, String> {
        self.build(options, |builder| builder.tier(self.tier(&self.far)).monitor(monitor))
    }
}

fn found(cache: &Cache<u32, String>, finding: Finding) -> u64 {
    cache.consistency()[0].found(finding)
}

#[track_caller]
fn only(cache: &Cache<u32, String>) -> Disagreement<u32> {
    let open = cache.disagreements(0);
    assert_eq!(open.len(), 1, "{open:?}");
    open[0]
}

#[tokio::test(start_paused = true)]
async fn what_is_written_behind_a_caches_back_is_found_and_lasts_until_it_is_repaired() {
    let world = World::new();
    let (watched, other) = (world.watched(ttl(600), monitor()), world.far_node(ttl(600)));
    for key in 0..5 {
        watched.insert(key, "old".to_owned()).await.expect("never fails");
    }
    world.pass(SECOND * 10).await;
    let seen = watched.consistency()[0];
    assert!(seen.samples() >= 50, "{seen:?}");
    assert_eq!((seen.disagreements(), seen.found(Finding::Agrees)), (0, seen.samples()));

    // No bus tells of it.
    other.insert(3, "new".to_owned()).await.expect("never fails");
    let planted = world.clock.now();
    world.pass(SECOND * 5).await;
    let open = only(&watched);
    assert_eq!((open.key, open.finding), (3, Finding::Older));
    let late = open.since.since(planted);
    assert!(late < SECOND * 5, "it was found {late:?} after it began");
    assert_eq!(watched.get_local(&3).expect("still there").as_str(), "old", "a monitor repairs nothing");

    world.pass(SECOND * 60).await;
    let repaired = world.clock.now();
    watched.expire(&3).await.expect("never fails");
    world.pass(SECOND).await;
    let seen = watched.consistency()[0];
    assert_eq!((seen.open, seen.ended), (0, 1));
    let lasted = repaired.since(open.since);
    assert!(seen.longest >= lasted && seen.longest <= lasted + SECOND / 2, "{seen:?}, and it was {lasted:?}");
    assert_eq!((seen.p50, seen.p99), (seen.longest, seen.longest));
}

#[tokio::test(start_paused = true)]
async fn it_is_said_how_they_disagree() {
    let world = World::new();
    let (watched, other) = (world.watched(ttl(600), monitor()), world.far_node(ttl(600)));
    for key in 1..=5 {
        watched.insert(key, "old".to_owned()).await.expect("never fails");
    }
    let key = |key: u32| cache_core::Key::new(format!("users:{key}")).expect("legal");
    let before = world.far.get_many(&[key(4)]).await.expect("memory").pop().flatten().expect("there");
    world.clock.advance(SECOND);
    other.insert(1, "new".to_owned()).await.expect("never fails");
    other.insert(2, "old".to_owned()).await.expect("never fails");
    other.remove(&3).await.expect("never fails");
    watched.insert(4, "new".to_owned()).await.expect("never fails");
    world.far.put_many(vec![(key(4), before)]).await.expect("memory");
    world.far.put_many(vec![(key(5), cache_core::Entry::new("no frame"))]).await.expect("memory");
    watched.compare_all().await;
    let mut open: Vec<_> = watched.disagreements(0).into_iter().map(|it| (it.key, it.finding)).collect();
    open.sort_unstable();
    let expected = [(1, Finding::Older), (3, Finding::Missing), (4, Finding::Newer), (5, Finding::Missing)];
    assert_eq!(open, expected);
    assert_eq!(
        found(&watched, Finding::Alike),
        1,
        "another write of the same value is none of the same write"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_loaded_and_what_is_found_below_agree_with_it() {
    let world = World::new();
    let (watched, other) = (world.watched(ttl(600), monitor()), world.far_node(ttl(600)));
    world.get_or_load(&watched, 1).await;
    world.get_or_load(&other, 2).await;
    assert_eq!(source(&world.get_or_load(&watched, 2).await), ("load 2", Source::Tier));
    assert!(watched.touch(&1, Ttl::from_secs(900)).await.expect("never fails"));
    watched.compare_all().await;
    assert_eq!((found(&watched, Finding::Agrees), watched.consistency()[0].samples()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_the_tier_refuses_is_known_to_be_older_whatever_the_clocks_say() {
    let world = World::new();
    let (watched, other) = (world.watched(ttl(600), monitor()), world.far_node(ttl(600)));
    let (answer, answered) = tokio::sync::oneshot::channel();
    let load = || async { answered.await.map_err(|_| Down(0)) };
    let asked = tokio::spawn({
        let watched = watched.clone();
        async move { watched.get_or_load(&1, load).await.expect("the loader never fails") }
    });
    crate::settle().await;
    other.insert(1, "new".to_owned()).await.expect("never fails");
    world.pass(SECOND).await;
    answer.send("old".to_owned()).expect("the loader waits");
    assert_eq!(asked.await.expect("no panic").as_str(), "old");
    behind(&watched).await;
    watched.compare_all().await;
    assert_eq!(only(&watched).finding, Finding::Older);
}

#[tokio::test(start_paused = true)]
async fn a_look_disturbs_nobody() {
    let world = World::new();
    let watched = world.build(ttl(60), |builder| {
        builder.tier(world.tier(&world.near)).tier(world.tier(&world.far)).monitor(monitor())
    });
    for key in 1..=20 {
        watched.insert(key, "kept".to_owned()).await.expect("never fails");
    }
    // In the second tier alone: who reads it writes it to the first one, and a look does not.
    let key = cache_core::Key::new("users:1").expect("legal");
    world.near.remove_many(std::slice::from_ref(&key)).await.expect("memory");
    let (stats, tiers) = (watched.stats(), watched.tiers());
    let codec = watched.framer().expect("there are tiers").stats();
    world.pass(SECOND * 30).await;
    watched.compare_all().await;
    assert!(watched.consistency().iter().all(|seen| seen.samples() > 10));
    assert_eq!(watched.consistency()[0].open, 1);
    assert!(world.near.get_many(&[key]).await.expect("memory")[0].is_none(), "nothing is promoted");
    assert_eq!((watched.stats(), watched.tiers()), (stats, tiers), "nothing is counted");
    assert_eq!(watched.framer().expect("there are tiers").stats(), codec);
    assert_eq!(watched.ttl(&1).await.expect("never fails"), Some(Ttl::from_secs(30)), "no life is longer");
    world.pass(SECOND * 31).await;
    assert!(watched.get(&1).await.expect("never fails").is_none());
    assert_eq!(watched.consistency()[0].open, 0, "what is gone disagrees with nothing");
}

#[tokio::test(start_paused = true)]
async fn a_look_is_no_use() {
    let world = World::new();
    let memory = Memory::new()
        .with_max_entries(100)
        .with_policy(strata::Policy::Lru)
        .with_shards(1)
        .with_clock(Arc::new(world.clock.clone()))
        .with_sweep_every(None);
    let setup = |builder: Builder<u32, String>| {
        builder.memory(memory).tier(world.tier(&world.far)).monitor(monitor())
    };
    let watched = world.build(ttl(60), setup);
    for key in 0..100 {
        watched.insert(key, "kept".to_owned()).await.expect("never fails");
    }
    for _ in 0..10 {
        watched.compare_all().await;
    }
    watched.insert(100, "one more".to_owned()).await.expect("never fails");
    assert!(
        watched.peek(&0).is_none() && watched.peek(&1).is_some(),
        "the oldest goes, though it was looked at"
    );
}

#[tokio::test(start_paused = true)]
async fn its_looks_are_bounded_and_so_is_what_it_follows() {
    let world = World::new();
    let few = monitor().with_max_followed(3);
    let (watched, other) = (world.watched(ttl(6000), few), world.far_node(ttl(6000)));
    for key in 0..50 {
        watched.insert(key, "old".to_owned()).await.expect("never fails");
    }
    world.clock.advance(SECOND);
    for key in 0..50 {
        other.insert(key, "new".to_owned()).await.expect("never fails");
    }
    let before = world.far.operations();
    world.pass(SECOND * 60).await;
    let seen = watched.consistency()[0];
    // Every fifth of a second those that are followed, and those that were chosen.
    assert!(world.far.operations() - before <= 2 * 5 * 60, "{} reads", world.far.operations() - before);
    assert!(seen.samples() <= 10 * 60 && seen.samples() >= 4 * 60, "{seen:?}");
    assert_eq!((seen.open, watched.disagreements(0).len()), (3, 3));
    assert!(seen.unfollowed > 0 && seen.found(Finding::Older) == seen.samples());
}

#[tokio::test(start_paused = true)]
async fn a_tier_that_fails_is_no_disagreement() {
    let world = World::new();
    let watched = world.watched(ttl(600), monitor());
    watched.insert(1, "kept".to_owned()).await.expect("never fails");
    world.far.set(Some(cache_testkit::chaos::Fault::Fails(cache_core::ErrorKind::Unavailable)));
    watched.compare_all().await;
    let seen = watched.consistency()[0];
    assert_eq!((seen.samples(), seen.unanswered, seen.open), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_cache_and_is_there_only_if_asked_for() {
    let world = World::new();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let plain = world.far_node(ttl(60));
    assert_eq!(tasks(), before);
    plain.compare_all().await;
    assert_eq!((plain.consistency(), plain.disagreements(0)), (vec![], vec![]));
    let watched = world.watched(ttl(60), monitor());
    assert_eq!((tasks(), watched.disagreements(1)), (before + 1, vec![]));
    drop(watched);
    world.pass(SECOND).await;
    assert_eq!(tasks(), before);
    let closed = world.watched(ttl(60), monitor());
    closed.close(Duration::ZERO).await;
    world.pass(SECOND).await;
    assert_eq!(tasks(), before);
}

#[test]
fn without_a_tier_or_a_runtime_it_is_refused() {
    let refused = Cache::<u32, String>::builder("users").monitor(monitor()).build().map(drop);
    assert_eq!(refused, Err(BuildError::NothingToCompare));
    let store = Arc::new(MemoryStore::new(1 << 20));
    let builder = Cache::<u32, String>::builder("users").framer(Framer::new("user", Raw)).tier(store);
    assert_eq!(builder.monitor(monitor()).build().map(drop), Err(BuildError::NoRuntime));
}

#[tokio::test(start_paused = true)]
async fn on_demand_it_looks_only_when_it_is_told_to() {
    let world = World::new();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let watched = world.watched(ttl(600), Monitor::on_demand());
    assert_eq!(tasks(), before);
    watched.insert(1, "kept".to_owned()).await.expect("never fails");
    world.pass(SECOND * 10).await;
    assert_eq!(watched.consistency()[0].samples(), 0);
    watched.compare_all().await;
    assert_eq!(found(&watched, Finding::Agrees), 1);
}

/// Reads of another thread pass while everything is compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_is_compared_while_others_change_it() {
    let store = Arc::new(MemoryStore::new(64 << 20));
    let cache: Cache<u32, String> = Cache::builder("users")
        .framer(Framer::new("user", Raw))
        .tier(Tier::new(store).without_guards())
        .monitor(monitor())
        .build()
        .expect("legal");
    let writes = Arc::new(AtomicU64::new(0));
    let task = tokio::spawn({
        let (cache, writes) = (cache.clone(), Arc::clone(&writes));
        async move {
            for round in 0..200 {
                for key in 0..20 {
                    cache.insert(key, format!("{round}")).await.expect("never fails");
                    writes.fetch_add(1, SeqCst);
                }
            }
        }
    });
    while !task.is_finished() {
        cache.compare_all().await;
    }
    task.await.expect("no panic");
    cache.compare_all().await;
    let seen = cache.consistency()[0];
    assert_eq!((writes.load(SeqCst), seen.open), (4000, 0), "in the end all agree: {seen:?}");
    assert!(seen.found(Finding::Agrees) >= 20);
}
