//! The in-process twin of a shared store: entries of bytes in a [`Memory`], behind the asynchronous seam.
//!
//! The memory ends an entry when it may no longer be kept, even as stale. What is left until then is its stale life
//! first and its fresh one before that, so one moment and one duration tell both:
//!
//! ```text
//! put ────── fresh ──────┬────── stale_for ──────┤ expires
//!             now ├─ ttl ┤
//! ```

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{Clock, Entry, Key, Meta, Note, Removed, Result, Store, StoreInfo, Tag, Tags, Ttl};

use crate::noted::Noted;
use crate::{Inserted, Memory, Put};

/// A longer stale life would reach past the end of a clock's time, and its beginning could not be told any more.
pub(crate) const LONGEST_STALE: Duration = Duration::from_hours(100 * 366 * 24);

/// A store of entries in the memory of this process.
///
/// An entry that alone exceeds the limit is not kept, and neither is what its key held before. Stale lives of more
/// than 100 years are cut to that, and lives of more than 400 years do not end.
///
/// Notes of about 32,000 keys are remembered, the latest ones. One that is taken while another thread writes or removes
/// something may be refused. A touch, an eviction and the end of an entry by time refuse none.
///
/// ```
/// use cache_core::{Entry, Key, StoreExt, Ttl};
/// use cache_memory::MemoryStore;
/// # pollster::block_on(async {
/// let store = MemoryStore::new(64 << 20);
/// let key = Key::new("user:42")?;
/// store.put(key.clone(), Entry::new("Ada").with_ttl(Ttl::from_secs(60))).await?;
/// let entry = store.get(&key).await?.expect("it was just stored");
/// assert_eq!(entry.value, "Ada");
/// assert!(entry.meta.ttl <= Ttl::from_secs(60));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    memory: Memory<Key, Entry>,
    noted: Noted,
}

impl MemoryStore {
    /// An empty store of at most this many bytes, keys and what is known about the entries included.
    pub fn new(max_bytes: u64) -> Self {
        Self::over(Memory::new().with_weigher(bytes).with_max_bytes(max_bytes))
    }

    /// Stores in this memory, with its limits, its policy and its clock. Of what happens to the memory past this store no
    /// note knows.
    pub fn over(memory: Memory<Key, Entry>) -> Self {
        Self { memory, noted: Noted::new() }
    }

    /// An empty store of the same kind that lives by this clock. Default: the system's monotonic clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self::over(self.memory.with_clock(clock))
    }

    /// What the entries are kept in.
    pub fn memory(&self) -> &Memory<Key, Entry> {
        &self.memory
    }

    /// How many noted writes were refused.
    pub fn refused(&self) -> u64 {
        self.noted.refused()
    }

    fn read(&self, key: &Key) -> Option<Entry> {
        let (entry, expires) = self.memory.get_with(key, |found| (found.value().clone(), found.expires()))?;
        remaining(entry, Ttl::between(self.memory.clock().now(), expires))
    }

    fn write(&self, key: Key, mut entry: Entry, permit: impl Fn() -> bool) -> Inserted {
        entry.meta.stale_for = entry.meta.stale_for.min(LONGEST_STALE);
        let meta = &entry.meta;
        let put = Put::new().with_ttl(meta.keep_for()).with_tags(meta.tags.clone());
        let put = put.with_priority(meta.priority).with_cost(meta.cost);
        self.memory.insert_if(key, entry, put, permit)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn info(&self) -> StoreInfo {
        StoreInfo::new("memory")
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
        let removed = keys.iter().filter_map(|key| self.noted.write(key, || self.memory.remove(key)));
        Ok(removed.count() as u64)
    }

    async fn touch(&self, key: &Key, ttl: Ttl) -> Result<bool> {
        if ttl.is_zero() {
            return Ok(self.noted.write(key, || self.memory.touch(key, ttl)));
        }
        let life = |stale_for| Meta { ttl, stale_for, ..Meta::default() }.keep_for();
        Ok(self.memory.touch_with(key, |found| life(found.value().meta.stale_for)))
    }

    async fn remove_tag(&self, tag: &Tag) -> Result<Removed> {
        let (tag, carries) = (tag.as_str(), |_: &Key, tags: &Tags| tags.contains(tag.as_str()));
        Ok(Removed::Exactly(self.noted.write_all(carries, || self.memory.remove_tag(tag))))
    }

    async fn remove_prefix(&self, prefix: &str) -> Result<Removed> {
        let begins = |key: &Key, _: &Tags| key.as_str().starts_with(prefix);
        Ok(Removed::Exactly(self.noted.write_all(begins, || self.memory.remove_prefix(prefix))))
    }

    async fn clear(&self) -> Result<Removed> {
        Ok(Removed::Exactly(self.noted.write_all(|_, _| true, || self.memory.clear())))
    }

    async fn note(&self, key: &Key, tags: &Tags) -> Result<Note> {
        Ok(self.noted.note(key, tags))
    }

    async fn put_noted(&self, key: Key, entry: Entry, note: &Note) -> Result<bool> {
        if note.is_none() {
            self.put_many(vec![(key, entry)]).await?;
            return Ok(true);
        }
        let write = |may: &dyn Fn() -> bool| self.write(key.clone(), entry, may) != Inserted::Refused;
        Ok(self.noted.write_noted(&key, note, write))
    }
}

/// The entry with what is `left` until it may no longer be kept, split into its fresh life and its stale one; `None` if
/// nothing is.
pub(crate) fn remaining(mut entry: Entry, left: Ttl) -> Option<Entry> {
    if let Some(left) = left.finite() {
        entry.meta.ttl = left.saturating_sub(entry.meta.stale_for).into();
        entry.meta.stale_for = entry.meta.stale_for.min(left);
    } else {
        entry.meta.ttl = Ttl::FOREVER;
    }
    (!entry.meta.keep_for().is_zero()).then_some(entry)
}

/// What an entry takes. What entries share, such as the text of their tags, is counted for each.
pub(crate) fn bytes(key: &Key, Entry { value, meta }: &Entry) -> u64 {
    let tags: usize = meta.tags.iter().map(|tag| size_of::<Tag>() + tag.as_str().len()).sum();
    let labels: usize =
        meta.labels.iter().map(|(name, text)| size_of::<[String; 2]>() + name.len() + text.len()).sum();
    (size_of::<(Key, Entry)>() + key.as_str().len() + value.len() + tags + labels) as u64
}
