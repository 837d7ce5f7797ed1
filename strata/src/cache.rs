//! The cache as its users see it: one typed handle, and the verbs.
//!
//! Reading by key goes to the memory tier first, synchronously; only a miss goes on to `load.rs`.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use cache_core::{CacheKey, Namespace, Result, Time, Ttl};
use cache_memory::{Inserted, Memory};
use tokio::sync::watch;

use crate::fence::Fence;
use crate::flight::Flights;
use crate::hit::{Hit, Source};
use crate::loaded::Loaded;
use crate::options::Options;
use crate::stats::{LoadCounts, Stats};

/// A typed cache: cheap to clone, safe to share, gone with its last handle.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// use strata::{Cache, Memory, Options, Tags, Ttl};
///
/// let users: Cache<u64, String> = Cache::builder("users")
///     .memory(Memory::new().with_max_entries(10_000))
///     .options(Options::new().with_ttl(Ttl::from_secs(1800)))
///     .build()?;
///
/// let load = || async { Ok::<_, std::io::Error>("Ada".to_owned()) };
/// let user = users.get_or_load(&7, load).with(Options::new().with_tags(Tags::new(["team:1"])?)).await?;
/// assert_eq!(&**user, "Ada");
/// assert_eq!(users.remove_tag("team:1").await?, 1);
/// assert!(users.get(&7).await?.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Cache<K, V> {
    pub(crate) shared: Arc<Shared<K, V>>,
}

/// What all handles of a cache share, and its running loads look up again when they land.
pub(crate) struct Shared<K, V> {
    pub(crate) namespace: Namespace,
    pub(crate) memory: Memory<K, Arc<V>>,
    pub(crate) options: Options,
    pub(crate) fence: Fence,
    pub(crate) flights: Arc<Flights<K, V>>,
    pub(crate) loads: Arc<LoadCounts>,
    /// Closes when the cache is dropped, which ends its loads.
    pub(crate) alive: watch::Sender<()>,
}

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Reads a value from memory alone: synchronous, without an allocation or a copy of the value.
    pub fn get_local<Q>(&self, key: &Q) -> Option<Hit<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shared.find(key)
    }

    /// Reads a value.
    pub async fn get<Q>(&self, key: &Q) -> Result<Option<Hit<V>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        Ok(self.get_local(key))
    }

    /// Reads many values: one answer per key, in their order.
    pub async fn get_many<Q>(&self, keys: &[Q]) -> Result<Vec<Option<Hit<V>>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq,
    {
        Ok(keys.iter().map(|key| self.get_local(key)).collect())
    }

    /// Tells whether there is a value. Counts neither as a read nor as a use of it.
    pub async fn contains<Q>(&self, key: &Q) -> Result<bool>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        Ok(self.shared.memory.contains(key))
    }

    /// How much longer a value lives; `None` if there is none.
    pub async fn ttl<Q>(&self, key: &Q) -> Result<Option<Ttl>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        Ok(self.shared.memory.ttl(key))
    }

    /// Stores a value with the cache's options, replacing what was there. A load in flight will not overwrite it.
    ///
    /// # Cancel safety
    /// Done or not begun: a call that was polled once has stored the value.
    pub async fn insert(&self, key: K, value: V) -> Result<Inserted> {
        self.insert_with(key, value, Options::new()).await
    }

    /// Stores a value with these options over the cache's.
    ///
    /// # Cancel safety
    /// As [`insert`](Self::insert).
    pub async fn insert_with(&self, key: K, value: V, options: Options) -> Result<Inserted> {
        let shared = &self.shared;
        let options = options.over(&shared.options);
        let sealed = key.clone();
        // Under the shard's lock, so that no load can store between the sealing and the insert.
        let seal = move || {
            shared.fence.seal_key(&sealed);
            true
        };
        Ok(shared.store(key, Loaded::new(value), &options, seal).1)
    }

    /// Stores many values with these options over the cache's, and says how many are now in the cache.
    ///
    /// # Cancel safety
    /// A dropped call has stored some of them, each as a whole.
    pub async fn insert_many(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
        options: Options,
    ) -> Result<usize> {
        let mut stored = 0;
        for (key, value) in entries {
            stored += usize::from(self.insert_with(key, value, options.clone()).await?.is_stored());
        }
        Ok(stored)
    }

    /// Gives a value a new life from now and says whether it was there. A life of zero removes it.
    pub async fn touch<Q>(&self, key: &Q, ttl: impl Into<Ttl>) -> Result<bool>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        Ok(self.shared.memory.touch(key, ttl))
    }

    /// Reads a value and gives it a new life from now.
    pub async fn get_and_touch<Q>(&self, key: &Q, ttl: impl Into<Ttl>) -> Result<Option<Hit<V>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (memory, ttl) = (&self.shared.memory, ttl.into());
        let expires = ttl.finite().map_or(Time::NEVER, |ttl| memory.clock().now().after(ttl));
        let value = memory.get_and_touch_with(key, ttl, |found| Arc::clone(found.value()));
        Ok(value.map(|value| Hit::new(value, Source::Memory, expires)))
    }

    /// Removes a value and says whether it was there. A load in flight will not bring it back, and a load that begins
    /// after this has returned does not join one that began before.
    ///
    /// # Cancel safety
    /// Done or not begun, as every removal here: a call that was polled once has removed what it names.
    pub async fn remove<Q>(&self, key: &Q) -> Result<bool>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shared.fence.seal_key(key);
        let removed = self.shared.memory.remove(key).is_some();
        self.shared.fence.seal_key(key);
        Ok(removed)
    }

    /// Removes many values and says how many were there.
    pub async fn remove_many<Q>(&self, keys: &[Q]) -> Result<u64>
    where
        K: Borrow<Q>,
        Q: Hash + Eq,
    {
        let mut removed = 0;
        for key in keys {
            removed += u64::from(self.remove(key).await?);
        }
        Ok(removed)
    }

    /// Removes all values with this tag and says how many. Loads in flight that turn out to carry it are not stored.
    pub async fn remove_tag(&self, tag: &str) -> Result<u64> {
        self.shared.fence.seal_tag(tag);
        let removed = self.shared.memory.remove_tag(tag);
        self.shared.fence.seal_tag(tag);
        Ok(removed)
    }

    /// Removes all values whose rendered key begins like this one, and says how many. No load in flight is stored. Costs a
    /// walk over the cache.
    ///
    /// A prefix is text: `"BTC"` begins `BTC` and `BTCUSD`. An empty last part ends it where a part ends.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use strata::Cache;
    /// let users: Cache<String, u32> = Cache::builder("users").build()?;
    /// users.insert("team:7:ada".into(), 1).await?;
    /// assert_eq!(users.remove_prefix("team:").await?, 1);
    ///
    /// let candles: Cache<(String, u32), f64> = Cache::builder("ohlcv").build()?;
    /// candles.insert(("BTC".into(), 5), 1.0).await?;
    /// candles.insert(("BTC".into(), 60), 2.0).await?;
    /// candles.insert(("BTCUSD".into(), 5), 3.0).await?;
    /// assert_eq!(candles.remove_prefix(&("BTC", "")).await?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn remove_prefix<P: CacheKey + ?Sized>(&self, prefix: &P) -> Result<u64> {
        let mut within = self.shared.namespace.key();
        prefix.write(&mut within);
        let begins = |key: &K, _: &Arc<V>| {
            let mut rendered = self.shared.namespace.key();
            key.write(&mut rendered);
            rendered.as_str().starts_with(within.as_str())
        };
        self.shared.fence.seal_all();
        let removed = self.shared.memory.remove_if(begins);
        self.shared.fence.seal_all();
        Ok(removed)
    }

    /// Removes everything and says how many values that were. No load in flight is stored.
    pub async fn clear(&self) -> Result<u64> {
        self.shared.fence.seal_all();
        let removed = self.shared.memory.clear();
        self.shared.fence.seal_all();
        Ok(removed)
    }

    /// The keys of all values with this tag, in no particular order. Costs a walk over the cache.
    pub async fn keys_with_tag(&self, tag: &str) -> Result<Vec<K>> {
        let mut keys = Vec::new();
        self.shared.memory.for_each(|found| {
            if found.tags().contains(tag) {
                keys.push(found.key().clone());
            }
        });
        Ok(keys)
    }
}

impl<K, V> Cache<K, V> {
    /// The name, which all keys begin with.
    pub fn name(&self) -> &str {
        self.shared.namespace.name()
    }

    /// The memory tier.
    pub fn memory(&self) -> &Memory<K, Arc<V>> {
        &self.shared.memory
    }

    /// What calls that say nothing get.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }
}

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// What happened so far.
    pub fn stats(&self) -> Stats {
        self.shared.loads.stats(self.shared.memory.stats(), self.shared.flights.len())
    }
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// A living value in memory.
    pub(crate) fn find<Q>(&self, key: &Q) -> Option<Hit<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.memory
            .get_with(key, |found| Hit::new(Arc::clone(found.value()), Source::Memory, found.expires()))
    }

    /// Puts a value into memory, if `permit` agrees when it becomes visible, and returns it as it would be served.
    pub(crate) fn store(
        &self,
        key: K,
        loaded: Loaded<V>,
        options: &Options,
        permit: impl Fn() -> bool,
    ) -> (Hit<V>, Inserted) {
        let ttl = loaded.ttl.or(options.ttl()).unwrap_or(self.memory.default_ttl());
        let mut put = options.put(ttl);
        if let Some(tags) = loaded.tags {
            put = put.with_tags(tags);
        }
        let value = Arc::new(loaded.value);
        let expires = ttl.finite().map_or(Time::NEVER, |ttl| self.memory.clock().now().after(ttl));
        let inserted = self.memory.insert_if(key, Arc::clone(&value), put, permit);
        (Hit::new(value, Source::Loader, expires), inserted)
    }
}

impl<K, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("name", &self.name())
            .field("memory", self.memory())
            .finish_non_exhaustive()
    }
}
