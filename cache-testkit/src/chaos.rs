//! Stores and transports that fail as told: by a switch, or by chance from a seed.

mod transport;

use std::future::poll_fn;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use async_trait::async_trait;
use cache_core::{
    Entry, Error, ErrorKind, Key, Note, Part, Removed, Rest, Result, Store, StoreInfo, Tag, Tags, Ttl,
};
use tokio::sync::Notify;

pub use self::transport::{ChaosTransport, Odds, Way};

use crate::load::seed::SplitMix64;

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this kind of error and has no effect.
    Fails(ErrorKind),
    /// It has its effect, and the answer is lost, as with a connection that is cut: it fails with [`ErrorKind::Unavailable`].
    LosesAnswer,
    /// It never ends.
    Hangs,
    /// It waits until something else is set, and then goes by that.
    Waits,
}

/// A store around another one that lets operations through, or not.
#[derive(Debug)]
pub struct Chaos {
    inner: Arc<dyn Store>,
    plan: Mutex<Plan>,
    changed: Notify,
    operations: AtomicU64,
    dawdle: Option<Mutex<SplitMix64>>,
    takes_notes: bool,
}

#[derive(Debug)]
enum Plan {
    Always(Option<Fault>),
    Only(&'static str, Fault),
    Chance(SplitMix64, NonZeroU32, Fault),
}

impl Chaos {
    /// Lets everything through until it is told otherwise.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            plan: Mutex::new(Plan::Always(None)),
            changed: Notify::new(),
            operations: AtomicU64::new(0),
            dawdle: None,
            takes_notes: true,
        }
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

    /// Lets others run before each operation and after it, by chance from this seed, as a network does.
    #[must_use]
    pub fn dawdling(mut self, seed: u64) -> Self {
        self.dawdle = Some(Mutex::new(SplitMix64::new(seed)));
        self
    }

    /// Takes no notes, as a store that a single cache has to itself need not: what is written under them makes no condition.
    #[must_use]
    pub fn without_notes(mut self) -> Self {
        self.takes_notes = false;
        self
    }

    async fn dawdle(&self) {
        let most = const { NonZeroU32::new(6).expect("six") };
        let random =
            |random: &Mutex<SplitMix64>| random.lock().unwrap_or_else(PoisonError::into_inner).below(most);
        let mut turns = self.dawdle.as_ref().map_or(0, random);
        poll_fn(|context| {
            if turns == 0 {
                return Poll::Ready(());
            }
            turns -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// What becomes of each operation from now on; `None` lets them through.
    pub fn set(&self, fault: Option<Fault>) {
        *self.plan() = Plan::Always(fault);
        self.changed.notify_waiters();
    }

    /// What becomes of each operation of this name from now on, as errors name it: `"put"`. All others are let through.
    pub fn set_only(&self, operation: &'static str, fault: Fault) {
        *self.plan() = Plan::Only(operation, fault);
        self.changed.notify_waiters();
    }

    /// How many operations have been begun.
    pub fn operations(&self) -> u64 {
        self.operations.load(SeqCst)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, operation: &'static str) -> Option<Fault> {
        match &mut *self.plan() {
            Plan::Always(fault) => *fault,
            Plan::Only(name, fault) => (*name == operation).then_some(*fault),
            Plan::Chance(random, one_in, fault) => (random.below(*one_in) == 0).then_some(*fault),
        }
    }

    async fn meet<T>(
        &self,
        name: &'static str,
        operation: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let place = self.inner.info().name;
        self.operations.fetch_add(1, SeqCst);
        let fault = loop {
            let changed = self.changed.notified();
            match self.next(name) {
                Some(Fault::Waits) => changed.await,
                fault => break fault,
            }
        };
        match fault {
            None => {
                self.dawdle().await;
                let outcome = operation.await;
                self.dawdle().await;
                outcome
            }
            Some(Fault::Fails(kind)) => Err(Error::new(kind, place, name)),
            Some(Fault::LosesAnswer) => {
                operation.await?;
                Err(Error::new(ErrorKind::Unavailable, place, name))
            }
            Some(Fault::Hangs | Fault::Waits) => std::future::pending().await,
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

    async fn remove_prefix_part(&self, prefix: &str, from: Option<&Rest>) -> Result<Part> {
        self.meet("remove prefix", self.inner.remove_prefix_part(prefix, from)).await
    }

    async fn note(&self, key: &Key, tags: &Tags) -> Result<Note> {
        if !self.takes_notes {
            return Ok(Note::NONE);
        }
        self.meet("note", self.inner.note(key, tags)).await
    }

    async fn put_noted(&self, key: Key, entry: Entry, note: &Note) -> Result<bool> {
        self.meet("put noted", self.inner.put_noted(key, entry, note)).await
    }
}
