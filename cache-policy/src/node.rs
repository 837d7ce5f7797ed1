//! What policies and the wheel remember of each entry: sixteen bytes, in two halves.
//!
//! A hit reads and perhaps writes the [`Node`], which the owner keeps beside the key; only those who move entries touch
//! the [`Links`], which it keeps in a table of their own, so that what hits touch of a large cache is small.

use std::num::NonZeroU8;

/// An entry's place in its owner's slab. Reused after the entry has left. The highest number is never one.
pub type Slot = u32;

/// The end of a queue, and the value of an unset link.
pub(crate) const NIL: Slot = Slot::MAX;

/// Where an owner keeps its entries: the nodes, and what only some entries have.
///
/// All methods may panic for a slot that holds no entry: nothing here speaks of one.
pub trait Slab {
    /// What is remembered about the entry in this slot.
    fn node(&self, slot: Slot) -> &Node;

    /// The same, to be changed.
    fn node_mut(&mut self, slot: Slot) -> &mut Node;

    /// Where the entry stands among the others.
    fn links(&self, slot: Slot) -> &Links;

    /// The same, to be changed.
    fn links_mut(&mut self, slot: Slot) -> &mut Links;

    /// Part of the hash of the entry's key: the same whenever the same entry returns.
    fn fingerprint(&self, slot: Slot) -> u32 {
        self.node(slot).fingerprint
    }

    /// Has the processor fetch this place from memory, if the owner knows how to: a hint, before it is looked at.
    #[inline]
    fn fetch<T>(&self, _place: &T) {}

    /// Has it fetch node and links of this slot so.
    #[inline]
    fn fetch_entry(&self, slot: Slot) {
        self.fetch(self.node(slot));
        self.fetch(self.links(slot));
    }

    /// What the entry takes of the owner's limit; 1 where entries are counted.
    fn weight(&self, slot: Slot) -> u64;

    /// Seconds it takes to make the entry again; 0 where unknown.
    fn cost(&self, slot: Slot) -> f32;

    /// The tick at which the entry expires; `u64::MAX` if time does not end it.
    fn deadline(&self, slot: Slot) -> u64;
}

/// What policies and the wheel remember about one entry, apart from where it stands.
///
/// It has a niche, so that an owner's `Option` of it costs no byte.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Which of the policy's queues it is in, by the policy's own numbers.
    pub(crate) queue: NonZeroU8,
    /// How often it was used since the policy last looked, up to the most that the policy distinguishes.
    pub(crate) uses: u8,
    /// The class in the highest two bits, the owner's mark in the next, the wheel's place in the others.
    bits: u16,
    fingerprint: u32,
}

/// Where an entry stands in the policy's queue.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    pub(crate) newer: Slot,
    pub(crate) older: Slot,
}

impl Links {
    /// In no queue yet.
    pub const UNSET: Self = Self { newer: NIL, older: NIL };

    /// Links of a slot that holds no entry, in which its owner notes a number of its own.
    #[inline]
    pub fn vacant(note: u32) -> Self {
        Self { newer: note, older: NIL }
    }

    /// The number that [`vacant`](Self::vacant) was given.
    #[inline]
    pub fn note(&self) -> u32 {
        self.newer
    }
}

const CLASS_SHIFT: u32 = 14;
const MARK: u16 = 1 << 13;
const PLACE: u16 = MARK - 1;

/// The place of whom the wheel watches: that of the last bucket of a level above all others.
pub(crate) const WATCHED: u16 = 512;

impl Node {
    /// Remembers nothing yet about an entry with this fingerprint, part of the hash of its key and the same whenever it
    /// returns, and this priority class. Of two classes, 0 to 3, the lower goes first; a higher number counts as 3.
    #[inline]
    pub fn new(fingerprint: u32, class: u8) -> Self {
        Self { queue: NonZeroU8::MIN, uses: 0, bits: u16::from(class.min(3)) << CLASS_SHIFT, fingerprint }
    }

    /// Part of the hash of the key.
    #[inline]
    pub fn fingerprint(self) -> u32 {
        self.fingerprint
    }

    /// The priority class, 0 to 3.
    pub fn class(self) -> u8 {
        (self.bits >> CLASS_SHIFT) as u8
    }

    /// Gives the entry another class; a policy notices at the next update.
    pub fn set_class(&mut self, class: u8) {
        self.bits = u16::from(class.min(3)) << CLASS_SHIFT | self.bits & (MARK | PLACE);
    }

    /// Tells whether the owner has marked it.
    #[inline]
    pub fn is_marked(self) -> bool {
        self.bits & MARK != 0
    }

    /// Sets the owner's mark, which means what the owner wants: that there is more to know about the entry elsewhere.
    pub fn set_marked(&mut self, marked: bool) {
        self.bits = self.bits & !MARK | if marked { MARK } else { 0 };
    }

    /// Tells whether a wheel will end it.
    #[inline]
    pub fn is_mortal(self) -> bool {
        !matches!(self.place(), 0 | WATCHED)
    }

    /// Tells without a look at its deadline that it has none, and that no wheel watches it.
    #[inline]
    pub fn is_timeless(self) -> bool {
        self.place() == 0
    }

    /// The wheel's bucket, counted from 1; 0 if it is in none, [`WATCHED`] if it is in none and watched.
    #[inline]
    pub(crate) fn place(self) -> u16 {
        self.bits & PLACE
    }

    pub(crate) fn set_place(&mut self, place: u16) {
        debug_assert!(place <= PLACE, "a place has 13 bits");
        self.bits = self.bits & !PLACE | place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_and_links_take_sixteen_bytes_with_or_without_an_entry() {
        assert_eq!((size_of::<Node>(), size_of::<Option<Node>>(), size_of::<Links>()), (8, 8, 8));
    }

    #[test]
    fn class_and_place_do_not_disturb_each_other() {
        for class in 0..=5 {
            let mut node = Node::new(7, class);
            node.set_place(449);
            assert_eq!((node.class(), node.place()), (class.min(3), 449));
            node.set_marked(true);
            node.set_class(1);
            assert_eq!((node.class(), node.place()), (1, 449));
            assert!(node.is_marked());
            node.set_marked(false);
            assert_eq!((node.class(), node.place(), node.is_marked()), (1, 449, false));
        }
    }
}
