//! Which slots of a shard carry which tag. An untagged entry never comes here.
//!
//! Entries with the same tags share one set. Their slots stand in blocks of six, all of them full but the last one: who
//! leaves is replaced by the last one who came. So an entry takes the number of its block and its share of a block, ten
//! bytes in all, however many tags it has, and nothing is left behind to be cleaned. Links from entry to entry would take
//! twelve, and lead to another place in memory for each.
//!
//! A set with many entries is removed by one mark: it is dead, and so are they, though they still stand in their slots.
//! One of them, the herald, is shown to the wheel as long overdue, so that whoever frees what has expired frees it, and
//! with it gone the next.

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
    /// How many entries are dead.
    dead: u64,
    /// The set that died last and may still have entries; 0 if there is none.
    last_dead: u32,
    herald: Option<Slot>,
}

/// What is to become of a set whose entries are removed.
#[derive(Debug, PartialEq)]
pub(crate) enum Condemned {
    /// They are few: they stand in these slots, to be removed one by one.
    Few(Vec<Slot>),
    /// They are so many, and dead.
    Dead(u64),
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

/// A set with more entries than this dies by a mark. To remove fewer costs little, and then nothing is left behind.
const FEW: u32 = 32;

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

    /// Tells whether the entry in this slot has tags.
    pub(crate) fn contains(&self, slot: Slot) -> bool {
        self.block_of.get(slot) != 0
    }

    /// Tells whether the entry in this slot has been removed with its set.
    #[inline]
    pub(crate) fn is_dead(&self, slot: Slot) -> bool {
        self.dead > 0 && self.is_of_dead_set(slot)
    }

    #[cold]
    fn is_of_dead_set(&self, slot: Slot) -> bool {
        self.sets.get(self.blocks[self.block_of.get(slot)].set).is_dead
    }

    /// How many entries are dead.
    pub(crate) fn dead(&self) -> u64 {
        self.dead
    }

    /// The dead entry that the wheel has to know as overdue.
    pub(crate) fn herald(&self) -> Option<Slot> {
        self.herald
    }

    /// Forgets the tags of the entry in this slot, and says whether another one has become the herald.
    pub(crate) fn remove(&mut self, slot: Slot) -> bool {
        let block = self.block_of.get(slot);
        if block == 0 {
            return false;
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
        if !set.is_dead {
            if set.entries == 0 {
                self.sets.retire(number);
            }
            return false;
        }
        self.dead -= 1;
        if self.herald != Some(slot) {
            return false;
        }
        self.herald = self.next_dead();
        self.herald.is_some()
    }

    /// Condemns one of the sets with this tag; `None` if there are none. Costs the same however many entries it has.
    pub(crate) fn condemn(&mut self, tag: &str) -> Option<Condemned> {
        let number = self.sets.any_with_tag(tag)?;
        let set = self.sets.get(number);
        if set.entries <= FEW {
            let mut slots = Vec::with_capacity(set.entries as usize);
            self.collect(set, &mut slots);
            return Some(Condemned::Few(slots));
        }
        let entries = u64::from(set.entries);
        self.sets.kill(number);
        self.dead += entries;
        self.sets.get_mut(number).member = std::mem::replace(&mut self.last_dead, number);
        if self.herald.is_none() {
            self.herald = self.next_dead();
        }
        Some(Condemned::Dead(entries))
    }

    /// A dead entry. Forgets the dead sets before it that have none.
    fn next_dead(&mut self) -> Option<Slot> {
        while self.last_dead != 0 {
            let Set { entries, block, .. } = *self.sets.get(self.last_dead);
            if entries > 0 {
                return Some(self.blocks[block].slots[(entries as usize - 1) % BLOCK]);
            }
            self.last_dead = self.sets.bury(self.last_dead).member;
        }
        None
    }

    /// Tells whether any entry carries this tag.
    pub(crate) fn knows(&self, tag: &str) -> bool {
        self.sets.any_with_tag(tag).is_some()
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
    use std::ops::Range;

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
        (0..10).for_each(|slot| assert!(!tagged.remove(slot)));
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

    /// Gives all of these slots the tags that these bits mean.
    fn put_all(tagged: &mut Tagged, slots: Range<Slot>, bits: u8) {
        let names = (0..8).filter(|tag| bits >> tag & 1 == 1).map(|tag| tag.to_string());
        let tags = tags(names);
        for slot in slots {
            tagged.remove(slot);
            tagged.insert(slot, tags.clone());
        }
    }

    #[test]
    fn a_large_set_dies_at_once_and_leaves_nothing_behind() {
        let mut tagged = Tagged::default();
        put_all(&mut tagged, 0..1000, 0b11);
        put_all(&mut tagged, 1000..1010, 0b1);
        assert_eq!(tagged.condemn("1"), Some(Condemned::Dead(1000)));
        assert_eq!(
            (tagged.condemn("1"), tagged.count("0"), tagged.count("1"), tagged.dead()),
            (None, 10, 0, 1000)
        );
        // The same tags again: another set, which is alive.
        put_all(&mut tagged, 2000..2040, 0b11);
        assert!(
            tagged.is_dead(999) && !tagged.is_dead(2000) && !tagged.is_dead(1000) && !tagged.is_dead(5000)
        );
        assert_eq!(tagged.condemn("1"), Some(Condemned::Dead(40)));
        let few = tagged.condemn("0");
        assert!(
            matches!(&few, Some(Condemned::Few(slots)) if sorted(slots.clone()) == (1000..1010).collect::<Vec<_>>())
        );
        (1000..1010).for_each(|slot| assert!(!tagged.remove(slot)));
        let mut freed = Vec::new();
        while let Some(herald) = tagged.herald() {
            assert!(tagged.is_dead(herald));
            freed.push(herald);
            assert_eq!(tagged.remove(herald), tagged.herald().is_some());
        }
        assert_eq!(sorted(freed), (0..1000).chain(2000..2040).collect::<Vec<_>>());
        assert_eq!((tagged.dead(), held(&tagged)), (0, (0, (0, 0, 0))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// The twin holds the tags of each slot, and whether it has died. Drawn are many slots at a time, so that sets are
        /// large, and what happens to them: other tags, no more, or that one of eight tags is removed.
        #[test]
        fn the_dead_are_those_whose_tag_was_removed(
            ops in prop::collection::vec((0_u32..4, 0_u32..200, 0_u32..100, 1_u8..8), 0..60),
        ) {
            let mut tagged = Tagged::default();
            let mut twin: BTreeMap<Slot, (u8, bool)> = BTreeMap::new();
            for (what, from, many, bits) in ops {
                let slots = from..from + many;
                match what {
                    0 | 1 => {
                        put_all(&mut tagged, slots.clone(), bits);
                        twin.extend(slots.map(|slot| (slot, (bits, false))));
                    }
                    2 => {
                        for slot in slots {
                            tagged.remove(slot);
                            twin.remove(&slot);
                        }
                    }
                    _ => {
                        let tag = bits % 3;
                        let carries = |(bits, is_dead): (u8, bool)| !is_dead && bits >> tag & 1 == 1;
                        let expected = twin.values().filter(|held| carries(**held)).count() as u64;
                        let mut removed = 0;
                        while let Some(condemned) = tagged.condemn(&tag.to_string()) {
                            match condemned {
                                Condemned::Dead(entries) => removed += entries,
                                Condemned::Few(few) => for slot in few {
                                    tagged.remove(slot);
                                    prop_assert!(twin.remove(&slot).is_some_and(carries));
                                    removed += 1;
                                },
                            }
                        }
                        prop_assert_eq!(removed, expected);
                        twin.values_mut().filter(|held| carries(**held)).for_each(|held| held.1 = true);
                    }
                }
                prop_assert_eq!(tagged.dead(), twin.values().filter(|(_, is_dead)| *is_dead).count() as u64);
                prop_assert_eq!(tagged.herald().is_some(), tagged.dead() > 0);
                prop_assert!(tagged.herald().is_none_or(|herald| twin[&herald].1));
                prop_assert!((0..300).all(|slot| tagged.is_dead(slot) == twin.get(&slot).is_some_and(|held| held.1)));
                for tag in 0..3 {
                    let living = twin.iter().filter(|(_, (bits, is_dead))| !is_dead && bits >> tag & 1 == 1);
                    prop_assert_eq!(
                        sorted(tagged.snapshot(&tag.to_string())),
                        living.map(|(slot, _)| *slot).collect::<Vec<_>>()
                    );
                }
            }
            (0..300).for_each(|slot| _ = tagged.remove(slot));
            prop_assert_eq!((held(&tagged), tagged.last_dead), ((0, (0, 0, 0)), 0));
        }
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
