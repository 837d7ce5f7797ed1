//! A store that fails as told: by a switch, or by chance from a seed.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use cache_core::{Entry, Error, ErrorKind, Key, Note, Removed, Result, Store, StoreInfo, Tag, Tags, Ttl};

use crate::load::seed::SplitMix64;

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this kind of error and has no effect.
    Fails(ErrorKind),
    /// It has its effect, and the answer is lost: it fails with [`ErrorKind::TimedOut`].
    LosesAnswer,
    /// It never ends.
    Hangs,
}

/// A store around another one that lets operations through, or not.
#[derive(Debug)]
pub struct Chaos {
    inner: Arc<dyn Store>,
    plan: Mutex<Plan>,
    operations: AtomicU64,
}

#[derive(Debug)]
enum Plan {
    Always(Option<Fault>),
    Chance(SplitMix64, NonZeroU32, Fault),
}

impl Chaos {
    /// Lets everything through until it is told otherwise.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, plan: Mutex::new(Plan::Always(None)), operations: AtomicU64::new(0) }
    }

    /// Makes one in so many operations fail as [`ErrorKind::Unavailable`], by chance from this seed.
    #[must_use]
    pub fn seeded(self, seed: u64, one_in: NonZeroU32) -> Self {
        self.seeded_with(seed, one_in, Fault::Fails(ErrorKind::Unavailable))
    }

    /// Makes one in so many operations meet this fault, by chance from this seed.
    #[must_use]
    pub fn seeded_with(self, seed: u64, one_in: NonZeroU32, fault: Fault) -> Self {
        *self.plan() = Plan::Chance(SplitMix64::new(seed), one_in, fault);
        self
    }

    /// What becomes of each operation from now on; `None` lets them through.
    pub fn set(&self, fault: Option<Fault>) {
        *self.plan() = Plan::Always(fault);
    }

    /// How many operations have been begun.
    pub fn operations(&self) -> u64 {
        self.operations.load(SeqCst)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Fault> {
        self.operations.fetch_add(1, SeqCst);
        match &mut *self.plan() {
            Plan::Always(fault) => *fault,
            Plan::Chance(random, one_in, fault) => (random.below(*one_in) == 0).then_some(*fault),
        }
    }

    async fn meet<T>(
        &self,
        name: &'static str,
        operation: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let place = self.inner.info().name;
        match self.next() {
            None => operation.await,
            Some(Fault::Fails(kind)) => Err(Error::new(kind, place, name)),
            Some(Fault::LosesAnswer) => {
                operation.await?;
                Err(Error::new(ErrorKind::TimedOut, place, name))
            }
            Some(Fault::Hangs) => std::future::pending().await,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Chaos {
    fn info(&self) -> StoreInfo {
        self.inner.info()
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.meet("get", self.inner.get_many(keys)).await
    }

    async fn put_many(&self, entries: Vec<(Key, Entry)>) -> Result<()> {
        self.meet("put", self.inner.put_many(entries)).await
    }

    async fn remove_many(&self, keys: &[Key]) -> Result<u64> {
        self.meet("remove", self.inner.remove_many(keys)).await
    }

    async fn touch(&self, key: &Key, ttl: Ttl) -> Result<bool> {
        self.meet("touch", self.inner.touch(key, ttl)).await
    }

    async fn remove_tag(&self, tag: &Tag) -> Result<Removed> {
        self.meet("remove tag", self.inner.remove_tag(tag)).await
    }

    async fn remove_prefix(&self, prefix: &str) -> Result<Removed> {
        self.meet("remove prefix", self.inner.remove_prefix(prefix)).await
    }

    async fn clear(&self) -> Result<Removed> {
        self.meet("clear", self.inner.clear()).await
    }

    async fn note(&self, key: &Key, tags: &Tags) -> Result<Note> {
        self.meet("note", self.inner.note(key, tags)).await
    }

    async fn put_noted(&self, key: Key, entry: Entry, note: &Note) -> Result<bool> {
        self.meet("put noted", self.inner.put_noted(key, entry, note)).await
    }
}
