//! A store whose removals come in parts, each of which takes its time, so that no caller waits for the end: what a server with millions of
//! keys does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{Entry, Key, Note, Part, Removed, Rest, Result, Store, StoreInfo, Tag, Tags, Ttl};

/// A store around another one, which removes one key with each part of a removal by prefix.
#[derive(Debug)]
pub struct Parts {
    inner: Arc<dyn Store>,
    keys: Vec<Key>,
    each: Duration,
    asked: AtomicU64,
}

impl Parts {
    /// Around a store that holds nothing but some of these keys. `each` part takes so long.
    pub fn new(inner: Arc<dyn Store>, keys: Vec<Key>, each: Duration) -> Self {
        Self { inner, keys, each, asked: AtomicU64::new(0) }
    }

    /// How many parts have been begun.
    pub fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }

    fn find(&self, key: &Key) {
        assert!(self.keys.contains(key), "a removal would not find {key}");
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
        for (key, _) in &entries {
            self.find(key);
        }
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
        self.asked.fetch_add(1, SeqCst);
        let _ = tokio::time::timeout(self.each, std::future::pending::<()>()).await;
        let at = from.and_then(Rest::downcast_ref::<usize>).copied().unwrap_or(0);
        let doomed = self.keys.get(at).filter(|key| key.as_str().starts_with(prefix));
        let removed = self.inner.remove_many(doomed.map_or(&[], std::slice::from_ref)).await?;
        let rest = (at + 1 < self.keys.len()).then(|| Rest::new(at + 1));
        Ok(Part { removed: Removed::Exactly(removed), rest })
    }

    async fn note(&self, key: &Key, tags: &Tags) -> Result<Note> {
        self.inner.note(key, tags).await
    }

    async fn put_noted(&self, key: Key, entry: Entry, note: &Note) -> Result<bool> {
        self.find(&key);
        self.inner.put_noted(key, entry, note).await
    }
}
