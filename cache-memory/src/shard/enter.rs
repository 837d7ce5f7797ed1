//! Who enters a shard: by itself, in the place of one who leaves, or in that of an older entry of its key.
//!
//! The ways differ in what has to be written: who has nothing of its own and comes in the place of one who had nothing either, as most
//! in a full cache, changes a cell, two tags of the index and the policy's queues.

use cache_core::{Tags, Time};
use cache_policy::{Node, Slab as _, Slot};

use super::Shard;
use crate::cells::Cell;
use crate::listen::{Cause, Departures};

/// What is known about an entry.
pub(crate) struct About<'a> {
    /// Its fingerprint and class; of whom it replaces, only the class is taken over.
    pub(crate) node: Node,
    pub(crate) bytes: u64,
    /// What only some have; to be taken from there. Lent, because most are handed on by several hands and kept by none.
    pub(crate) special: &'a mut Option<Special>,
}

/// What is known about an entry beyond the obvious.
pub(crate) struct Special {
    pub(crate) expires: Time,
    pub(crate) cost: f32,
    pub(crate) tags: Tags,
}

impl<K, V> Shard<K, V> {
    /// Adds an entry whose key is not here yet.
    pub(crate) fn add(&mut self, pair: (K, V), about: &mut About<'_>) {
        self.stats.inserts += 1;
        self.stats.entries += 1;
        self.stats.bytes = self.stats.bytes.wrapping_add(about.bytes);
        self.settle(pair, about);
    }

    /// Puts such an entry in the place of one who was [chosen](Self::choose) to leave.
    pub(crate) fn exchange(
        &mut self,
        (slot, cause): (Slot, Cause),
        pair: (K, V),
        about: &mut About<'_>,
        gone: &mut Departures<K, V>,
    ) {
        let (bytes, cause) = self.forget_extras(slot, cause);
        self.stats.bytes = self.stats.bytes.wrapping_add(about.bytes).wrapping_sub(bytes);
        self.put_instead((slot, cause), pair, about.node, gone);
        self.describe(slot, about);
        self.evictor.insert(&mut self.slab, slot);
    }

    /// The same where neither has extras: most of what an insert into a full cache does.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "an insert is one piece of code: a call in it costs a twentieth of the whole"
    )]
    pub(crate) fn exchange_plain(
        &mut self,
        (slot, cause): (Slot, Cause),
        pair: (K, V),
        node: Node,
        gone: &mut Departures<K, V>,
    ) {
        self.put_instead((slot, cause), pair, node, gone);
        self.evictor.insert(&mut self.slab, slot);
    }

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "an insert is one piece of code: a call in it costs a twentieth of the whole"
    )]
    fn put_instead(
        &mut self,
        (slot, cause): (Slot, Cause),
        pair: (K, V),
        node: Node,
        gone: &mut Departures<K, V>,
    ) {
        self.stats.inserts += 1;
        self.stats.count(cause);
        let Some(held) = self.slab.cells.get_mut(slot) else { return };
        let left = std::mem::replace(&mut held.node, node).fingerprint();
        gone.push(std::mem::replace(&mut held.pair, pair), cause);
        self.index.exchange(left, node.fingerprint(), slot);
    }

    pub(super) fn settle(&mut self, pair: (K, V), about: &mut About<'_>) {
        let fingerprint = about.node.fingerprint();
        let slot = self.slab.cells.put(Cell { node: about.node, pair });
        self.describe(slot, about);
        self.evictor.insert(&mut self.slab, slot);
        let cells = &self.slab.cells;
        let others = || cells.fingerprints().filter(move |(_, held)| *held != slot);
        self.index.insert(fingerprint, slot, others);
    }

    /// Exchanges the entry in this slot for a newer one of the same key, which keeps its place.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "an insert is one piece of code: a call in it costs a twentieth of the whole"
    )]
    pub(crate) fn replace(
        &mut self,
        slot: Slot,
        newer: (K, V),
        about: &mut About<'_>,
        gone: &mut Departures<K, V>,
    ) {
        let is_plain = self.is_plain(about);
        let Some(Cell { node, pair }) = self.slab.cells.get_mut(slot) else { return };
        let older = std::mem::replace(pair, newer);
        self.stats.inserts += 1;
        self.stats.replaced += 1;
        let watched = self.uses.note_use(node);
        let mut cause = Cause::Replaced;
        if !is_plain || node.is_marked() || node.class() != about.node.class() {
            node.set_class(about.node.class());
            cause = self.describe_anew(slot, about);
        }
        gone.push(older, cause);
        if watched {
            self.evictor.observe(&mut self.slab, slot);
        }
    }

    /// Writes down what is known about the entry in this slot, in place of what was known about the one before it, and
    /// says why that one has left.
    fn describe_anew(&mut self, slot: Slot, about: &mut About<'_>) -> Cause {
        let mut cause = Cause::Replaced;
        if self.slab.extras.tagged.is_dead(slot) {
            // Its leaving is in the books already, as a removal.
            cause = Cause::Removed;
            self.revive();
            self.stats.removed += 1;
            self.stats.replaced -= 1;
        }
        let held = self.weight(slot);
        self.stats.bytes = self.stats.bytes.wrapping_add(about.bytes).wrapping_sub(held);
        if self.slab.node(slot).is_marked() {
            self.unmark(slot);
        }
        self.describe(slot, about);
        self.evictor.update(&mut self.slab, slot);
        cause
    }

    /// Writes down what is known about the entry in this slot, of which nothing is known yet.
    #[inline]
    fn describe(&mut self, slot: Slot, about: &mut About<'_>) {
        if !self.is_plain(about) {
            self.mark(slot, about);
        }
    }

    /// Tells whether there is nothing to write down among the extras.
    #[inline]
    pub(crate) fn is_plain(&self, about: &About<'_>) -> bool {
        about.bytes == self.slab.extras.weight_of_one
            && about.special.as_ref().is_none_or(Special::says_nothing)
    }

    /// Writes down what is known about the entry in this slot, which has no extras yet.
    #[cold]
    fn mark(&mut self, slot: Slot, about: &mut About<'_>) {
        let extras = &mut self.slab.extras;
        extras.set_weight(slot, about.bytes);
        let mut has_tags = false;
        if let Some(Special { expires, cost, tags }) = about.special.take() {
            extras.set_cost(slot, cost);
            extras.set_expires(slot, expires);
            has_tags = !tags.is_empty();
            extras.tagged.insert(slot, tags);
        }
        self.slab.node_mut(slot).set_marked(true);
        self.wheel.schedule(&mut self.slab, slot);
        if has_tags {
            self.wheel.watch(&mut self.slab, slot);
        }
    }
}

impl Special {
    fn says_nothing(&self) -> bool {
        self.expires == Time::NEVER && self.cost == 0.0 && self.tags.is_empty()
    }
}
