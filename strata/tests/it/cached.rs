//! Functions under `#[cached]` and `#[invalidates]`, each as a user would write it.

#[path = "cached/cost.rs"]
mod cost;
#[path = "cached/functions.rs"]
mod functions;
#[path = "cached/keys.rs"]
mod keys;
#[path = "cached/methods.rs"]
mod methods;
#[path = "cached/sync_functions.rs"]
mod sync_functions;
#[path = "cached/writers.rs"]
mod writers;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use cache_testkit::clock::ManualClock;
use strata::{Cache, CallKey, LoadError, Memory};

/// The error of a service, which can say that a load was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Down,
    Cache(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down => f.write_str("the source is down"),
            Self::Cache(why) => f.write_str(why),
        }
    }
}

impl From<LoadError<Fault>> for Fault {
    fn from(error: LoadError<Fault>) -> Self {
        match error {
            LoadError::Failed(fault) => Fault::clone(&fault),
            lost => Self::Cache(lost.to_string()),
        }
    }
}

impl From<strata::Error> for Fault {
    fn from(error: strata::Error) -> Self {
        Self::Cache(error.to_string())
    }
}

/// What a service holds: a cache, and how often its source was asked.
#[derive(Clone)]
pub(crate) struct State<V> {
    pub(crate) cache: Cache<CallKey, V>,
    pub(crate) asked: Arc<AtomicU64>,
    pub(crate) clock: Arc<ManualClock>,
}

impl<V: Send + Sync + 'static> State<V> {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new());
        let memory = Memory::new().with_max_entries(1000).with_clock(clock.clone());
        let cache = Cache::builder("state").memory(memory).build().expect("legal");
        Self { cache, asked: Arc::default(), clock }
    }

    /// Asks the source, and says how often it was asked before.
    pub(crate) fn ask(&self) -> u64 {
        self.asked.fetch_add(1, SeqCst)
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }
}
