//! Which entries are read most, from a sample of the hits.
//!
//! A shard counts its hits anyway; when the count reaches a number drawn before, it notes the fingerprint of that hit's key.
//! So a hit pays for one comparison, and nothing is allocated or copied. The numbers are drawn at random, lest keys
//! that are read in turn be always, or never, those that are noted.

use std::fmt;
use std::hash::{BuildHasher, Hash};

use cache_policy::{Slot, Top};

use crate::engine::Engine;
use crate::shard::{Held, NO_HIT, Shard};
use crate::stats::Stats;

/// What a sample of the hits says. Counts fade: they are halved whenever a shard has noted 65,536 hits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sampled<K> {
    /// How many hits the sample stands for.
    pub hits: u64,
    /// The keys that were read most, the most read first.
    pub top: Vec<TopKey<K>>,
}

/// A key that is read much.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopKey<K> {
    /// The key.
    pub key: K,
    /// How many hits it had, about: so many of the sample, times what one of them stands for.
    pub hits: u64,
    /// By how much that may be too high for want of room to count everybody, besides chance.
    pub error: u64,
}

impl<K> Sampled<K> {
    /// The same with other names for the keys.
    pub fn map_keys<T>(self, name: impl Fn(&K) -> T) -> Sampled<T> {
        let renamed = |TopKey { key, hits, error }| TopKey { key: name(&key), hits, error };
        Sampled { hits: self.hits, top: self.top.into_iter().map(renamed).collect() }
    }
}

/// One shard's sample.
#[derive(Debug)]
pub(crate) struct Sampler {
    every: u32,
    /// The last number drawn; never zero.
    drawn: u64,
    top: Top,
}

/// How many keys are counted in all shards together, and at least in each.
const COUNTERS: usize = 1024;
const FEWEST_COUNTERS: usize = 32;

impl Sampler {
    /// One in `every` hits, on average; `None` if that is zero.
    pub(crate) fn new(every: u32, shards: usize, seed: u64) -> Option<Self> {
        let counters = (COUNTERS / shards).max(FEWEST_COUNTERS);
        (every > 0).then(|| Self { every, drawn: seed | 1, top: Top::new(counters) })
    }

    /// After how many hits to note one: between 1 and twice as many as on average.
    pub(crate) fn draw(&mut self) -> u64 {
        // Marsaglia, "Xorshift RNGs", 2003.
        self.drawn ^= self.drawn << 13;
        self.drawn ^= self.drawn >> 7;
        self.drawn ^= self.drawn << 17;
        1 + self.drawn % (2 * u64::from(self.every) - 1)
    }

    pub(crate) fn note(&mut self, fingerprint: u32) {
        self.top.note(fingerprint);
    }
}

/// Counting hits, and noting some.
impl<K, V> Shard<K, V> {
    /// What happened so far.
    pub(crate) fn books(&self) -> Stats {
        Stats { hits: self.stats.hits.wrapping_sub(self.hits_left), ..self.stats }
    }

    /// Enters a hit of the entry in this slot into the books.
    #[inline]
    pub(crate) fn count_hit(&mut self, slot: Option<Slot>) {
        self.hits_left -= 1;
        if self.hits_left == 0 {
            self.note_hit(slot);
        }
    }

    #[cold]
    fn note_hit(&mut self, slot: Option<Slot>) {
        let fingerprint = slot.and_then(|slot| Some(self.slab.cells.get(slot)?.node.fingerprint()));
        if let (Some(sampler), Some(fingerprint)) = (&mut self.sampler, fingerprint) {
            sampler.note(fingerprint);
        }
        self.await_hit();
    }

    /// Draws after how many hits the next one is noted.
    fn await_hit(&mut self) {
        let hits = self.books().hits;
        self.hits_left = self.sampler.as_mut().map_or(NO_HIT, |sampler| sampler.draw());
        self.stats.hits = hits.wrapping_add(self.hits_left);
    }

    /// Samples hits by this one from now on, or none.
    pub(crate) fn set_sampler(&mut self, sampler: Option<Sampler>) {
        self.sampler = sampler.map(Box::new);
        self.learn_rules();
        self.await_hit();
    }

    /// An entry whose key has this fingerprint.
    pub(crate) fn find_fingerprint(&self, fingerprint: u32) -> Option<Held<'_, K, V>> {
        let cells = &self.slab.cells;
        let has_it = |slot| cells.get(slot).is_some_and(|cell| cell.node.fingerprint() == fingerprint);
        self.get(self.index.find(fingerprint, has_it)?)
    }
}

impl<K: Hash + Eq, V, S: BuildHasher + 'static> Engine<K, V, S> {
    /// Begins anew to note one in so many hits, or none if that is zero.
    pub(crate) fn set_sampling(&self, every: u32) {
        for (number, shard) in (1..).zip(&self.shards) {
            // Any odd number that differs from shard to shard.
            let seed = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(number);
            shard.lock().set_sampler(Sampler::new(every, self.shards.len(), seed));
        }
    }

    /// How many hits the sample stands for, and the `most` keys that had most of them. Locks each shard for a moment.
    pub(crate) fn sampled(&self, most: usize) -> Sampled<K>
    where
        K: Clone,
    {
        let now = self.present.now();
        let mut all = Sampled { hits: 0, top: Vec::new() };
        for shard in &self.shards {
            let shard = shard.lock();
            let Some(sampler) = &shard.sampler else { continue };
            let every = u64::from(sampler.every);
            all.hits += sampler.top.noted() * every;
            // Nobody beyond the first `most` of a shard is among the first of all.
            for counted in sampler.top.most_used().take(most) {
                // Who was evicted meanwhile has no key to be named by.
                let held = shard.find_fingerprint(counted.fingerprint);
                if let Some(held) = held.filter(|held| held.is_alive(now)) {
                    let (hits, error) = (counted.uses * every, counted.error * every);
                    all.top.push(TopKey { key: held.key.clone(), hits, error });
                }
            }
        }
        all.top.sort_by_key(|key| std::cmp::Reverse(key.hits));
        all.top.truncate(most);
        all
    }
}

impl<K: fmt::Debug> fmt::Debug for TopKey<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} hits, at most {} too many", self.key, self.hits, self.error)
    }
}
