//! The tiers below memory: places of bytes, in reading order, each of which may be away.
//!
//! ```text
//! read    first ── not there ─► second ── not there ─► the loader          found: into memory and the tiers above, with what is left of its life
//! write   last, ..., first, then memory: what a reader finds first is never older than what he would find next
//! ```
//!
//! Nothing here fails its caller. What a tier could not be told it is told later ([`backlog`]), and until then this process does not
//! believe what the tier says of it. Writes of one key go one after the other, and a removal waits for writes that were
//! let through before it; so what has ended cannot be written behind the back of its removal.

mod backlog;
mod fetch;
mod repair;
mod tell;
mod version;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cache_core::{Clock, Key, Store, Ttl};
use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};

use self::backlog::Backlog;
pub(crate) use self::fetch::{Fetched, Reading, Silent};
pub(crate) use self::tell::{Group, Notes};
pub(crate) use self::version::{Versions, WallClock};
use crate::layer::{BreakerStats, Guarded, Guards, Passage};
use crate::news::Teller;

/// How many writes of different keys may be on their way at the same time, but for collisions.
const STRIPES: usize = 256;

/// A tier below memory: a store, what stands around it, and how long it keeps anything.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use cache_memory::MemoryStore;
/// use strata::{Cache, Tier, Ttl};
/// use strata::codec::{Framer, Raw};
/// use strata::layer::Guards;
///
/// let shared = Arc::new(MemoryStore::new(64 << 20));
/// let notes: Cache<u64, String> = Cache::builder("notes")
///     .framer(Framer::new("note", Raw))
///     .tier(
///         Tier::new(shared)
///             .with_guards(Guards::new().with_timeout(Duration::from_millis(200)))
///             .with_max_ttl(Ttl::from_secs(3600)),
///     )
///     .build()?;
/// # Ok::<(), strata::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a tier does nothing until it is given to a cache"]
pub struct Tier {
    store: Arc<dyn Store>,
    guards: Option<Guards>,
    max_ttl: Ttl,
    is_local: bool,
}

impl Tier {
    /// A tier over this store, with [`Guards::new`] around it.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, guards: Some(Guards::new()), max_ttl: Ttl::FOREVER, is_local: false }
    }

    /// Puts these guards around the store, in place of the default ones.
    pub fn with_guards(mut self, guards: Guards) -> Self {
        self.guards = Some(guards);
        self
    }

    /// Puts nothing around the store: for one that never hangs, or has its guards already.
    pub fn without_guards(mut self) -> Self {
        self.guards = None;
        self
    }

    /// Says that no other process has this tier, as with a disk of one's own: what others change is removed here too when the bus
    /// tells so, all that is here when something may have been missed, and while the bus is in doubt nothing here is read. Without
    /// a bus this means nothing.
    pub fn local(mut self) -> Self {
        self.is_local = true;
        self
    }

    /// How long the tier keeps a value as fresh at most. Default: as long as the value is fresh.
    pub fn with_max_ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.max_ttl = ttl.into();
        self
    }
}

impl<S: Store> From<Arc<S>> for Tier {
    fn from(store: Arc<S>) -> Self {
        Self::new(store)
    }
}

impl From<Arc<dyn Store>> for Tier {
    fn from(store: Arc<dyn Store>) -> Self {
        Self::new(store)
    }
}

/// What happened at one tier of a cache, and how it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TierStats {
    /// Its store's name.
    pub name: &'static str,
    /// Reads that it answered with something that could be used, stale values included.
    pub hits: u64,
    /// Reads that it did not.
    pub misses: u64,
    /// Entries that it had and that were no value of this cache.
    pub unreadable: u64,
    /// Values that it took.
    pub writes: u64,
    /// Values that it did not take, because the key had changed there since the load began.
    pub overtaken: u64,
    /// Operations that failed: each read of a batch counts once.
    pub errors: u64,
    /// Keys and groups that it is still to be told of.
    pub backlog: u64,
    /// How often the backlog was full, so that everything of this cache is removed there.
    pub overflows: u64,
    /// Values that waited to be told it and gave way to the removal of their key, because more than 16 MiB waited: those that end sooner
    /// first.
    pub given_up: u64,
    /// What it was told later than it should have been.
    pub repaired: u64,
    /// What its breaker lets pass; `None` without one.
    pub passage: Option<Passage>,
    /// How often its breaker has opened and closed, and what it refused; `None` without one.
    pub breaker: Option<BreakerStats>,
    /// For how long nobody has asked it because it failed; `None` while it is asked.
    pub away_for: Option<Duration>,
}

/// The tiers of one cache.
pub(crate) struct Tiers {
    levels: Box<[Level]>,
    /// Of these, the one of its stripe is held by whoever changes a key.
    keys: Box<[Mutex<()>]>,
    /// Held by whoever writes; a removal of a group waits until none is held from before it.
    writers: RwLock<()>,
    hasher: RandomState,
    clock: Arc<dyn Clock>,
    /// Tells other processes of what a tier has been told late.
    teller: Option<Arc<Teller>>,
}

/// One of them.
struct Level {
    store: Arc<dyn Store>,
    guarded: Option<Guarded>,
    name: &'static str,
    max_ttl: Ttl,
    is_local: bool,
    backlog: Backlog,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    unreadable: AtomicU64,
    writes: AtomicU64,
    overtaken: AtomicU64,
    errors: AtomicU64,
}

fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Relaxed);
}

/// The right to change some keys, in memory and below.
pub(crate) struct Turn<'a> {
    _writer: RwLockReadGuard<'a, ()>,
    _keys: Vec<MutexGuard<'a, ()>>,
}

impl Tiers {
    /// `scope` is what all keys of the cache begin with.
    pub(crate) fn new(
        tiers: Vec<Tier>,
        scope: &Group,
        clock: Arc<dyn Clock>,
        teller: Option<Arc<Teller>>,
    ) -> Arc<Self> {
        let level = |tier: Tier| {
            let name = tier.store.info().name;
            let guarded = tier.guards.map(|guards| guards.around(Arc::clone(&tier.store)));
            let store = guarded.as_ref().map_or(tier.store, |guarded| Arc::clone(&guarded.store));
            let backlog = Backlog::new(scope.clone());
            let (max_ttl, is_local, counts) = (tier.max_ttl, tier.is_local, Counts::default());
            Level { store, guarded, name, max_ttl, is_local, backlog, counts }
        };
        Arc::new(Self {
            levels: tiers.into_iter().map(level).collect(),
            keys: (0..STRIPES).map(|_| Mutex::new(())).collect(),
            writers: RwLock::new(()),
            hasher: RandomState::new(),
            clock,
            teller,
        })
    }

    /// Waits for the right to change these keys. What was let through before has ended then.
    pub(crate) async fn turn(&self, keys: &[Key]) -> Turn<'_> {
        let writer = self.writers.read().await;
        let mut stripes: Vec<usize> = keys.iter().map(|key| self.stripe(key)).collect();
        // Everybody takes them in this order, so nobody waits for somebody who waits for him.
        stripes.sort_unstable();
        stripes.dedup();
        let mut held = Vec::with_capacity(stripes.len());
        for stripe in stripes {
            held.push(self.keys[stripe].lock().await);
        }
        Turn { _writer: writer, _keys: held }
    }

    /// Waits until all who may write now have written.
    pub(crate) async fn quiet(&self) {
        drop(self.writers.write().await);
    }

    /// What happened at each of them, in reading order.
    pub(crate) fn stats(&self) -> Vec<TierStats> {
        self.levels.iter().map(Level::stats).collect()
    }

    /// Tells whether any of them is not asked because it failed.
    pub(crate) fn is_any_away(&self) -> bool {
        self.levels.iter().any(Level::is_away)
    }

    fn stripe(&self, key: &Key) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "only the lowest bits are used")]
        let hash = self.hasher.hash_one(key) as usize;
        hash % STRIPES
    }
}

impl Level {
    fn stats(&self) -> TierStats {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        let Counts { hits, misses, unreadable, writes, overtaken, errors } = &self.counts;
        let backlog = self.backlog.stats();
        TierStats {
            name: self.name,
            hits: of(hits),
            misses: of(misses),
            unreadable: of(unreadable),
            writes: of(writes),
            overtaken: of(overtaken),
            errors: of(errors),
            backlog: backlog.waiting,
            overflows: backlog.overflows,
            given_up: backlog.given_up,
            repaired: backlog.repaired,
            passage: self.passage(),
            breaker: self.guarded.as_ref().map(|guarded| guarded.breaker.stats()),
            away_for: self.guarded.as_ref().and_then(|guarded| guarded.breaker.away_for()),
        }
    }

    fn passage(&self) -> Option<Passage> {
        self.guarded.as_ref().map(|guarded| guarded.breaker.passage())
    }

    /// Tells whether nobody asks it because it failed.
    fn is_away(&self) -> bool {
        self.passage().is_some_and(|passage| passage != Passage::Closed)
    }

    /// Notes an operation that failed, for so many keys.
    fn failed(&self, error: &cache_core::Error, keys: usize) {
        count(&self.counts.errors, keys);
        tracing::debug!(tier = self.name, %error, "a tier failed");
    }
}

impl fmt::Debug for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.levels.iter().map(|level| &level.store)).finish()
    }
}
