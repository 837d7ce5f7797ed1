//! Layers around a store that fails: what it costs, what is counted, and when it is used again.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Entry, Error, ErrorKind, Key, Result, Store, StoreExt, Tags};
use cache_memory::MemoryStore;
use cache_testkit::chaos::{Chaos, Fault};
use cache_testkit::clock::ManualClock;
use cache_testkit::suite;
use strata::layer::{Backoff, Guarded, Guards, Layered, Passage, Retries, TimeLimit, Trip};
use tokio::time::Instant;

const DOWN: Fault = Fault::Fails(ErrorKind::Unavailable);
const PAUSE: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_millis(200);

/// A store that fails as told, guarded, and the clock of its breaker.
struct World {
    clock: ManualClock,
    chaos: Arc<Chaos>,
    guarded: Guarded,
}

impl World {
    fn new(tries: u32) -> Self {
        let clock = ManualClock::new();
        let chaos = Arc::new(Chaos::new(Arc::new(MemoryStore::new(1 << 20))));
        let guards = Guards::new()
            .with_timeout(LIMIT)
            .with_trip(Trip::new(5, PAUSE))
            .with_tries(tries)
            .with_backoff(Backoff::new(Duration::from_millis(10), Duration::from_millis(40)))
            .with_clock(Arc::new(clock.clone()));
        let guarded = guards.around(Arc::<Chaos>::clone(&chaos));
        Self { clock, chaos, guarded }
    }

    async fn get(&self) -> Result<Option<Entry>> {
        self.guarded.store.get(&key()).await
    }

    async fn kind(&self) -> Option<ErrorKind> {
        self.get().await.err().map(|error| error.kind())
    }

    async fn open(&self) {
        self.chaos.set(Some(DOWN));
        for _ in 0..5 {
            assert_eq!(self.kind().await, Some(ErrorKind::Unavailable));
        }
        assert_eq!(self.guarded.breaker.passage(), Passage::Open);
    }
}

fn key() -> Key {
    Key::new("k").expect("legal")
}

// conformance: Store for Layered
#[tokio::test]
async fn a_store_with_layers_that_fails_by_chance_keeps_every_promise() {
    let one_in = NonZeroU32::new(3).expect("three");
    // One operation in 10^19 fails forty times.
    let retries = || Retries::new(40, Backoff::new(Duration::ZERO, Duration::ZERO));
    for seed in 0..4 {
        let clock = ManualClock::new();
        let inner = MemoryStore::new(64 << 20).with_clock(Arc::new(clock.clone()));
        let chaos = Chaos::new(Arc::new(inner)).seeded(seed, one_in);
        let layered = Layered::new(retries(), Arc::new(chaos));
        suite::store::all(&layered, &clock).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_with_all_three_layers_that_fails_by_chance_keeps_every_promise() {
    let clock = ManualClock::new();
    let inner = MemoryStore::new(64 << 20).with_clock(Arc::new(clock.clone()));
    let chaos = Chaos::new(Arc::new(inner)).seeded(4, NonZeroU32::new(3).expect("three"));
    let guards = Guards::new().with_tries(40).with_backoff(Backoff::new(Duration::ZERO, Duration::ZERO));
    // Failures in a row would open it, and what is open is not tried again.
    let guarded = guards.with_trip(Trip::new(100, PAUSE)).around(Arc::new(chaos));
    suite::store::all(&*guarded.store, &clock).await;
    assert_eq!(guarded.breaker.stats().opened, 0);
}

/// What became of a noted write whose answers may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Stored,
    /// It was stored, and then refused by what it had stored.
    RefusedByItself,
    Refused,
}

#[tokio::test]
async fn a_noted_write_that_lost_its_answer_may_be_refused_by_itself_and_by_nobody_else() -> Result<()> {
    let inner: Arc<MemoryStore> = Arc::new(MemoryStore::new(1 << 20));
    let one_in = NonZeroU32::new(3).expect("three");
    let chaos = Chaos::new(Arc::<MemoryStore>::clone(&inner)).seeded_with(7, one_in, Fault::LosesAnswer);
    let store = Layered::new(Retries::new(40, Backoff::new(Duration::ZERO, Duration::ZERO)), Arc::new(chaos));
    let mut fates = BTreeMap::new();
    for round in 0..300 {
        let (value, is_overtaken) = (Entry::new(round.to_string()), round % 3 == 0);
        let note = store.note(&key(), &Tags::NONE).await?;
        if is_overtaken {
            inner.remove(&key()).await?;
        }
        let stored = store.put_noted(key(), value.clone(), &note).await?;
        let found = inner.get(&key()).await?;
        let fate = match (stored, found == Some(value)) {
            (true, true) => Fate::Stored,
            (false, true) => Fate::RefusedByItself,
            (false, false) => Fate::Refused,
            (true, false) => panic!("round {round}: stored, and {found:?} is there"),
        };
        assert_eq!(fate == Fate::Refused, is_overtaken, "round {round}: {fate:?}");
        *fates.entry(fate).or_insert(0) += 1;
    }
    assert!(fates.len() == 3 && fates[&Fate::Refused] == 100, "{fates:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_asks_nobody_and_makes_nobody_wait() {
    let world = World::new(1);
    world.open().await;
    let (asked, began) = (world.chaos.operations(), Instant::now());
    for _ in 0..100 {
        assert_eq!(world.kind().await, Some(ErrorKind::Suspended));
    }
    assert_eq!((world.chaos.operations(), began.elapsed()), (asked, Duration::ZERO));
    assert_eq!(world.guarded.breaker.stats().refused, 100);
}

#[tokio::test(start_paused = true)]
async fn what_is_open_is_not_tried_again() {
    let world = World::new(9);
    world.chaos.set(Some(DOWN));
    // Five of the nine tries fail, then the breaker is open, and that is final.
    assert_eq!(world.kind().await, Some(ErrorKind::Suspended));
    assert_eq!((world.chaos.operations(), world.guarded.breaker.passage()), (5, Passage::Open));
}

#[tokio::test(start_paused = true)]
async fn one_probe_after_the_pause_decides_for_all() {
    let world = World::new(1);
    world.open().await;
    world.clock.advance(PAUSE);
    assert_eq!(world.kind().await, Some(ErrorKind::Unavailable), "the probe");
    assert_eq!(world.kind().await, Some(ErrorKind::Suspended));

    world.chaos.set(None);
    assert_eq!(world.kind().await, Some(ErrorKind::Suspended), "it is back, but nobody knows");
    world.clock.advance(PAUSE);
    assert_eq!((world.kind().await, world.kind().await), (None, None));
    let stats = world.guarded.breaker.stats();
    assert_eq!((stats.opened, stats.probes, stats.closed, stats.refused), (2, 2, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_as_harmless_as_one_that_is_down() {
    let world = World::new(1);
    world.chaos.set(Some(Fault::Hangs));
    for _ in 0..5 {
        let began = Instant::now();
        assert_eq!((world.kind().await, began.elapsed()), (Some(ErrorKind::TimedOut), LIMIT));
    }
    assert_eq!(world.kind().await, Some(ErrorKind::Suspended));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_nobody_waits_for_any_more_lets_another_one_go() {
    let world = World::new(1);
    world.open().await;
    world.clock.advance(PAUSE);
    world.chaos.set(Some(Fault::Hangs));
    let dropped = tokio::time::timeout(LIMIT / 2, world.get()).await;
    assert!(dropped.is_err(), "the probe hangs");
    world.chaos.set(None);
    assert_eq!(world.kind().await, None, "at once, though no time has passed on its clock");
    assert_eq!(world.guarded.breaker.passage(), Passage::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_an_answer() {
    let world = World::new(3);
    for kind in [ErrorKind::Refused, ErrorKind::Corrupt, ErrorKind::Invalid] {
        world.chaos.set(Some(Fault::Fails(kind)));
        let asked = world.chaos.operations();
        for _ in 0..10 {
            assert_eq!(world.kind().await, Some(kind));
        }
        assert_eq!(world.chaos.operations() - asked, 10, "none was tried again");
    }
    assert_eq!(world.guarded.breaker.passage(), Passage::Closed);
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_and_end() {
    let chaos = Arc::new(Chaos::new(Arc::new(MemoryStore::new(1 << 20))));
    chaos.set(Some(DOWN));
    let backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(40));
    let store = Layered::new(Retries::new(6, backoff), Arc::<Chaos>::clone(&chaos));
    let began = Instant::now();
    let error = store.get(&key()).await.expect_err("it is down");
    assert_eq!((error.kind(), chaos.operations()), (ErrorKind::Unavailable, 6));
    let most = Duration::from_millis(10 + 20 + 40 + 40 + 40 + 5);
    assert!(
        began.elapsed() <= most,
        "five pauses of at most 10, 20, 40, 40 and 40 ms: {:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn what_lost_its_answer_only_once_was_done_once() {
    let chaos = Arc::new(Chaos::new(Arc::new(MemoryStore::new(1 << 20))));
    let store = Layered::new(TimeLimit::new(LIMIT), Arc::<Chaos>::clone(&chaos));
    chaos.set(Some(Fault::LosesAnswer));
    let late = store.put(key(), Entry::new("x")).await;
    assert_eq!(late.err().as_ref().map(Error::kind), Some(ErrorKind::Unavailable));
    chaos.set(None);
    assert!(store.get(&key()).await.expect("up").is_some(), "the error says that it may have been done");
}

#[tokio::test(start_paused = true)]
async fn what_took_too_long_is_not_tried_again() {
    let world = World::new(9);
    world.chaos.set(Some(Fault::Hangs));
    let began = Instant::now();
    assert_eq!(world.kind().await, Some(ErrorKind::TimedOut));
    assert_eq!((world.chaos.operations(), began.elapsed()), (1, LIMIT));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_is_watched_has_no_other_probe() {
    let world = World::new(1);
    world.open().await;
    let watch = world.guarded.breaker.watch();
    world.clock.advance(PAUSE);
    world.chaos.set(None);
    assert_eq!(world.kind().await, Some(ErrorKind::Suspended));
    assert!(world.guarded.probe().await);
    assert_eq!(world.kind().await, None);
    assert_eq!(world.guarded.breaker.away_for(), None);

    world.open().await;
    world.clock.advance(PAUSE);
    assert!(!world.guarded.probe().await, "it still fails");
    world.clock.advance(PAUSE);
    assert_eq!(world.guarded.breaker.away_for(), Some(2 * PAUSE));
    world.chaos.set(None);
    drop(watch);
    assert_eq!(world.kind().await, None, "nobody watches any more");
}

#[test]
fn the_order_of_the_layers_is_seen_from_outside() {
    let shown = format!("{:?}", World::new(2).guarded.store);
    let places = ["Retries", "CircuitBreaker", "TimeLimit", "Chaos"].map(|name| shown.find(name));
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{places:?} in {shown}");
}
