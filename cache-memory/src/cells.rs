//! Where entries stand: cells, one per slot.
//!
//! A node stands beside its key and value, because a hit looks at all of them: they share a line of memory. Links, which
//! only those who move entries touch, have a table of their own. The node has a niche, so that a vacant cell needs no mark
//! of its own.

use cache_policy::{Links, Node, Slot};

use crate::fetch::fetch;
use crate::optimistic::{Readers, Table};

/// Entries by slot. Both tables have the same length.
#[repr(C)]
pub(crate) struct Cells<K, V> {
    pub(crate) table: Table<Option<Cell<K, V>>>,
    /// Of a vacant cell they note the next vacant one.
    links: Vec<Links>,
    /// The first vacant cell.
    vacant: u32,
    taken: u32,
    /// How many entries there will be in the end; 0 where that is not known.
    expected: usize,
}

/// An entry.
pub(crate) struct Cell<K, V> {
    pub(crate) node: Node,
    pub(crate) pair: (K, V),
}

/// Behind the last vacant cell.
const NO_CELL: u32 = u32::MAX;

impl<K, V> Cells<K, V> {
    pub(crate) const fn new(expected: usize, readers: Readers) -> Self {
        Self { table: Table::new(readers), links: Vec::new(), vacant: NO_CELL, taken: 0, expected }
    }

    /// The entry in a slot; `None` if it is vacant.
    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&Cell<K, V>> {
        self.table.get(slot as usize)?.as_ref()
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Cell<K, V>> {
        self.table.get_mut(slot as usize)?.as_mut()
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

    /// Has the processor fetch cell and links of a slot.
    #[inline]
    pub(crate) fn fetch(&self, slot: Slot) {
        let slot = slot as usize;
        if let (Some(cell), Some(links)) = (self.table.get(slot), self.links.get(slot)) {
            fetch(cell);
            fetch(links);
        }
    }

    /// The number behind the highest slot that was ever taken: the range of all entries.
    pub(crate) fn slots(&self) -> usize {
        self.table.len()
    }

    /// Tells whether so few cells are taken that moving to a new table returns most of the memory.
    pub(crate) fn is_sparse(&self) -> bool {
        self.table.len() >= 1024 && self.table.len() / 4 >= self.taken as usize
    }

    /// The slot and fingerprint of every entry, in the order of slots.
    pub(crate) fn fingerprints(&self) -> impl Iterator<Item = (u32, Slot)> {
        let taken = (0..).zip(self.table.iter()).filter_map(|(slot, cell)| Some((cell.as_ref()?, slot)));
        taken.map(|(cell, slot)| (cell.node.fingerprint(), slot))
    }

    /// Puts an entry into a vacant cell.
    #[inline]
    pub(crate) fn put(&mut self, cell: Cell<K, V>) -> Slot {
        self.taken += 1;
        let slot = self.vacant;
        if let Some(vacant) = self.links.get_mut(slot as usize) {
            self.vacant = std::mem::replace(vacant, Links::UNSET).note();
            self.table[slot as usize] = Some(cell);
            return slot;
        }
        if self.table.len() == self.table.capacity() {
            self.grow();
        }
        self.links.push(Links::UNSET);
        self.table.push(Some(cell));
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a shard of 2^32 entries does not fit into memory"
        )]
        let slot = (self.table.len() - 1) as Slot;
        slot
    }

    /// Takes the entry out of its cell.
    #[inline]
    pub(crate) fn take(&mut self, slot: Slot) -> Option<Cell<K, V>> {
        let cell = self.table.get_mut(slot as usize)?.take()?;
        self.links[slot as usize] = Links::vacant(self.vacant);
        self.vacant = slot;
        self.taken -= 1;
        Some(cell)
    }

    /// Gives up the highest slot, with the entry that is in it, if one is. Of no use to who goes on putting.
    pub(crate) fn pop(&mut self) -> Option<(Slot, Option<Cell<K, V>>)> {
        let cell = self.table.pop()?;
        self.taken -= u32::from(cell.is_some());
        #[expect(clippy::cast_possible_truncation, reason = "slots are 32-bit numbers")]
        let slot = self.table.len() as Slot;
        Some((slot, cell))
    }

    /// Makes room for twice as many, or for all that will be there in the end once a quarter of them is: what nobody has written to takes no
    /// memory, while a table that is outgrown leaves a hole of its size.
    #[cold]
    fn grow(&mut self) {
        let len = self.table.len();
        let wanted = match self.expected {
            0 => len + (len / 2).max(16),
            // Few shards are so full, and by little.
            in_the_end if len >= in_the_end => len + len / 32 + 16,
            in_the_end if len * 4 >= in_the_end => in_the_end,
            in_the_end => (len * 2).max(16).min(in_the_end),
        };
        self.table.reserve_exact(wanted - len);
        self.links.reserve_exact(wanted - len);
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
        cells.put(Cell { node: Node::new(fingerprint, 1), pair: (key, value) })
    }

    #[test]
    fn a_cell_takes_no_more_than_what_is_in_it() {
        assert_eq!(size_of::<Option<Cell<u64, u64>>>(), 24);
        assert_eq!(size_of::<Option<Cell<u32, u32>>>(), 16);
        assert_eq!(size_of::<Option<Cell<Arc<str>, Arc<[u8]>>>>(), 40);
    }

    #[test]
    fn a_table_that_was_told_its_size_takes_little_more() {
        for (expected, most) in [(0, 1600), (1000, 1000), (900, 1100), (100_000, 1024)] {
            let mut cells = Cells::new(expected, Readers::none());
            let slots: Vec<Slot> = (0..1000_u32).map(|number| put(&mut cells, number, number, ())).collect();
            assert!(cells.table.capacity() <= most, "{expected}: {}", cells.table.capacity());
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

        /// The twin is a map; whoever is still counted at the end has leaked.
        #[test]
        fn agrees_with_a_map_and_drops_each_value_once(
            ops in prop::collection::vec((prop::bool::weighted(0.6), 0_usize..1000), 0..600),
        ) {
            let counted = Arc::new(());
            let mut cells = Cells::new(0, Readers::none());
            let mut twin: BTreeMap<Slot, (String, u32)> = BTreeMap::new();
            for (number, (insert, pick)) in (0..).zip(ops) {
                if insert {
                    let value = (number, Arc::clone(&counted));
                    let slot = put(&mut cells, number, number.to_string(), value);
                    prop_assert!(twin.insert(slot, (number.to_string(), number)).is_none(), "{slot} was taken");
                } else if let Some(slot) = twin.keys().nth(pick % twin.len().max(1)).copied() {
                    let Cell { node, pair: (key, value) } = cells.take(slot).expect("taken");
                    prop_assert_eq!(twin.remove(&slot), Some((key, value.0)));
                    prop_assert_eq!(node.fingerprint(), value.0);
                    prop_assert!(cells.get(slot).is_none() && cells.take(slot).is_none());
                }
                prop_assert_eq!(Arc::strong_count(&counted), twin.len() + 1);
            }
            for (slot, (key, number)) in &twin {
                let pair = cells.get(*slot).map(|cell| (cell.pair.0.as_str(), cell.pair.1.0));
                prop_assert_eq!(pair, Some((key.as_str(), *number)));
            }
            let slots: Vec<Slot> = cells.fingerprints().map(|(_, slot)| slot).collect();
            prop_assert_eq!(slots, twin.keys().copied().collect::<Vec<_>>());
            drop(cells);
            prop_assert_eq!(Arc::strong_count(&counted), 1);
        }
    }
}
