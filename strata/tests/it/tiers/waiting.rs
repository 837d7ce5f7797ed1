//! Who waits for what somebody else makes is woken by what happens to the key: in these tests time moves only when nothing else can.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{Grant, Key, Lease, Result};
use cache_memory::{MemoryLease, MemoryTransport};
use cache_testkit::chaos::Fault;
use strata::{Bus, Inserted, LeaseToken, Leased};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

/// No multiple of any pause, so that who looks now and then comes late.
const HOLD: Duration = Duration::from_millis(3_600_037);
/// Longer than anything else takes: who is not woken by what happens has slept for hours when he comes.
const WAIT: Duration = Duration::from_hours(100);
/// Who waits for another process without news looks so often.
const REST: Duration = Duration::from_millis(100);
const CALLERS: usize = 20;

async fn won(cache: &Cache<u32, String>) -> LeaseToken {
    match cache.get_or_lease(&1, HOLD).await.expect("no tier fails") {
        Leased::Won { token, .. } => token,
        other => panic!("{other:?}"),
    }
}

fn wait(cache: &Cache<u32, String>) -> JoinHandle<Leased<String>> {
    let cache = cache.clone();
    tokio::spawn(async move {
        match cache.get_or_lease(&1, HOLD).await.expect("no tier fails") {
            Leased::Held { stale: None } => cache.wait_or_lease(&1, HOLD, WAIT).await.expect("no tier fails"),
            leased => leased,
        }
    })
}

fn crowd(cache: &Cache<u32, String>) -> Vec<JoinHandle<Leased<String>>> {
    (0..CALLERS).map(|_| wait(cache)).collect()
}

/// What they are all answered, and no time has passed.
async fn all_have(crowd: Vec<JoinHandle<Leased<String>>>, value: &str) {
    let began = Instant::now();
    for waits in crowd {
        match waits.await.expect("no panic") {
            Leased::Hit(hit) => assert_eq!((hit.as_str(), hit.is_stale()), (value, false)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "woken by the time");
}

/// The one who has the lease now, and the others.
async fn winner(mut crowd: Vec<JoinHandle<Leased<String>>>) -> (LeaseToken, Vec<JoinHandle<Leased<String>>>) {
    let began = Instant::now();
    let (first, at, _) = futures_util::future::select_all(&mut crowd).await;
    drop(crowd.remove(at));
    let Leased::Won { token, stale: None } = first.expect("no panic") else { panic!("one wins") };
    assert_eq!(began.elapsed(), Duration::ZERO, "woken by the time");
    crate::settle().await;
    assert!(crowd.iter().all(|waits| !waits.is_finished()), "one wins, and nobody else");
    (token, crowd)
}

async fn fill(cache: &Cache<u32, String>, token: &LeaseToken, value: &str) -> Inserted {
    let filled = cache.insert_leased(token, 1, value.to_owned(), Options::new()).await;
    filled.expect("no tier fails")
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_woken_by_a_value_or_a_lease_and_counts_as_one_read() {
    let world = World::new();
    let cache = world.build(ttl(60), |builder| builder);
    let token = won(&cache).await;
    let waits = crowd(&cache);
    crate::settle().await;
    assert_eq!(fill(&cache, &token, "made").await, Inserted::Stored);
    all_have(waits, "made").await;

    cache.remove(&1).await.expect("memory");
    let token = won(&cache).await;
    let waits = crowd(&cache);
    crate::settle().await;
    // What is of no use to them wakes them for another look, and no more.
    cache.remove(&1).await.expect("memory");
    cache.expire(&1).await.expect("memory");
    assert_eq!(fill(&cache, &token, "old").await, Inserted::Refused);
    let (token, waits) = winner(waits).await;
    assert!(cache.release(&token, &1).await.expect("memory"));
    let (_, waits) = winner(waits).await;
    cache.insert(1, "by another way".to_owned()).await.expect("memory");
    all_have(waits, "by another way").await;

    let stats = cache.stats().memory;
    assert_eq!((stats.hits, stats.misses), (0, 2 * (1 + CALLERS as u64)));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_lease_wakes_one_at_a_time() {
    let world = World::new();
    let cache = world.build(ttl(60), |builder| builder);
    won(&cache).await;
    let mut waits = crowd(&cache);
    crate::settle().await;
    for _ in 0..3 {
        let began = Instant::now();
        let clock = world.clock.clone();
        let passes = tokio::spawn(async move {
            tokio::time::sleep_until(began + HOLD - Duration::from_millis(1)).await;
            clock.advance(HOLD);
        });
        let (first, at, _) = futures_util::future::select_all(&mut waits).await;
        drop(waits.remove(at));
        assert!(matches!(first, Ok(Leased::Won { .. })));
        passes.await.expect("no panic");
        let late = began.elapsed().saturating_sub(HOLD);
        assert!(began.elapsed() >= HOLD && late <= Duration::from_millis(2), "{late:?} after the end");
        crate::settle().await;
        assert!(waits.iter().all(|waits| !waits.is_finished()));
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_is_told_that_it_is_still_held() {
    let world = World::new();
    let cache = world.build(ttl(60), |builder| builder);
    won(&cache).await;
    let began = Instant::now();
    let patience = Duration::from_secs(7);
    let leased = cache.wait_or_lease(&1, HOLD, patience).await.expect("memory");
    assert!(matches!(leased, Leased::Held { stale: None }));
    assert!(began.elapsed().abs_diff(patience) <= Duration::from_millis(1));
    // Who would not wait, or has something stale, is answered at once.
    let began = Instant::now();
    assert!(matches!(cache.wait_or_lease(&1, HOLD, Duration::ZERO).await, Ok(Leased::Held { .. })));
    let stale = world.build(ttl(1).with_stale_for(HOLD), Builder::serve_stale);
    stale.insert(1, "old".to_owned()).await.expect("memory");
    world.clock.advance(Duration::from_secs(2));
    won(&stale).await;
    let leased = stale.wait_or_lease(&1, HOLD, WAIT).await.expect("memory");
    assert!(matches!(leased, Leased::Held { stale: Some(_) }));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// A lease that all processes ask, which counts how often.
#[derive(Debug)]
struct Asked {
    lease: MemoryLease,
    times: AtomicUsize,
    /// Whoever asks for a lease is kept waiting, and what he gets then is lost to him if he has gone.
    hangs: AtomicBool,
    panics: AtomicBool,
    goes_on: Notify,
}

impl Asked {
    fn new(world: &World) -> Arc<Self> {
        Arc::new(Self {
            lease: MemoryLease::new().with_clock(Arc::new(world.clock.clone())),
            times: AtomicUsize::new(0),
            hangs: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            goes_on: Notify::new(),
        })
    }
}

#[async_trait]
impl Lease for Asked {
    async fn acquire(&self, key: &Key, ttl: Duration) -> Result<Option<Grant>> {
        self.times.fetch_add(1, SeqCst);
        assert!(!self.panics.load(SeqCst), "as told");
        if self.hangs.load(SeqCst) {
            self.goes_on.notified().await;
        }
        self.lease.acquire(key, ttl).await
    }

    async fn renew(&self, grant: &Grant, ttl: Duration) -> Result<bool> {
        self.lease.renew(grant, ttl).await
    }

    async fn release(&self, grant: Grant) -> Result<bool> {
        self.lease.release(grant).await
    }
}

fn node(world: &World, lease: &Arc<Asked>) -> Cache<u32, String> {
    world.build(ttl(60), |builder| {
        builder.tier(world.tier(&world.far)).lease(Arc::<Asked>::clone(lease), Duration::from_secs(10))
    })
}

#[tokio::test(start_paused = true)]
async fn news_of_another_process_wake_and_find_the_value_while_the_lease_is_still_held() {
    let (world, transport) = (World::new(), Arc::new(MemoryTransport::new()));
    let lease = Asked::new(&world);
    let node = || {
        let bus = Bus::builder(Arc::<MemoryTransport>::clone(&transport)).open().expect("there is a runtime");
        world.build(ttl(60), |builder| {
            let lease = Arc::<Asked>::clone(&lease);
            builder.tier(world.tier(&world.far)).bus(bus).lease(lease, Duration::from_secs(10))
        })
    };
    let (one, other) = (node(), node());
    world.pass(Duration::from_secs(3)).await;
    won(&one).await;
    let waits = crowd(&other);
    // Not at a moment when one of them is about to look by himself.
    world.pass(REST / 2).await;
    one.insert(1, "by another way".to_owned()).await.expect("no tier fails");
    all_have(waits, "by another way").await;
    let stats = other.stats().memory;
    assert_eq!((stats.hits, stats.misses), (0, CALLERS as u64));
}

#[tokio::test(start_paused = true)]
async fn what_another_process_does_without_news_is_found_by_one_look_for_all() {
    let world = World::new();
    let lease = Asked::new(&world);
    let (one, other) = (node(&world, &lease), node(&world, &lease));
    let token = won(&one).await;
    let waits = crowd(&other);
    crate::settle().await;
    let (before, reads) = (lease.times.load(SeqCst), world.far.operations());
    world.pass(10 * REST).await;
    let looks = lease.times.load(SeqCst) - before;
    assert!((9..=11).contains(&looks), "{looks} in a second, of {CALLERS} callers");
    let reads = world.far.operations() - reads;
    assert!(reads <= 11, "{reads} in a second, of {CALLERS} callers");
    // It ends with no word of it to the other.
    assert!(one.release(&token, &1).await.expect("no tier fails"));
    let began = Instant::now();
    let (first, ..) = futures_util::future::select_all(waits).await;
    let Leased::Won { token, stale: None } = first.expect("no panic") else { panic!("it is free") };
    assert!(began.elapsed() <= REST, "{:?}", began.elapsed());

    let waits = crowd(&one);
    crate::settle().await;
    assert_eq!(fill(&other, &token, "made").await, Inserted::Stored);
    let began = Instant::now();
    for waits in waits {
        assert_eq!(waits.await.expect("no panic").value().map(|hit| hit.as_str()), Some("made"));
    }
    assert!(began.elapsed() <= REST, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_goes_while_he_takes_a_lease_leaves_it_to_the_next() {
    let world = World::new();
    let lease = Asked::new(&world);
    let (one, other) = (node(&world, &lease), node(&world, &lease));
    // While the others are asked.
    lease.hangs.store(true, SeqCst);
    let (goes, stays) = (wait(&one), wait(&one));
    crate::settle().await;
    lease.hangs.store(false, SeqCst);
    goes.abort();
    let began = Instant::now();
    let Leased::Won { token, .. } = stays.await.expect("no panic") else { panic!("it is free") };
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(one.release(&token, &1).await.expect("no tier fails"));

    // By a panic.
    lease.panics.store(true, SeqCst);
    assert!(wait(&one).await.is_err_and(|error| error.is_panic()));
    lease.panics.store(false, SeqCst);
    let token = won(&one).await;
    assert!(one.release(&token, &1).await.expect("no tier fails"));

    // When all have agreed, and the tier is asked once more.
    for operation in ["get", "note"] {
        lease.hangs.store(true, SeqCst);
        let goes = wait(&one);
        crate::settle().await;
        world.far.set_only(operation, Fault::Hangs);
        lease.hangs.store(false, SeqCst);
        lease.goes_on.notify_one();
        crate::settle().await;
        assert!(!goes.is_finished(), "{operation}");
        goes.abort();
        crate::settle().await;
        world.far.set(None);
        let token = won(&other).await;
        assert!(other.release(&token, &1).await.expect("no tier fails"), "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_goes_while_he_waits_takes_nobody_with_him() {
    let world = World::new();
    let cache = world.build(ttl(60), |builder| builder);
    let token = won(&cache).await;
    let mut waits = crowd(&cache);
    crate::settle().await;
    // Half of them, at the moment when all are woken.
    assert!(cache.release(&token, &1).await.expect("memory"));
    waits.drain(..CALLERS / 2).for_each(|goes| goes.abort());
    let (token, waits) = winner(waits).await;
    assert_eq!(fill(&cache, &token, "made").await, Inserted::Stored);
    all_have(waits, "made").await;
}
