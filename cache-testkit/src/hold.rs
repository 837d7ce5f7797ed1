//! Reads that are stopped when they have their answer in hand, until they are let go.
//!
//! The moment between the read of an outer tier and the fill of an inner one is where a removal elsewhere is most easily undone.
//! [`Chaos`](crate::chaos::Chaos) holds operations before they begin; this one holds their answers.

use std::sync::Arc;

use async_trait::async_trait;
use cache_core::{Entry, Key, Note, Part, Removed, Rest, Result, Store, StoreInfo, Tag, Tags, Ttl};
use tokio::sync::Semaphore;

/// Stops whoever comes by, until it is let go.
#[derive(Clone, Debug)]
pub struct Hold {
    came: Arc<Semaphore>,
    go: Arc<Semaphore>,
}

impl Hold {
    /// Stops whoever comes from now on.
    pub fn new() -> Self {
        Self { came: Arc::new(Semaphore::new(0)), go: Arc::new(Semaphore::new(0)) }
    }

    /// Waits here until let go.
    pub async fn stop(&self) {
        self.came.add_permits(1);
        if let Ok(permit) = self.go.acquire().await {
            permit.forget();
        }
    }

    /// Waits until one more has come.
    pub async fn came(&self) {
        if let Ok(permit) = self.came.acquire().await {
            permit.forget();
        }
    }

    /// Lets all go who have come or will.
    pub fn let_go(&self) {
        self.go.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

impl Default for Hold {
    fn default() -> Self {
        Self::new()
    }
}

/// A store around another one, whose reads that found something are held when they have their answer.
#[derive(Debug)]
pub struct HeldReads {
    inner: Arc<dyn Store>,
    hold: Hold,
}

impl HeldReads {
    /// Holds reads of this store here.
    pub fn new(inner: Arc<dyn Store>, hold: Hold) -> Self {
        Self { inner, hold }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for HeldReads {
    fn info(&self) -> StoreInfo {
        self.inner.info()
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        let found = self.inner.get_many(keys).await?;
        if found.iter().any(Option::is_some) {
            self.hold.stop().await;
        }
        Ok(found)
    }

    async fn put_many(&self, entries: Vec<(Key, Entry)>) -> Result<()> {
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
        self.inner.remove_prefix_part(prefix, from).await
    }

    async fn note(&self, key: &Key, tags: &Tags) -> Result<Note> {
        self.inner.note(key, tags).await
    }

    async fn put_noted(&self, key: Key, entry: Entry, note: &Note) -> Result<bool> {
        self.inner.put_noted(key, entry, note).await
    }
}
