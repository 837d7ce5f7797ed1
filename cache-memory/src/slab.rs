//! A shard's entries: the cells that all have, and columns for what only some have besides.

use cache_core::{Tags, Time};
use cache_policy::{Column, Links, Node, Slot};

use crate::cells::Cells;
use crate::fetch::fetch;
use crate::optimistic::Readers;
use crate::tagged::Tagged;

const NANOS_PER_TICK: u64 = 1_000_000;

/// What only some entries have. Whoever has any of it is marked in its node, so that nobody else is looked up.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// What every entry weighs that is not in the column.
    pub(crate) weight_of_one: u64,
    weights: Column<u64>,
    /// The upper halves of the numbers, rounded: eight bits of precision tell what is dear from what is cheap.
    costs: Column<u16>,
    /// When an entry ends, in nanoseconds; zero where it does not.
    ends: Column<u64>,
    pub(crate) tagged: Tagged,
}

#[derive(Debug)]
#[repr(C)]
pub(crate) struct Slab<K, V> {
    pub(crate) cells: Cells<K, V>,
    pub(crate) extras: Extras,
}

impl Extras {
    pub(crate) fn new(weight_of_one: u64) -> Self {
        Self { weight_of_one, ..Self::default() }
    }

    #[inline]
    pub(crate) fn weight(&self, slot: Slot) -> u64 {
        self.weight_of_one.wrapping_add(self.weights.get(slot))
    }

    pub(crate) fn set_weight(&mut self, slot: Slot, weight: u64) {
        // The difference, so that a cache without a weigher needs no column.
        self.weights.set(slot, weight.wrapping_sub(self.weight_of_one));
    }

    pub(crate) fn cost(&self, slot: Slot) -> f32 {
        f32::from_bits(u32::from(self.costs.get(slot)) << 16)
    }

    pub(crate) fn set_cost(&mut self, slot: Slot, cost: f32) {
        let upper = (cost.to_bits().saturating_add(1 << 15) >> 16) as u16;
        self.costs.set(slot, upper);
    }

    /// When the entry in this slot ends: one that is dead by its tags, before all time.
    pub(crate) fn expires(&self, slot: Slot) -> Time {
        if self.tagged.is_dead(slot) {
            return Time::ZERO;
        }
        match self.ends.get(slot) {
            0 => Time::NEVER,
            nanos => Time::from_nanos(nanos),
        }
    }

    pub(crate) fn set_expires(&mut self, slot: Slot, expires: Time) {
        let nanos = if expires == Time::NEVER { 0 } else { expires.as_nanos().max(1) };
        self.ends.set(slot, nanos);
    }

    /// The first tick at which its time is over.
    pub(crate) fn deadline(&self, slot: Slot) -> u64 {
        if self.tagged.is_dead(slot) {
            return 0;
        }
        match self.ends.get(slot) {
            0 => u64::MAX,
            nanos => nanos.div_ceil(NANOS_PER_TICK),
        }
    }

    pub(crate) fn tags(&self, slot: Slot) -> &Tags {
        self.tagged.of(slot)
    }
}

impl<K, V> Slab<K, V> {
    pub(crate) fn new(weight_of_one: u64, expected: usize, readers: Readers) -> Self {
        Self { cells: Cells::new(expected, readers), extras: Extras::new(weight_of_one) }
    }
}

/// The tick that this moment is in.
#[inline]
pub(crate) const fn tick(now: Time) -> u64 {
    now.as_nanos() / NANOS_PER_TICK
}

/// A policy or the wheel has named a slot that holds no entry.
#[cold]
#[expect(clippy::panic, reason = "only a fault in our own books leads here")]
fn vacant(slot: Slot) -> ! {
    panic!("slot {slot} holds no entry")
}

impl<K, V> cache_policy::Slab for Slab<K, V> {
    #[inline]
    fn node(&self, slot: Slot) -> &Node {
        self.cells.get(slot).map_or_else(|| vacant(slot), |cell| &cell.node)
    }

    #[inline]
    fn node_mut(&mut self, slot: Slot) -> &mut Node {
        self.cells.get_mut(slot).map_or_else(|| vacant(slot), |cell| &mut cell.node)
    }

    #[inline]
    fn links(&self, slot: Slot) -> &Links {
        self.cells.links(slot).unwrap_or_else(|| vacant(slot))
    }

    #[inline]
    fn links_mut(&mut self, slot: Slot) -> &mut Links {
        self.cells.links_mut(slot).unwrap_or_else(|| vacant(slot))
    }

    #[inline]
    fn fetch<T>(&self, place: &T) {
        fetch(place);
    }

    #[inline]
    fn fetch_entry(&self, slot: Slot) {
        self.cells.fetch(slot);
    }

    fn weight(&self, slot: Slot) -> u64 {
        self.extras.weight(slot)
    }

    fn cost(&self, slot: Slot) -> f32 {
        self.extras.cost(slot)
    }

    fn deadline(&self, slot: Slot) -> u64 {
        self.extras.deadline(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_kept_to_a_256th() {
        let mut extras = Extras::new(1);
        for cost in [0.0, 1e-9, 0.003, 0.1, 1.0, 1.5, 1234.567, 1.8e19_f32] {
            extras.set_cost(7, cost);
            let held = extras.cost(7);
            assert!((held - cost).abs() <= cost / 256.0, "{cost}: {held}");
        }
        extras.set_cost(7, 0.0);
        assert_eq!(extras.cost(7).to_bits(), 0);
    }
}
