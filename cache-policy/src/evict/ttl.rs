//! Soonest to expire first, exactly; of equal deadlines the oldest entry, and last whatever never expires.
//!
//! The order changes with each deadline that is set, so it is kept in a heap: an insert, a change and a victim cost
//! O(log n), a use nothing. The rule is old: Redis offers it as `volatile-ttl`, by sampling.

use super::Evict;
use super::ranked::Ranked;
use crate::node::{Slab, Slot};

#[derive(Debug, Default)]
pub(super) struct SoonestFirst {
    by_deadline: Ranked,
}

impl Evict for SoonestFirst {
    const MOST_USES: u8 = 0;

    #[inline(never)]
    fn insert(&mut self, slab: &mut impl Slab, slot: Slot) {
        self.by_deadline.insert(slot, slab.deadline(slot));
    }

    fn update(&mut self, slab: &mut impl Slab, slot: Slot) {
        self.by_deadline.update(slot, slab.deadline(slot));
    }

    fn remove(&mut self, _slab: &mut impl Slab, slot: Slot) {
        self.by_deadline.remove(slot);
    }

    fn evict(&mut self, _slab: &mut impl Slab) -> Option<Slot> {
        self.by_deadline.pop()
    }
}
