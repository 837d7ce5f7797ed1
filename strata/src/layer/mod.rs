//! What stands around a store that may fail: a time limit, a circuit breaker, retries.
//!
//! ```text
//! retries ( circuit breaker ( time limit ( store ) ) )
//!    │            │               └── no call takes longer, whatever the store does
//!    │            └── after some failures in a row nobody asks for a while; then one does, and tells
//!    └── what may pass by itself is tried again, after a pause; a breaker that is open is not asked twice
//! ```
//!
//! A layer is written once, for any operation ([`Layer`]), and becomes a store around another one by [`Layered`]. [`Guards`] builds all three
//! in the order that makes sense. A retry sees single calls and their limits, so the breaker counts each of them. What took too long is not
//! tried again, so a call to what does not answer takes one limit.

mod breaker;
mod retries;
mod time_limit;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{
    Clock, Entry, Key, Note, Part, Removed, Rest, Result, Store, StoreInfo, SystemClock, Tag, Tags, Ttl,
};
pub use cache_policy::{Backoff, Passage, Trip};

pub use self::breaker::{BreakerStats, CircuitBreaker, Watch};
pub use self::retries::Retries;
pub use self::time_limit::TimeLimit;

/// Which operation on which place, for errors and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The place, as [`StoreInfo::name`] says.
    pub place: &'static str,
    /// The operation, as errors name it.
    pub name: &'static str,
}

/// Does something around each operation of a store.
pub trait Layer: fmt::Debug + Send + Sync + 'static {
    /// Makes the attempt, so often and so long as this layer thinks right.
    fn around<T, F>(
        &self,
        operation: Operation,
        attempt: impl Fn() -> F + Send + Sync,
    ) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: Future<Output = Result<T>> + Send;
}

impl<L: Layer> Layer for Arc<L> {
    fn around<T, F>(
        &self,
        operation: Operation,
        attempt: impl Fn() -> F + Send + Sync,
    ) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        (**self).around(operation, attempt)
    }
}

/// A store with a layer around it. Its `Debug` shows both, from outside to inside.
#[derive(Debug)]
pub struct Layered<L> {
    layer: L,
    inner: Arc<dyn Store>,
}

impl<L: Layer> Layered<L> {
    /// Puts the layer around the store.
    pub fn new(layer: L, inner: Arc<dyn Store>) -> Self {
        Self { layer, inner }
    }

    fn on(&self, name: &'static str) -> Operation {
        Operation { place: self.inner.info().name, name }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<L: Layer> Store for Layered<L> {
    fn info(&self) -> StoreInfo {
        self.inner.info()
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.layer.around(self.on("get"), || self.inner.get_many(keys)).await
    }

    async fn put_many(&self, entries: Vec<(Key, Entry)>) -> Result<()> {
        self.layer.around(self.on("put"), || self.inner.put_many(entries.clone())).await
    }

    async fn remove_many(&self, keys: &[Key]) -> Result<u64> {
        self.layer.around(self.on("remove"), || self.inner.remove_many(keys)).await
    }

    async fn touch(&self, key: &Key, ttl: Ttl) -> Result<bool> {
        self.layer.around(self.on("touch"), || self.inner.touch(key, ttl)).await
    }

    async fn remove_tag(&self, tag: &Tag) -> Result<Removed> {
        self.layer.around(self.on("remove tag"), || self.inner.remove_tag(tag)).await
    }

    async fn remove_prefix(&self, prefix: &str) -> Result<Removed> {
        self.layer.around(self.on("remove prefix"), || self.inner.remove_prefix(prefix)).await
    }

    async fn clear(&self) -> Result<Removed> {
        self.layer.around(self.on("clear"), || self.inner.clear()).await
    }

    async fn remove_prefix_part(&self, prefix: &str, from: Option<&Rest>) -> Result<Part> {
        self.layer.around(self.on("remove prefix"), || self.inner.remove_prefix_part(prefix, from)).await
    }

    async fn note(&self, key: &Key, tags: &Tags) -> Result<Note> {
        self.layer.around(self.on("note"), || self.inner.note(key, tags)).await
    }

    async fn put_noted(&self, key: Key, entry: Entry, note: &Note) -> Result<bool> {
        let attempt = || self.inner.put_noted(key.clone(), entry.clone(), note);
        self.layer.around(self.on("put noted"), attempt).await
    }
}

/// All three layers, with their settings.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// use std::sync::Arc;
/// use std::time::Duration;
/// use cache_core::{Entry, Key, StoreExt};
/// use cache_memory::MemoryStore;
/// use strata::layer::{Guards, Passage};
///
/// let far_away = Arc::new(MemoryStore::new(64 << 20));
/// let guarded = Guards::new().with_timeout(Duration::from_millis(200)).around(far_away);
/// guarded.store.put(Key::new("greeting")?, Entry::new("hello")).await?;
/// assert!(guarded.store.get(&Key::new("greeting")?).await?.is_some());
/// assert_eq!(guarded.breaker.passage(), Passage::Closed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "guards do nothing until they are put around a store"]
pub struct Guards {
    timeout: Duration,
    trip: Trip,
    tries: u32,
    backoff: Backoff,
    clock: Arc<dyn Clock>,
}

/// A store with all three layers around it, and the breaker, which tells how it is.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// The store to use.
    pub store: Arc<dyn Store>,
    /// Its breaker.
    pub breaker: Arc<CircuitBreaker>,
    /// The store within the breaker, for its probes.
    limited: Arc<dyn Store>,
    /// How long one try may take.
    pub(crate) timeout: Duration,
}

impl Guarded {
    /// Asks the store, as the probe of a breaker that is not closed and whose pause is over, and says whether it is in use again. A
    /// closed breaker is not asked for: that is true at once.
    ///
    /// Whoever [watches](CircuitBreaker::watch) a breaker calls this now and then, and no user of the store is ever its probe.
    pub async fn probe(&self) -> bool {
        if self.breaker.passage() == Passage::Closed {
            return true;
        }
        // Whether it is there makes no difference.
        let Ok(key) = Key::new("probe") else { return false };
        let operation = Operation { place: self.limited.info().name, name: "probe" };
        let ask = || self.limited.get_many(std::slice::from_ref(&key));
        self.breaker.probe(operation, ask).await;
        self.breaker.passage() == Passage::Closed
    }
}

impl Guards {
    /// A second for each try, two tries, and a breaker that opens after five failures for 150 ms.
    pub fn new() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            trip: Trip::default(),
            tries: 2,
            backoff: Backoff::default(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// The time that one try may take. Default: 1 s.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// When the breaker opens. Default: after 5 failures, for 150 ms.
    pub fn with_trip(mut self, trip: Trip) -> Self {
        self.trip = trip;
        self
    }

    /// How often something is tried at most; 0 counts as 1. Default: 2.
    pub fn with_tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// The pauses between tries. Default: up to 10 ms, growing to up to 100 ms.
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// The clock of the breaker's pauses. Default: the system's.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Puts them around a store. Its calls need a tokio runtime with timers.
    pub fn around(self, store: Arc<dyn Store>) -> Guarded {
        let limited: Arc<dyn Store> = Arc::new(Layered::new(TimeLimit::new(self.timeout), store));
        let breaker = Arc::new(CircuitBreaker::new(self.trip, self.clock));
        let broken = Layered::new(Arc::clone(&breaker), Arc::clone(&limited));
        let retried = Layered::new(Retries::new(self.tries, self.backoff), Arc::new(broken));
        Guarded { store: Arc::new(retried), breaker, limited, timeout: self.timeout }
    }
}

impl Default for Guards {
    fn default() -> Self {
        Self::new()
    }
}
