//! Single-flight: many callers of one key, one load.
//!
//! The first caller leads and starts a task that loads; the others wait for its landing. The load belongs to nobody
//! who waits: dropping a caller neither cancels nor restarts it. Whatever ends the task, the flight leaves the table
//! and everyone who waits hears of it, because its leader is a value that says so when it is dropped.

use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use cache_core::Tags;

use crate::caught::caught;
use crate::fence::Ticket;
use crate::hit::Hit;
use crate::sync::{Mutex, MutexGuard, watch};

const SHARDS: usize = if cfg!(strata_shuttle) { 2 } else { 64 };

/// The loads in flight, by key.
pub(crate) struct Flights<K, V> {
    hasher: RandomState,
    shards: Box<[Mutex<Table<K, V>>]>,
}

type Table<K, V> = HashMap<K, Arc<Flight<V>>>;

struct Flight<V> {
    ticket: Ticket,
    landed: watch::Sender<Option<Landing<V>>>,
}

impl<V> Flight<V> {
    fn follow(&self) -> Follower<V> {
        Follower { ticket: self.ticket, landed: self.landed.subscribe() }
    }

    /// Tells whether its waiters have been answered. In the table stands such a flight only if it was abandoned.
    fn has_landed(&self) -> bool {
        self.landed.borrow().is_some()
    }
}

/// How a flight ended.
pub(crate) enum Landing<V> {
    /// With a value, and the groups it belongs to.
    Value(Hit<V>, Tags),
    /// A load of many keys did not bring this one.
    Absent,
    /// Without a load: the source is left alone, because it has just failed.
    Resting,
    /// Without a load: the source may not be asked now, but perhaps after so long.
    OverBudget(Option<Duration>),
    /// Without a load: the cache is closed, and who wants the value loads it alone.
    Closed,
    /// The load took too long; it may still go on.
    TimedOut,
    /// The loader said "not modified" of nothing.
    NothingToKeep,
    /// The loader failed.
    Failed(Arc<Failure>),
    /// The loader panicked.
    Panicked,
    /// The task was ended from outside, as by a runtime that shuts down.
    Aborted,
}

/// A loader's error, of a type that only its caller knows.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Arc<dyn Any + Send + Sync>,
    pub(crate) message: Arc<String>,
}

/// A caller's place in a flight.
pub(crate) enum Seat<K: Hash + Eq, V> {
    /// The first: has to load.
    Lead(Leader<K, V>),
    /// Another one: has to wait.
    Follow(Follower<V>),
}

impl<K: Hash + Eq + Clone, V> Flights<K, V> {
    pub(crate) fn new() -> Arc<Self> {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Arc::new(Self { hasher: RandomState::new(), shards })
    }

    /// Joins the flight of this key if `may_join` accepts when it began; otherwise begins a new one, which later
    /// callers will join instead. `begin` says when that begins, told whether a load of the key was abandoned and still
    /// runs.
    pub(crate) fn board(
        self: &Arc<Self>,
        key: &K,
        may_join: impl FnOnce(Ticket) -> bool,
        begin: impl FnOnce(bool) -> Ticket,
    ) -> Seat<K, V> {
        let mut table = self.table(key);
        let mut follows_abandoned = false;
        if let Some(running) = table.get(key) {
            follows_abandoned = running.has_landed();
            if !follows_abandoned && may_join(running.ticket) {
                return Seat::Follow(running.follow());
            }
        }
        let flight = Arc::new(Flight { ticket: begin(follows_abandoned), landed: watch::channel(None).0 });
        // Whatever of this may panic does so before the flight stands in the table, or when it has a leader to land it.
        let (listed, own) = (key.clone(), key.clone());
        let overtaken = table.remove_entry(key);
        table.insert(listed, Arc::clone(&flight));
        drop(table);
        let leader = Leader { flights: Arc::clone(self), key: own, flight, has_left: false };
        drop(overtaken);
        Seat::Lead(leader)
    }

    /// How many loads are in flight.
    pub(crate) fn len(&self) -> usize {
        let in_flight = |table: &Table<K, V>| table.values().filter(|flight| !flight.has_landed()).count();
        self.shards.iter().map(|shard| in_flight(&lock(shard))).sum()
    }
}

impl<K: Hash + Eq, V> Flights<K, V> {
    fn table(&self, key: &K) -> MutexGuard<'_, Table<K, V>> {
        #[expect(clippy::cast_possible_truncation, reason = "only the lowest bits are used")]
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        lock(&self.shards[shard])
    }
}

/// The user's key may panic when it is compared or hashed; the table is whole even then.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one who loads. Dropping it without a landing, as a panic does, lands the flight all the same.
pub(crate) struct Leader<K: Hash + Eq, V> {
    flights: Arc<Flights<K, V>>,
    key: K,
    flight: Arc<Flight<V>>,
    has_left: bool,
}

impl<K: Hash + Eq, V> Leader<K, V> {
    /// When the flight began.
    pub(crate) fn ticket(&self) -> Ticket {
        self.flight.ticket
    }

    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    /// Waits like any other.
    pub(crate) fn follow(&self) -> Follower<V> {
        self.flight.follow()
    }

    /// Ends the flight: it leaves the table, and whoever waits gets this.
    pub(crate) fn land(mut self, landing: Landing<V>) {
        // Leave first: a waiter that asks again at once must not board the flight that has just ended.
        self.leave();
        self.flight.landed.send_replace(Some(landing));
    }

    /// Answers whoever waits, and frees the key for another load, while this one goes on. The flight keeps its place in the
    /// table, where the next load of the key sees that it has to overtake this one.
    pub(crate) fn abandon(&self) {
        self.flight.landed.send_replace(Some(Landing::TimedOut));
    }

    fn leave(&mut self) {
        self.has_left = true;
        // A key that panics when it is looked up must not keep whoever waits from his answer. What stays in the table by that
        // is a flight that has landed, and the next load of its key takes its place.
        caught(|| {
            let mut table = self.flights.table(&self.key);
            // Another flight may have taken the place of one that was overtaken by an invalidation.
            if table.get(&self.key).is_some_and(|running| Arc::ptr_eq(running, &self.flight)) {
                table.remove(&self.key);
            }
        });
    }
}

impl<K: Hash + Eq, V> Drop for Leader<K, V> {
    fn drop(&mut self) {
        if self.has_left {
            return;
        }
        self.leave();
        if !self.flight.has_landed() {
            let landing = if std::thread::panicking() { Landing::Panicked } else { Landing::Aborted };
            self.flight.landed.send_replace(Some(landing));
        }
    }
}

/// One who waits.
pub(crate) struct Follower<V> {
    ticket: Ticket,
    landed: watch::Receiver<Option<Landing<V>>>,
}

impl<V> Follower<V> {
    /// When the flight began.
    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Waits for the landing. Dropping the wait changes nothing for the flight.
    pub(crate) async fn landing(&mut self) -> Landing<V> {
        match self.landed.wait_for(Option::is_some).await {
            Ok(landed) => landed.clone().unwrap_or(Landing::Aborted),
            Err(_closed) => Landing::Aborted,
        }
    }
}

impl<V> Clone for Landing<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Value(hit, tags) => Self::Value(hit.clone(), tags.clone()),
            Self::Absent => Self::Absent,
            Self::Resting => Self::Resting,
            Self::OverBudget(retry_in) => Self::OverBudget(*retry_in),
            Self::Closed => Self::Closed,
            Self::TimedOut => Self::TimedOut,
            Self::NothingToKeep => Self::NothingToKeep,
            Self::Failed(failure) => Self::Failed(Arc::clone(failure)),
            Self::Panicked => Self::Panicked,
            Self::Aborted => Self::Aborted,
        }
    }
}
