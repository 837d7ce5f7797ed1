//! Least recently used, exactly: every use moves the entry to the front, the victim is at the back.
//!
//! Source: Mattson et al., "Evaluation techniques for storage hierarchies", IBM Systems Journal 9(2), 1970.

use super::Evict;
use crate::node::{Slab, Slot};
use crate::queue::Queue;

#[derive(Debug, Default)]
pub(super) struct Lru {
    queue: Queue,
}

impl Evict for Lru {
    fn watch(&self) -> u32 {
        super::EVERY_USE
    }

    #[inline(never)]
    fn insert(&mut self, slab: &mut impl Slab, slot: Slot) {
        self.queue.push(slab, slot);
    }

    fn observe(&mut self, slab: &mut impl Slab, slot: Slot) {
        self.queue.remove(slab, slot);
        self.queue.push(slab, slot);
    }

    fn prepare(&self, slab: &impl Slab, _fingerprint: u32) -> Option<Slot> {
        self.queue.prepare(slab)
    }

    fn remove(&mut self, slab: &mut impl Slab, slot: Slot) {
        self.queue.remove(slab, slot);
    }

    #[inline(never)]
    fn evict(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        self.queue.pop(slab)
    }
}
