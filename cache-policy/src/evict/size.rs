//! Largest first, exactly; of equal weights the oldest entry.
//!
//! A new value may have another weight, so the order is kept in a heap: an insert, a change and a victim cost O(log n),
//! a use nothing. Source: the policy SIZE of Williams et al., "Removal policies in network caches for World-Wide Web
//! documents", SIGCOMM 1996.

use super::Evict;
use super::ranked::Ranked;
use crate::node::{Slab, Slot};

#[derive(Debug, Default)]
pub(super) struct LargestFirst {
    by_weight: Ranked,
}

impl Evict for LargestFirst {
    const MOST_USES: u8 = 0;

    #[inline(never)]
    fn insert(&mut self, slab: &mut impl Slab, slot: Slot) {
        self.by_weight.insert(slot, rank(slab, slot));
    }

    fn update(&mut self, slab: &mut impl Slab, slot: Slot) {
        self.by_weight.update(slot, rank(slab, slot));
    }

    fn remove(&mut self, _slab: &mut impl Slab, slot: Slot) {
        self.by_weight.remove(slot);
    }

    fn evict(&mut self, _slab: &mut impl Slab) -> Option<Slot> {
        self.by_weight.pop()
    }
}

/// The lowest rank is first, so the order of the weights is turned round.
fn rank(slab: &impl Slab, slot: Slot) -> u64 {
    u64::MAX - slab.weight(slot)
}
