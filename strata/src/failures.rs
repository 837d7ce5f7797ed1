//! Errors that are remembered because somebody asked for it: a small tier of their own beside the values, so that they
//! take no value's room and are no hits.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cache_core::{CacheKey, Clock, Tags};
use cache_memory::{Memory, Put};

use crate::flight::Failure;

/// The most errors that are remembered; beyond them, the least useful is forgotten.
const MOST: u64 = 1024;

/// The errors of a cache, by key. Costs nothing before the first one is remembered.
pub(crate) struct Failures<K> {
    memory: OnceLock<Memory<K, Arc<Failure>>>,
    clock: Arc<dyn Clock>,
}

impl<K: CacheKey + Clone> Failures<K> {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { memory: OnceLock::new(), clock }
    }

    /// Remembers the error of a load that was to have these tags for this long, if `permit` agrees when it becomes visible.
    pub(crate) fn remember(
        &self,
        key: &K,
        (failure, tags): (&Arc<Failure>, Tags),
        window: Duration,
        permit: impl Fn() -> bool,
    ) {
        let memory = self.memory.get_or_init(|| {
            let clock = Arc::clone(&self.clock);
            Memory::new().with_max_entries(MOST).with_clock(clock).with_sweep_every(None)
        });
        let put = Put::new().with_ttl(window).with_tags(tags);
        memory.insert_if(key.clone(), Arc::clone(failure), put, permit);
    }

    pub(crate) fn get(&self, key: &K) -> Option<Arc<Failure>> {
        self.memory.get()?.get(key)
    }

    pub(crate) fn forget<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(memory) = self.memory.get() {
            memory.remove(key);
        }
    }

    pub(crate) fn forget_tag(&self, tag: &str) {
        if let Some(memory) = self.memory.get() {
            memory.remove_tag(tag);
        }
    }

    pub(crate) fn forget_if(&self, doomed: impl Fn(&K) -> bool) {
        if let Some(memory) = self.memory.get() {
            memory.remove_if(|key, _| doomed(key));
        }
    }
}
