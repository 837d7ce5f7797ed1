//! The index of a shard: from 32 bits of a fingerprint to a slot, in one cache line.
//!
//! Open addressing with steps of one, at most three quarters full. An entry tells its own home, so growing and removing
//! never look at what it leads to, and removing leaves no gaps behind that would have to be cleaned up at once later.

#[derive(Debug)]
pub(crate) struct Index {
    /// Tag and slot, of which one more is stored: zero is no entry. As many as a power of two.
    entries: Vec<u64>,
    len: usize,
}

const FEWEST: usize = 8;

impl Index {
    pub(crate) fn new() -> Self {
        Self { entries: vec![0; FEWEST], len: 0 }
    }

    /// The slot of this tag that is meant.
    #[inline]
    pub(crate) fn find(&self, tag: u32, is_meant: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(tag);
        loop {
            let (other, slot) = unpacked(self.entries[at])?;
            if other == tag && is_meant(slot) {
                return Some(slot);
            }
            at = self.next(at);
        }
    }

    /// Adds an entry that is not there.
    pub(crate) fn insert(&mut self, tag: u32, slot: u32) {
        if (self.len + 1) * 4 > self.entries.len() * 3 {
            let twice = vec![0; self.entries.len() * 2];
            for entry in std::mem::replace(&mut self.entries, twice) {
                if let Some((tag, slot)) = unpacked(entry) {
                    self.put(tag, slot);
                }
            }
        }
        self.len += 1;
        self.put(tag, slot);
    }

    /// Removes an entry, if it is there.
    pub(crate) fn remove(&mut self, tag: u32, slot: u32) {
        let mut gap = self.home(tag);
        while self.entries[gap] != packed(tag, slot) {
            if self.entries[gap] == 0 {
                return;
            }
            gap = self.next(gap);
        }
        self.len -= 1;
        // Those behind move up, unless that would take them before their home.
        let mut at = gap;
        loop {
            at = self.next(at);
            let Some((tag, _)) = unpacked(self.entries[at]) else { break };
            let mask = self.entries.len() - 1;
            let from_home = at.wrapping_sub(self.home(tag)) & mask;
            if from_home >= at.wrapping_sub(gap) & mask {
                self.entries[gap] = self.entries[at];
                gap = at;
            }
        }
        self.entries[gap] = 0;
    }

    fn put(&mut self, tag: u32, slot: u32) {
        let mut at = self.home(tag);
        while self.entries[at] != 0 {
            at = self.next(at);
        }
        self.entries[at] = packed(tag, slot);
    }

    #[inline]
    fn home(&self, tag: u32) -> usize {
        tag as usize & (self.entries.len() - 1)
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.entries.len() - 1)
    }
}

fn packed(tag: u32, slot: u32) -> u64 {
    (u64::from(tag) << 32) | (u64::from(slot) + 1)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the two halves of an entry")]
fn unpacked(entry: u64) -> Option<(u32, u32)> {
    (entry != 0).then(|| ((entry >> 32) as u32, (entry as u32).wrapping_sub(1)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn agrees_with_a_set_though_tags_collide() {
        let (mut index, mut set) = (Index::new(), BTreeSet::new());
        let mut random = 1_u64;
        for _ in 0..100_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (tag, slot) = ((random >> 60) as u32, (random >> 40) as u32 % 64);
            let is_there = index.find(tag, |other| other == slot).is_some();
            assert_eq!(is_there, set.contains(&(tag, slot)));
            if is_there {
                index.remove(tag, slot);
                set.remove(&(tag, slot));
            } else if set.len() < 500 {
                index.insert(tag, slot);
                set.insert((tag, slot));
            }
            assert_eq!(index.len, set.len());
        }
        for (tag, slot) in set {
            assert_eq!(index.find(tag, |other| other == slot), Some(slot));
            index.remove(tag, slot);
        }
        assert!(index.entries.iter().all(|entry| *entry == 0));
    }
}
