//! The cache as its users see it: one typed handle, and the verbs.
//!
//! Reading by key goes to the memory tier first, synchronously; only a miss goes on to `load.rs`.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use cache_core::{CacheKey, Namespace, Result, Time, Ttl};
use cache_invalidation::{Attachment, Bus};
use cache_memory::{Found, Inserted, Memory};

use crate::below::Below;
use crate::change::Defaults;
use crate::close::Phase;
use crate::codec::Framer;
use crate::failures::Failures;
use crate::fence::{Fence, Ticket};
use crate::flight::Flights;
use crate::gate::Gate;
use crate::health::Health;
use crate::hit::{Hit, Source, Stale};
use crate::kept::Kept;
use crate::lease::Leases;
use crate::loaded::About;
use crate::monitor::Watch;
use crate::news::Teller;
use crate::options::Options;
use crate::stats::{LoadCounts, Stats};
use crate::sync::watch;
use crate::tiers::{TierStats, Versions};
use crate::write::{Chance, Record};

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
    pub(crate) memory: Memory<K, Kept<V>>,
    /// How long memory keeps anything as fresh.
    pub(crate) max_memory_ttl: Ttl,
    /// The tiers below it.
    pub(crate) below: Option<Arc<Below<V>>>,
    /// What its monitor has seen.
    pub(crate) watch: Option<Arc<Watch<K>>>,
    pub(crate) versions: Arc<Versions>,
    /// Tells other processes.
    pub(crate) teller: Option<Arc<Teller>>,
    /// Hears of other processes, until it is gone.
    pub(crate) attachment: OnceLock<Attachment>,
    pub(crate) defaults: Defaults,
    pub(crate) fence: Fence<K>,
    pub(crate) flights: Arc<Flights<K, V>>,
    pub(crate) failures: Failures<K>,
    pub(crate) loads: Arc<LoadCounts>,
    pub(crate) limits: Limits,
    /// Whether the source may be asked now.
    pub(crate) budget: Option<Arc<dyn Gate>>,
    /// Which values say that there is nothing.
    pub(crate) is_negative: Option<fn(&V) -> bool>,
    /// Whether a read without a loader takes a value that may answer while it is refreshed.
    pub(crate) serves_stale: bool,
    /// Who fills what from outside, from the first of them on.
    pub(crate) leases: OnceLock<Leases>,
    pub(crate) chance: Chance,
    /// Tells its loads when to end: by `close`, or because it is gone with the cache.
    pub(crate) phase: watch::Sender<Phase>,
}

/// How much may go on at the same time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) loads: u64,
    pub(crate) abandoned: u64,
}

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Reads a value from memory alone: synchronous, without an allocation or a copy of the value. A stale one is none, unless the cache
    /// [serves stale values](crate::Builder::serve_stale).
    #[inline]
    pub fn get_local<Q>(&self, key: &Q) -> Option<Hit<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shared.find_local(key, self.shared.serves_stale)
    }

    /// Looks at a value in memory, as [`get_local`](Self::get_local), which counts neither as a read nor as a use of it.
    pub fn peek<Q>(&self, key: &Q) -> Option<Hit<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shared.memory.peek_with(key, |found| self.shared.hit_of(&found))?
    }

    /// Reads a value. Where a tier below memory does not answer, a copy in memory does, marked [`Stale::Unreachable`](crate::Stale), if
    /// [`Options::with_fail_safe_for`] lets it stand in.
    pub async fn get<Q>(&self, key: &Q) -> Result<Option<Hit<V>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        let shared = &self.shared;
        if shared.below.is_none() {
            return Ok(self.get_local(key));
        }
        match shared.find_local(key, false) {
            None => Ok(shared.get_below(key.to_owned()).await),
            fresh => Ok(fresh),
        }
    }

    /// Reads many values: one answer per key, in their order, each as [`get`](Self::get) answers.
    pub async fn get_many<Q>(&self, keys: &[Q]) -> Result<Vec<Option<Hit<V>>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync,
    {
        let serves_stale = self.shared.serves_stale && self.shared.below.is_none();
        let find = |key| self.shared.find_local(key, serves_stale);
        let mut answers: Vec<_> = keys.iter().map(find).collect();
        if self.shared.below.is_some() && answers.iter().any(Option::is_none) {
            let keys: Vec<K> = keys.iter().map(ToOwned::to_owned).collect();
            self.shared.get_many_below(&keys, &mut answers).await;
        }
        Ok(answers)
    }

    /// Tells whether there is a value. Counts neither as a read nor as a use of it.
    pub async fn contains<Q>(&self, key: &Q) -> Result<bool>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        Ok(self.ttl(key).await?.is_some())
    }

    /// How much longer a value is fresh; `None` if there is none, zero if it is stale and the cache
    /// [serves stale values](crate::Builder::serve_stale).
    pub async fn ttl<Q>(&self, key: &Q) -> Result<Option<Ttl>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        match self.peek(key) {
            Some(hit) if !hit.is_stale() || self.shared.below.is_none() => {
                Ok(Some(hit.remaining(self.shared.memory.clock().now())))
            }
            found => {
                let below = self.shared.peek_below(&key.to_owned()).await;
                Ok(below.or(found.map(|_| Ttl::ZERO)))
            }
        }
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
        let record =
            shared.record(Arc::new(value), About::of_call(&options), &shared.defaults.under(options));
        if shared.is_alone() {
            return Ok(shared.insert(&key, &record));
        }
        let inserted = shared.insert_through(vec![(key, record)]).await.pop();
        Ok(inserted.unwrap_or(Inserted::Refused))
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
        let shared = &self.shared;
        let about = About::of_call(&options);
        let options = shared.defaults.under(options);
        let record = |(key, value)| (key, shared.record(Arc::new(value), about.clone(), &options));
        let entries = entries.into_iter().map(record);
        let inserted: Vec<Inserted> = if shared.is_alone() {
            entries.map(|(key, record)| shared.insert(&key, &record)).collect()
        } else {
            let entries = entries.collect();
            shared.insert_through(entries).await
        };
        Ok(inserted.into_iter().filter(|inserted| inserted.is_stored()).count())
    }

    /// Gives a value a new life from now and says whether it was there. A life of zero removes it.
    pub async fn touch<Q>(&self, key: &Q, ttl: impl Into<Ttl>) -> Result<bool>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        let (shared, ttl) = (&self.shared, ttl.into());
        if ttl.is_zero() && !shared.is_alone() {
            return self.remove(key).await;
        }
        let (now, here) = (shared.memory.clock().now(), shared.ttl_in_memory(ttl));
        let mut is_fresh = false;
        shared.memory.touch_with(key, |found| {
            is_fresh = found.value().is_fresh(|| now);
            if is_fresh { found.value().renew(now, here) } else { Ttl::between(now, found.expires()) }
        });
        if shared.below.is_some() {
            is_fresh |= shared.touch_below(&key.to_owned(), ttl).await;
        }
        Ok(is_fresh)
    }

    /// Reads a value and gives it a new life from now.
    pub async fn get_and_touch<Q>(&self, key: &Q, ttl: impl Into<Ttl>) -> Result<Option<Hit<V>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        let (shared, ttl) = (&self.shared, ttl.into());
        let (now, here) = (shared.memory.clock().now(), shared.ttl_in_memory(ttl));
        let ends = Ttl::finite(ttl).map_or(Time::NEVER, |ttl| now.after(ttl));
        let found = shared.memory.get_and_touch_as(key, |found| {
            let kept = found.value();
            if !kept.is_fresh(|| now) {
                return (None, Ttl::between(now, found.expires()));
            }
            (Some(Hit::new(Arc::clone(kept.value()), Source::Memory, ends)), kept.renew(now, here))
        });
        if let Some(None) = found {
            LoadCounts::count(&shared.loads.found_stale);
        }
        let mut found = found.flatten();
        if shared.below.is_some() {
            if found.is_none() {
                found = shared.get_below(key.to_owned()).await;
            }
            self.touch(key, ttl).await?;
        }
        Ok(found)
    }

    /// The keys of all values in memory with this tag, stale ones included, in no particular order. Costs the number of values with the
    /// tag, in slices that let reads pass.
    #[expect(
        clippy::unused_async,
        reason = "an index of a tier below would have to be asked, as for every other verb"
    )]
    pub async fn keys_with_tag(&self, tag: &str) -> Result<Vec<K>> {
        let mut keys = Vec::new();
        self.shared.memory.for_each_with_tag(tag, |found| keys.push(found.key().clone()));
        Ok(keys)
    }

    /// All values in memory with this tag, with their keys, in no particular order, which counts neither as reads nor as uses of them. A
    /// stale one is none. Costs the number of values with the tag, in slices that let reads pass.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use strata::{Cache, Options, Tags};
    /// let users: Cache<u64, String> = Cache::builder("users").build()?;
    /// users.insert_with(7, "Ada".into(), Options::new().with_tags(Tags::new(["team:1"])?)).await?;
    /// let team = users.entries_with_tag("team:1").await?;
    /// assert_eq!((team.len(), team[0].0, team[0].1.as_str()), (1, 7, "Ada"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(
        clippy::unused_async,
        reason = "an index of a tier below would have to be asked, as for every other verb"
    )]
    pub async fn entries_with_tag(&self, tag: &str) -> Result<Vec<(K, Hit<V>)>> {
        let shared = &self.shared;
        let mut entries = Vec::new();
        shared.memory.for_each_with_tag(tag, |found| {
            entries.extend(shared.hit_of(&found).map(|hit| (found.key().clone(), hit)));
        });
        Ok(entries)
    }
}

impl<K, V> Cache<K, V> {
    /// The name, which all keys begin with.
    pub fn name(&self) -> &str {
        self.shared.namespace.name()
    }

    /// The memory tier. It holds stale values as well, until they are gone.
    pub fn memory(&self) -> &Memory<K, Kept<V>> {
        &self.shared.memory
    }

    /// What calls that say nothing get now.
    pub fn options(&self) -> Arc<Options> {
        self.shared.defaults.get()
    }
}

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// What happened at each tier below memory, in reading order, and how it is.
    pub fn tiers(&self) -> Vec<TierStats> {
        self.shared.below.as_ref().map(|below| below.tiers.stats()).unwrap_or_default()
    }

    /// The bus on which it tells other processes what changes, and hears of them.
    pub fn bus(&self) -> Option<&Bus> {
        self.shared.teller.as_ref().map(|teller| teller.bus())
    }

    /// A key as it stands in tiers, on the bus and in logs: the cache's name, its version if it has one, and the key.
    ///
    /// ```
    /// use strata::Cache;
    /// let candles: Cache<(String, u32), f64> = Cache::builder("candles").build()?;
    /// assert_eq!(candles.key_text(&("BTC".to_owned(), 60)), "candles:BTC:60");
    /// # Ok::<(), strata::BuildError>(())
    /// ```
    pub fn key_text<Q: CacheKey + ?Sized>(&self, key: &Q) -> String {
        self.shared.rendered(key).as_str().to_owned()
    }

    /// How the places are on which it relies, besides memory. Cost: a look at each, and no question to any.
    pub fn health(&self) -> Health {
        Health { tiers: self.tiers(), is_bus_whole: self.bus().map(Bus::is_whole) }
    }

    /// How values become bytes for the tiers below memory, with its counts and its settings; `None` if there are none.
    pub fn framer(&self) -> Option<&Framer<V>> {
        self.shared.below.as_ref().map(|below| &below.framer)
    }

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
    /// Puts a value into memory, in place of whatever is there or on its way there.
    pub(crate) fn insert(&self, key: &K, record: &Record<V>) -> Inserted {
        self.insert_since(None, key, record)
    }

    /// As [`insert`](Self::insert), of what was written below since this ticket of what is heard was taken. If it was heard
    /// meanwhile that another process has changed it, what is below may be newer, and is asked for it.
    pub(crate) fn insert_since(&self, begun: Option<Ticket>, key: &K, record: &Record<V>) -> Inserted {
        let overtaken = AtomicBool::new(false);
        // Under the shard's lock, so that no load can store between the sealing and the insert.
        let seal = || {
            if let Some((teller, begun)) = self.teller.as_ref().zip(begun) {
                overtaken.store(!teller.heard().may_store(begun, key, &record.tags), Relaxed);
            }
            self.fence.seal_key(key);
            true
        };
        let inserted = self.keep(key, record, seal);
        self.failures.forget(key);
        if overtaken.into_inner() {
            self.expire(key);
        }
        inserted
    }

    /// What was found, as an answer, if it may be one.
    fn hit_of(&self, found: &Found<'_, K, Kept<V>>) -> Option<Hit<V>> {
        let kept = found.value();
        let hit = |ends| Hit::new(Arc::clone(kept.value()), Source::Memory, ends);
        let Some(ages) = &kept.ages else { return Some(hit(found.expires())) };
        let (life, now) = (ages.life(), self.memory.clock().now());
        if now < life.stale() {
            return Some(hit(life.stale()));
        }
        (self.serves_stale && life.answers(now)).then(|| hit(life.stale()).with_stale(Stale::Served))
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
