//! The regions of this server: named caches of blobs, each with its own limits, lifetime and policy, over the same places.
//!
//! A key is the text that came in over the network, as it is. A blob is bytes and what they are.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use cache_core::{Clock, Key, Pattern, Tag, Tags};
use cache_memory::Policy;
use futures_util::future::join_all;
use strata::{
    BuildError, Cache, Change, Hit, Inserted, LeaseToken, Leased, Memory, NameTaken, Options, Registry, Ttl,
};
use thiserror::Error;
use tokio::sync::{Mutex as Turn, MutexGuard};

use crate::blob::Blob;
use crate::config::RegionSettings;
use crate::news::{Change as Told, News, Watcher};
use crate::places::Places;
use crate::prefixes::{Asked, Prefix, Prefixes};

/// The most regions of a server. Each costs memory even when it is empty, and labels in every scrape.
pub(crate) const MAX_REGIONS: usize = 256;

/// What an entry costs besides its texts and bytes: its place in the index, the policy, the wheel, and the headers of
/// its allocations. Measured: 250 to 320 bytes of resident memory, at different fills of the tables.
const ENTRY_OVERHEAD_BYTES: u64 = 288;

/// What a tag that nothing else carries costs besides its text: its place in the tag index and a set of its own.
const TAG_OVERHEAD_BYTES: u64 = 200;

/// How many entries a tier is told at once.
const AT_ONCE: usize = 128;

/// How many entries can be changed at the same time, but for collisions.
const TURNS: u64 = 256;

/// One hit in so many is noted, to name the keys that are read most. It costs a hit nothing that can be measured.
const SAMPLED_ONE_IN: u32 = 64;

/// A cache of blobs.
pub(crate) type BlobCache = Cache<Key, Blob>;

/// What these tags take at most, if no other entry carries them.
pub(crate) fn tag_bytes(tags: Option<&Tags>) -> u64 {
    tags.into_iter().flatten().map(|tag| tag.as_str().len() as u64 + TAG_OVERHEAD_BYTES).sum()
}

/// What an entry weighs against its region's limit in bytes.
pub(crate) fn weight(key: &Key, blob: &Blob) -> u64 {
    (key.as_str().len() + blob.weight()) as u64 + blob.tag_bytes + ENTRY_OVERHEAD_BYTES
}

/// The regions, by name.
#[derive(Debug)]
pub(crate) struct Regions {
    registry: Registry,
    places: Places,
    clock: Arc<dyn Clock>,
    /// Held while a region is added or removed, so that two requests cannot both take the last place, or one the counts of the other's.
    adding: Mutex<()>,
    /// Held while an entry is looked at and changed as one step.
    turns: Vec<Turn<()>>,
    hasher: RandomState,
    /// How many values were too large, by region: they are refused before their region's own count sees them.
    too_large: Mutex<BTreeMap<String, u64>>,
    /// Each region with what was read of it. A read looks there alone, and waits for nobody.
    counted: ArcSwap<BTreeMap<String, (BlobCache, Arc<Prefixes>)>>,
    prefix_delimiter: char,
    news: News,
}

/// What to change of a region; what is left out stays.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RegionChange {
    pub(crate) max_entries: Option<NonZeroU64>,
    pub(crate) max_bytes: Option<NonZeroU64>,
    pub(crate) policy: Option<Policy>,
    /// Of what is stored from now on.
    pub(crate) ttl: Option<Ttl>,
}

impl From<&RegionSettings> for RegionChange {
    fn from(all: &RegionSettings) -> Self {
        let RegionSettings { max_entries, max_bytes, ttl, policy } = *all;
        Self {
            max_entries: Some(max_entries),
            max_bytes: Some(max_bytes),
            policy: Some(policy),
            ttl: Some(ttl),
        }
    }
}

/// How long an entry of this region lives that does not say so itself.
pub(crate) fn default_ttl(cache: &BlobCache) -> Ttl {
    cache.options().ttl().unwrap_or_else(|| cache.memory().default_ttl())
}

/// Why a region cannot be made.
#[derive(Debug, Error)]
pub(crate) enum CreateError {
    #[error(transparent)]
    Name(#[from] BuildError),
    #[error(transparent)]
    Taken(#[from] NameTaken),
    #[error("there are {MAX_REGIONS} regions already; remove one first")]
    Full,
}

impl Regions {
    pub(crate) fn new(places: Places, clock: Arc<dyn Clock>, prefix_delimiter: char) -> Self {
        Self {
            registry: Registry::new(),
            places,
            clock,
            adding: Mutex::new(()),
            turns: (0..TURNS).map(|_| Turn::default()).collect(),
            hasher: RandomState::new(),
            too_large: Mutex::default(),
            counted: ArcSwap::default(),
            prefix_delimiter,
            news: News::new(),
        }
    }

    /// The tiers that all regions share.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    pub(crate) fn create(&self, name: &str, settings: &RegionSettings) -> Result<BlobCache, CreateError> {
        let memory = Memory::new()
            .with_max_entries(settings.max_entries.get())
            .with_max_bytes(settings.max_bytes.get())
            .with_weigher(|key, blob: &Arc<Blob>| weight(key, blob))
            .with_ttl(settings.ttl)
            .with_policy(settings.policy)
            .with_sampling(SAMPLED_ONE_IN)
            .with_clock(Arc::clone(&self.clock));
        let cache = self.places.below(Cache::builder(name).memory(memory).serve_stale()).build()?;
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        if self.find(name).is_none() {
            if self.registry.all().len() >= MAX_REGIONS {
                return Err(CreateError::Full);
            }
            // Before anybody can read it, so that no read goes uncounted.
            let counted = (cache.clone(), Arc::new(Prefixes::new(self.prefix_delimiter)));
            self.with_counted(|all| {
                all.insert(name.to_owned(), counted.clone());
            });
        }
        self.registry.add(&cache)?;
        Ok(cache)
    }

    /// Changes a region that runs; what still fits stays.
    pub(crate) fn change(cache: &BlobCache, asked: &RegionChange) -> Result<(), BuildError> {
        let mut change = Change::new();
        if let Some(most) = asked.max_entries {
            change = change.with_max_entries(Some(most.get()));
        }
        if let Some(most) = asked.max_bytes {
            change = change.with_max_bytes(Some(most.get()));
        }
        if let Some(policy) = asked.policy.filter(|policy| *policy != cache.memory().policy()) {
            change = change.with_policy(policy);
        }
        if let Some(ttl) = asked.ttl {
            change = change.with_options((*cache.options()).clone().with_ttl(ttl));
        }
        cache.reconfigure(change)
    }

    /// The list of them, as regions of any type.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn find(&self, name: &str) -> Option<BlobCache> {
        self.registry.cache(name)
    }

    /// Takes a region off the list. Requests that already found it finish with it.
    pub(crate) fn remove(&self, name: &str) -> Option<BlobCache> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let cache = self.find(name)?;
        self.too_large.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.with_counted(|all| drop(all.remove(name)));
        let removed = self.registry.remove(name).then_some(cache);
        self.news.tell(name, || Told::Clear);
        self.news.end(name);
        removed
    }

    /// All regions, by name.
    pub(crate) fn all(&self) -> Vec<BlobCache> {
        self.registry.all().iter().filter_map(|region| self.find(region.name())).collect()
    }

    /// Reads an entry.
    pub(crate) async fn get(&self, cache: &BlobCache, key: &Key) -> cache_core::Result<Option<Hit<Blob>>> {
        let prefixes = self.prefixes_of(cache.name());
        let asked = prefixes.as_ref().map(|prefixes| Asked::new(prefixes, slice::from_ref(key)));
        let answer = cache.get(key).await?;
        if let Some(asked) = asked {
            asked.answered(slice::from_ref(&answer), self.places.is_memory_alone());
        }
        Ok(answer)
    }

    /// Reads an entry or, if there is no fresh one, gives the lease to make it, or waits for so long for another client who has it. One read,
    /// however often it looks.
    pub(crate) async fn get_or_lease(
        &self,
        cache: &BlobCache,
        key: &Key,
        (hold, wait): (Duration, Duration),
    ) -> cache_core::Result<Leased<Blob>> {
        let prefixes = self.prefixes_of(cache.name());
        let asked = prefixes.as_ref().map(|prefixes| Asked::new(prefixes, slice::from_ref(key)));
        let leased = cache.get_or_lease(key, hold).await?;
        if let Some(asked) = asked {
            asked.answered(&[leased.value().cloned()], self.places.is_memory_alone());
        }
        if wait.is_zero() || !matches!(leased, Leased::Held { stale: None }) {
            return Ok(leased);
        }
        cache.wait_or_lease(key, hold, wait).await
    }

    /// Reads entries: one answer per key, in their order.
    pub(crate) async fn get_many(
        &self,
        cache: &BlobCache,
        keys: &[Key],
    ) -> cache_core::Result<Vec<Option<Hit<Blob>>>> {
        let prefixes = self.prefixes_of(cache.name());
        let asked = prefixes.as_ref().map(|prefixes| Asked::new(prefixes, keys));
        let answers = cache.get_many(keys).await?;
        if let Some(asked) = asked {
            asked.answered(&answers, self.places.is_memory_alone());
        }
        Ok(answers)
    }

    /// A region for who reads its memory alone, with what counts those reads.
    pub(crate) fn find_counted(&self, name: &str) -> Option<(BlobCache, Arc<Prefixes>)> {
        self.counted.load().get(name).cloned()
    }

    /// How the reads of a region ended, by what their keys begin with.
    pub(crate) fn prefixes(&self, name: &str) -> Vec<Prefix> {
        self.prefixes_of(name).map(|prefixes| prefixes.all()).unwrap_or_default()
    }

    fn prefixes_of(&self, name: &str) -> Option<Arc<Prefixes>> {
        self.counted.load().get(name).map(|(_, prefixes)| Arc::clone(prefixes))
    }

    fn with_counted(&self, change: impl Fn(&mut BTreeMap<String, (BlobCache, Arc<Prefixes>)>)) {
        self.counted.rcu(|all| {
            let mut all = BTreeMap::clone(all);
            change(&mut all);
            all
        });
    }

    /// Stores a blob with these options over those of its region.
    pub(crate) async fn insert(
        &self,
        cache: &BlobCache,
        key: Key,
        blob: Blob,
        options: Options,
    ) -> cache_core::Result<Inserted> {
        self.insert_under(cache, None, (key, blob), options).await
    }

    /// As [`insert`](Self::insert), under this lease if there is one.
    pub(crate) async fn insert_under(
        &self,
        cache: &BlobCache,
        lease: Option<&LeaseToken>,
        (key, blob): (Key, Blob),
        options: Options,
    ) -> cache_core::Result<Inserted> {
        let ttl = options.ttl().unwrap_or_else(|| default_ttl(cache));
        let options = options.with_fail_safe_for(self.places.window(ttl));
        let told = self.news.is_watched(cache.name()).then(|| Box::from(key.as_str()));
        let inserted = match lease {
            Some(lease) => cache.insert_leased(lease, key, blob, options).await?,
            None => cache.insert_with(key, blob, options).await?,
        };
        if inserted == Inserted::Refused {
            return Ok(inserted);
        }
        if let Some(key) = told {
            self.news.tell(cache.name(), || Told::Set { key });
        }
        Ok(inserted)
    }

    /// Gives an entry a new life, and says whether there is one.
    pub(crate) async fn touch(&self, cache: &BlobCache, key: &Key, ttl: Ttl) -> cache_core::Result<bool> {
        let found = cache.touch(key, ttl).await?;
        if found {
            self.news.tell(cache.name(), || Told::Set { key: key.as_str().into() });
        }
        Ok(found)
    }

    /// Removes an entry, and says whether there was one.
    pub(crate) async fn remove_key(&self, cache: &BlobCache, key: &Key) -> cache_core::Result<bool> {
        let removed = cache.remove(key).await?;
        self.news.tell(cache.name(), || Told::Remove { key: key.as_str().into() });
        Ok(removed)
    }

    /// Removes entries, and says how many there were.
    pub(crate) async fn remove_keys(&self, cache: &BlobCache, keys: &[Key]) -> cache_core::Result<u64> {
        let removed = cache.remove_many(keys).await?;
        for key in keys {
            self.news.tell(cache.name(), || Told::Remove { key: key.as_str().into() });
        }
        Ok(removed)
    }

    /// Removes what has this tag, and says how many there were.
    pub(crate) async fn remove_tag(&self, cache: &BlobCache, tag: &Tag) -> cache_core::Result<u64> {
        let removed = cache.remove_tag(tag.as_str()).await?;
        self.news.tell(cache.name(), || Told::Tag { tag: tag.as_str().into() });
        Ok(removed)
    }

    /// Removes what begins like this, and says how many there were. Tells of each entry of memory that it has looked at.
    pub(crate) async fn remove_prefix(
        &self,
        cache: &BlobCache,
        prefix: &str,
        looked_at: impl Fn() + Send + Sync + 'static,
    ) -> cache_core::Result<u64> {
        let removed = cache.remove_prefix_telling(prefix, looked_at).await?;
        self.news.tell(cache.name(), || Told::Prefix { prefix: prefix.into() });
        Ok(removed)
    }

    /// Removes what is like this pattern, as [`remove_prefix`](Self::remove_prefix) does.
    pub(crate) async fn remove_pattern(
        &self,
        cache: &BlobCache,
        pattern: &Pattern,
        looked_at: impl Fn() + Send + Sync + 'static,
    ) -> cache_core::Result<u64> {
        let removed = cache.remove_pattern_telling(pattern, looked_at).await?;
        self.news.tell(cache.name(), || Told::Pattern { pattern: pattern.as_str().into() });
        Ok(removed)
    }

    /// Removes all, and says how many there were.
    pub(crate) async fn clear(&self, cache: &BlobCache) -> cache_core::Result<u64> {
        let removed = cache.clear().await?;
        self.news.tell(cache.name(), || Told::Clear);
        Ok(removed)
    }

    /// Begins to watch a region, after the event of this name; nothing if too many do already.
    pub(crate) fn watch(&self, cache: &BlobCache, last: Option<&str>) -> Option<Watcher> {
        self.news.watch(cache.name(), last, self.places.bus())
    }

    /// Stores many, and says how many are stored: so many at once that a tier is asked in batches. Of two under one key, the later one is
    /// stored later.
    pub(crate) async fn insert_many(
        &self,
        cache: &BlobCache,
        entries: Vec<(Key, Blob, Options)>,
    ) -> cache_core::Result<u64> {
        let mut stored = 0;
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            let (mut keys, mut batch) = (HashSet::new(), Vec::new());
            while let Some((key, blob, options)) =
                entries.next_if(|(key, ..)| batch.len() < AT_ONCE && keys.insert(key.clone()))
            {
                batch.push(self.insert(cache, key, blob, options));
            }
            for inserted in join_all(batch).await {
                stored += u64::from(inserted?.is_stored());
            }
        }
        Ok(stored)
    }

    /// Waits until nobody else on this server changes the entry as one step with a look at it.
    pub(crate) async fn turn(&self, cache: &BlobCache, key: &Key) -> MutexGuard<'_, ()> {
        let at = usize::try_from(self.hasher.hash_one((cache.name(), key)) % TURNS).unwrap_or_default();
        self.turns[at].lock().await
    }

    /// Tells whether a region can hold this value at all, and counts it if not.
    ///
    /// A value that is refused here leaves what is stored under its key as it is.
    pub(crate) fn has_room(&self, cache: &BlobCache, key: &Key, blob: &Blob) -> bool {
        let fits = cache.memory().max_bytes().is_none_or(|limit| weight(key, blob) <= limit);
        if !fits {
            let mut counts = self.too_large.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry(cache.name().to_owned()).or_default() += 1;
        }
        fits
    }

    /// How many values were too large for a region.
    pub(crate) fn too_large(&self, name: &str) -> u64 {
        self.too_large.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied().unwrap_or_default()
    }
}
