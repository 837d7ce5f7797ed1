//! Setting up a cache: everything is checked here, once.

use std::mem::needs_drop;
use std::sync::Arc;

use cache_core::{CacheKey, KeyError, Namespace};
use cache_memory::Memory;
use thiserror::Error;
use tokio::sync::watch;

use crate::cache::{Cache, Shared};
use crate::fence::Fence;
use crate::flight::Flights;
use crate::options::Options;
use crate::stats::LoadCounts;

/// The limit of a memory tier that was not set up: enough to be useful, too little to hurt.
const DEFAULT_MAX_ENTRIES: u64 = 10_000;

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Begins a cache of this name, which all its keys begin with.
    pub fn builder(name: impl Into<String>) -> Builder<K, V> {
        Builder { name: name.into(), version: None, memory: None, options: Options::new() }
    }
}

/// A cache in the making.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder<K, V> {
    name: String,
    version: Option<u32>,
    memory: Option<Memory<K, Arc<V>>>,
    options: Options,
}

impl<K, V> Builder<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// The version of what is stored: raising it makes all older entries, in every tier, unreachable. Default: none.
    pub fn version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    /// The memory tier. Default: 10,000 entries, least recently used first.
    ///
    /// A weigher or listener sees each value as the cache holds it, in an `Arc`.
    pub fn memory(mut self, memory: Memory<K, Arc<V>>) -> Self {
        self.memory = Some(memory);
        self
    }

    /// What calls that say nothing get. Default: nothing set.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Checks everything and makes the cache.
    ///
    /// # Errors
    /// A name that cannot begin a key, or a limit in bytes for values whose bytes nobody counts.
    pub fn build(self) -> Result<Cache<K, V>, BuildError> {
        let mut namespace = Namespace::new(&self.name)?;
        if let Some(version) = self.version {
            namespace = namespace.with_version(version);
        }
        let memory = self.memory.unwrap_or_else(|| Memory::new().with_max_entries(DEFAULT_MAX_ENTRIES));
        let counts_bytes = memory.has_weigher() || !(needs_drop::<K>() || needs_drop::<V>());
        if memory.max_bytes().is_some() && !counts_bytes {
            return Err(BuildError::NoWeigher);
        }
        let shared = Shared {
            namespace,
            memory,
            options: self.options,
            fence: Fence::new(),
            flights: Flights::new(),
            loads: Arc::new(LoadCounts::default()),
            alive: watch::Sender::new(()),
        };
        Ok(Cache { shared: Arc::new(shared) })
    }
}

/// Why a cache cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The name cannot begin a key.
    #[error("the cache's name: {0}")]
    Name(#[from] KeyError),
    /// Keys or values own memory that the size of their types does not show, so the limit would bound nothing.
    #[error(
        "the memory tier has a limit in bytes and no weigher; say what an entry takes with Memory::with_weigher"
    )]
    NoWeigher,
}
