//! The seam of places: a store keeps bytes under keys for a while.
//!
//! Required methods come in batches, so that no implementation can make one and many disagree; the conveniences for
//! one key are in [`StoreExt`]. A store may lose any entry at any time; it may never return a wrong or an expired one.

use std::fmt;

use async_trait::async_trait;

use crate::{Entry, Key, Result, Tag, Ttl};

/// A place that keeps entries.
///
/// Missing keys are not errors. Each method acts on each key atomically; nothing is promised across keys.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Says what this place is and what it can do.
    fn info(&self) -> StoreInfo;

    /// Reads entries: one answer per key, in the order of the keys, `None` for what is missing or expired.
    ///
    /// An entry comes with what is left of its life.
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>>;

    /// Writes entries, replacing what was there. Of one key given twice the later wins.
    ///
    /// An entry whose life is zero is removed instead.
    async fn put_many(&self, entries: Vec<(Key, Entry)>) -> Result<()>;

    /// Removes entries and says how many were there.
    async fn remove_many(&self, keys: &[Key]) -> Result<u64>;

    /// Gives an entry a new life from now and says whether it was there. A life of zero removes it.
    async fn touch(&self, key: &Key, ttl: Ttl) -> Result<bool>;

    /// Removes all entries with this tag.
    async fn remove_tag(&self, tag: &Tag) -> Result<Removed>;

    /// Removes all entries whose key begins with this text. The empty prefix begins every key.
    async fn remove_prefix(&self, prefix: &str) -> Result<Removed>;

    /// Removes everything.
    async fn clear(&self) -> Result<Removed>;
}

/// What a store says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreInfo {
    /// Its name in logs and metrics.
    pub name: &'static str,
    /// Whether it keeps its entries through a restart of this process.
    pub survives_restart: bool,
    /// Whether a removal by tag, by prefix or of everything says exactly how many entries went.
    pub counts_removals: bool,
}

impl StoreInfo {
    /// A store in this process that counts what it removes.
    pub fn new(name: &'static str) -> Self {
        Self { name, survives_restart: false, counts_removals: true }
    }
}

/// How many entries a removal has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// Exactly this many.
    Exactly(u64),
    /// The place marks groups as dead instead of visiting them, and cannot tell.
    Unknown,
}

/// Conveniences over every [`Store`].
#[async_trait]
pub trait StoreExt: Store {
    /// Reads one entry.
    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        Ok(self.get_many(std::slice::from_ref(key)).await?.pop().flatten())
    }

    /// Writes one entry.
    async fn put(&self, key: Key, entry: Entry) -> Result<()> {
        self.put_many(vec![(key, entry)]).await
    }

    /// Removes one entry and says whether it was there.
    async fn remove(&self, key: &Key) -> Result<bool> {
        Ok(self.remove_many(std::slice::from_ref(key)).await? > 0)
    }
}

impl<S: Store + ?Sized> StoreExt for S {}
