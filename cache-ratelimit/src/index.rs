//! The keys of a shard, each with its state, in one array.
//!
//! Open addressing with steps of one, at most three quarters full. An entry is a cache line, or half of one, and holds all that nearly every decision
//! needs, so that a decision finds its key and what it is about in the same line. An entry tells its own home: growing and removing look at
//! nothing else, and removing leaves no gaps behind that would have to be cleaned up at once later.

use std::num::NonZeroU64;

/// What a key is known by: 64 bits of its hash, seeded in each limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(NonZeroU64);

#[expect(clippy::cast_possible_truncation, reason = "parts of it are meant")]
impl Fingerprint {
    /// The fingerprint of this hash. Zero has that of one.
    #[inline]
    pub(crate) fn new(hash: u64) -> Self {
        Self(NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN))
    }

    /// Never zero.
    #[inline]
    pub(crate) fn number(self) -> u64 {
        self.0.get()
    }

    /// Which of so many shards, which are a power of two, it belongs to.
    #[inline]
    pub(crate) fn shard(self, shards: usize) -> usize {
        (self.0.get() >> 48) as usize & (shards - 1)
    }

    /// Where it would stand among so many places.
    #[inline]
    fn home(self, places: usize) -> usize {
        ((u64::from(self.0.get() as u32) * places as u64) >> 32) as usize
    }
}

#[derive(Debug)]
pub(crate) struct Index<S, L> {
    entries: Vec<Entry<S, L>>,
    len: usize,
    /// How many places are enough for the keys that are expected.
    enough: usize,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry<S, L> {
    who: Option<Fingerprint>,
    state: S,
    _line: L,
}

/// In an entry, takes no room and has it begin with a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(crate) struct Line;

/// The same with half of one.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
pub(crate) struct HalfLine;

const FEWEST: usize = 8;

impl<S: Copy + Default, L: Copy + Default> Index<S, L> {
    /// No keys, of which so many are expected in the end.
    pub(crate) fn new(expected: usize) -> Self {
        Self { entries: vec![Entry::default(); FEWEST], len: 0, enough: expected + expected / 3 + 1 }
    }

    /// Where the entry of a key is, until entries are added or removed.
    #[inline]
    pub(crate) fn find(&self, who: Fingerprint) -> Option<usize> {
        let mut at = who.home(self.entries.len());
        loop {
            if self.entries[at].who? == who {
                return Some(at);
            }
            at = self.after(at);
        }
    }

    /// The state of the key at a place that was found.
    #[inline]
    pub(crate) fn state(&mut self, at: usize) -> &mut S {
        &mut self.entries[at].state
    }

    /// The state of the key at any place, if there is one.
    pub(crate) fn get(&mut self, at: usize) -> Option<&mut S> {
        let entry = &mut self.entries[at];
        entry.who.is_some().then_some(&mut entry.state)
    }

    /// The place after this one, and after the last one the first.
    #[inline]
    pub(crate) fn after(&self, at: usize) -> usize {
        if at + 1 == self.entries.len() { 0 } else { at + 1 }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a key that is not there.
    pub(crate) fn insert(&mut self, who: Fingerprint, state: S) {
        if (self.len + 1) * 4 > self.entries.len() * 3 {
            self.grow();
        }
        self.len += 1;
        self.put(Entry { who: Some(who), state, _line: L::default() });
    }

    /// By half, and at first no further than is enough.
    fn grow(&mut self) {
        let places = self.entries.len();
        let more = places + places / 2;
        let more = if places < self.enough { more.min(self.enough) } else { more };
        for entry in std::mem::replace(&mut self.entries, vec![Entry::default(); more]) {
            self.put(entry);
        }
    }

    fn put(&mut self, entry: Entry<S, L>) {
        let Some(who) = entry.who else { return };
        let mut at = who.home(self.entries.len());
        while self.entries[at].who.is_some() {
            at = self.after(at);
        }
        self.entries[at] = entry;
    }

    /// Removes the key at a place that was found. Those behind move up, unless that would take them before their home.
    pub(crate) fn remove(&mut self, mut gap: usize) {
        self.len -= 1;
        let (mut at, places) = (gap, self.entries.len());
        let steps = |from: usize, to: usize| if from <= to { to - from } else { to + places - from };
        loop {
            at = self.after(at);
            let Some(who) = self.entries[at].who else { break };
            if steps(who.home(places), at) >= steps(gap, at) {
                self.entries[gap] = self.entries[at];
                gap = at;
            }
        }
        self.entries[gap] = Entry::default();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn agrees_with_a_map_though_homes_collide() {
        let (mut index, mut map) = (Index::<u64, HalfLine>::new(60), BTreeMap::new());
        let mut random = 1_u64;
        for _ in 0..100_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Sixteen homes, and for each as many keys.
            let hash = (random >> 60) << 28 | (random >> 40 & 63) << 32;
            let who = Fingerprint::new(hash);
            let found = index.find(who);
            assert_eq!(found.map(|at| *index.state(at)), map.get(&who.0).copied());
            if let Some(at) = found {
                index.remove(at);
                map.remove(&who.0);
            } else if map.len() < 500 {
                index.insert(who, random);
                map.insert(who.0, random);
            }
            assert_eq!(index.len, map.len());
        }
        assert_eq!((0..index.entries.len()).filter(|at| index.get(*at).is_some()).count(), map.len());
        for (who, state) in map {
            let at = index.find(Fingerprint(who)).expect("it is there");
            assert_eq!(*index.state(at), state);
            index.remove(at);
        }
        assert!(index.entries.iter().all(|entry| entry.who.is_none()));
    }
}
