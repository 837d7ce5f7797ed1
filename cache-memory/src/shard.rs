//! One shard: what stands behind one lock. An index into a slab of entries, a policy, a wheel and the tags.
//!
//! Nothing here locks, takes room, calls a listener or drops a user's value while others wait: what leaves is handed to
//! the caller, who unlocks first.

use cache_core::{Tags, Time};
use cache_policy::{Evictor, Links, Node, Policy, Slab as _, Slot, Step, Wheel};
use equivalent::Equivalent;

use crate::index::Index;
use crate::listen::{Cause, Departed};
use crate::slab::{Extras, Slab, tick};
use crate::stats::Stats;

/// An entry that is about to stand in a slot.
pub(crate) struct Candidate<K, V> {
    pub(crate) fingerprint: u32,
    pub(crate) key: K,
    pub(crate) value: V,
    pub(crate) bytes: u64,
    pub(crate) class: u8,
    pub(crate) about: About,
}

/// What may be known about an entry, and of most is not.
pub(crate) struct About {
    pub(crate) expires: Time,
    pub(crate) tags: Tags,
    pub(crate) cost: f32,
}

/// How a shard is made, and made again when it is cleared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) policy: Policy,
    /// What an entry weighs where nothing else is said.
    pub(crate) weight_of_one: u64,
    /// How many entries it will hold in the end; 0 where that is not known.
    pub(crate) expected: usize,
}

#[derive(Debug)]
pub(crate) struct Shard<K, V> {
    index: Index,
    pub(crate) slab: Slab<K, V>,
    evictor: Evictor,
    wheel: Wheel,
    pub(crate) stats: Stats,
}

/// An entry in its place, with what stands beside it.
pub(crate) struct Held<'a, K, V> {
    pub(crate) key: &'a K,
    pub(crate) value: &'a V,
    /// Whether there is more to know of it among the extras.
    is_marked: bool,
    pub(crate) extras: &'a Extras,
    pub(crate) slot: Slot,
}

impl<K, V> Held<'_, K, V> {
    pub(crate) fn expires(&self) -> Time {
        if self.is_marked { self.extras.expires(self.slot) } else { Time::NEVER }
    }

    pub(crate) fn bytes(&self) -> u64 {
        if self.is_marked { self.extras.weight(self.slot) } else { self.extras.weight_of_one }
    }

    pub(crate) fn is_alive(&self, now: Time) -> bool {
        now < self.expires()
    }

    /// Whoever is removed after its time was over has expired, even if nobody has noticed before.
    pub(crate) fn cause_of_removal(&self, now: Time) -> Cause {
        if self.is_alive(now) { Cause::Removed } else { Cause::Expired }
    }
}

impl<K, V> Shard<K, V> {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            index: Index::new(plan.expected),
            slab: Slab::new(plan.weight_of_one, plan.expected),
            evictor: Evictor::new(plan.policy),
            wheel: Wheel::default(),
            stats: Stats::default(),
        }
    }

    #[inline]
    pub(crate) fn find<Q: Equivalent<K> + ?Sized>(&self, fingerprint: u32, key: &Q) -> Option<Slot> {
        let cells = &self.slab.cells;
        self.index.find(fingerprint, |slot| cells.pair(slot).is_some_and(|(held, _)| key.equivalent(held)))
    }

    /// Fetches what [`find`](Self::find) will look at first; see [`Index::preview`].
    #[inline]
    pub(crate) fn preview(&self, fingerprint: u32) -> u8 {
        self.index.preview(fingerprint)
    }

    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<Held<'_, K, V>> {
        let is_marked = self.slab.cells.node(slot)?.is_marked();
        let (key, value) = self.slab.cells.pair(slot)?;
        Some(Held { key, value, is_marked, extras: &self.slab.extras, slot })
    }

    /// Runs `read` on the entry in this slot if it is alive, and counts that as a use. `due` tells whether its time is
    /// over, and is asked only if the wheel cannot vouch for the entry up to the tick `horizon`.
    #[inline]
    pub(crate) fn read<R>(
        &mut self,
        (slot, fingerprint): (Slot, u32),
        horizon: u64,
        due: impl FnOnce(Time) -> bool,
        read: impl FnOnce(Held<'_, K, V>) -> R,
    ) -> Option<R> {
        let (node, pair) = self.slab.cells.parts_mut(slot)?;
        if !self.wheel.outlives(node, horizon) && due(self.slab.extras.expires(slot)) {
            return None;
        }
        let watched = self.evictor.note_use(node, fingerprint);
        let held = Held {
            key: &pair.0,
            value: &pair.1,
            is_marked: node.is_marked(),
            extras: &self.slab.extras,
            slot,
        };
        let answer = read(held);
        if watched {
            self.evictor.observe(&mut self.slab, slot);
        }
        Some(answer)
    }

    /// Tells without asking a clock that the entry in this slot lives beyond this tick; `false` if that is not certain.
    #[inline]
    pub(crate) fn outlives(&self, slot: Slot, horizon: u64) -> bool {
        self.slab.cells.node(slot).is_some_and(|node| self.wheel.outlives(node, horizon))
    }

    pub(crate) fn touch(&mut self, slot: Slot) {
        self.evictor.touch(&mut self.slab, slot);
    }

    /// Gives the entry in this slot another end.
    pub(crate) fn set_expiry(&mut self, slot: Slot, expires: Time) {
        self.slab.extras.set_expires(slot, expires);
        self.slab.node_mut(slot).set_marked(true);
        self.wheel.schedule(&mut self.slab, slot);
        self.evictor.update(&mut self.slab, slot);
    }

    /// Links a new entry whose key is not here yet.
    #[inline]
    pub(crate) fn link(&mut self, candidate: Candidate<K, V>) {
        self.count_in(candidate.bytes);
        self.settle(candidate);
    }

    #[inline]
    fn settle(&mut self, candidate: Candidate<K, V>) {
        let Candidate { fingerprint, key, value, bytes, class, about } = candidate;
        let slot = self.slab.cells.put(Node::new(class), Links::new(fingerprint), (key, value));
        self.describe(slot, bytes, about);
        self.evictor.insert(&mut self.slab, slot);
        let cells = &self.slab.cells;
        let others = || cells.fingerprints().filter(move |(_, held)| *held != slot);
        self.index.insert(fingerprint, slot, others);
    }

    /// Exchanges the entry in this slot for a newer one of the same key, which keeps its place.
    pub(crate) fn replace(&mut self, slot: Slot, newer: Candidate<K, V>) -> Option<Departed<K, V>> {
        let Candidate { key, value, bytes, class, about, .. } = newer;
        let held = self.get(slot)?.bytes();
        let (node, pair) = self.slab.cells.parts_mut(slot)?;
        node.set_class(class);
        let was_marked = node.is_marked();
        let (key, value) = std::mem::replace(pair, (key, value));
        let old = Departed { key, value, bytes: held, cause: Cause::Replaced };
        self.count_in(bytes);
        self.count_out(old.bytes, old.cause);
        if was_marked {
            self.unmark(slot);
        }
        self.describe(slot, bytes, about);
        self.evictor.touch(&mut self.slab, slot);
        self.evictor.update(&mut self.slab, slot);
        Some(old)
    }

    /// Takes out the entry in this slot.
    pub(crate) fn remove(&mut self, slot: Slot, cause: Cause) -> Option<Departed<K, V>> {
        self.slab.cells.node(slot)?;
        self.evictor.remove(&mut self.slab, slot);
        self.unlink(slot, cause)
    }

    /// Makes room: takes out an entry whose time is over by `now`, else the policy's victim. `now` is asked only if the
    /// wheel has something to do by the tick `horizon`.
    pub(crate) fn evict(&mut self, horizon: u64, now: impl FnOnce() -> Time) -> Option<Departed<K, V>> {
        if self.wheel.next_tick().is_some_and(|tick| tick <= horizon)
            && let Some(expired) = self.pop_expired(now(), &mut 8)
        {
            return Some(expired);
        }
        let victim = self.evictor.evict(&mut self.slab)?;
        self.unlink(victim, Cause::Evicted)
    }

    /// Takes out one entry whose time is over, if `steps` steps of the wheel find one.
    pub(crate) fn pop_expired(&mut self, now: Time, steps: &mut usize) -> Option<Departed<K, V>> {
        while *steps > 0 {
            *steps -= 1;
            match self.wheel.step(&mut self.slab, tick(now)) {
                Step::Expired(slot) => return self.remove(slot, Cause::Expired),
                Step::Moved => {}
                Step::Idle => return None,
            }
        }
        None
    }

    /// The slots that carry this tag, as they are now.
    pub(crate) fn tagged(&self, tag: &str) -> Vec<Slot> {
        self.slab.extras.tagged.snapshot(tag)
    }

    /// How many entries carry this tag.
    pub(crate) fn count_tagged(&self, tag: &str) -> usize {
        self.slab.extras.tagged.count(tag)
    }

    /// The number behind the highest slot that was ever taken: the range of all entries.
    pub(crate) fn slots(&self) -> usize {
        self.slab.cells.slots()
    }

    /// Goes on by another policy.
    pub(crate) fn change_policy(&mut self, policy: Policy) {
        self.evictor.change(policy, &mut self.slab);
    }

    /// Returns memory that its present entries do not need, if that is most of it: they move to a new slab, in the order in
    /// which they would be evicted.
    pub(crate) fn shrink(&mut self, plan: Plan) {
        if !self.slab.cells.is_sparse() {
            return;
        }
        let mut old = std::mem::replace(self, Self::new(plan));
        self.stats = old.stats;
        while let Some(slot) = old.evictor.evict(&mut old.slab) {
            let about = old.about(slot);
            let bytes = old.slab.weight(slot);
            let Some((node, links, (key, value))) = old.slab.cells.take(slot) else { continue };
            let class = node.class();
            self.settle(Candidate { fingerprint: links.fingerprint(), key, value, bytes, class, about });
        }
    }

    fn about(&self, slot: Slot) -> About {
        let extras = &self.slab.extras;
        About { expires: extras.expires(slot), tags: extras.tags(slot).clone(), cost: extras.cost(slot) }
    }

    /// Takes everything out at once and goes on as a new one. To be looked through without its lock: see [`Drained`].
    pub(crate) fn drain(&mut self, plan: Plan) -> Drained<K, V> {
        let kept = Stats { entries: 0, bytes: 0, ..self.stats };
        let old = std::mem::replace(self, Self::new(plan));
        self.stats = kept;
        Drained(old.slab)
    }

    /// Enters departures into the books that a [`Drained`] has told.
    pub(crate) fn enter(&mut self, removed: u64, expired: u64) {
        self.stats.removed += removed;
        self.stats.expired += expired;
    }

    /// Writes down what is known about the entry in this slot, which has no extras yet.
    #[inline]
    fn describe(&mut self, slot: Slot, bytes: u64, about: About) {
        let is_plain = bytes == self.slab.extras.weight_of_one
            && about.expires == Time::NEVER
            && about.cost == 0.0
            && about.tags.is_empty();
        if !is_plain {
            self.mark(slot, bytes, about);
        }
    }

    fn mark(&mut self, slot: Slot, bytes: u64, about: About) {
        let extras = &mut self.slab.extras;
        extras.set_weight(slot, bytes);
        extras.set_cost(slot, about.cost);
        extras.set_expires(slot, about.expires);
        extras.tagged.insert(slot, about.tags);
        self.slab.node_mut(slot).set_marked(true);
        self.wheel.schedule(&mut self.slab, slot);
    }

    /// Forgets the extras of the entry in this slot.
    fn unmark(&mut self, slot: Slot) {
        self.wheel.cancel(&mut self.slab, slot);
        let extras = &mut self.slab.extras;
        extras.set_weight(slot, extras.weight_of_one);
        extras.set_cost(slot, 0.0);
        extras.set_expires(slot, Time::NEVER);
        extras.tagged.remove(slot);
        self.slab.node_mut(slot).set_marked(false);
    }

    #[inline]
    fn unlink(&mut self, slot: Slot, cause: Cause) -> Option<Departed<K, V>> {
        let mut bytes = self.slab.extras.weight_of_one;
        if self.slab.node(slot).is_marked() {
            bytes = self.slab.weight(slot);
            self.unmark(slot);
        }
        let (_, links, (key, value)) = self.slab.cells.take(slot)?;
        self.index.remove(links.fingerprint(), slot);
        self.count_out(bytes, cause);
        Some(Departed { key, value, bytes, cause })
    }

    fn count_in(&mut self, bytes: u64) {
        self.stats.inserts += 1;
        self.stats.entries += 1;
        self.stats.bytes = self.stats.bytes.wrapping_add(bytes);
    }

    fn count_out(&mut self, bytes: u64, cause: Cause) {
        self.stats.entries -= 1;
        self.stats.bytes = self.stats.bytes.wrapping_sub(bytes);
        *match cause {
            Cause::Expired => &mut self.stats.expired,
            Cause::Evicted => &mut self.stats.evicted,
            Cause::Replaced => &mut self.stats.replaced,
            Cause::Removed => &mut self.stats.removed,
        } += 1;
    }
}

/// What a shard held when it was drained.
pub(crate) struct Drained<K, V>(Slab<K, V>);

impl<K, V> Drained<K, V> {
    pub(crate) fn departed(self, now: Time) -> impl Iterator<Item = Departed<K, V>> {
        let Slab { mut cells, extras } = self.0;
        (0..cells.slots()).filter_map(move |slot| {
            #[expect(clippy::cast_possible_truncation, reason = "slots are 32-bit numbers")]
            let slot = slot as Slot;
            let is_marked = cells.node(slot)?.is_marked();
            let (key, value) = cells.pair(slot)?;
            let held = Held { key, value, is_marked, extras: &extras, slot };
            let (cause, bytes) = (held.cause_of_removal(now), held.bytes());
            let (_, _, (key, value)) = cells.take(slot)?;
            Some(Departed { key, value, bytes, cause })
        })
    }
}
