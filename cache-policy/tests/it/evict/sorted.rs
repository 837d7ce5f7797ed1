//! The rules that sort by a property: soonest to expire first, largest first.

use super::{CASES, Entry, Naive, agrees, ops};
use cache_policy::{Policy, Slot};
use proptest::prelude::*;

/// Entries in the order in which they came, and what they are sorted by.
struct NaiveSort {
    rank: fn(&Entry) -> u64,
    oldest_first: Vec<(Slot, u64)>,
}

impl NaiveSort {
    fn by(rank: fn(&Entry) -> u64) -> Self {
        Self { rank, oldest_first: Vec::new() }
    }
}

impl Naive for NaiveSort {
    fn insert(&mut self, slot: Slot, entry: Entry) {
        self.oldest_first.push((slot, (self.rank)(&entry)));
    }
    fn update(&mut self, slot: Slot, entry: Entry) {
        let rank = (self.rank)(&entry);
        self.oldest_first.iter_mut().filter(|held| held.0 == slot).for_each(|held| held.1 = rank);
    }
    fn remove(&mut self, slot: Slot) {
        self.oldest_first.retain(|held| held.0 != slot);
    }
    fn evict(&mut self) -> Option<Slot> {
        // Of several lowest, `min_by_key` finds the first.
        let (slot, _) = self.oldest_first.iter().copied().min_by_key(|held| held.1)?;
        self.remove(slot);
        Some(slot)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn ttl_agrees_with_its_twin(ops in ops()) {
        agrees(Policy::Ttl, NaiveSort::by(|entry| entry.deadline), &ops)?;
    }

    #[test]
    fn size_agrees_with_its_twin(ops in ops()) {
        agrees(Policy::Size, NaiveSort::by(|entry| u64::MAX - entry.weight), &ops)?;
    }
}
