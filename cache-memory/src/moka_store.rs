//! moka's cache in place of ours, behind the same seam: for who knows how it behaves and wants that.
//!
//! ```text
//! Store ──► MokaStore ── one lock per group of keys for writes ──► moka::sync::Cache<Key, Held>
//!               └─────── tag index: which keys carry a tag  ◄──── whatever left, by moka's listener
//! ```
//! What it lacks beside [`MemoryStore`](crate::MemoryStore): its limit is exceeded for moments, because moka evicts behind
//! the writers; a removal of a prefix or of everything visits all entries; and its policy is W-TinyLFU, nothing else.

mod tag_index;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cache_core::{
    Clock, Entry, Key, Note, Removed, Result, Store, StoreInfo, SystemClock, Tag, Tags, Time, Ttl,
};
use moka::notification::RemovalCause;
use moka::sync::Cache;
use moka::{Expiry, sync::CacheBuilder};
use parking_lot::{Mutex, MutexGuard};

use self::tag_index::TagIndex;
use crate::Cause;
use crate::noted::Noted;
use crate::store::{LONGEST_STALE, bytes, remaining};

/// Writers of different keys seldom meet in as many groups.
const GROUPS: usize = 64;

type Listener = Arc<dyn Fn(&Key, &Entry, Cause) + Send + Sync>;

/// A store of entries in a cache of moka.
///
/// An entry that alone exceeds the limit is not kept, and neither is what its key held before. Stale lives of more
/// than 100 years are cut to that, and lives of more than 400 years do not end. Of notes holds what
/// [`MemoryStore`](crate::MemoryStore) says.
///
/// ```
/// use cache_core::{Entry, Key, StoreExt, Ttl};
/// use cache_memory::MokaStore;
/// # pollster::block_on(async {
/// let store = MokaStore::new(64 << 20);
/// let key = Key::new("user:42")?;
/// store.put(key.clone(), Entry::new("Ada").with_ttl(Ttl::from_secs(60))).await?;
/// assert_eq!(store.get(&key).await?.expect("it was just stored").value, "Ada");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MokaStore {
    cache: Cache<Key, Held>,
    tags: Arc<TagIndex>,
    /// moka makes a read and a write of a key one step only among those that ask it to; a plain insert passes them by.
    groups: Box<[Mutex<()>]>,
    hasher: RandomState,
    noted: Noted,
    stamps: AtomicU64,
    setup: Setup,
}

/// What an empty store is made from.
#[derive(Clone)]
struct Setup {
    max_bytes: u64,
    clock: Arc<dyn Clock>,
    /// Whether the clock goes as moka's does, so that moka can free what has expired.
    is_steady: bool,
    listener: Option<Listener>,
}

/// An entry, when it ends, and which write of all it came with.
#[derive(Clone)]
struct Held {
    entry: Entry,
    expires: Time,
    stamp: u64,
    /// How long moka has to keep it.
    keep_for: Option<Duration>,
}

impl MokaStore {
    /// An empty store of about this many bytes, keys and what is known about the entries included.
    pub fn new(max_bytes: u64) -> Self {
        let clock = Arc::new(SystemClock::new());
        Self::build(Setup { max_bytes, clock, is_steady: true, listener: None })
    }

    /// An empty store of the same kind that lives by this clock. Default: the system's monotonic clock.
    ///
    /// moka knows no other clock than its own: under another one what has expired is not served any more, but takes its
    /// room until it is evicted or its key is written again.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self::build(Setup { clock, is_steady: false, ..self.setup })
    }

    /// An empty store of the same kind that calls `listener` with every entry that leaves. It runs under locks of this
    /// store and of moka: be brief, and do not use this store in it.
    #[must_use]
    pub fn with_listener(self, listener: impl Fn(&Key, &Entry, Cause) + Send + Sync + 'static) -> Self {
        Self::build(Setup { listener: Some(Arc::new(listener)), ..self.setup })
    }

    /// How many noted writes were refused.
    pub fn refused(&self) -> u64 {
        self.noted.refused()
    }

    /// How many bytes are held, expired entries that are not yet freed included, once moka has done what is due.
    pub fn bytes(&self) -> u64 {
        self.cache.run_pending_tasks();
        self.cache.weighted_size()
    }

    fn build(setup: Setup) -> Self {
        let tags = Arc::new(TagIndex::default());
        let cache = builder(&setup, Arc::clone(&tags)).build();
        let groups = (0..GROUPS).map(|_| Mutex::new(())).collect();
        let (hasher, noted) = (RandomState::new(), Noted::new());
        Self { cache, tags, groups, hasher, noted, stamps: AtomicU64::new(0), setup }
    }

    /// Keeps other writers of this key out.
    fn group(&self, key: &Key) -> MutexGuard<'_, ()> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let hash = self.hasher.hash_one(key) as usize;
        self.groups[hash % GROUPS].lock()
    }

    /// Has removed, of all keys at once, what `covers` covers, after those noted writes that did not know of it.
    fn remove_noted<T>(&self, covers: impl Fn(&Key, &Tags) -> bool, remove: impl FnOnce() -> T) -> T {
        self.noted.write_all(covers, || {
            // Whoever was allowed to write before has its key's group locked until the entry can be found.
            self.groups.iter().for_each(|group| drop(group.lock()));
            remove()
        })
    }

    fn living(&self, key: &Key) -> Option<Held> {
        self.cache.get(key).filter(|held| self.setup.clock.now() < held.expires)
    }

    fn read(&self, key: &Key) -> Option<Entry> {
        let Held { entry, expires, .. } = self.living(key)?;
        remaining(entry, Ttl::between(self.setup.clock.now(), expires))
    }

    /// Writes an entry if, with nobody else at its key, it still `may` be written, and says whether it might.
    fn write(&self, key: Key, mut entry: Entry, may: impl Fn() -> bool) -> bool {
        entry.meta.stale_for = entry.meta.stale_for.min(LONGEST_STALE);
        let _alone = self.group(&key);
        if !may() {
            return false;
        }
        if entry.meta.keep_for().is_zero() || bytes(&key, &entry) > self.setup.max_bytes {
            self.cache.invalidate(&key);
        } else {
            self.link(key, entry);
        }
        true
    }

    /// Stores an entry with a new life from now. To be called with the key's group locked.
    fn link(&self, key: Key, entry: Entry) {
        let life = entry.meta.keep_for().finite();
        let expires = life.map_or(Time::NEVER, |life| self.setup.clock.now().after(life));
        let stamp = self.stamps.fetch_add(1, Relaxed);
        // Before the entry can be found, so that a removal of the tag finds it too.
        self.tags.insert(&entry.meta.tags, stamp, &key);
        let keep_for = life.filter(|_| self.setup.is_steady);
        self.cache.insert(key, Held { entry, expires, stamp, keep_for });
    }

    /// Removes the entry of this key if it is alive and `doomed`, and says whether it was.
    fn remove_if(&self, key: &Key, doomed: impl FnOnce(&Held) -> bool) -> bool {
        let _alone = self.group(key);
        let found = self.living(key).is_some_and(|held| doomed(&held));
        if found {
            self.cache.invalidate(key);
        }
        found
    }

    /// Removes all entries whose key is `doomed`.
    fn remove_all(&self, doomed: impl Fn(&Key) -> bool) -> Removed {
        let keys: Vec<Arc<Key>> = self.cache.iter().map(|(key, _)| key).filter(|key| doomed(key)).collect();
        Removed::Exactly(keys.iter().filter(|key| self.remove_if(key, |_| true)).count() as u64)
    }
}

#[async_trait]
impl Store for MokaStore {
    fn info(&self) -> StoreInfo {
        StoreInfo::new("moka")
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        Ok(keys.iter().map(|key| self.read(key)).collect())
    }

    async fn put_many(&self, entries: Vec<(Key, Entry)>) -> Result<()> {
        for (key, entry) in entries {
            self.noted.write(&key.clone(), || self.write(key, entry, || true));
        }
        Ok(())
    }

    async fn remove_many(&self, keys: &[Key]) -> Result<u64> {
        let remove = |key: &&Key| self.noted.write(key, || self.remove_if(key, |_| true));
        Ok(keys.iter().filter(remove).count() as u64)
    }

    async fn touch(&self, key: &Key, ttl: Ttl) -> Result<bool> {
        if ttl.is_zero() {
            return Ok(self.noted.write(key, || self.remove_if(key, |_| true)));
        }
        let _alone = self.group(key);
        let Some(Held { mut entry, .. }) = self.living(key) else { return Ok(false) };
        entry.meta.ttl = ttl;
        self.link(key.clone(), entry);
        Ok(true)
    }

    async fn remove_tag(&self, tag: &Tag) -> Result<Removed> {
        let has_tag = |_: &Key, tags: &Tags| tags.contains(tag.as_str());
        let removed = self.remove_noted(has_tag, || {
            let carriers = self.tags.carriers(tag);
            let is_removed = |(stamp, key): &&(u64, Key)| self.remove_if(key, |held| held.stamp == *stamp);
            carriers.iter().filter(is_removed).count()
        });
        Ok(Removed::Exactly(removed as u64))
    }

    async fn remove_prefix(&self, prefix: &str) -> Result<Removed> {
        let begins = |key: &Key| key.as_str().starts_with(prefix);
        Ok(self.remove_noted(|key, _| begins(key), || self.remove_all(begins)))
    }

    async fn clear(&self) -> Result<Removed> {
        Ok(self.remove_noted(|_, _| true, || self.remove_all(|_| true)))
    }

    async fn note(&self, key: &Key, tags: &Tags) -> Result<Note> {
        Ok(self.noted.note(key, tags))
    }

    async fn put_noted(&self, key: Key, entry: Entry, note: &Note) -> Result<bool> {
        if note.is_none() {
            self.put_many(vec![(key, entry)]).await?;
            return Ok(true);
        }
        Ok(self.noted.write_noted(&key, note, |may| self.write(key.clone(), entry, may)))
    }
}

impl fmt::Debug for MokaStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MokaStore").field("max_bytes", &self.setup.max_bytes).finish_non_exhaustive()
    }
}

fn builder(setup: &Setup, tags: Arc<TagIndex>) -> CacheBuilder<Key, Held, Cache<Key, Held>> {
    let listener = setup.listener.clone();
    let left = move |key: Arc<Key>, Held { entry, stamp, .. }: Held, cause| {
        tags.remove(&entry.meta.tags, stamp);
        if let Some(listener) = &listener {
            listener(&key, &entry, named(cause));
        }
    };
    // moka weighs by 32-bit numbers, so an entry of more than 4 GiB counts as one of 4 GiB.
    let weigh = |key: &Key, held: &Held| u32::try_from(bytes(key, &held.entry)).unwrap_or(u32::MAX);
    Cache::builder().max_capacity(setup.max_bytes).weigher(weigh).expire_after(Ends).eviction_listener(left)
}

fn named(cause: RemovalCause) -> Cause {
    match cause {
        RemovalCause::Expired => Cause::Expired,
        RemovalCause::Explicit => Cause::Removed,
        RemovalCause::Replaced => Cause::Replaced,
        RemovalCause::Size => Cause::Evicted,
    }
}

/// Tells moka when to free an entry.
struct Ends;

impl Expiry<Key, Held> for Ends {
    fn expire_after_create(&self, _key: &Key, held: &Held, _now: Instant) -> Option<Duration> {
        held.keep_for
    }

    fn expire_after_update(
        &self,
        _key: &Key,
        held: &Held,
        _now: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        held.keep_for
    }
}

#[cfg(test)]
mod tests {
    use cache_core::{StoreExt, Tags};

    use super::*;

    #[pollster::test]
    async fn the_tag_index_forgets_whatever_leaves() -> Result<()> {
        let store = MokaStore::new(100_000);
        let tagged = |number: u32| {
            let tags = Tags::new([format!("tag:{number}")]).expect("legal");
            Entry::new("x").with_ttl(Ttl::from_secs(3600)).with_tags(tags)
        };
        let key = |number: u32| Key::new(number.to_string()).expect("legal");
        for number in 0..2000 {
            store.put(key(number), tagged(number)).await?;
            store.put(key(number), tagged(number + 1)).await?;
        }
        store.bytes();
        let evicted = 2000 - store.cache.entry_count();
        assert!(evicted > 0 && store.tags.len() as u64 == 2000 - evicted, "{} tags", store.tags.len());
        store.touch(&key(1), Ttl::ZERO).await?;
        store.remove_many(&[key(2), key(3)]).await?;
        store.clear().await?;
        store.bytes();
        assert_eq!(store.tags.len(), 0);
        Ok(())
    }
}
