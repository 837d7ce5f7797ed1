//! A plain slab: entries without keys and values, for simulations, tests and examples.

use crate::node::{Links, Node, Slab, Slot};

/// Nodes and their properties in vectors.
///
/// ```
/// use cache_policy::{Evictor, Policy, Slots};
/// let mut slots = Slots::default();
/// let mut evictor = Evictor::new(Policy::Lru);
/// for slot in 0..3 {
///     slots.put(slot, slot, 1);
///     evictor.insert(&mut slots, slot);
/// }
/// evictor.touch(&mut slots, 0);
/// assert_eq!(evictor.evict(&mut slots), Some(1));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Slots {
    entries: Vec<(Node, Links)>,
    /// Of the slots up to the last whose entry has any.
    properties: Vec<Properties>,
}

#[derive(Clone, Copy, Debug)]
struct Properties {
    weight: u64,
    cost: f32,
    deadline: u64,
}

impl Default for Properties {
    fn default() -> Self {
        Self { weight: 1, cost: 0.0, deadline: u64::MAX }
    }
}

impl Slots {
    /// Puts an entry with this fingerprint and class into a slot: of weight 1, without a cost and a deadline.
    #[inline]
    pub fn put(&mut self, slot: Slot, fingerprint: u32, class: u8) {
        let entry = (Node::new(fingerprint, class), Links::UNSET);
        match self.entries.get_mut(slot as usize) {
            Some(held) => *held = entry,
            None => self.entries.resize(slot as usize + 1, entry),
        }
        if let Some(properties) = self.properties.get_mut(slot as usize) {
            *properties = Properties::default();
        }
    }

    fn properties(&self, slot: Slot) -> Properties {
        self.properties.get(slot as usize).copied().unwrap_or_default()
    }

    fn properties_mut(&mut self, slot: Slot) -> &mut Properties {
        let index = slot as usize;
        if index >= self.properties.len() {
            self.properties.resize(index + 1, Properties::default());
        }
        &mut self.properties[index]
    }

    /// Gives the entry in a slot a weight.
    pub fn set_weight(&mut self, slot: Slot, weight: u64) {
        self.properties_mut(slot).weight = weight;
    }

    /// Gives the entry in a slot a cost, in seconds.
    pub fn set_cost(&mut self, slot: Slot, cost: f32) {
        self.properties_mut(slot).cost = cost;
    }

    /// Gives the entry in a slot a deadline, in ticks.
    pub fn set_deadline(&mut self, slot: Slot, deadline: u64) {
        self.properties_mut(slot).deadline = deadline;
    }
}

impl Slab for Slots {
    fn node(&self, slot: Slot) -> &Node {
        &self.entries[slot as usize].0
    }

    fn node_mut(&mut self, slot: Slot) -> &mut Node {
        &mut self.entries[slot as usize].0
    }

    fn links(&self, slot: Slot) -> &Links {
        &self.entries[slot as usize].1
    }

    fn links_mut(&mut self, slot: Slot) -> &mut Links {
        &mut self.entries[slot as usize].1
    }

    fn weight(&self, slot: Slot) -> u64 {
        self.properties(slot).weight
    }

    fn cost(&self, slot: Slot) -> f32 {
        self.properties(slot).cost
    }

    fn deadline(&self, slot: Slot) -> u64 {
        self.properties(slot).deadline
    }
}
