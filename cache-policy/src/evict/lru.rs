//! Least recently used, exactly: every use moves the entry to the front, the victim is at the back.
//!
//! Source: Mattson et al., "Evaluation techniques for storage hierarchies", IBM Systems Journal 9(2), 1970.

use super::{Evict, Facts};
use crate::Slot;
use crate::links::{Links, List};

#[derive(Debug, Default)]
pub(super) struct Lru {
    links: Links,
    list: List,
}

impl Evict for Lru {
    fn insert(&mut self, slot: Slot, _facts: &Facts) {
        self.list.push_front(&mut self.links, slot);
    }

    fn touch(&mut self, slot: Slot) {
        self.list.remove(&mut self.links, slot);
        self.list.push_front(&mut self.links, slot);
    }

    fn update(&mut self, slot: Slot, _facts: &Facts) {
        self.touch(slot);
    }

    fn remove(&mut self, slot: Slot) {
        self.list.remove(&mut self.links, slot);
    }

    fn evict(&mut self) -> Option<Slot> {
        self.list.pop_back(&mut self.links)
    }
}
