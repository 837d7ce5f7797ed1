//! Which slots of a shard carry which tag. An untagged entry never comes here.
//!
//! Entries with the same tags share one set. Their slots stand in blocks of six, all of them full but the last one: who
//! leaves is replaced by the last one who came. So an entry takes the number of its block and its share of a block, ten
//! bytes in all, however many tags it has, and nothing is left behind to be cleaned. Links from entry to entry would take
//! twelve, and lead to another place in memory for each.

mod pool;
mod sets;

use cache_core::Tags;
use cache_policy::{Column, Slot};

use self::pool::Pool;
use self::sets::{Set, Sets};

#[derive(Debug, Default)]
pub(crate) struct Tagged {
    /// The block that a slot stands in; 0 if it has no tags.
    block_of: Column<u32>,
    blocks: Pool<Block>,
    sets: Sets,
}

/// Slots of entries that have the same set.
#[derive(Debug, Default)]
struct Block {
    slots: [Slot; BLOCK],
    set: u32,
    /// The block before this one, which is full.
    before: u32,
}

/// Half a cache line. Larger ones cost more where each entry has tags of its own, and then stand nearly empty.
const BLOCK: usize = 6;

impl Tagged {
    pub(crate) fn of(&self, slot: Slot) -> &Tags {
        let block = self.block_of.get(slot);
        &self.sets.get(self.blocks[block].set).tags
    }

    /// Notes that the entry in this slot, which had no tags, has these.
    pub(crate) fn insert(&mut self, slot: Slot, tags: Tags) {
        if tags.is_empty() {
            return;
        }
        let number = self.sets.number_of(tags);
        let set = self.sets.get_mut(number);
        let place = set.entries as usize % BLOCK;
        if place == 0 {
            set.block = self.blocks.put(Block { set: number, before: set.block, ..Block::default() });
        }
        set.entries += 1;
        self.blocks[set.block].slots[place] = slot;
        self.block_of.set(slot, set.block);
    }

    /// Forgets the tags of the entry in this slot.
    pub(crate) fn remove(&mut self, slot: Slot) {
        let block = self.block_of.get(slot);
        if block == 0 {
            return;
        }
        self.block_of.set(slot, 0);
        let number = self.blocks[block].set;
        let set = self.sets.get_mut(number);
        set.entries -= 1;
        let (last_block, place) = (set.block, set.entries as usize % BLOCK);
        let last = self.blocks[last_block].slots[place];
        if last != slot {
            // Behind those in use, the last block holds slots of the past: the first one found is the one in use.
            if let Some(left) = self.blocks[block].slots.iter_mut().find(|held| **held == slot) {
                *left = last;
            }
            self.block_of.set(last, block);
        }
        if place == 0 {
            set.block = self.blocks.take(last_block).before;
        }
        if set.entries == 0 {
            self.sets.retire(number);
        }
    }

    /// How many entries carry this tag. Looks at each set that contains it.
    pub(crate) fn count(&self, tag: &str) -> usize {
        self.sets.with_tag(tag).map(|set| set.entries as usize).sum()
    }

    /// The slots that carry this tag, as they are now, in no order.
    pub(crate) fn snapshot(&self, tag: &str) -> Vec<Slot> {
        let mut slots = Vec::new();
        self.sets.with_tag(tag).for_each(|set| self.collect(set, &mut slots));
        slots
    }

    fn collect(&self, set: &Set, slots: &mut Vec<Slot>) {
        let (mut block, mut left) = (set.block, set.entries as usize);
        while left > 0 {
            let Block { slots: held, before, .. } = &self.blocks[block];
            let in_use = (left - 1) % BLOCK + 1;
            slots.extend_from_slice(&held[..in_use]);
            (block, left) = (*before, left - in_use);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn tags<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Tags {
        Tags::new(names).expect("legal")
    }

    fn sorted(mut slots: Vec<Slot>) -> Vec<Slot> {
        slots.sort_unstable();
        slots
    }

    /// How many blocks, sets, numbers of sets and members of sets are held.
    fn held(tagged: &Tagged) -> (usize, (usize, usize, usize)) {
        (tagged.blocks.len(), tagged.sets.counts())
    }

    #[test]
    fn what_is_held_is_what_the_present_entries_need() {
        let mut tagged = Tagged::default();
        for round in 0..10_000_u32 {
            let slot = round % 10;
            tagged.remove(slot);
            tagged.insert(slot, if round % 3 == 0 { tags(["a", "b"]) } else { tags(["a"]) });
        }
        assert_eq!((tagged.count("a"), tagged.count("c")), (10, 0));
        assert_eq!(sorted(tagged.snapshot("a")), (0..10).collect::<Vec<_>>());
        assert_eq!(tagged.snapshot("b").len(), tagged.count("b"));
        // A block of each set; "b" is known although no entry has it alone.
        assert_eq!(held(&tagged), (2, (3, 3, 2)));
        (0..10).for_each(|slot| tagged.remove(slot));
        assert_eq!(held(&tagged), (0, (0, 0, 0)));
        assert!(tagged.of(3).is_empty());
    }

    #[test]
    fn blocks_are_taken_and_given_back_one_at_a_time() {
        for first in [0_u32, 5] {
            let mut tagged = Tagged::default();
            for entries in 1..=20_u32 {
                tagged.insert(first + entries, tags(["a"]));
                assert_eq!(held(&tagged).0, entries.div_ceil(6) as usize, "{entries}");
            }
            for left in (0..20_u32).rev() {
                tagged.remove(first + 20 - left);
                assert_eq!(sorted(tagged.snapshot("a")), (first + 21 - left..first + 21).collect::<Vec<_>>());
                assert_eq!(held(&tagged).0, left.div_ceil(6) as usize, "{left}");
            }
        }
    }

    #[test]
    fn a_tag_is_known_as_long_as_any_set_contains_it() {
        let mut tagged = Tagged::default();
        tagged.insert(0, tags(["a", "b", "c"]));
        tagged.insert(1, tags(["b"]));
        tagged.insert(Slot::MAX - 1, tags((0..64).map(|number| number.to_string())));
        tagged.remove(Slot::MAX - 1);
        assert_eq!(held(&tagged), (2, (4, 4, 3)));
        tagged.remove(1);
        assert_eq!((tagged.snapshot("b"), held(&tagged)), (vec![0], (1, (4, 4, 3))));
        tagged.insert(2, tags(["b"]));
        tagged.remove(0);
        assert_eq!((tagged.snapshot("b"), tagged.count("a"), held(&tagged)), (vec![2], 0, (1, (1, 1, 0))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// The twin holds the tags of each slot in a map. A set is drawn as the bits of its tags; 0 removes.
        #[test]
        fn agrees_with_a_map(
            ops in prop::collection::vec((0_u32..60, prop_oneof![Just(0_u8), 0_u8..16, any::<u8>()]), 0..600),
            spread in prop_oneof![Just(1_u32), Just(700)],
        ) {
            let names = |bits: u8| (0..8).filter(move |tag| bits >> tag & 1 == 1).map(|tag| tag.to_string());
            let mut tagged = Tagged::default();
            let mut twin: BTreeMap<Slot, u8> = BTreeMap::new();
            for (number, bits) in ops {
                let slot = number * spread;
                tagged.remove(slot);
                tagged.insert(slot, tags(names(bits)));
                if bits == 0 { twin.remove(&slot) } else { twin.insert(slot, bits) };
                let tag = number % 8;
                let carriers = twin.iter().filter(|(_, bits)| **bits >> tag & 1 == 1);
                let carriers: Vec<Slot> = carriers.map(|(slot, _)| *slot).collect();
                prop_assert_eq!(tagged.count(&tag.to_string()), carriers.len());
                prop_assert_eq!(sorted(tagged.snapshot(&tag.to_string())), carriers);
            }
            for slot in (0..60).map(|number| number * spread) {
                let bits = twin.get(&slot).copied().unwrap_or(0);
                prop_assert_eq!(tagged.of(slot), &tags(names(bits)));
            }
            let sets: BTreeSet<u8> = twin.values().copied().collect();
            let larger: Vec<u8> = sets.iter().copied().filter(|bits| bits.count_ones() > 1).collect();
            let alone = (0..8).map(|tag| 1 << tag).filter(|tag| sets.iter().any(|bits| bits & tag != 0)).count();
            let members = larger.iter().map(|bits| bits.count_ones() as usize).sum();
            prop_assert_eq!(tagged.sets.counts(), (larger.len() + alone, larger.len() + alone, members));
        }
    }
}
