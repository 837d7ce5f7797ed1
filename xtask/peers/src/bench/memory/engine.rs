//! The caches that are timed, behind the three operations that all of them have.
//!
//! Each is set up as its documentation shows. All hash with foldhash, which each lets one choose: so caches are
//! compared, and not the hash functions that they come with.

use std::fmt;
use std::hint::black_box;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use cache_core::Tags;
use cache_memory::{Memory, Put};
use dashmap::DashMap;
use foldhash::fast::RandomState;
use foyer_memory::{CacheBuilder, EvictionConfig};
use hashbrown::HashMap;
use lru::LruCache;
use parking_lot::Mutex;
use quick_cache::sync::DefaultLifecycle;
use quick_cache::{OptionsBuilder, UnitWeighter};

use super::kind::Kind;
use crate::Outcome;
use crate::bench::timing::finish;

/// A cache, or one thread's hold on it.
pub(super) trait Engine<K: Kind>: Send {
    /// A hold for another thread on the same entries; what cannot be shared is copied.
    fn fork(&self) -> Self;

    /// Reads the value as the caller would keep it, and says whether it was there.
    fn get(&mut self, key: &K::Lookup) -> bool;

    /// Stores a value, replacing what was there.
    fn insert(&mut self, key: K::Key, value: K::Value);

    /// Reads several values and says how many were there. One by one, unless a cache knows better.
    fn get_many(&mut self, keys: &[&K::Lookup]) -> usize {
        keys.iter().filter(|key| self.get(key)).count()
    }

    /// How many entries are held.
    fn entries(&self) -> u64;
}

/// The name of a cache on the command line and in results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Strata,
    /// Ours, with all that the others do not do meanwhile.
    StrataTtl,
    Moka,
    MokaFuture,
    QuickCache,
    FoyerS3Fifo,
    FoyerLru,
    LruMutex,
    DashMap,
    Table,
}

impl Name {
    pub(super) const ALL: [Self; 10] = [
        Self::Strata,
        Self::StrataTtl,
        Self::Moka,
        Self::MokaFuture,
        Self::QuickCache,
        Self::FoyerS3Fifo,
        Self::FoyerLru,
        Self::LruMutex,
        Self::DashMap,
        Self::Table,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Strata => "strata",
            Self::StrataTtl => "strata-ttl",
            Self::Moka => "moka",
            Self::MokaFuture => "moka-future",
            Self::QuickCache => "quick_cache",
            Self::FoyerS3Fifo => "foyer-s3fifo",
            Self::FoyerLru => "foyer-lru",
            Self::LruMutex => "lru-mutex",
            Self::DashMap => "dashmap",
            Self::Table => "table",
        }
    }

    /// The package that it comes from.
    pub(super) const fn package(self) -> &'static str {
        match self {
            Self::Strata | Self::StrataTtl => "cache-memory",
            Self::Moka | Self::MokaFuture => "moka",
            Self::QuickCache => "quick_cache",
            Self::FoyerS3Fifo | Self::FoyerLru => "foyer-memory",
            Self::LruMutex => "lru",
            Self::DashMap => "dashmap",
            Self::Table => "hashbrown",
        }
    }

    pub(super) const fn is_ours(self) -> bool {
        matches!(self, Self::Strata | Self::StrataTtl)
    }

    /// Whether it makes room; the plain maps only grow.
    pub(super) const fn evicts(self) -> bool {
        !matches!(self, Self::DashMap | Self::Table)
    }
}

impl FromStr for Name {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|name| name.as_str() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// A word that names no cache.
#[derive(Debug)]
pub(super) struct UnknownName(String);

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<_> = Name::ALL.iter().map(|name| name.as_str()).collect();
        write!(f, "{:?} is no engine; use some of {}", self.0, known.join(", "))
    }
}

impl std::error::Error for UnknownName {}

/// Our memory tier.
pub(super) struct Strata<K: Kind> {
    memory: Memory<K::Key, K::Value>,
    tags: Vec<Tags>,
    next: usize,
}

impl<K: Kind> Strata<K> {
    /// As it is timed beside the others: the policy as shipped, limited by entries and by bytes, statistics as always.
    pub(super) fn limited(capacity: u64) -> Self {
        Self::over(Memory::new().with_max_entries(capacity).with_max_bytes(capacity * ROOMY_BYTES_PER_ENTRY))
    }

    /// The same, each entry weighed and given a lifetime.
    pub(super) fn mortal(capacity: u64) -> Self {
        let memory = Memory::new()
            .with_max_entries(capacity)
            .with_max_bytes(capacity * ROOMY_BYTES_PER_ENTRY)
            .with_weigher(|key, value| K::weight(key, value))
            .with_ttl(HOUR);
        Self::over(memory)
    }

    fn over(memory: Memory<K::Key, K::Value>) -> Self {
        Self { memory, tags: Vec::new(), next: 0 }
    }

    /// With a limit of entries and nothing else.
    pub(super) fn plain(capacity: u64) -> Self {
        Self::over(Memory::new().with_max_entries(capacity))
    }

    /// With all that an entry can have: a lifetime, a cost, and each one of these tags in turn.
    pub(super) fn tagged(capacity: u64, tags: Vec<Tags>) -> Self {
        Self { tags, ..Self::over(Memory::new().with_max_entries(capacity).with_ttl(HOUR)) }
    }
}

impl<K: Kind> Engine<K> for Strata<K> {
    fn fork(&self) -> Self {
        Self { memory: self.memory.clone(), tags: self.tags.clone(), next: 0 }
    }

    fn get(&mut self, key: &K::Lookup) -> bool {
        black_box(self.memory.get(key)).is_some()
    }

    fn get_many(&mut self, keys: &[&K::Lookup]) -> usize {
        black_box(self.memory.get_many(keys.iter().copied())).iter().flatten().count()
    }

    fn insert(&mut self, key: K::Key, value: K::Value) {
        if self.tags.is_empty() {
            self.memory.insert(key, value);
            return;
        }
        self.next = (self.next + 1) % self.tags.len();
        let put = Put::new().with_cost(Duration::from_millis(3)).with_tags(self.tags[self.next].clone());
        self.memory.insert_with(key, value, put);
    }

    fn entries(&self) -> u64 {
        self.memory.len()
    }
}

/// moka for threads.
pub(super) struct Moka<K: Kind>(moka::sync::Cache<K::Key, K::Value, RandomState>);

impl<K: Kind> Moka<K> {
    pub(super) fn new(capacity: u64) -> Self {
        Self(moka::sync::Cache::builder().max_capacity(capacity).build_with_hasher(RandomState::default()))
    }
}

impl<K: Kind> Engine<K> for Moka<K> {
    fn fork(&self) -> Self {
        Self(self.0.clone())
    }

    fn get(&mut self, key: &K::Lookup) -> bool {
        black_box(self.0.get(key)).is_some()
    }

    fn insert(&mut self, key: K::Key, value: K::Value) {
        self.0.insert(key, value);
    }

    fn entries(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.entry_count()
    }
}

/// moka for tasks.
pub(super) struct MokaFuture<K: Kind>(moka::future::Cache<K::Key, K::Value, RandomState>);

impl<K: Kind> MokaFuture<K> {
    pub(super) fn new(capacity: u64) -> Self {
        let builder = moka::future::Cache::builder().max_capacity(capacity);
        Self(builder.build_with_hasher(RandomState::default()))
    }
}

impl<K: Kind> Engine<K> for MokaFuture<K> {
    fn fork(&self) -> Self {
        Self(self.0.clone())
    }

    fn get(&mut self, key: &K::Lookup) -> bool {
        black_box(finish(self.0.get(key))).is_some()
    }

    fn insert(&mut self, key: K::Key, value: K::Value) {
        finish(self.0.insert(key, value));
    }

    fn entries(&self) -> u64 {
        finish(self.0.run_pending_tasks());
        self.0.entry_count()
    }
}

/// `quick_cache`.
pub(super) struct QuickCache<K: Kind>(Arc<Quick<K>>);

type Quick<K> = quick_cache::sync::Cache<<K as Kind>::Key, <K as Kind>::Value, UnitWeighter, RandomState>;

impl<K: Kind> QuickCache<K> {
    pub(super) fn new(capacity: u64) -> Outcome<Self> {
        let mut options = OptionsBuilder::new();
        options.estimated_items_capacity(size(capacity)).weight_capacity(capacity);
        let lifecycle = DefaultLifecycle::default();
        let cache =
            Quick::<K>::with_options(options.build()?, UnitWeighter, RandomState::default(), lifecycle);
        Ok(Self(Arc::new(cache)))
    }
}

impl<K: Kind> Engine<K> for QuickCache<K> {
    fn fork(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    fn get(&mut self, key: &K::Lookup) -> bool {
        black_box(self.0.get(key)).is_some()
    }

    fn insert(&mut self, key: K::Key, value: K::Value) {
        self.0.insert(key, value);
    }

    fn entries(&self) -> u64 {
        self.0.len() as u64
    }
}

/// foyer's tier in memory. What it reads is a handle on the entry, so no value is cloned.
pub(super) struct Foyer<K: Kind>(foyer_memory::Cache<K::Key, K::Value, RandomState>);

impl<K: Kind> Foyer<K> {
    pub(super) fn new(capacity: u64, policy: EvictionConfig) -> Self {
        let builder = CacheBuilder::new(size(capacity)).with_eviction_config(policy);
        Self(builder.with_hash_builder(RandomState::default()).build())
    }
}

impl<K: Kind> Engine<K> for Foyer<K> {
    fn fork(&self) -> Self {
        Self(self.0.clone())
    }

    fn get(&mut self, key: &K::Lookup) -> bool {
        let entry = self.0.get(key);
        black_box(entry.as_ref().map(foyer_memory::CacheEntry::value));
        entry.is_some()
    }

    fn insert(&mut self, key: K::Key, value: K::Value) {
        self.0.insert(key, value);
    }

    fn entries(&self) -> u64 {
        self.0.entries() as u64
    }
}

/// An LRU behind one lock.
pub(super) struct LruMutex<K: Kind>(Arc<Mutex<Lru<K>>>);

type Lru<K> = LruCache<<K as Kind>::Key, <K as Kind>::Value, RandomState>;

impl<K: Kind> LruMutex<K> {
    pub(super) fn new(capacity: u64) -> Self {
        let capacity = size(capacity).try_into().unwrap_or(std::num::NonZeroUsize::MIN);
        Self(Arc::new(Mutex::new(LruCache::with_hasher(capacity, RandomState::default()))))
    }
}

impl<K: Kind> Engine<K> for LruMutex<K> {
    fn fork(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    fn get(&mut self, key: &K::Lookup) -> bool {
        black_box(self.0.lock().get(key).cloned()).is_some()
    }

    fn insert(&mut self, key: K::Key, value: K::Value) {
        // What leaves is dropped after unlocking, as everywhere else.
        let _left = self.0.lock().push(key, value);
    }

    fn entries(&self) -> u64 {
        self.0.lock().len() as u64
    }
}

/// A concurrent map that never forgets.
pub(super) struct Dash<K: Kind>(Arc<DashMap<K::Key, K::Value, RandomState>>);

impl<K: Kind> Dash<K> {
    pub(super) fn new() -> Self {
        Self(Arc::new(DashMap::with_hasher(RandomState::default())))
    }
}

impl<K: Kind> Engine<K> for Dash<K> {
    fn fork(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    fn get(&mut self, key: &K::Lookup) -> bool {
        black_box(self.0.get(key).map(|held| held.value().clone())).is_some()
    }

    fn insert(&mut self, key: K::Key, value: K::Value) {
        self.0.insert(key, value);
    }

    fn entries(&self) -> u64 {
        self.0.len() as u64
    }
}

/// A hash table of the thread's own, without lock, order or limit: what no cache can be faster than.
pub(super) struct Table<K: Kind>(HashMap<K::Key, K::Value, RandomState>);

impl<K: Kind> Table<K> {
    pub(super) fn new() -> Self {
        Self(HashMap::with_hasher(RandomState::default()))
    }
}

impl<K: Kind> Engine<K> for Table<K> {
    fn fork(&self) -> Self {
        Self(self.0.clone())
    }

    fn get(&mut self, key: &K::Lookup) -> bool {
        black_box(self.0.get(key).cloned()).is_some()
    }

    fn insert(&mut self, key: K::Key, value: K::Value) {
        self.0.insert(key, value);
    }

    fn entries(&self) -> u64 {
        self.0.len() as u64
    }
}

fn size(capacity: u64) -> usize {
    usize::try_from(capacity).unwrap_or(usize::MAX)
}

const HOUR: Duration = Duration::from_hours(1);
/// So many that the limit of entries is met first.
const ROOMY_BYTES_PER_ENTRY: u64 = 1_000;
