//! Changing a cache while it runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use cache_core::CacheKey;
use cache_memory::Policy;

use crate::builder::{BuildError, check_limits, check_options};
use crate::cache::Cache;
use crate::options::Options;

/// What to change of a running cache; what is not named stays as it is.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// use strata::{Cache, Change, Options, Policy, Ttl};
/// let users: Cache<u64, u64> = Cache::builder("users").build()?;
/// for id in 0..100 {
///     users.insert(id, id).await?;
/// }
/// let change = Change::new().with_policy(Policy::Lru).with_max_entries(Some(50));
/// users.reconfigure(change.with_options(Options::new().with_ttl(Ttl::from_secs(60))))?;
/// assert_eq!(users.memory().len(), 50);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::option_option, reason = "not named, no limit, or this one")]
#[must_use = "a change does nothing until it is given to `reconfigure`"]
pub struct Change {
    policy: Option<Policy>,
    max_entries: Option<Option<u64>>,
    max_bytes: Option<Option<u64>>,
    options: Option<Options>,
    sampling: Option<u32>,
}

impl Change {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Evicts by this policy from now on, with what it can know of the entries that are there.
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Holds at most this many entries from now on; `None` is no limit. What is too much is evicted.
    pub fn with_max_entries(mut self, max_entries: Option<u64>) -> Self {
        self.max_entries = Some(max_entries);
        self
    }

    /// Holds at most this many bytes from now on; `None` is no limit. What is too much is evicted.
    pub fn with_max_bytes(mut self, max_bytes: Option<u64>) -> Self {
        self.max_bytes = Some(max_bytes);
        self
    }

    /// What calls that say nothing get from now on, in place of all that was set before. What is stored keeps its life.
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = Some(options);
        self
    }

    /// Samples one in so many hits for [`Cache::analytics`], or none if that is zero. What was sampled is forgotten.
    pub fn with_sampling(mut self, every: u32) -> Self {
        self.sampling = Some(every);
        self
    }
}

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Changes this cache, for all its handles, without losing an entry that still fits. Costs a walk over the cache for a
    /// policy or a smaller limit, in slices that let reads and inserts pass.
    ///
    /// # Errors
    /// What [`Builder::build`](crate::Builder::build) would refuse; then nothing has changed.
    pub fn reconfigure(&self, change: Change) -> Result<(), BuildError> {
        let (shared, memory) = (&self.shared, self.memory());
        let max_entries = change.max_entries.unwrap_or_else(|| memory.max_entries());
        let max_bytes = change.max_bytes.unwrap_or_else(|| memory.max_bytes());
        change.options.as_ref().map_or(Ok(()), check_options)?;
        check_limits::<K, V>(max_bytes, memory.has_weigher())?;
        if let Some(options) = change.options {
            shared.defaults.set(options);
        }
        if let Some(every) = change.sampling {
            memory.set_sampling(every);
        }
        if (max_entries, max_bytes) != (memory.max_entries(), memory.max_bytes()) {
            memory.set_limits(max_entries, max_bytes);
        }
        if let Some(policy) = change.policy.filter(|policy| *policy != memory.policy()) {
            memory.set_policy(policy);
        }
        Ok(())
    }
}

/// What calls that say nothing get.
#[derive(Debug)]
pub(crate) struct Defaults {
    options: ArcSwap<Options>,
}

impl Defaults {
    pub(crate) fn new(options: Options) -> Self {
        Self { options: ArcSwap::from_pointee(options) }
    }

    pub(crate) fn get(&self) -> Arc<Options> {
        self.options.load_full()
    }

    /// These options over what is set here.
    pub(crate) fn under(&self, options: Options) -> Options {
        options.over(&self.options.load())
    }

    fn set(&self, options: Options) {
        self.options.store(Arc::new(options));
    }
}
