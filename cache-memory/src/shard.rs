//! One shard: what stands behind one lock. An index into a slab of entries, a policy, a wheel and the tags.
//!
//! Nothing here locks, takes room, calls a listener or drops a user's value while others wait: what leaves is handed to
//! the caller, who unlocks first.

mod enter;
mod leave;

use std::hint::cold_path;
use std::mem::{ManuallyDrop, needs_drop};

use cache_core::Time;
use cache_policy::{Attention, Evictor, Hand, Node, Policy, Slab as _, Slot, Wheel};
use equivalent::Equivalent;

use crate::budget::Room;
use crate::cells::Cell;
use crate::fetch::{fetch, fetch_owned};
use crate::index::Index;
use crate::listen::Cause;
use crate::optimistic::Readers;
use crate::ruins::Ruin;
use crate::sample::Sampler;
use crate::slab::{Extras, Slab};
use crate::stats::Stats;

pub(crate) use self::enter::{About, Special};
pub(crate) use self::leave::Left;

/// How a shard is made, and made again when it is cleared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) policy: Policy,
    /// What an entry weighs where nothing else is said.
    pub(crate) weight_of_one: u64,
    /// How many entries it will hold in the end, most likely at most; 0 where that is not known.
    pub(crate) expected: usize,
    /// Whether its policy tries out rules for all: one shard does.
    pub(crate) leads: bool,
}

/// From so many entries on, what an insert needs is seldom in a core's own memory, of which all shards together have a megabyte or so.
const FAR: usize = 1 << 12;

/// In this order, because what a hit looks at and changes shall share the lock's line of memory, or the next one.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Shard<K, V> {
    /// How many hits there are until one is noted. It is counted down, so that a hit changes one number and sees at once
    /// whether that is it.
    pub(crate) hits_left: u64,
    pub(crate) rules: Rules,
    /// What its policy wants to know of uses: a copy, because the policy stands some lines of memory away.
    uses: Attention,
    pub(crate) index: Index,
    pub(crate) slab: Slab<K, V>,
    evictor: Evictor,
    wheel: Wheel,
    /// All but the hits, which are those counted here less [`hits_left`](Self::hits_left): see [`books`](Self::books).
    pub(crate) stats: Stats,
    pub(crate) sampler: Option<Box<Sampler>>,
    /// Whether it makes everyone [doubt](crate::now::Present::doubt), because it may hold dead entries.
    pub(crate) is_doubted: bool,
}

/// What tells whether a read of an entry needs more than its cell: copies of what policy and wheel say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rules {
    /// All of it while some hits are noted.
    attention: Attention,
    hand: Hand,
}

impl Rules {
    /// Tells whether a read of the entry with this node changes nothing, and needs no clock: it lives beyond this tick.
    #[inline]
    pub(crate) fn are_indifferent(self, node: Node, horizon: u64) -> bool {
        self.attention.has_noted(&node) && (node.is_timeless() || self.hand.outlives(&node, horizon))
    }
}

/// More hits than there will ever be.
pub(crate) const NO_HIT: u64 = u64::MAX;

/// An entry in its place, with what stands beside it.
pub(crate) struct Held<'a, K, V> {
    pub(crate) key: &'a K,
    pub(crate) value: &'a V,
    /// When it ends.
    pub(crate) expires: Time,
    /// Whether there is more to know of it among the extras.
    is_marked: bool,
    pub(crate) extras: &'a Extras,
    pub(crate) slot: Slot,
}

impl<K, V> Held<'_, K, V> {
    pub(crate) fn bytes(&self) -> u64 {
        if self.is_marked { self.extras.weight(self.slot) } else { self.extras.weight_of_one }
    }

    pub(crate) fn is_alive(&self, now: Time) -> bool {
        now < self.expires
    }

    /// Tells whether it has been removed, though it is still in its slot.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_marked && self.extras.tagged.is_dead(self.slot)
    }

    /// Whoever is removed after its time was over has expired, even if nobody has noticed before.
    pub(crate) fn cause_of_removal(&self, now: Time) -> Cause {
        if self.is_alive(now) { Cause::Removed } else { Cause::Expired }
    }
}

impl<K, V> Shard<K, V> {
    pub(crate) fn new(plan: Plan, readers: &Readers) -> Self {
        let evictor = if plan.leads { Evictor::new(plan.policy) } else { Evictor::following(plan.policy) };
        let wheel = Wheel::default();
        Self {
            hits_left: NO_HIT,
            rules: Rules { attention: evictor.attention(), hand: wheel.hand() },
            uses: evictor.attention(),
            index: Index::new(plan.expected, readers.clone()),
            slab: Slab::new(plan.weight_of_one, plan.expected, readers.clone()),
            evictor,
            wheel,
            stats: Stats { hits: NO_HIT, ..Stats::default() },
            sampler: None,
            is_doubted: false,
        }
    }

    #[inline]
    pub(crate) fn find<Q: Equivalent<K> + ?Sized>(&self, fingerprint: u32, key: &Q) -> Option<Slot> {
        let cells = &self.slab.cells;
        // What a key owns is elsewhere, and perhaps far: it is looked at only if the whole fingerprint is alike.
        let may_be =
            |cell: &Cell<K, V>| const { !needs_drop::<K>() } || cell.node.fingerprint() == fingerprint;
        let is_same = |cell: &Cell<K, V>| may_be(cell) && key.equivalent(&cell.pair.0);
        self.index.find(fingerprint, |slot| cells.get(slot).is_some_and(is_same))
    }

    /// Has the processor fetch what [`find`](Self::find) will look at first.
    #[inline]
    pub(crate) fn fetch_bucket(&self, fingerprint: u32) {
        self.index.fetch(fingerprint);
    }

    /// The same of what it will most likely look at then.
    #[inline]
    pub(crate) fn fetch_cell(&self, fingerprint: u32) {
        if let Some(cell) = self.likely_cell(fingerprint) {
            fetch(cell);
        }
    }

    /// The same of what it will compare at last, and of what the value owns.
    #[inline]
    pub(crate) fn fetch_pair(&self, fingerprint: u32) {
        let owns = const { needs_drop::<K>() || needs_drop::<V>() };
        if let Some(Some(Cell { pair: (key, value), .. })) =
            owns.then(|| self.likely_cell(fingerprint)).flatten()
        {
            fetch_owned(key);
            fetch_owned(value);
        }
    }

    #[inline]
    fn likely_cell(&self, fingerprint: u32) -> Option<&Option<Cell<K, V>>> {
        self.slab.cells.table.get(self.index.likely(fingerprint)? as usize)
    }

    /// Has the processor fetch what an insert will look at, and the evictions after it, where that is likely not to be near.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "an insert is one piece of code: a call in it costs a twentieth of the whole"
    )]
    pub(crate) fn prepare_insert(&mut self, fingerprint: u32) {
        if self.slab.cells.slots() >= FAR {
            self.index.fetch(fingerprint);
            let second = self.evictor.prepare(&self.slab, fingerprint);
            if let Some(Cell { node, pair: (key, value) }) = second.and_then(|slot| self.slab.cells.get(slot))
            {
                self.index.fetch(node.fingerprint());
                fetch_owned(key);
                fetch_owned(value);
            }
        }
    }

    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<Held<'_, K, V>> {
        let Cell { node, pair: (key, value) } = self.slab.cells.get(slot)?;
        let extras = &self.slab.extras;
        let expires = if node.is_timeless() { Time::NEVER } else { extras.expires(slot) };
        Some(Held { key, value, expires, is_marked: node.is_marked(), extras, slot })
    }

    /// Runs `read` on the entry in this slot if it is alive, and counts that as a use unless it declines. `due` tells whether the
    /// entry's time is over, and is asked only if it has an end and the wheel cannot vouch for it up to the tick `horizon`.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "a hit is one piece of code: a call in it costs a fifth of the whole"
    )]
    pub(crate) fn read<R>(
        &mut self,
        slot: Slot,
        horizon: impl FnOnce() -> u64,
        due: impl FnOnce(Time) -> bool,
        read: impl FnOnce(Held<'_, K, V>) -> Option<R>,
    ) -> Option<R> {
        debug_assert_eq!(self.uses, self.evictor.attention(), "somebody has not told that it has changed");
        debug_assert_eq!(self.rules, self.rules(), "somebody has not told that they changed");
        let Cell { node, pair: (key, value) } = self.slab.cells.get_mut(slot)?;
        let extras = &self.slab.extras;
        let mut expires = Time::NEVER;
        if !node.is_timeless() {
            // Asked for twice, so that who does not need it leaves its line of memory alone where the wheel vouches.
            let end = || extras.expires(slot);
            if !self.wheel.outlives(node, horizon()) && end() != Time::NEVER && due(end()) {
                return None;
            }
            expires = end();
        }
        let is_marked = node.is_marked();
        let Some(answer) = read(Held { key, value, expires, is_marked, extras, slot }) else {
            cold_path();
            return None;
        };
        // What would have to be dropped if the policy panicked had to stand in memory meanwhile.
        let answer = ManuallyDrop::new(answer);
        let watched = self.uses.note_use(node);
        if watched {
            cold_path();
            self.evictor.observe(&mut self.slab, slot);
        }
        Some(ManuallyDrop::into_inner(answer))
    }

    /// Tells without asking a clock that the entry in this slot lives beyond this tick; `false` if that is not certain.
    #[inline]
    pub(crate) fn outlives(&self, slot: Slot, horizon: u64) -> bool {
        self.slab.cells.get(slot).is_some_and(|cell| self.wheel.outlives(&cell.node, horizon))
    }

    pub(crate) fn touch(&mut self, slot: Slot) {
        self.evictor.touch(&mut self.slab, slot);
    }

    /// Gives the entry in this slot another end.
    pub(crate) fn set_expiry(&mut self, slot: Slot, expires: Time) {
        self.slab.extras.set_expires(slot, expires);
        self.slab.node_mut(slot).set_marked(true);
        self.wheel.schedule(&mut self.slab, slot);
        if self.slab.extras.tagged.contains(slot) {
            self.wheel.watch(&mut self.slab, slot);
        }
        self.evictor.update(&mut self.slab, slot);
    }

    /// What the entry in this slot weighs.
    #[inline]
    pub(crate) fn weight(&self, slot: Slot) -> u64 {
        if self.is_marked(slot) { self.slab.extras.weight(slot) } else { self.slab.extras.weight_of_one }
    }

    /// Tells whether there is more to know of the entry in this slot among the extras.
    #[inline]
    pub(crate) fn is_marked(&self, slot: Slot) -> bool {
        self.slab.cells.get(slot).is_some_and(|cell| cell.node.is_marked())
    }

    /// The slots that carry this tag, as they are now.
    pub(crate) fn tagged(&self, tag: &str) -> Vec<Slot> {
        self.slab.extras.tagged.snapshot(tag)
    }

    /// Tells whether any entry carries this tag.
    pub(crate) fn has_tag(&self, tag: &str) -> bool {
        self.slab.extras.tagged.knows(tag)
    }

    /// How many entries carry this tag.
    pub(crate) fn count_tagged(&self, tag: &str) -> usize {
        self.slab.extras.tagged.count(tag)
    }

    /// The number behind the highest slot that was ever taken: the range of all entries.
    pub(crate) fn slots(&self) -> usize {
        self.slab.cells.slots()
    }

    /// Goes on by another policy, to which the entries go over as [`advance_change`](Self::advance_change) is called.
    pub(crate) fn begin_change(&mut self, policy: Policy) {
        self.evictor.begin_change(policy);
        self.learn_rules();
    }

    /// Lets so many entries go over to another policy, and says whether there are more.
    pub(crate) fn advance_change(&mut self, steps: usize) -> bool {
        let goes_on = self.evictor.advance_change(&mut self.slab, steps);
        self.learn_rules();
        goes_on
    }

    /// Writes down what policy and wheel say now. To be called after all that may have changed it.
    pub(crate) fn learn_rules(&mut self) {
        self.uses = self.evictor.attention();
        self.rules = self.rules();
    }

    fn rules(&self) -> Rules {
        let attention = if self.sampler.is_some() { Attention::ALL } else { self.uses };
        Rules { attention, hand: self.wheel.hand() }
    }

    /// Returns memory that its present entries do not need, if that is most of it: they move to a new slab, in the order in
    /// which they would be evicted. The policy stays what it is: the plan may be from before a change.
    ///
    /// Hands out what it was, without entries: to return the memory takes longer than all the rest, so it is dropped after
    /// unlocking.
    #[must_use]
    pub(crate) fn shrink(&mut self, plan: Plan) -> Option<Self> {
        // The dead would come to life in their new places.
        if !self.slab.cells.is_sparse() || self.dead() > 0 {
            return None;
        }
        let plan = Plan { leads: self.evictor.leads(), policy: self.evictor.policy(), ..plan };
        let mut old = self.begin_anew(plan);
        while let Some(slot) = old.evictor.evict(&mut old.slab) {
            let (bytes, mut special) = (old.weight(slot), Some(old.special(slot)));
            let Some(Cell { node, pair }) = old.slab.cells.take(slot) else { continue };
            let node = Node::new(node.fingerprint(), node.class());
            self.settle(pair, &mut About { node, bytes, special: &mut special });
        }
        Some(old)
    }

    /// Goes on without entries, but with the same books and sample, and hands out what was.
    fn begin_anew(&mut self, plan: Plan) -> Self {
        let (stats, hits_left, sampler) = (self.stats, self.hits_left, self.sampler.take());
        let is_doubted = self.is_doubted;
        let fresh = Self::new(plan, self.slab.cells.table.readers());
        let old = std::mem::replace(self, Self { hits_left, stats, sampler, is_doubted, ..fresh });
        self.learn_rules();
        old
    }

    fn special(&self, slot: Slot) -> Special {
        let extras = &self.slab.extras;
        Special { expires: extras.expires(slot), cost: extras.cost(slot), tags: extras.tags(slot).clone() }
    }

    /// Takes everything out at once, as removed, and goes on as a new one.
    pub(crate) fn clear(&mut self, plan: Plan) -> Ruin<K, V> {
        let old = self.begin_anew(Plan { leads: self.evictor.leads(), ..plan });
        let removed = old.stats.removed + old.stats.entries;
        self.stats = Stats { removed, entries: 0, unfreed: 0, bytes: 0, ..old.stats };
        Ruin::new(old)
    }

    /// What its entries take, the dead included.
    pub(crate) fn room(&self) -> Room {
        Room { entries: self.stats.entries + self.stats.unfreed, bytes: self.stats.bytes }
    }

    /// Forgets the extras of the entry in this slot.
    fn unmark(&mut self, slot: Slot) {
        self.wheel.cancel(&mut self.slab, slot);
        let extras = &mut self.slab.extras;
        extras.set_weight(slot, extras.weight_of_one);
        extras.set_cost(slot, 0.0);
        extras.set_expires(slot, Time::NEVER);
        let has_new_herald = extras.tagged.remove(slot);
        self.slab.node_mut(slot).set_marked(false);
        if has_new_herald {
            self.announce_dead();
        }
    }
}

#[cfg(test)]
mod tests {
    use cache_core::Tags;

    use super::*;
    use crate::tagged::Condemned;

    #[test]
    fn the_dead_do_not_move() {
        let plan = Plan { policy: Policy::Lru, weight_of_one: 1, expected: 0, leads: true };
        let mut shard = Shard::new(plan, &Readers::none());
        for number in 0..2048_u32 {
            let tags = Tags::new((number >= 1800).then_some("t")).expect("legal");
            let special = &mut Some(Special { expires: Time::NEVER, cost: 0.0, tags });
            shard.settle((number, ()), &mut About { node: Node::new(number, 0), bytes: 1, special });
            shard.stats.entries += 1;
        }
        for slot in 0..1800 {
            assert!(shard.extract(slot, Cause::Removed).is_some());
        }
        assert_eq!(shard.condemn("t"), Some(Condemned::Dead(248)));
        assert!(shard.shrink(plan).is_none());
        assert_eq!((shard.slots(), shard.dead()), (2048, 248));
    }

    #[test]
    fn a_shard_that_shrinks_by_a_plan_of_the_past_keeps_its_policy() {
        let plan = Plan { policy: Policy::Lru, weight_of_one: 1, expected: 0, leads: true };
        let mut shard = Shard::new(plan, &Readers::none());
        for number in 0..2048_u32 {
            let about = &mut About { node: Node::new(number, 0), bytes: 1, special: &mut None };
            shard.settle((number, ()), about);
            shard.stats.entries += 1;
        }
        for slot in 0..2000 {
            assert!(shard.extract(slot, Cause::Removed).is_some());
        }
        shard.begin_change(Policy::Sieve);
        let outgrown = shard.shrink(plan).expect("it was sparse");
        assert_eq!((shard.slots(), shard.evictor.policy()), (48, Policy::Sieve));
        assert_eq!(
            (outgrown.slots(), outgrown.slab.cells.fingerprints().count()),
            (2048, 0),
            "its memory alone"
        );
    }
}
