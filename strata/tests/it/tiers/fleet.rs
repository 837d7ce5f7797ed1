//! Processes that take turns at loading: one load for all, whoever dies, and none the wiser if no lease can be had.

use std::time::Duration;

use async_trait::async_trait;
use cache_core::{Error, ErrorKind, Grant, Key, Lease, Result};
use cache_memory::MemoryLease;
use cache_testkit::chaos::Fault;
use strata::{BuildError, Stale};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

const HOLD: Duration = Duration::from_secs(10);

/// A fleet whose loads wait for a permit.
struct Fleet {
    world: World,
    lease: Arc<dyn Lease>,
    source: Arc<Semaphore>,
}

impl Fleet {
    fn new() -> Self {
        let world = World::new();
        let lease = Arc::new(MemoryLease::new().with_clock(Arc::new(world.clock.clone())));
        Self { world, lease, source: Arc::new(Semaphore::new(0)) }
    }

    fn node(&self, options: Options) -> Cache<u32, String> {
        self.world.build(options, |builder| {
            builder.tier(self.world.tier(&self.world.far)).lease(Arc::clone(&self.lease), HOLD)
        })
    }

    fn ask(&self, node: &Cache<u32, String>) -> JoinHandle<(String, Source, Option<Stale>)> {
        let (node, source, load) = (node.clone(), Arc::clone(&self.source), self.world.loader());
        tokio::spawn(async move {
            let load = || async move {
                source.acquire().await.expect("never closed").forget();
                load().await
            };
            let hit = node.get_or_load(&1, load).await.expect("the loader never fails");
            (hit.as_str().to_owned(), hit.source(), hit.stale())
        })
    }

    /// Has a hundred callers of each of so many processes ask for one key at once, and says how many loads that took.
    async fn ask_hundredfold(&self, nodes: u32) -> u32 {
        let nodes: Vec<_> = (0..nodes).map(|_| self.node(ttl(60))).collect();
        let asked: Vec<_> = nodes.iter().flat_map(|node| (0..100).map(|_| self.ask(node))).collect();
        self.world.pass(Duration::from_secs(1)).await;
        self.source.add_permits(1000);
        self.world.pass(Duration::from_secs(1)).await;
        for asked in asked {
            assert!(asked.await.expect("no panic").0.starts_with("load "));
        }
        self.world.loads.load(SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn a_fleet_loads_a_key_once() {
    assert_eq!(Fleet::new().ask_hundredfold(10).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_load_keeps_its_turn() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.node(ttl(60)), fleet.node(ttl(60)));
    let mine = fleet.ask(&first);
    fleet.world.pass(Duration::from_secs(1)).await;
    let theirs = fleet.ask(&second);
    fleet.world.pass(5 * HOLD).await;
    fleet.source.add_permits(100);
    fleet.world.pass(Duration::from_secs(1)).await;
    assert_eq!(mine.await.expect("no panic").1, Source::Loader);
    assert_eq!(theirs.await.expect("no panic").1, Source::Tier);
}

#[tokio::test(start_paused = true)]
async fn whoever_dies_keeps_others_waiting_no_longer_than_his_lease() {
    let fleet = Fleet::new();
    fleet.source.add_permits(100);
    // A process that took its turn and was never heard of again.
    let key = Key::new("users:1").expect("legal");
    fleet.lease.acquire(&key, HOLD).await.expect("memory").expect("free");
    let asked = fleet.ask(&fleet.node(ttl(60)));
    fleet.world.pass(HOLD * 9 / 10).await;
    assert!(!asked.is_finished());
    fleet.world.pass(Duration::from_secs(2)).await;
    assert_eq!(asked.await.expect("no panic").1, Source::Loader);
}

/// What waits for nobody's turn.
async fn soon<T>(call: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(HOLD / 2, call).await.expect("no turn is held that it would wait for")
}

#[tokio::test(start_paused = true)]
async fn a_turn_ends_with_its_load_however_that_ends() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.node(ttl(60)), fleet.node(ttl(60)));
    let fails = || async { Err::<String, _>(Down(1)) };
    assert!(soon(first.get_or_load(&1, fails)).await.is_err());
    let panics = || async { if true { panic!("as told") } else { Err::<String, _>(Down(1)) } };
    assert!(soon(first.get_or_load(&1, panics)).await.is_err());
    let dropped = fleet.ask(&first);
    crate::settle().await;
    first.close(Duration::ZERO).await;
    fleet.source.add_permits(100);
    crate::settle().await;
    let asked = fleet.ask(&second);
    fleet.world.pass(Duration::from_secs(1)).await;
    assert!(asked.is_finished());
    drop(dropped);
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_given_back_when_its_load_is_written() {
    let fleet = Fleet::new();
    fleet.source.add_permits(100);
    let key = Key::new("users:1").expect("legal");
    let (first, second) = (fleet.node(ttl(60)), fleet.node(ttl(60)));
    assert_eq!(fleet.ask(&first).await.expect("no panic").0, "load 1");
    behind(&first).await;
    let free = fleet.lease.acquire(&key, HOLD).await.expect("memory");
    fleet.lease.release(free.expect("nobody holds it any more")).await.expect("memory");

    // So what is removed is loaded by the next one at once, and not when the turn would have ended.
    first.remove(&1).await.expect("never fails");
    let asked = fleet.ask(&second);
    fleet.world.pass(HOLD / 10).await;
    assert!(asked.is_finished());
    assert_eq!(asked.await.expect("no panic").0, "load 2");
}

#[tokio::test(start_paused = true)]
async fn who_has_a_copy_does_not_wait_for_another_process() {
    let fleet = Fleet::new();
    let options = ttl(60).with_fail_safe_for(Duration::from_mins(10));
    let (first, second) = (fleet.node(options.clone()), fleet.node(options));
    fleet.source.add_permits(1);
    assert_eq!(fleet.ask(&first).await.expect("no panic").0, "load 1");
    assert!(second.get(&1).await.expect("never fails").is_some());
    fleet.world.clock.advance(Duration::from_secs(61));

    let mine = fleet.ask(&first);
    crate::settle().await;
    let theirs = fleet.ask(&second).await.expect("no panic");
    assert_eq!(theirs, ("load 1".to_owned(), Source::Memory, Some(Stale::Refreshing)));
    fleet.source.add_permits(1);
    assert_eq!(mine.await.expect("no panic").0, "load 2");
    behind(&first).await;
    assert_eq!(fleet.ask(&second).await.expect("no panic"), ("load 2".to_owned(), Source::Tier, None));
}

/// Leases that cannot be had.
#[derive(Debug)]
struct Away;

#[async_trait]
impl Lease for Away {
    async fn acquire(&self, _: &Key, _: Duration) -> Result<Option<Grant>> {
        Err(Error::new(ErrorKind::Unavailable, "nowhere", "acquire"))
    }

    async fn renew(&self, _: &Grant, _: Duration) -> Result<bool> {
        Err(Error::new(ErrorKind::Unavailable, "nowhere", "renew"))
    }

    async fn release(&self, _: Grant) -> Result<bool> {
        Err(Error::new(ErrorKind::Unavailable, "nowhere", "release"))
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_lease_can_be_had_everybody_loads() {
    let fleet = Fleet { lease: Arc::new(Away), ..Fleet::new() };
    fleet.source.add_permits(100);
    assert_eq!(fleet.ask(&fleet.node(ttl(60))).await.expect("no panic").1, Source::Loader);
}

#[tokio::test(start_paused = true)]
async fn where_leases_and_tier_are_away_ten_processes_load_once_each() {
    let fleet = Fleet { lease: Arc::new(Away), ..Fleet::new() };
    fleet.world.far.set(Some(Fault::Fails(ErrorKind::Unavailable)));
    assert_eq!(fleet.ask_hundredfold(10).await, 10);
}

/// Leases that nobody answers for.
#[derive(Debug)]
struct Hangs;

#[async_trait]
impl Lease for Hangs {
    async fn acquire(&self, _: &Key, _: Duration) -> Result<Option<Grant>> {
        std::future::pending().await
    }

    async fn renew(&self, _: &Grant, _: Duration) -> Result<bool> {
        std::future::pending().await
    }

    async fn release(&self, _: Grant) -> Result<bool> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_nobody_answers_for_keeps_a_load_for_a_second_and_then_nobody() {
    let fleet = Fleet { lease: Arc::new(Hangs), ..Fleet::new() };
    let node = fleet.node(ttl(60));
    for key in 0..5 {
        let began = Instant::now();
        assert_eq!(fleet.world.get_or_load(&node, key).await.source(), Source::Loader);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }
    let began = Instant::now();
    for key in 100..200 {
        assert_eq!(fleet.world.get_or_load(&node, key).await.source(), Source::Loader);
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_for_a_tier_in_vain_waits_for_nothing_else() {
    let fleet = Fleet { lease: Arc::new(Hangs), ..Fleet::new() };
    let node = fleet.node(ttl(60));
    fleet.world.far.set(Some(Fault::Hangs));
    let began = Instant::now();
    let hit = node.get_or_load(&1, fleet.world.loader()).await.expect("the loader never fails");
    assert_eq!((source(&hit), began.elapsed()), (("load 1", Source::Loader), Duration::from_millis(200)));
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_could_not_be_given_back_is_as_soon_as_it_can_be() {
    /// Leases that cannot be given back so many times.
    #[derive(Debug)]
    struct Sticky(Arc<dyn Lease>, AtomicU32);

    #[async_trait]
    impl Lease for Sticky {
        async fn acquire(&self, key: &Key, ttl: Duration) -> Result<Option<Grant>> {
            self.0.acquire(key, ttl).await
        }

        async fn renew(&self, grant: &Grant, ttl: Duration) -> Result<bool> {
            self.0.renew(grant, ttl).await
        }

        async fn release(&self, grant: Grant) -> Result<bool> {
            let left = self.1.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
            match left {
                Ok(_) => Err(Error::new(ErrorKind::Unavailable, "far away", "release")),
                Err(_) => self.0.release(grant).await,
            }
        }
    }

    let fleet = Fleet::new();
    let sticky: Arc<dyn Lease> = Arc::new(Sticky(Arc::clone(&fleet.lease), AtomicU32::new(3)));
    let fleet = Fleet { lease: sticky, ..fleet };
    fleet.source.add_permits(100);
    fleet.ask(&fleet.node(ttl(60))).await.expect("no panic");
    let key = Key::new("users:1").expect("legal");
    crate::settle().await;
    assert!(fleet.lease.acquire(&key, HOLD).await.expect("memory").is_none(), "it is not given back yet");
    fleet.world.pass(HOLD / 10).await;
    assert!(fleet.lease.acquire(&key, HOLD).await.expect("memory").is_some());
}

#[test]
fn a_lease_without_a_tier_is_refused() {
    let built = Cache::<u32, String>::builder("users").lease(Arc::new(MemoryLease::new()), HOLD).build();
    assert_eq!(built.err(), Some(BuildError::NoTier));
}
