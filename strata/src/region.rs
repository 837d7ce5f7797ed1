//! Regions: named caches of any types in one registry, to look up, to watch and to clear by name.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use cache_core::{CacheKey, Pattern, Result, Ttl};
use cache_memory::Policy;
use thiserror::Error;

use crate::analytics::Analytics;
use crate::builder::BuildError;
use crate::cache::Cache;
use crate::change::Change;
use crate::health::Health;
use crate::stats::Stats;

/// What every cache offers, whatever its types.
#[async_trait]
pub trait Region: std::fmt::Debug + Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &str;

    /// What happened so far.
    fn stats(&self) -> Stats;

    /// What the counts mean, with the `most` keys that are read most, as they are rendered: see [`Cache::analytics`].
    fn analytics(&self, most: usize) -> Analytics<String>;

    /// Changes it while it runs: see [`Cache::reconfigure`].
    ///
    /// # Errors
    /// What its builder would refuse; then nothing has changed.
    fn reconfigure(&self, change: Change) -> Result<(), BuildError>;

    /// How the places are on which it relies: see [`Cache::health`].
    fn health(&self) -> Health;

    /// How long a value is fresh that does not say so itself.
    fn ttl(&self) -> Ttl;

    /// Who is evicted first.
    fn policy(&self) -> Policy;

    /// Its limit in entries, if it has one.
    fn max_entries(&self) -> Option<u64>;

    /// Its limit in bytes, if it has one.
    fn max_bytes(&self) -> Option<u64>;

    /// Removes all values with this tag and says how many.
    async fn remove_tag(&self, tag: &str) -> Result<u64>;

    /// Removes all values whose key, rendered, begins with this text as its first part does, and says how many.
    async fn remove_prefix(&self, prefix: &str) -> Result<u64>;

    /// Removes all values whose key matches this pattern and says how many.
    async fn remove_pattern(&self, pattern: &Pattern) -> Result<u64>;

    /// Removes everything and says how many values that were.
    async fn clear(&self) -> Result<u64>;

    /// Ends the fresh life of all values with this tag and says how many were there.
    async fn expire_tag(&self, tag: &str) -> Result<u64>;

    /// Ends the fresh life of all values whose key, rendered, begins with this text as its first part does, and says how many
    /// were there.
    async fn expire_prefix(&self, prefix: &str) -> Result<u64>;

    /// Ends the fresh life of all values whose key matches this pattern and says how many were there.
    async fn expire_pattern(&self, pattern: &Pattern) -> Result<u64>;

    /// Ends the fresh life of everything and says how many values were there.
    async fn expire_all(&self) -> Result<u64>;
}

#[async_trait]
impl<K, V> Region for Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    fn name(&self) -> &str {
        Cache::name(self)
    }

    fn stats(&self) -> Stats {
        Cache::stats(self)
    }

    fn analytics(&self, most: usize) -> Analytics<String> {
        self.analytics_as_text(most)
    }

    fn reconfigure(&self, change: Change) -> Result<(), BuildError> {
        Cache::reconfigure(self, change)
    }

    fn health(&self) -> Health {
        Cache::health(self)
    }

    fn ttl(&self) -> Ttl {
        self.options().ttl().unwrap_or(self.memory().default_ttl())
    }

    fn policy(&self) -> Policy {
        self.memory().policy()
    }

    fn max_entries(&self) -> Option<u64> {
        self.memory().max_entries()
    }

    fn max_bytes(&self) -> Option<u64> {
        self.memory().max_bytes()
    }

    async fn remove_tag(&self, tag: &str) -> Result<u64> {
        Cache::remove_tag(self, tag).await
    }

    async fn remove_prefix(&self, prefix: &str) -> Result<u64> {
        Cache::remove_prefix(self, prefix).await
    }

    async fn remove_pattern(&self, pattern: &Pattern) -> Result<u64> {
        Cache::remove_pattern(self, pattern).await
    }

    async fn clear(&self) -> Result<u64> {
        Cache::clear(self).await
    }

    async fn expire_tag(&self, tag: &str) -> Result<u64> {
        Cache::expire_tag(self, tag).await
    }

    async fn expire_prefix(&self, prefix: &str) -> Result<u64> {
        Cache::expire_prefix(self, prefix).await
    }

    async fn expire_pattern(&self, pattern: &Pattern) -> Result<u64> {
        Cache::expire_pattern(self, pattern).await
    }

    async fn expire_all(&self) -> Result<u64> {
        Cache::expire_all(self).await
    }
}

/// The regions of a process. Cheap to clone; all clones are one registry. It keeps its caches until they are removed.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// use strata::{Cache, Memory, Options, Registry, Ttl};
/// let registry = Registry::new();
/// let tokens: Cache<String, u64> = Cache::builder("token")
///     .memory(Memory::new().with_max_entries(10_000))
///     .options(Options::new().with_ttl(Ttl::from_secs(3600)))
///     .build()?;
/// registry.add(&tokens)?;
///
/// tokens.insert("a".into(), 1).await?;
/// let same = registry.cache::<String, u64>("token").expect("added above");
/// assert!(same.get("a").await?.is_some());
/// assert_eq!(registry.clear_all().await?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Registry {
    regions: Arc<RwLock<BTreeMap<String, Listed>>>,
}

/// A region as the trait and, for those who know its types, as itself.
#[derive(Clone, Debug)]
struct Listed {
    region: Arc<dyn Region>,
    typed: Arc<dyn Any + Send + Sync>,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a cache under its own name.
    ///
    /// # Errors
    /// The name is taken.
    pub fn add<K, V>(&self, cache: &Cache<K, V>) -> Result<(), NameTaken>
    where
        K: CacheKey + Clone,
        V: Send + Sync + 'static,
    {
        let mut regions = self.regions.write().unwrap_or_else(PoisonError::into_inner);
        if regions.contains_key(cache.name()) {
            return Err(NameTaken { name: cache.name().to_owned() });
        }
        let listed = Listed { region: Arc::new(cache.clone()), typed: Arc::new(cache.clone()) };
        regions.insert(cache.name().to_owned(), listed);
        Ok(())
    }

    /// Takes a region off the list; whoever holds a handle keeps using it. Says whether it was there.
    pub fn remove(&self, name: &str) -> bool {
        self.regions.write().unwrap_or_else(PoisonError::into_inner).remove(name).is_some()
    }

    /// The cache of this name, if there is one and it has these types.
    pub fn cache<K: 'static, V: 'static>(&self, name: &str) -> Option<Cache<K, V>> {
        let listed = self.find(name)?;
        listed.typed.downcast_ref::<Cache<K, V>>().cloned()
    }

    /// The region of this name, whatever its types.
    pub fn region(&self, name: &str) -> Option<Arc<dyn Region>> {
        self.find(name).map(|listed| listed.region)
    }

    /// All regions, by name.
    pub fn all(&self) -> Vec<Arc<dyn Region>> {
        let regions = self.regions.read().unwrap_or_else(PoisonError::into_inner);
        regions.values().map(|listed| Arc::clone(&listed.region)).collect()
    }

    /// Clears all regions and says how many values that were.
    pub async fn clear_all(&self) -> Result<u64> {
        let mut removed = 0;
        for region in self.all() {
            removed += region.clear().await?;
        }
        Ok(removed)
    }

    fn find(&self, name: &str) -> Option<Listed> {
        self.regions.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

/// A region of this name is already registered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a region named {name:?} is already registered; choose another name or remove it first")]
pub struct NameTaken {
    name: String,
}
