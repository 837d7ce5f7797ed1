//! Other caches as contenders: each as its documentation shows, in one piece where it can be, and weighing where bytes
//! are limited.
//!
//! Where a cache lets its hash function be chosen it gets one without a random seed, so that its counts repeat.

use foldhash::fast::FixedState;
use foyer_memory::{CacheBuilder, EvictionConfig};
use moka::policy::EvictionPolicy;
use quick_cache::OptionsBuilder;
use quick_cache::sync::DefaultLifecycle;
use tinyufo::TinyUfo;

use super::course::{By, Course, Item};
use super::replay::Contender;
use crate::Outcome;

type Moka = moka::sync::Cache<u32, u32, FixedState>;
type Quick = quick_cache::sync::Cache<u32, u32, Weigher, FixedState>;
type Foyer = foyer_memory::Cache<u32, u32, FixedState>;

/// moka with this policy.
pub(super) fn moka(policy: EvictionPolicy, course: &Course<'_>, capacity: u64) -> Box<dyn Contender> {
    let weigher = Weigher(course.by);
    let cache: Moka = moka::sync::Cache::builder()
        .max_capacity(capacity)
        .eviction_policy(policy)
        .weigher(move |_, &bytes| weigher.weigh(bytes))
        .build_with_hasher(FixedState::default());
    Box::new(cache)
}

impl Contender for Moka {
    fn get(&mut self, key: u32) -> bool {
        Moka::get(self, &key).is_some()
    }

    fn insert(&mut self, key: u32, item: Item) {
        Moka::insert(self, key, item.bytes);
        // Reads and writes are applied in batches; between them the cache holds more than its limit, which others may
        // not.
        self.run_pending_tasks();
    }
}

/// `quick_cache`.
pub(super) fn quick_cache(course: &Course<'_>, capacity: u64) -> Outcome<Box<dyn Contender>> {
    let options = OptionsBuilder::new()
        .shards(1)
        .estimated_items_capacity(entries(course, capacity))
        .weight_capacity(capacity)
        .build()?;
    let hasher = FixedState::default();
    Ok(Box::new(Quick::with_options(options, Weigher(course.by), hasher, DefaultLifecycle::default())))
}

impl Contender for Quick {
    fn get(&mut self, key: u32) -> bool {
        Quick::get(self, &key).is_some()
    }

    fn insert(&mut self, key: u32, item: Item) {
        Quick::insert(self, key, item.bytes);
    }
}

/// foyer's tier in memory with this policy.
pub(super) fn foyer(policy: EvictionConfig, course: &Course<'_>, capacity: u64) -> Box<dyn Contender> {
    let weigher = Weigher(course.by);
    let builder = CacheBuilder::new(usize::try_from(capacity).unwrap_or(usize::MAX))
        .with_shards(1)
        .with_eviction_config(policy)
        .with_hash_builder(FixedState::default())
        .with_weighter(move |_: &u32, &bytes: &u32| weigher.weigh(bytes) as usize);
    let cache: Foyer = builder.build();
    Box::new(cache)
}

impl Contender for Foyer {
    fn get(&mut self, key: u32) -> bool {
        Foyer::get(self, &key).is_some()
    }

    fn insert(&mut self, key: u32, item: Item) {
        Foyer::insert(self, key, item.bytes);
    }
}

/// `TinyUFO`, whose weights have 16 bits: sizes count in units of which the largest entry has 65,535. Its hash function
/// cannot be chosen, so its counts differ a little from run to run.
pub(super) fn tiny_ufo(course: &Course<'_>, capacity: u64) -> Box<dyn Contender> {
    let weigher = Weigher(course.by);
    let largest = course.steps().map(|step| weigher.weigh(step.item.bytes)).max().unwrap_or(1);
    let unit = largest.div_ceil(u16::MAX.into()).max(1);
    let limit = usize::try_from(capacity / u64::from(unit)).unwrap_or(usize::MAX).max(1);
    Box::new(Ufo { cache: TinyUfo::new(limit, entries(course, capacity)), unit, weigher })
}

struct Ufo {
    cache: TinyUfo<u32, ()>,
    unit: u32,
    weigher: Weigher,
}

impl Contender for Ufo {
    fn get(&mut self, key: u32) -> bool {
        self.cache.get(&key).is_some()
    }

    fn insert(&mut self, key: u32, item: Item) {
        let units = self.weigher.weigh(item.bytes).div_ceil(self.unit);
        self.cache.put(key, (), u16::try_from(units).unwrap_or(u16::MAX));
    }
}

/// Says what an entry takes of the capacity.
#[derive(Clone, Copy, Debug)]
struct Weigher(By);

impl Weigher {
    const fn weigh(self, bytes: u32) -> u32 {
        match self.0 {
            By::Requests => 1,
            By::Bytes | By::Cost => bytes,
        }
    }
}

impl quick_cache::Weighter<u32, u32> for Weigher {
    fn weight(&self, _key: &u32, bytes: &u32) -> u64 {
        self.weigh(*bytes).into()
    }
}

/// About how many entries fit, which some caches ask for.
fn entries(course: &Course<'_>, capacity: u64) -> usize {
    let unique = u64::from(course.trace.unique()).max(1);
    let mean = (course.whole() / unique).max(1);
    usize::try_from((capacity / mean).clamp(1, unique)).unwrap_or(usize::MAX)
}
