//! Doubly linked lists of slots, as indices into one growing table: no pointer, no allocation per entry.
//!
//! One [`Links`] table serves many lists as long as a slot is in at most one of them at a time.

use crate::Slot;

/// The end of a list, and the value of an unset link.
pub(crate) const NIL: Slot = Slot::MAX;

/// The neighbours of every slot.
#[derive(Debug, Default)]
pub(crate) struct Links(Vec<Link>);

#[derive(Clone, Copy, Debug)]
struct Link {
    newer: Slot,
    older: Slot,
}

impl Links {
    /// The neighbour towards the front, or [`NIL`].
    pub(crate) fn newer(&self, slot: Slot) -> Slot {
        self.0[slot as usize].newer
    }

    fn at(&mut self, slot: Slot) -> &mut Link {
        let index = slot as usize;
        if index >= self.0.len() {
            self.0.resize(index + 1, Link { newer: NIL, older: NIL });
        }
        &mut self.0[index]
    }
}

/// A list from newest (front) to oldest (back).
#[derive(Clone, Debug)]
pub(crate) struct List {
    front: Slot,
    back: Slot,
}

impl Default for List {
    fn default() -> Self {
        Self { front: NIL, back: NIL }
    }
}

impl List {
    /// The oldest slot, or [`NIL`].
    pub(crate) fn back(&self) -> Slot {
        self.back
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.back == NIL
    }

    pub(crate) fn push_front(&mut self, links: &mut Links, slot: Slot) {
        *links.at(slot) = Link { newer: NIL, older: self.front };
        match self.front {
            NIL => self.back = slot,
            front => links.at(front).newer = slot,
        }
        self.front = slot;
    }

    /// Takes a slot of this list out of it.
    pub(crate) fn remove(&mut self, links: &mut Links, slot: Slot) {
        let Link { newer, older } = *links.at(slot);
        match newer {
            NIL => self.front = older,
            newer => links.at(newer).older = older,
        }
        match older {
            NIL => self.back = newer,
            older => links.at(older).newer = newer,
        }
    }

    pub(crate) fn pop_back(&mut self, links: &mut Links) -> Option<Slot> {
        let slot = self.back;
        (slot != NIL).then(|| {
            self.remove(links, slot);
            slot
        })
    }
}
