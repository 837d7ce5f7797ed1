//! Doubly linked queues of slots, from newest to oldest, linked through the slab itself.
//!
//! A slot is in at most one queue at a time; each operation costs O(1). What the oldest says of who is older means nothing:
//! to say that it is nobody would write to a slot that nobody has looked at for long, and whoever takes the next lock would
//! wait until its line has come from memory.

use crate::node::{NIL, Slab, Slot};

#[derive(Clone, Debug)]
pub(crate) struct Queue {
    newest: Slot,
    oldest: Slot,
    len: u32,
}

impl Default for Queue {
    fn default() -> Self {
        Self { newest: NIL, oldest: NIL, len: 0 }
    }
}

impl Queue {
    /// The slot that has been in it longest.
    #[inline]
    pub(crate) fn oldest(&self) -> Option<Slot> {
        (self.oldest != NIL).then_some(self.oldest)
    }

    /// Its slots, from oldest to newest.
    pub(crate) fn iter(&self, slab: &impl Slab) -> impl Iterator<Item = Slot> {
        std::iter::successors(self.oldest(), |slot| Self::newer(slab, *slot))
    }

    /// The slot that came to the same queue after this one.
    #[inline]
    pub(crate) fn newer(slab: &impl Slab, slot: Slot) -> Option<Slot> {
        Some(slab.links(slot).newer).filter(|newer| *newer != NIL)
    }

    /// If they leave in turn: has the third to go fetched, and says who is the second.
    #[inline]
    pub(crate) fn prepare(&self, slab: &impl Slab) -> Option<Slot> {
        Self::prepare_from(slab, self.oldest()?)
    }

    /// The same where another one than the oldest goes first.
    #[inline]
    pub(crate) fn prepare_from(slab: &impl Slab, first: Slot) -> Option<Slot> {
        let second = Self::newer(slab, first)?;
        if let Some(third) = Self::newer(slab, second) {
            slab.fetch_entry(third);
        }
        Some(second)
    }

    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    #[inline]
    pub(crate) fn push(&mut self, slab: &mut impl Slab, slot: Slot) {
        let links = slab.links_mut(slot);
        (links.newer, links.older) = (NIL, self.newest);
        match self.newest {
            NIL => self.oldest = slot,
            newest => slab.links_mut(newest).newer = slot,
        }
        self.newest = slot;
        self.len += 1;
    }

    /// Takes a slot of this queue out of it.
    #[inline]
    pub(crate) fn remove(&mut self, slab: &mut impl Slab, slot: Slot) {
        if slot == self.oldest {
            self.pop(slab);
            return;
        }
        let links = slab.links(slot);
        let (newer, older) = (links.newer, links.older);
        slab.links_mut(older).newer = newer;
        match newer {
            NIL => self.newest = older,
            newer => slab.links_mut(newer).older = older,
        }
        self.len -= 1;
    }

    /// Takes out the oldest.
    #[inline]
    pub(crate) fn pop(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        let slot = self.oldest()?;
        self.oldest = slab.links(slot).newer;
        if self.oldest == NIL {
            self.newest = NIL;
        }
        self.len -= 1;
        Some(slot)
    }

    /// Makes the oldest the newest.
    #[inline]
    pub(crate) fn rotate(&mut self, slab: &mut impl Slab) {
        if let Some(slot) = self.pop(slab) {
            self.push(slab, slot);
        }
    }
}
