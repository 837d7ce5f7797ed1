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
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    node: Node,
    links: Links,
    weight: u64,
    cost: f32,
    deadline: u64,
}

impl Slots {
    /// Puts an entry with this fingerprint and class into a slot: of weight 1, without a cost and a deadline.
    pub fn put(&mut self, slot: Slot, fingerprint: u32, class: u8) {
        let index = slot as usize;
        let (node, links) = (Node::new(class), Links::new(fingerprint));
        let entry = Entry { node, links, weight: 1, cost: 0.0, deadline: u64::MAX };
        if index >= self.entries.len() {
            self.entries.resize(index + 1, entry.clone());
        }
        self.entries[index] = entry;
    }

    /// Gives the entry in a slot a weight.
    pub fn set_weight(&mut self, slot: Slot, weight: u64) {
        self.entries[slot as usize].weight = weight;
    }

    /// Gives the entry in a slot a cost, in seconds.
    pub fn set_cost(&mut self, slot: Slot, cost: f32) {
        self.entries[slot as usize].cost = cost;
    }

    /// Gives the entry in a slot a deadline, in ticks.
    pub fn set_deadline(&mut self, slot: Slot, deadline: u64) {
        self.entries[slot as usize].deadline = deadline;
    }
}

impl Slab for Slots {
    fn node(&self, slot: Slot) -> &Node {
        &self.entries[slot as usize].node
    }

    fn node_mut(&mut self, slot: Slot) -> &mut Node {
        &mut self.entries[slot as usize].node
    }

    fn links(&self, slot: Slot) -> &Links {
        &self.entries[slot as usize].links
    }

    fn links_mut(&mut self, slot: Slot) -> &mut Links {
        &mut self.entries[slot as usize].links
    }

    fn weight(&self, slot: Slot) -> u64 {
        self.entries[slot as usize].weight
    }

    fn cost(&self, slot: Slot) -> f32 {
        self.entries[slot as usize].cost
    }

    fn deadline(&self, slot: Slot) -> u64 {
        self.entries[slot as usize].deadline
    }
}
