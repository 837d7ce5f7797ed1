//! Which slots of a shard carry which tag. An untagged entry never comes here.
//!
//! Entries with the same tags share one set, so that an entry takes the number of its set, and for each tag a place in
//! that tag's list. An entry that leaves is not looked for in the lists: a list is cleaned when more than half of it
//! has left, which costs O(1) per entry that left.

use std::collections::HashMap;
use std::hash::BuildHasher;

use cache_core::{Tag, Tags};
use cache_policy::{Column, Slot};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

#[derive(Debug)]
pub(crate) struct Tagged {
    /// The number of each slot's set; the first one is the empty set.
    set_of: Column<u32>,
    sets: Vec<Set>,
    vacant: Vec<u32>,
    numbers: HashTable<u32>,
    hasher: RandomState,
    lists: HashMap<Tag, List, RandomState>,
}

#[derive(Debug)]
struct Set {
    tags: Tags,
    entries: u32,
}

/// The slots that carry a tag, among some that no longer do.
#[derive(Debug, Default)]
struct List {
    slots: Vec<Slot>,
    carriers: usize,
}

/// Cleaning a list shorter than this is not worth it.
const SHORT: usize = 16;

impl Default for Tagged {
    fn default() -> Self {
        Self {
            set_of: Column::default(),
            sets: vec![Set { tags: Tags::NONE, entries: 0 }],
            vacant: Vec::new(),
            numbers: HashTable::new(),
            hasher: RandomState::default(),
            lists: HashMap::default(),
        }
    }
}

impl Tagged {
    pub(crate) fn of(&self, slot: Slot) -> &Tags {
        &self.sets[self.set_of.get(slot) as usize].tags
    }

    /// Notes that the entry in this slot, which had no tags, has these.
    pub(crate) fn insert(&mut self, slot: Slot, tags: Tags) {
        if tags.is_empty() {
            return;
        }
        for tag in &tags {
            let list = self.lists.entry(tag.clone()).or_default();
            list.slots.push(slot);
            list.carriers += 1;
        }
        let set = self.number_of(tags);
        self.sets[set as usize].entries += 1;
        self.set_of.set(slot, set);
    }

    /// Forgets the tags of the entry in this slot.
    pub(crate) fn remove(&mut self, slot: Slot) {
        let number = self.set_of.get(slot);
        if number == 0 {
            return;
        }
        self.set_of.set(slot, 0);
        let tags = self.sets[number as usize].tags.clone();
        for tag in &tags {
            let Some(list) = self.lists.get_mut(tag) else { continue };
            list.carriers -= 1;
            if list.carriers == 0 {
                self.lists.remove(tag);
            } else if list.slots.len() > SHORT.max(list.carriers * 2) {
                let (set_of, sets) = (&self.set_of, &self.sets);
                list.clean(|slot| sets[set_of.get(slot) as usize].tags.contains(tag.as_str()));
            }
        }
        self.sets[number as usize].entries -= 1;
        if self.sets[number as usize].entries == 0 {
            self.retire(number);
        }
    }

    /// How many entries carry this tag.
    pub(crate) fn count(&self, tag: &str) -> usize {
        self.lists.get(tag).map_or(0, |list| list.carriers)
    }

    /// The slots that carry this tag, as they are now.
    pub(crate) fn snapshot(&self, tag: &str) -> Vec<Slot> {
        let mut slots = self.lists.get(tag).map(|list| list.slots.clone()).unwrap_or_default();
        slots.sort_unstable();
        slots.dedup();
        slots.retain(|slot| self.of(*slot).contains(tag));
        slots
    }

    fn number_of(&mut self, tags: Tags) -> u32 {
        let hash = self.hasher.hash_one(tags.as_slice());
        if let Some(number) = self.numbers.find(hash, |number| self.sets[*number as usize].tags == tags) {
            return *number;
        }
        let set = Set { tags, entries: 0 };
        let number = if let Some(number) = self.vacant.pop() {
            self.sets[number as usize] = set;
            number
        } else {
            self.sets.push(set);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "no more sets than slots, which are 32-bit numbers"
            )]
            let number = (self.sets.len() - 1) as u32;
            number
        };
        let rehash = |number: &u32| self.hasher.hash_one(self.sets[*number as usize].tags.as_slice());
        self.numbers.insert_unique(hash, number, rehash);
        number
    }

    fn retire(&mut self, number: u32) {
        let tags = std::mem::take(&mut self.sets[number as usize].tags);
        let hash = self.hasher.hash_one(tags.as_slice());
        if let Ok(place) = self.numbers.find_entry(hash, |held| *held == number) {
            place.remove();
        }
        self.vacant.push(number);
    }
}

impl List {
    fn clean(&mut self, carries: impl Fn(Slot) -> bool) {
        self.slots.retain(|slot| carries(*slot));
        self.slots.sort_unstable();
        self.slots.dedup();
        self.slots.shrink_to(self.carriers * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags<const N: usize>(names: [&str; N]) -> Tags {
        Tags::new(names).expect("legal")
    }

    #[test]
    fn lists_stay_short_however_often_their_entries_change() {
        let mut tagged = Tagged::default();
        for round in 0..10_000_u32 {
            let slot = round % 10;
            tagged.remove(slot);
            tagged.insert(slot, if round % 3 == 0 { tags(["a", "b"]) } else { tags(["a"]) });
        }
        assert_eq!((tagged.count("a"), tagged.count("c")), (10, 0));
        assert_eq!(tagged.snapshot("a"), (0..10).collect::<Vec<_>>());
        assert_eq!(tagged.snapshot("b").len(), tagged.count("b"));
        assert!(tagged.lists["a"].slots.len() <= 21);
        assert_eq!(tagged.sets.len(), 3, "two sets beside the empty one, however many entries");
        (0..10).for_each(|slot| tagged.remove(slot));
        assert!(tagged.lists.is_empty() && tagged.numbers.is_empty());
        assert!(tagged.of(3).is_empty());
    }
}
