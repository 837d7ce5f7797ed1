//! Where entries stand: cells, one per slot.
//!
//! Keys and values, nodes and links have tables of their own: a hit touches twenty bytes of a two-word entry and not the
//! other twelve, and a vacant cell needs no mark beside its key.
//!
//! Unsafe: a pair is initialised where its node is `Some`, and nowhere else. Nothing outside of this module can make a
//! node `Some` or `None`. `tests` holds the twin in safe code that it is compared with. In safe code, an `Option` of two
//! words takes a third one: 8 bytes more for each of a million numbers, and as much more to fetch for a hit.

use std::mem::MaybeUninit;

use cache_policy::{Links, Node, Slot};

/// Entries by slot. The three tables have the same length.
pub(crate) struct Cells<K, V> {
    /// `None` where the cell is vacant.
    nodes: Vec<Option<Node>>,
    /// Of a vacant cell they note the next vacant one.
    links: Vec<Links>,
    /// Initialised exactly where the node is `Some`.
    pairs: Vec<MaybeUninit<(K, V)>>,
    /// The first vacant cell.
    vacant: u32,
    taken: u32,
    /// How many entries there will be in the end; 0 where that is not known.
    expected: usize,
}

/// Behind the last vacant cell.
const NO_CELL: u32 = u32::MAX;

impl<K, V> Cells<K, V> {
    pub(crate) const fn new(expected: usize) -> Self {
        Self { nodes: Vec::new(), links: Vec::new(), pairs: Vec::new(), vacant: NO_CELL, taken: 0, expected }
    }

    /// The key and value in a slot; `None` if it is vacant.
    #[inline]
    #[expect(unsafe_code, reason = "reads the pair of a taken cell; argued below")]
    pub(crate) fn pair(&self, slot: Slot) -> Option<&(K, V)> {
        if self.nodes.get(slot as usize)?.is_none() {
            return None;
        }
        // SAFETY: the tables have the same length, so `slot` is inside; the node is `Some`, so the pair is initialised.
        Some(unsafe { self.pairs.get_unchecked(slot as usize).assume_init_ref() })
    }

    #[inline]
    pub(crate) fn node(&self, slot: Slot) -> Option<&Node> {
        self.nodes.get(slot as usize)?.as_ref()
    }

    #[inline]
    pub(crate) fn node_mut(&mut self, slot: Slot) -> Option<&mut Node> {
        self.nodes.get_mut(slot as usize)?.as_mut()
    }

    /// Node and pair of a slot together, which costs one look.
    #[inline]
    #[expect(unsafe_code, reason = "reads the pair of a taken cell; argued below")]
    pub(crate) fn parts_mut(&mut self, slot: Slot) -> Option<(&mut Node, &mut (K, V))> {
        let node = self.nodes.get_mut(slot as usize)?.as_mut()?;
        // SAFETY: the tables have the same length, so `slot` is inside; the node is `Some`, so the pair is initialised.
        let pair = unsafe { self.pairs.get_unchecked_mut(slot as usize).assume_init_mut() };
        Some((node, pair))
    }

    /// The links of a slot. Those of a vacant one mean nothing outside of this module.
    #[inline]
    pub(crate) fn links(&self, slot: Slot) -> Option<&Links> {
        self.links.get(slot as usize)
    }

    /// The same, to be changed: of a taken cell only, because those of a vacant one lead to the next.
    #[inline]
    pub(crate) fn links_mut(&mut self, slot: Slot) -> Option<&mut Links> {
        self.links.get_mut(slot as usize)
    }

    /// The number behind the highest slot that was ever taken: the range of all entries.
    pub(crate) fn slots(&self) -> usize {
        self.nodes.len()
    }

    /// Tells whether so few cells are taken that moving to a new table returns most of the memory.
    pub(crate) fn is_sparse(&self) -> bool {
        self.nodes.len() >= 1024 && self.nodes.len() / 4 >= self.taken as usize
    }

    /// The slot and fingerprint of every entry, in the order of slots.
    pub(crate) fn fingerprints(&self) -> impl Iterator<Item = (u32, Slot)> {
        let cells = (0..).zip(self.nodes.iter().zip(&self.links));
        let taken = cells.filter(|(_, (node, _))| node.is_some());
        taken.map(|(slot, (_, links))| (links.fingerprint(), slot))
    }

    /// Puts an entry into a vacant cell.
    #[inline]
    pub(crate) fn put(&mut self, node: Node, links: Links, pair: (K, V)) -> Slot {
        self.taken += 1;
        let slot = self.vacant;
        if let Some(vacant) = self.links.get_mut(slot as usize) {
            self.vacant = std::mem::replace(vacant, links).note();
            self.pairs[slot as usize].write(pair);
            self.nodes[slot as usize] = Some(node);
            return slot;
        }
        if self.nodes.len() == self.nodes.capacity() {
            self.grow();
        }
        self.links.push(links);
        self.pairs.push(MaybeUninit::new(pair));
        self.nodes.push(Some(node));
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a shard of 2^32 entries does not fit into memory"
        )]
        let slot = (self.nodes.len() - 1) as Slot;
        slot
    }

    /// Exchanges the entry in a slot, and returns the fingerprint and pair of the one before it.
    #[inline]
    pub(crate) fn replace(
        &mut self,
        slot: Slot,
        node: Node,
        fingerprint: u32,
        pair: (K, V),
    ) -> Option<(u32, (K, V))> {
        let (held, pair_held) = self.parts_mut(slot)?;
        *held = node;
        let left = std::mem::replace(pair_held, pair);
        let links = std::mem::replace(self.links.get_mut(slot as usize)?, Links::new(fingerprint));
        Some((links.fingerprint(), left))
    }

    /// Takes the entry out of its cell.
    #[inline]
    #[expect(unsafe_code, reason = "the pair of a taken cell is moved out; argued below")]
    pub(crate) fn take(&mut self, slot: Slot) -> Option<(Node, Links, (K, V))> {
        let node = self.nodes.get_mut(slot as usize)?.take()?;
        // SAFETY: the tables have the same length, so `slot` is inside; the node was `Some`, so the pair is initialised;
        // the node is `None` from here on, so nobody reads the pair again before `put` writes it.
        let pair = unsafe { self.pairs.get_unchecked(slot as usize).assume_init_read() };
        let links = std::mem::replace(&mut self.links[slot as usize], Links::vacant(self.vacant));
        self.vacant = slot;
        self.taken -= 1;
        Some((node, links, pair))
    }

    /// Makes room for twice as many, but for no more than will be there in the end.
    #[cold]
    fn grow(&mut self) {
        let len = self.nodes.len();
        // Shards differ a little in size, so a sixteenth more than the fair share.
        let in_the_end = self.expected + self.expected / 16 + 1;
        let wanted = (len * 2).max(16);
        let wanted = if len < in_the_end { wanted.min(in_the_end) } else { wanted.min(len + len / 8 + 16) };
        let wanted = if self.expected == 0 { len + (len / 2).max(16) } else { wanted };
        self.nodes.reserve_exact(wanted - len);
        self.links.reserve_exact(wanted - len);
        self.pairs.reserve_exact(wanted - len);
    }
}

impl<K, V> Drop for Cells<K, V> {
    #[expect(unsafe_code, reason = "drops the pairs of taken cells; argued below")]
    fn drop(&mut self) {
        if !std::mem::needs_drop::<(K, V)>() {
            return;
        }
        for (node, pair) in self.nodes.iter_mut().zip(&mut self.pairs) {
            if node.take().is_some() {
                // SAFETY: the node was `Some`, so the pair is initialised; it is `None` now, so that a drop that panics
                // leaves the others to be leaked and none to be dropped twice.
                unsafe { pair.assume_init_drop() };
            }
        }
    }
}

impl<K, V> std::fmt::Debug for Cells<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cells").field("slots", &self.slots()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn put<K, V>(cells: &mut Cells<K, V>, fingerprint: u32, key: K, value: V) -> Slot {
        cells.put(Node::new(1), Links::new(fingerprint), (key, value))
    }

    #[test]
    fn a_table_that_was_told_its_size_takes_little_more() {
        for (expected, most) in [(0, 1600), (1000, 1064), (900, 1100), (100_000, 1024)] {
            let mut cells = Cells::new(expected);
            let slots: Vec<Slot> = (0..1000_u32).map(|number| put(&mut cells, number, number, ())).collect();
            assert!(cells.nodes.capacity() <= most, "{expected}: {}", cells.nodes.capacity());
            assert!(!cells.is_sparse());
            for slot in slots {
                assert!(cells.take(slot).is_some());
            }
            assert!(
                (0..1000_u32).all(|number| put(&mut cells, 0, number, ()) < 1000),
                "vacant cells come first"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// The twin holds the same in a map of safe code; whoever is still counted at the end has leaked.
        #[test]
        fn agrees_with_a_map_and_drops_each_value_once(
            ops in prop::collection::vec((prop::bool::weighted(0.6), 0_usize..1000), 0..600),
        ) {
            let counted = Arc::new(());
            let mut cells = Cells::new(0);
            let mut twin: BTreeMap<Slot, (String, u32)> = BTreeMap::new();
            for (number, (insert, pick)) in (0..).zip(ops) {
                if insert {
                    let value = (number, Arc::clone(&counted));
                    let slot = put(&mut cells, number, number.to_string(), value);
                    prop_assert!(twin.insert(slot, (number.to_string(), number)).is_none(), "{slot} was taken");
                } else if let Some(slot) = twin.keys().nth(pick % twin.len().max(1)).copied() {
                    let (_, links, (key, value)) = cells.take(slot).expect("taken");
                    prop_assert_eq!(twin.remove(&slot), Some((key, value.0)));
                    prop_assert_eq!(links.fingerprint(), value.0);
                    prop_assert!(cells.pair(slot).is_none() && cells.node(slot).is_none());
                    prop_assert!(cells.take(slot).is_none());
                }
                prop_assert_eq!(Arc::strong_count(&counted), twin.len() + 1);
            }
            for (slot, (key, number)) in &twin {
                let pair = cells.pair(*slot).map(|(key, value)| (key.as_str(), value.0));
                prop_assert_eq!(pair, Some((key.as_str(), *number)));
            }
            let slots: Vec<Slot> = cells.fingerprints().map(|(_, slot)| slot).collect();
            prop_assert_eq!(slots, twin.keys().copied().collect::<Vec<_>>());
            drop(cells);
            prop_assert_eq!(Arc::strong_count(&counted), 1);
        }
    }
}
