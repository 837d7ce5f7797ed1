//! SIEVE: first in first out, but a hand that walks from old to new spares whoever was read since it last passed.
//!
//! Entries never move, so a read only sets a bit. Source: Zhang et al., "SIEVE is Simpler than LRU: an Efficient
//! Turn-Key Eviction Algorithm for Web Caches", NSDI 2024, algorithm 1.

use super::Evict;
use crate::node::{NIL, Slab, Slot};
use crate::queue::Queue;

#[derive(Debug)]
pub(super) struct Sieve {
    queue: Queue,
    hand: Slot,
}

impl Default for Sieve {
    fn default() -> Self {
        Self { queue: Queue::default(), hand: NIL }
    }
}

impl Evict for Sieve {
    #[inline(never)]
    fn insert(&mut self, slab: &mut impl Slab, slot: Slot) {
        self.queue.push(slab, slot);
    }

    fn prepare(&self, slab: &impl Slab, _fingerprint: u32) -> Option<Slot> {
        Queue::prepare_from(slab, self.next()?)
    }

    fn remove(&mut self, slab: &mut impl Slab, slot: Slot) {
        if self.hand == slot {
            self.hand = slab.links(slot).newer;
        }
        self.queue.remove(slab, slot);
    }

    #[inline(never)]
    fn evict(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        loop {
            let slot = self.next()?;
            self.hand = slab.links(slot).newer;
            if std::mem::take(&mut slab.node_mut(slot).uses) == 0 {
                self.queue.remove(slab, slot);
                return Some(slot);
            }
        }
    }
}

impl Sieve {
    /// Whom the hand looks at next.
    fn next(&self) -> Option<Slot> {
        if self.hand == NIL { self.queue.oldest() } else { Some(self.hand) }
    }
}
