//! From one rule to another, a few entries at a time, so that no one waits for all of them.
//!
//! ```text
//! from ── whoever would have gone first is told first ──> to
//! ```
//! Meanwhile each entry belongs to one of both rules, victims come from the old one while it has any, and newcomers go to
//! the new one.

use super::{Advice, Evict, Evictor};
use crate::node::{Slab, Slot};

#[derive(Debug)]
pub(super) struct Change {
    from: Evictor,
    to: Evictor,
    /// One bit per slot: whether it belongs to the new rule. Nobody comes to the old one any more, so that none is reset.
    moved: Vec<u64>,
}

impl Change {
    pub(super) fn new(from: Evictor, to: Evictor) -> Self {
        Self { from, to, moved: Vec::new() }
    }

    /// Moves so many entries at most, and says whether there are more.
    pub(super) fn advance(&mut self, slab: &mut impl Slab, steps: usize) -> bool {
        for _ in 0..steps {
            let Some(slot) = self.from.evict(slab) else { return false };
            // What the old rule counted means something else to the new one.
            slab.node_mut(slot).uses = 0;
            self.insert(slab, slot);
        }
        true
    }

    /// The new rule, once it has all entries.
    pub(super) fn into_new(self) -> Evictor {
        self.to
    }

    fn owner(&mut self, slot: Slot) -> &mut Evictor {
        let (word, bit) = place(slot);
        let moved = self.moved.get(word).is_some_and(|word| word & bit != 0);
        if moved { &mut self.to } else { &mut self.from }
    }
}

/// The word of a slot's bit, and the bit in it.
fn place(slot: Slot) -> (usize, u64) {
    (slot as usize / 64, 1 << (slot % 64))
}

impl Evict for Change {
    /// The most that any rule tells apart.
    const MOST_USES: u8 = 3;

    /// Either rule may want to hear of a use.
    fn watch(&self) -> u32 {
        super::EVERY_USE
    }

    #[inline(never)]
    fn insert(&mut self, slab: &mut impl Slab, slot: Slot) {
        let (word, bit) = place(slot);
        if self.moved.len() <= word {
            self.moved.resize(word + 1, 0);
        }
        self.moved[word] |= bit;
        self.to.insert(slab, slot);
    }

    fn observe(&mut self, slab: &mut impl Slab, slot: Slot) {
        self.owner(slot).observe(slab, slot);
    }

    fn update(&mut self, slab: &mut impl Slab, slot: Slot) {
        self.owner(slot).update(slab, slot);
    }

    fn remove(&mut self, slab: &mut impl Slab, slot: Slot) {
        self.owner(slot).remove(slab, slot);
    }

    #[inline(never)]
    fn evict(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        self.from.evict(slab).or_else(|| self.to.evict(slab))
    }

    fn follow(&mut self, advice: Advice) {
        self.to.follow(advice);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use crate::evict::{Evictor, Policy};
    use crate::node::Slot;
    use crate::slots::Slots;

    #[test]
    fn the_order_of_the_old_rule_is_kept_by_one_that_knows_no_other() {
        let (mut slots, mut evictor) = (Slots::default(), Evictor::new(Policy::Lru));
        for slot in [3, 1, 4, 5, 9, 2, 6] {
            slots.put(slot, slot, 0);
            evictor.insert(&mut slots, slot);
        }
        evictor.touch(&mut slots, 3);
        evictor.begin_change(Policy::Sieve);
        assert_eq!(evictor.policy(), Policy::Sieve);
        assert!(evictor.advance_change(&mut slots, 2));
        assert!(!evictor.advance_change(&mut slots, usize::MAX));
        let order: Vec<Slot> = std::iter::from_fn(|| evictor.evict(&mut slots)).collect();
        assert_eq!(order, [1, 4, 5, 9, 2, 6, 3]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn whatever_happens_meanwhile_each_entry_has_one_owner(
            ops in prop::collection::vec((0_u8..6, 0_u32..200), 0..400),
            from in prop::sample::select(Policy::ALL.to_vec()),
            to in prop::sample::select(Policy::ALL.to_vec()),
        ) {
            let (mut slots, mut evictor) = (Slots::default(), Evictor::new(from));
            let mut held = BTreeSet::new();
            for slot in 0..100 {
                slots.put(slot, slot.wrapping_mul(0x9E37_79B9), 0);
                evictor.insert(&mut slots, slot);
                held.insert(slot);
            }
            evictor.begin_change(to);
            for (op, slot) in ops {
                match op {
                    0 if held.insert(slot) => {
                        slots.put(slot, slot.wrapping_mul(0x9E37_79B9), 0);
                        evictor.insert(&mut slots, slot);
                    }
                    1 if held.remove(&slot) => evictor.remove(&mut slots, slot),
                    2 => {
                        let victim = evictor.evict(&mut slots);
                        prop_assert_eq!(victim.is_some(), !held.is_empty());
                        prop_assert!(victim.is_none_or(|victim| held.remove(&victim)), "evicted twice");
                    }
                    3 if held.contains(&slot) => evictor.touch(&mut slots, slot),
                    4 if held.contains(&slot) => evictor.update(&mut slots, slot),
                    _ => {
                        evictor.advance_change(&mut slots, slot as usize % 8);
                    }
                }
            }
            while evictor.advance_change(&mut slots, 16) {}
            let left: BTreeSet<Slot> = std::iter::from_fn(|| evictor.evict(&mut slots)).collect();
            prop_assert_eq!(left, held);
        }
    }
}
