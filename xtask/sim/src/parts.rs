//! A store that removes one key after the other, each of which takes its time, so that no caller waits for the end of a removal: what a
//! server with millions of keys does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{Entry, Key, Note, Part, Removed, Rest, Result, Store, StoreInfo, Tag, Tags, Ttl};
use cache_memory::MemoryStore;

use crate::passes;

/// A third of the time that callers wait.
const PART: Duration = Duration::from_millis(66);

/// Around the store that all processes share.
#[derive(Debug)]
pub(crate) struct Parts {
    inner: Arc<MemoryStore>,
    /// All that there may be.
    keys: Vec<Key>,
}

impl Parts {
    pub(crate) fn new(inner: Arc<MemoryStore>, keys: Vec<Key>) -> Self {
        Self { inner, keys }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Parts {
    fn info(&self) -> StoreInfo {
        self.inner.info()
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.inner.get_many(keys).await
    }

    async fn put_many(&self, entries: Vec<(Key, Entry)>) -> Result<()> {
        let is_known = |(key, _): &(Key, Entry)| self.keys.contains(key);
        assert!(entries.iter().all(is_known), "a removal would not find it");
        self.inner.put_many(entries).await
    }

    async fn remove_many(&self, keys: &[Key]) -> Result<u64> {
        self.inner.remove_many(keys).await
    }

    async fn touch(&self, key: &Key, ttl: Ttl) -> Result<bool> {
        self.inner.touch(key, ttl).await
    }

    async fn remove_tag(&self, tag: &Tag) -> Result<Removed> {
        self.inner.remove_tag(tag).await
    }

    async fn remove_prefix(&self, prefix: &str) -> Result<Removed> {
        self.inner.remove_prefix(prefix).await
    }

    async fn clear(&self) -> Result<Removed> {
        self.inner.clear().await
    }

    async fn remove_prefix_part(&self, prefix: &str, from: Option<&Rest>) -> Result<Part> {
        passes(PART).await;
        let at = from.and_then(Rest::downcast_ref::<usize>).copied().unwrap_or(0);
        let doomed: Vec<Key> =
            self.keys[at..=at].iter().filter(|key| key.as_str().starts_with(prefix)).cloned().collect();
        let removed = Removed::Exactly(self.inner.remove_many(&doomed).await?);
        let next = at + 1;
        Ok(Part { removed, rest: (next < self.keys.len()).then(|| Rest::new(next)) })
    }

    async fn note(&self, key: &Key, tags: &Tags) -> Result<Note> {
        self.inner.note(key, tags).await
    }

    async fn put_noted(&self, key: Key, entry: Entry, note: &Note) -> Result<bool> {
        assert!(self.keys.contains(&key), "a removal would not find it");
        self.inner.put_noted(key, entry, note).await
    }
}
