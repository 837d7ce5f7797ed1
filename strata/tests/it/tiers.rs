//! Tiers below memory: what is read and written where, in which order, and what comes of a tier that is away.

#[path = "tiers/away.rs"]
mod away;
#[path = "tiers/back.rs"]
mod back;
#[path = "tiers/fleet.rs"]
mod fleet;
#[path = "tiers/lease.rs"]
mod lease;
#[path = "tiers/monitor.rs"]
mod monitor;
#[path = "tiers/news.rs"]
mod news;
#[path = "tiers/reading.rs"]
mod reading;
#[path = "tiers/waiting.rs"]
mod waiting;
#[path = "tiers/writing.rs"]
mod writing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use cache_core::{Clock, Store};
use cache_memory::MemoryStore;
use cache_testkit::chaos::Chaos;
use cache_testkit::clock::ManualClock;
use strata::codec::{Framer, Raw};
use strata::layer::{Backoff, Guards, Trip};
use strata::{Builder, Cache, Hit, Memory, Options, Source, Tags, Tier, Time, Ttl, Wall};

use crate::Down;

/// What a tier's breaker waits for before it lets a probe through.
const PAUSE: Duration = Duration::from_millis(500);

/// Two tiers that may fail, which several processes share, and a clock that they all go by.
struct World {
    clock: ManualClock,
    near: Arc<Chaos>,
    far: Arc<Chaos>,
    loads: Arc<AtomicU32>,
}

impl World {
    fn new() -> Self {
        Self::with(|store| store)
    }

    fn with(setup: impl Fn(Chaos) -> Chaos) -> Self {
        let clock = ManualClock::new();
        let store = || {
            let store = MemoryStore::new(64 << 20).with_clock(Arc::new(clock.clone()));
            Arc::new(setup(Chaos::new(Arc::new(store))))
        };
        Self { near: store(), far: store(), clock: clock.clone(), loads: Arc::default() }
    }

    /// A process with both tiers.
    fn node(&self, options: Options) -> Cache<u32, String> {
        self.build(options, |builder| builder.tier(self.tier(&self.near)).tier(self.tier(&self.far)))
    }

    /// A process with the second tier alone.
    fn far_node(&self, options: Options) -> Cache<u32, String> {
        self.build(options, |builder| builder.tier(self.tier(&self.far)))
    }

    fn build(
        &self,
        options: Options,
        setup: impl FnOnce(Builder<u32, String>) -> Builder<u32, String>,
    ) -> Cache<u32, String> {
        let memory = Memory::new()
            .with_max_entries(1000)
            .with_clock(Arc::new(self.clock.clone()))
            .with_sweep_every(None);
        let builder =
            Cache::builder("users").memory(memory).framer(Framer::new("user", Raw)).options(options);
        let wall = self.clock.clone();
        let wall = move || {
            Wall::from_unix_millis(u64::try_from(wall.now().since(Time::ZERO).as_millis()).unwrap_or(0))
        };
        setup(builder.seed(7).wall_clock(wall)).build().expect("legal")
    }

    /// Guarded as in use, with a breaker that goes by the clock of the tests.
    fn tier<S: Store>(&self, store: &Arc<S>) -> Tier {
        let guards = Guards::new()
            .with_timeout(Duration::from_millis(200))
            .with_trip(Trip::new(5, PAUSE))
            .with_tries(1)
            .with_backoff(Backoff::new(Duration::ZERO, Duration::ZERO))
            .with_clock(Arc::new(self.clock.clone()));
        Tier::new(Arc::<S>::clone(store)).with_guards(guards)
    }

    /// A loader that counts its runs and answers with their number.
    fn loader(&self) -> impl FnOnce() -> std::future::Ready<Result<String, Down>> + Send + use<> {
        let loads = Arc::clone(&self.loads);
        move || std::future::ready(Ok(format!("load {}", loads.fetch_add(1, SeqCst) + 1)))
    }

    async fn get_or_load(&self, cache: &Cache<u32, String>, key: u32) -> Hit<String> {
        let hit = cache.get_or_load(&key, self.loader()).await.expect("the loader never fails");
        behind(cache).await;
        hit
    }

    /// Lets so much time pass for everybody, in steps in which all that waits for time goes on.
    async fn pass(&self, duration: Duration) {
        let steps = duration.as_millis().div_ceil(50);
        for _ in 0..steps {
            self.clock.advance(Duration::from_millis(50));
            tokio::time::advance(Duration::from_millis(50)).await;
            crate::settle().await;
        }
    }
}

/// Lets all that a cache does behind its answers come to an end.
async fn behind(cache: &Cache<u32, String>) {
    for _ in 0..8 {
        crate::settle().await;
    }
    assert_eq!(cache.stats().in_flight, 0);
}

fn ttl(secs: u64) -> Options {
    Options::new().with_ttl(Ttl::from_secs(secs))
}

fn source(hit: &Hit<String>) -> (&str, Source) {
    (hit.as_str(), hit.source())
}
