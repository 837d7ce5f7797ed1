//! The typed memory tier as its users see it: how it is set up, and what can be done with it.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cache_core::{Clock, SystemClock, Tags, Time, Ttl};
use cache_policy::Policy;
use equivalent::Equivalent;
use foldhash::fast::RandomState;

use crate::budget::Budget;
use crate::engine::{Engine, Newcomer};
use crate::listen::{Cause, Listener, Reporter};
use crate::put::{Inserted, Put};
use crate::shard::Resident;
use crate::stats::Stats;
use crate::sweep::{Sweep, Sweeper};

/// A typed, sharded, synchronous cache in the memory of this process.
///
/// A hit takes one shard's lock, compares the key, marks the entry as used and clones the value; use an `Arc` for
/// values that are dear to clone. Both limits are exact at every moment. Cloning the handle is cheap and shares the
/// entries.
///
/// The `with_...` methods set up an empty cache: each returns a new one, without entries.
///
/// ```
/// use cache_memory::{Memory, Policy};
/// let users: Memory<u64, String> = Memory::new().with_max_entries(10_000).with_policy(Policy::Sieve);
/// users.insert(7, "Ada".to_owned());
/// assert_eq!(users.get(&7).as_deref(), Some("Ada"));
/// assert_eq!(users.get(&8), None);
/// ```
pub struct Memory<K, V, S = RandomState> {
    engine: Arc<Swept<K, V, S>>,
    setup: Arc<Setup<K, V>>,
}

/// The default interval at which expired entries are freed though nobody needs their room.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Sweeping more often than deadlines are distinguished would only burn a core.
const SHORTEST_SWEEP: Duration = Duration::from_millis(1);

/// The least share of an entry limit that gets a shard of its own. Below about 128 entries a shard's policy sees too
/// little of the traffic to judge it.
const ENTRIES_PER_SHARD: u64 = 128;

const SHARDS_PER_CORE: usize = 4;

type Weigher<K, V> = Arc<dyn Fn(&K, &V) -> u64 + Send + Sync>;

struct Setup<K, V> {
    max_entries: Option<u64>,
    max_bytes: Option<u64>,
    ttl: Ttl,
    policy: Policy,
    shards: Option<usize>,
    weigher: Option<Weigher<K, V>>,
    listener: Option<Listener<K, V>>,
    clock: Arc<dyn Clock>,
    sweep_every: Option<Duration>,
}

/// An engine and the thread that frees its expired entries.
struct Swept<K, V, S> {
    engine: Engine<K, V, S>,
    sweeper: OnceLock<Sweeper>,
}

impl<K, V> Memory<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// An empty cache without limits, by [`Policy::Lru`], whose entries live for ever.
    pub fn new() -> Self {
        Self::build(Setup::default(), RandomState::default())
    }
}

/// Setting up: each returns an empty cache.
impl<K, V, S> Memory<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// Holds at most this many entries. Default: no limit. Zero stores nothing.
    #[must_use]
    pub fn with_max_entries(self, max_entries: u64) -> Self {
        self.rebuild(|setup| Setup { max_entries: Some(max_entries), ..setup })
    }

    /// Holds at most this many bytes, as the weigher counts them. Default: no limit. Zero stores only what weighs
    /// nothing.
    #[must_use]
    pub fn with_max_bytes(self, max_bytes: u64) -> Self {
        self.rebuild(|setup| Setup { max_bytes: Some(max_bytes), ..setup })
    }

    /// Says how many bytes an entry takes. Default: the size of the key and value types, without what they point to: that
    /// is right for plain numbers, and far too little for strings, vectors and shared values.
    ///
    /// It is called once per insert, outside of any lock.
    #[must_use]
    pub fn with_weigher(self, weigher: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.rebuild(|setup| Setup { weigher: Some(Arc::new(weigher)), ..setup })
    }

    /// How long an entry lives that does not say so itself. Default: for ever.
    #[must_use]
    pub fn with_ttl(self, ttl: impl Into<Ttl>) -> Self {
        let ttl = ttl.into();
        self.rebuild(|setup| Setup { ttl, ..setup })
    }

    /// Who is evicted first. Default: [`Policy::Lru`].
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        self.rebuild(|setup| Setup { policy, ..setup })
    }

    /// Calls `listener` with every entry that leaves, after it has left, on the thread that made it leave.
    ///
    /// No lock is held meanwhile, so the listener may use the cache; but one that inserts into the same full cache makes
    /// the next entry leave, is called for it, and so on without an end. If it panics, the panic is counted in
    /// [`Stats::listener_panics`] and goes no further. What is in the cache when it is dropped is not reported.
    #[must_use]
    pub fn with_listener(self, listener: impl Fn(&K, &V, Cause) + Send + Sync + 'static) -> Self {
        self.rebuild(|setup| Setup { listener: Some(Arc::new(listener)), ..setup })
    }

    /// Splits the cache into this many shards, rounded up to a power of two, at most 4096. Default: four per core,
    /// but none for less than 128 entries of the limit.
    ///
    /// With one shard the policy is exact over all entries.
    #[must_use]
    pub fn with_shards(self, shards: usize) -> Self {
        self.rebuild(|setup| Setup { shards: Some(shards.clamp(1, 4096).next_power_of_two()), ..setup })
    }

    /// Tells the time by this clock. Default: the system's monotonic clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        self.rebuild(|setup| Setup { clock, ..setup })
    }

    /// Frees expired entries at this interval, by a thread that starts with the first entry that can expire and ends
    /// with the cache. Default: one second; at least one millisecond. `None`: only when their room is needed or
    /// [`remove_expired`](Self::remove_expired) is called.
    #[must_use]
    pub fn with_sweep_every(self, interval: Option<Duration>) -> Self {
        let sweep_every = interval.map(|interval| interval.max(SHORTEST_SWEEP));
        self.rebuild(|setup| Setup { sweep_every, ..setup })
    }

    /// Hashes keys by this hasher. Default: foldhash with a random seed per cache, because keys often come from
    /// outside.
    #[must_use]
    pub fn with_hasher<H>(self, hasher: H) -> Memory<K, V, H>
    where
        H: BuildHasher + Clone + Send + Sync + 'static,
    {
        Memory::build(Setup::clone(&self.setup), hasher)
    }

    fn rebuild(self, change: impl FnOnce(Setup<K, V>) -> Setup<K, V>) -> Self {
        let hasher = self.engine.engine.hasher.clone();
        Self::build(change(Setup::clone(&self.setup)), hasher)
    }

    fn build(setup: Setup<K, V>, hasher: S) -> Self {
        let reporter = Reporter { listener: setup.listener.clone(), panics: AtomicU64::new(0) };
        let budget = Budget::new(setup.max_entries, setup.max_bytes);
        let parts = (hasher, Arc::clone(&setup.clock), reporter);
        let engine = Engine::new(setup.shard_count(), setup.policy, budget, parts);
        Self { engine: Arc::new(Swept { engine, sweeper: OnceLock::new() }), setup: Arc::new(setup) }
    }
}

/// Using it.
impl<K, V, S> Memory<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Reads a value. Costs a hash, one shard's lock and, under it, a clone of the value; it allocates nothing itself.
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        V: Clone,
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.engine().read(key, true, |held| held.value.clone())
    }

    /// Runs `read` on an entry in place, which spares the clone. It runs under the shard's lock: be brief, and do not
    /// use this cache in it.
    ///
    /// ```
    /// use cache_memory::Memory;
    /// let pages: Memory<String, Vec<u8>> = Memory::new();
    /// pages.insert("/".into(), b"hello".to_vec());
    /// let mut out = Vec::new();
    /// assert!(pages.get_with("/", |found| out.extend_from_slice(found.value)).is_some());
    /// assert_eq!(out, b"hello");
    /// ```
    pub fn get_with<Q, R>(&self, key: &Q, read: impl FnOnce(Found<'_, K, V>) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.engine().read(key, true, |held| read(Found::new(held)))
    }

    /// Like [`get_with`](Self::get_with), but counts neither as a read nor as a use of the entry.
    pub fn peek_with<Q, R>(&self, key: &Q, read: impl FnOnce(Found<'_, K, V>) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.engine().read(key, false, |held| read(Found::new(held)))
    }

    /// Tells whether there is a living entry. Counts neither as a read nor as a use of it.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.peek_with(key, |_| ()).is_some()
    }

    /// How much longer an entry lives; `None` if there is none. Counts neither as a read nor as a use of it.
    pub fn ttl<Q>(&self, key: &Q) -> Option<Ttl>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let expires = self.peek_with(key, |found| found.expires)?;
        Some(Ttl::between(self.setup.clock.now(), expires))
    }

    /// Stores a value with the cache's own time-to-live, replacing what was there.
    pub fn insert(&self, key: K, value: V) -> Inserted {
        self.insert_with(key, value, Put::new())
    }

    /// Stores a value, replacing what was there.
    pub fn insert_with(&self, key: K, value: V, put: Put) -> Inserted {
        self.insert_if(key, value, put, || true)
    }

    /// Stores a value only if `permit` still agrees at the moment when it becomes visible.
    ///
    /// `permit` runs under the shard's lock, so it is ordered with every removal of the key: a load that an
    /// invalidation has overtaken can be kept from bringing the old value back. It may be called more than once, and
    /// must not use this cache.
    pub fn insert_if(&self, key: K, value: V, put: Put, permit: impl Fn() -> bool) -> Inserted {
        let bytes = self.setup.weigh(&key, &value);
        let ttl = put.ttl.unwrap_or(self.setup.ttl);
        if !ttl.is_forever() {
            self.start_sweeper();
        }
        self.engine().insert(Newcomer { key, value, bytes, ttl, put }, permit)
    }

    /// Gives an entry a new life from now and says whether it was there. A life of zero removes it.
    pub fn touch<Q>(&self, key: &Q, ttl: impl Into<Ttl>) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let ttl = ttl.into();
        self.touch_with(key, |_| ttl)
    }

    /// Reads an entry in place and gives it a new life from now. A life of zero removes it. Counts as a read.
    pub fn get_and_touch_with<Q, R>(
        &self,
        key: &Q,
        ttl: impl Into<Ttl>,
        read: impl FnOnce(Found<'_, K, V>) -> R,
    ) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let ttl = ttl.into();
        let mut answer = None;
        let touched = self.touch_with(key, |found| {
            answer = Some(read(found));
            ttl
        });
        self.engine().count_read(key, touched);
        answer
    }

    /// Like [`touch`](Self::touch), with a life that `life` chooses from what is there. It runs under the shard's lock:
    /// be brief, and do not use this cache in it.
    pub fn touch_with<Q>(&self, key: &Q, life: impl FnOnce(Found<'_, K, V>) -> Ttl) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let mut ends = false;
        let touched = self.engine().touch(key, |held| {
            let ttl = life(Found::new(held));
            ends = !ttl.is_forever();
            ttl
        });
        if ends {
            self.start_sweeper();
        }
        touched
    }

    /// Removes an entry and returns its value.
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.engine().remove(key)
    }

    /// Removes all entries with this tag and says how many. Costs their number, not the cache's.
    pub fn remove_tag(&self, tag: &str) -> u64 {
        self.engine().remove_tag(tag)
    }

    /// Removes all entries whose key begins with this text and says how many. Costs a walk over the cache, in slices
    /// that let reads pass.
    pub fn remove_prefix(&self, prefix: &str) -> u64
    where
        K: AsRef<str>,
    {
        self.remove_if(|key, _| key.as_ref().starts_with(prefix))
    }

    /// Removes all entries that `doomed` accepts and says how many. Costs a walk over the cache, in slices that let
    /// reads pass. `doomed` runs under a shard's lock: be brief, and do not use this cache in it.
    pub fn remove_if(&self, doomed: impl Fn(&K, &V) -> bool) -> u64 {
        self.engine().remove_if(doomed)
    }

    /// Removes everything and says how many living entries that were.
    pub fn clear(&self) -> u64 {
        self.engine().clear()
    }

    /// Frees all entries whose time is over and says how many. The sweeping thread does this by itself.
    pub fn remove_expired(&self) -> u64 {
        self.engine().remove_expired()
    }

    /// Calls `visit` with every living entry, in no particular order. Runs under a shard's lock: be brief, and do not
    /// use this cache in it.
    pub fn for_each(&self, mut visit: impl FnMut(Found<'_, K, V>)) {
        self.engine().for_each(|held| visit(Found::new(held)));
    }

    /// How many entries are held, expired ones that are not yet freed included.
    pub fn len(&self) -> u64 {
        self.stats().entries
    }

    /// Tells whether no entries are held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What happened so far. Locks each shard for a moment.
    pub fn stats(&self) -> Stats {
        self.engine().stats()
    }

    /// Tells whether a weigher was given, rather than the size of the types taken.
    pub fn has_weigher(&self) -> bool {
        self.setup.weigher.is_some()
    }

    /// The limit in entries; `None` if there is none.
    pub fn max_entries(&self) -> Option<u64> {
        self.setup.max_entries
    }

    /// The limit in bytes, as the weigher counts them; `None` if there is none.
    pub fn max_bytes(&self) -> Option<u64> {
        self.setup.max_bytes
    }

    /// How long an entry lives that does not say so itself.
    pub fn default_ttl(&self) -> Ttl {
        self.setup.ttl
    }

    /// The eviction policy.
    pub fn policy(&self) -> Policy {
        self.setup.policy
    }

    /// The clock that ends the entries.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.setup.clock
    }

    fn engine(&self) -> &Engine<K, V, S> {
        &self.engine.engine
    }

    fn start_sweeper(&self) {
        if let Some(interval) = self.setup.sweep_every {
            self.engine.sweeper.get_or_init(|| Sweeper::start(Arc::downgrade(&self.engine), interval));
        }
    }
}

/// A living entry, seen in place.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Found<'a, K, V> {
    /// Its key.
    pub key: &'a K,
    /// Its value.
    pub value: &'a V,
    /// Its tags.
    pub tags: &'a Tags,
    /// Its weight, in bytes.
    pub bytes: u64,
    /// When it ends, on the cache's clock; [`Time::NEVER`] if time does not end it.
    pub expires: Time,
}

impl<'a, K, V> Found<'a, K, V> {
    fn new(held: &'a Resident<K, V>) -> Self {
        Self {
            key: &held.key,
            value: &held.value,
            tags: &held.tags,
            bytes: held.bytes,
            expires: held.expires,
        }
    }
}

impl<K, V, S> Sweep for Swept<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    fn sweep(&self) {
        self.engine.remove_expired();
    }
}

impl<K, V> Setup<K, V> {
    fn weigh(&self, key: &K, value: &V) -> u64 {
        match &self.weigher {
            Some(weigher) => weigher(key, value),
            None => (size_of::<K>() + size_of::<V>()) as u64,
        }
    }

    fn shard_count(&self) -> usize {
        self.shards.unwrap_or_else(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let worthwhile = self.max_entries.map_or(u64::MAX, |max| (max / ENTRIES_PER_SHARD).max(1));
            let worthwhile = usize::try_from(worthwhile).unwrap_or(usize::MAX);
            let shards = (cores * SHARDS_PER_CORE).min(worthwhile);
            1 << shards.ilog2()
        })
    }
}

impl<K, V> Default for Setup<K, V> {
    fn default() -> Self {
        Self {
            max_entries: None,
            max_bytes: None,
            ttl: Ttl::FOREVER,
            policy: Policy::default(),
            shards: None,
            weigher: None,
            listener: None,
            clock: Arc::new(SystemClock::new()),
            sweep_every: Some(SWEEP_EVERY),
        }
    }
}

impl<K, V> Clone for Setup<K, V> {
    fn clone(&self) -> Self {
        Self {
            max_entries: self.max_entries,
            max_bytes: self.max_bytes,
            ttl: self.ttl,
            policy: self.policy,
            shards: self.shards,
            weigher: self.weigher.clone(),
            listener: self.listener.clone(),
            clock: Arc::clone(&self.clock),
            sweep_every: self.sweep_every,
        }
    }
}

impl<K, V> Default for Memory<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V, S> Clone for Memory<K, V, S> {
    fn clone(&self) -> Self {
        Self { engine: Arc::clone(&self.engine), setup: Arc::clone(&self.setup) }
    }
}

impl<K, V, S> fmt::Debug for Memory<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("policy", &self.setup.policy)
            .field("max_entries", &self.setup.max_entries)
            .field("max_bytes", &self.setup.max_bytes)
            .field("stats", &self.engine.engine.stats())
            .finish_non_exhaustive()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Found<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("key", self.key).field("value", self.value).finish_non_exhaustive()
    }
}
