//! What goes over all shards: removals by tag and predicate, sweeping, clearing, other limits and policies.
//!
//! A walk holds one shard's lock for at most [`SLICE`] entries at a time, so that reads pass in between.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cache_core::Time;
use cache_policy::{Policy, Slot};

use crate::budget::Room;
use crate::engine::{Engine, Lock};
use crate::listen::{Cause, Departures};
use crate::ruins::RUINS;
use crate::shard::{Held, Shard};
use crate::tagged::Condemned;

/// How many slots or timers one lock hold works through at most.
const SLICE: usize = 256;

/// Keeps the entries in their slots, where a walk that comes back for its next slice looks for them.
struct Walk<'a>(&'a AtomicUsize);

impl<'a> Walk<'a> {
    /// To be begun before the first look at a shard: whoever moves its entries asks under its lock, and so either was done
    /// before that look or sees the walk.
    fn begin(walks: &'a AtomicUsize) -> Self {
        walks.fetch_add(1, Relaxed);
        Self(walks)
    }
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl<K: Hash + Eq, V, S: BuildHasher + 'static> Engine<K, V, S> {
    /// Removes the entries with this tag. A set of tags that many have dies at once and is freed later, one that few have is
    /// removed by a slice at a time.
    pub(crate) fn remove_tag(&self, tag: &str) -> u64 {
        let mut removed = 0;
        for shard in &self.shards {
            while self.remove_tag_slice(shard, tag, &mut removed) {}
        }
        removed
    }

    /// Removes a slice of the entries with this tag from a shard, adds how many to those that were `removed` before, and says
    /// whether there are more.
    fn remove_tag_slice(&self, shard: &Lock<K, V>, tag: &str, removed: &mut u64) -> bool {
        let now = self.present.now();
        let mut gone = self.reporter.departures();
        let mut steps = SLICE;
        let mut locked = shard.lock();
        let mut more = locked.has_tag(tag);
        // Nobody looks at the entries of a set that dies, so those whose time is over have to be out of it.
        let mut is_pure = more && self.free_expired(&mut locked, now, &mut steps, &mut gone);
        while is_pure && steps > 0 {
            match locked.condemn(tag) {
                Some(Condemned::Dead(entries)) => {
                    *removed += entries;
                    steps -= 1;
                }
                Some(Condemned::Few(slots)) => {
                    steps = steps.saturating_sub(slots.len());
                    let mut remove = |slot| self.remove_at(&mut locked, slot, now, &mut gone);
                    *removed += slots.into_iter().map(&mut remove).map(u64::from).sum::<u64>();
                }
                None => (more, is_pure) = (false, false),
            }
        }
        locked.announce_dead();
        self.note_dead(&mut locked);
        drop(locked);
        self.reporter.dismiss(gone);
        more
    }

    /// Removes the entry in this slot, and says whether it was alive.
    fn remove_at(
        &self,
        shard: &mut Shard<K, V>,
        slot: Slot,
        now: Time,
        gone: &mut Departures<'_, K, V>,
    ) -> bool {
        let Some(held) = shard.get(slot) else { return false };
        let cause = held.cause_of_removal(now);
        self.release(shard.remove(slot, cause, gone));
        cause == Cause::Removed
    }

    /// Frees what has expired in a shard, as far as so many steps suffice, and says whether they did. The dead stay, hidden.
    fn free_expired(
        &self,
        shard: &mut Shard<K, V>,
        now: Time,
        steps: &mut usize,
        gone: &mut Departures<'_, K, V>,
    ) -> bool {
        shard.hide_dead();
        while self.release(shard.pop_expired(now, steps, gone)) {}
        *steps > 0
    }

    /// Makes readers look closer at what could be dead if there are dead entries in a shard, and no longer if there are none.
    fn note_dead(&self, shard: &mut Shard<K, V>) {
        let has_dead = shard.dead() > 0;
        match (shard.is_doubted, has_dead) {
            (false, true) => self.present.doubt(),
            (true, false) => self.present.trust(),
            _ => {}
        }
        shard.is_doubted = has_dead;
    }

    /// Removes the entries with this tag that `doomed` accepts and that were here when it was called, a bounded slice at a
    /// time.
    pub(crate) fn remove_tag_if(&self, tag: &str, doomed: impl Fn(&K, &V) -> bool) -> u64 {
        let _walk = Walk::begin(&self.walks);
        let carries =
            |held: &Held<'_, K, V>| held.extras.tags(held.slot).contains(tag) && doomed(held.key, held.value);
        let from_shard = |shard| -> u64 {
            let slots = Lock::lock(shard).tagged(tag);
            let slices = slots.chunks(SLICE);
            slices.map(|slice| self.remove_slice(shard, slice.iter().copied(), &carries)).sum()
        };
        self.shards.iter().map(from_shard).sum()
    }

    /// How many entries carry this tag, expired ones that are not yet freed included.
    pub(crate) fn count_tagged(&self, tag: &str) -> u64 {
        self.shards.iter().map(|shard| shard.lock().count_tagged(tag) as u64).sum()
    }

    /// Removes the entries that `doomed` accepts and that were here when it was called, a bounded slice at a time.
    pub(crate) fn remove_if(&self, doomed: impl Fn(&K, &V) -> bool) -> u64 {
        let _walk = Walk::begin(&self.walks);
        let doomed = |held: &Held<'_, K, V>| doomed(held.key, held.value);
        let walked: Vec<_> = self.shards.iter().map(|shard| (shard, shard.lock().slots())).collect();
        let most = walked.iter().map(|(_, slots)| *slots).max().unwrap_or(0);
        let mut removed = 0;
        // Now in one shard, now in another, so that whoever waits for a shard finds it free soon.
        for slice in slices(most) {
            for (shard, slots) in &walked {
                let here = slice.clone().take_while(|slot| (*slot as usize) < *slots);
                removed += self.remove_slice(shard, here, &doomed);
            }
        }
        removed
    }

    fn remove_slice(
        &self,
        shard: &Lock<K, V>,
        slots: impl Iterator<Item = Slot>,
        doomed: &dyn Fn(&Held<'_, K, V>) -> bool,
    ) -> u64 {
        let now = self.present.now();
        let mut gone = self.reporter.departures();
        let mut removed = 0;
        let mut shard = shard.lock();
        for slot in slots {
            if shard.get(slot).is_some_and(|held| !held.is_dead() && doomed(&held)) {
                removed += u64::from(self.remove_at(&mut shard, slot, now, &mut gone));
            }
        }
        drop(shard);
        self.reporter.dismiss(gone);
        removed
    }

    /// Removes everything and says how many living entries that were. Each shard is locked for a short moment, however much
    /// it holds; what it held becomes a ruin, of which not more than a slice for each shard is freed here.
    pub(crate) fn clear(&self) -> u64 {
        let removed = self.shards.iter().map(|shard| self.clear_shard(shard)).sum();
        let _rest = self.shards.iter().all(|_| self.free_ruins());
        removed
    }

    fn clear_shard(&self, shard: &Lock<K, V>) -> u64 {
        loop {
            let now = self.present.now();
            let mut gone = self.reporter.departures();
            // Before the shard: who changes the limits must find all room in a shard or in a ruin.
            let plan = self.plan.lock();
            let mut locked = shard.lock();
            let is_pure = self.free_expired(&mut locked, now, &mut SLICE.clone(), &mut gone);
            let removed = locked.stats.entries;
            if is_pure && locked.slots() > 0 {
                let ruin = locked.clear(*plan);
                self.ruins.add(ruin, &self.advice);
            }
            locked.announce_dead();
            self.note_dead(&mut locked);
            drop((locked, plan));
            self.reporter.dismiss(gone);
            if is_pure {
                return removed;
            }
        }
    }

    /// Frees a slice of what was cleared, and says whether there was any.
    fn free_ruins(&self) -> bool {
        let mut gone = self.reporter.departures();
        let found = self.take_from_ruins(&mut gone);
        self.reporter.dismiss(gone);
        found
    }

    /// Takes a slice of what was cleared apart, and says whether there was any.
    pub(crate) fn take_from_ruins(&self, gone: &mut Departures<'_, K, V>) -> bool {
        self.ruins.free_slice(SLICE, (&self.advice, &self.budget), gone)
    }

    /// Tells whether anything that was removed has not been freed yet.
    pub(crate) fn has_leftovers(&self) -> bool {
        self.present.is_doubted() || self.advice.load(Relaxed) & RUINS != 0
    }

    /// Frees what was removed, a slice at a time. For a ruin nobody waits who reads.
    pub(crate) fn free_leftovers(&self) {
        while self.free_ruins() {}
        let mut sweeping: Vec<_> = self.shards.iter().collect();
        while !sweeping.is_empty() {
            sweeping.retain(|shard| shard.lock().is_doubted && self.sweep_slice(shard, &mut 0));
            std::thread::yield_now();
        }
    }

    /// Frees what was removed and all entries whose time is over, and says how many the latter are: a slice at a time, now in one shard, now in another, so
    /// that whoever waits for a shard finds it free soon.
    pub(crate) fn remove_expired(&self) -> u64 {
        while self.free_ruins() {}
        let mut sweeping: Vec<_> = self.shards.iter().collect();
        let mut freed = 0;
        while !sweeping.is_empty() {
            sweeping.retain(|shard| self.sweep_slice(shard, &mut freed));
            std::thread::yield_now();
        }
        freed
    }

    /// Frees a slice of what has expired or is dead, adds how many had expired to those that were `freed` before, and
    /// says whether there may be more.
    fn sweep_slice(&self, shard: &Lock<K, V>, freed: &mut u64) -> bool {
        let (now, plan) = (self.present.now(), *self.plan.lock());
        let mut gone = self.reporter.departures();
        let mut steps = SLICE;
        let mut locked = shard.lock();
        let before = locked.stats.expired;
        while self.release(locked.pop_expired(now, &mut steps, &mut gone)) {}
        *freed += locked.stats.expired - before;
        let idle = steps > 0;
        self.note_dead(&mut locked);
        let may_shrink = idle && self.walks.load(Relaxed) == 0;
        let outgrown = if may_shrink { locked.shrink(plan) } else { None };
        drop(locked);
        drop(outgrown);
        self.reporter.dismiss(gone);
        !idle
    }

    /// Calls `visit` with every living entry that has this tag, a bounded slice at a time. Runs under a shard's lock.
    pub(crate) fn for_each_tagged(&self, tag: &str, mut visit: impl FnMut(Held<'_, K, V>)) {
        let _walk = Walk::begin(&self.walks);
        for shard in &self.shards {
            let slots = shard.lock().tagged(tag);
            for slice in slots.chunks(SLICE) {
                let now = self.present.now();
                let shard = shard.lock();
                let held = slice.iter().filter_map(|slot| shard.get(*slot));
                held.filter(|held| held.is_alive(now) && held.extras.tags(held.slot).contains(tag))
                    .for_each(&mut visit);
            }
        }
    }

    /// Calls `visit` with every living entry, a bounded slice at a time. Runs under a shard's lock.
    ///
    /// Takes a slice of each shard in turn: who takes the same lock again at once leaves others no moment to take it.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(Held<'_, K, V>)) {
        let _walk = Walk::begin(&self.walks);
        let slots: Vec<usize> = self.shards.iter().map(|shard| shard.lock().slots()).collect();
        for slice in slices(slots.iter().copied().max().unwrap_or_default()) {
            let now = self.present.now();
            for (shard, slots) in self.shards.iter().zip(&slots) {
                if (slice.start as usize) < *slots {
                    let shard = shard.lock();
                    let held = slice.clone().filter_map(|slot| shard.get(slot));
                    held.filter(|held| held.is_alive(now)).for_each(&mut visit);
                }
            }
        }
    }

    /// Runs `read` on a living entry near the slot that `chance`, a random number, names, which counts neither as a read nor as
    /// a use. Looks at a slice of each shard at most; `None` if it finds nothing there.
    pub(crate) fn peek_any<R>(&self, chance: u64, read: impl FnOnce(Held<'_, K, V>) -> R) -> Option<R> {
        let (low, high) = (chance & u64::from(u32::MAX), chance >> 32);
        let now = self.present.now();
        let (before, from) = self.shards.split_at(below(low, self.shards.len()));
        for shard in from.iter().chain(before) {
            let shard = shard.lock();
            let slots = shard.slots();
            if slots == 0 {
                continue;
            }
            let first = below(high, slots);
            #[expect(clippy::cast_possible_truncation, reason = "slots are 32-bit numbers")]
            let mut near = (first..slots).chain(0..first).take(SLICE).map(|slot| slot as Slot);
            let living = |slot| shard.get(slot).filter(|held| held.is_alive(now));
            if let Some(held) = near.find_map(living) {
                return Some(read(held));
            }
        }
        None
    }

    /// Goes on with other limits, and evicts what is too much before it returns, a bounded slice at a time. While it
    /// does, others may insert and read; what is held only shrinks.
    pub(crate) fn set_limits(&self, max_entries: Option<u64>, max_bytes: Option<u64>) {
        // All shards at once: only then does nobody hold room that is in no shard.
        let plan = self.plan.lock();
        let all: Vec<_> = self.shards.iter().map(Lock::lock).collect();
        let mut held = Room::default();
        for shard in &all {
            held.add(shard.room());
        }
        let (of_ruins, ruins) = self.ruins.survey();
        held.add(of_ruins);
        self.budget.set(max_entries, max_bytes, held);
        drop(ruins);
        drop((all, plan));
        if self.budget.is_overdrawn() {
            self.free_leftovers();
        }
        while self.budget.is_overdrawn() && self.evict_slices() {
            std::thread::yield_now();
        }
    }

    /// Evicts a slice from every shard, as long as too much is held, and says whether there was anything to evict. While
    /// there are ruins, it frees of those instead.
    fn evict_slices(&self) -> bool {
        let mut found = self.free_ruins();
        for shard in &self.shards {
            let plan = *self.plan.lock();
            let mut gone = self.reporter.departures();
            let mut shard = shard.lock();
            for _ in 0..SLICE {
                if !self.budget.is_overdrawn() {
                    break;
                }
                if !self.release(shard.evict(&self.present, &self.advice, &mut gone)) {
                    break;
                }
                found = true;
            }
            let may_shrink = !self.budget.is_overdrawn() && self.walks.load(Relaxed) == 0;
            let outgrown = if may_shrink { shard.shrink(plan) } else { None };
            drop(shard);
            drop(outgrown);
            self.reporter.dismiss(gone);
        }
        found
    }

    /// Goes on by another policy. The entries change hands a slice at a time, now in one shard, now in another, so that
    /// whoever waits for a shard finds it free soon.
    pub(crate) fn set_policy(&self, policy: Policy) {
        let mut plan = self.plan.lock();
        plan.policy = policy;
        for shard in &self.shards {
            shard.lock().begin_change(policy);
        }
        let mut changing: Vec<_> = self.shards.iter().collect();
        while !changing.is_empty() {
            changing.retain(|shard| shard.lock().advance_change(SLICE));
            std::thread::yield_now();
        }
    }
}

/// A number below this one, which is not zero, by a random one.
fn below(chance: u64, limit: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "it is below a usize")]
    let number = (chance % limit as u64) as usize;
    number
}

fn slices(slots: usize) -> impl Iterator<Item = std::ops::Range<Slot>> {
    (0..slots).step_by(SLICE).map(move |from| {
        #[expect(clippy::cast_possible_truncation, reason = "slots are 32-bit numbers")]
        let slice = from as Slot..(from + SLICE).min(slots) as Slot;
        slice
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    #[test]
    fn a_walk_takes_a_slice_of_each_shard_in_turn() {
        let memory: Memory<u32, ()> = Memory::new().with_shards(4);
        (0..10_000).for_each(|key| assert!(memory.insert(key, ()).is_stored()));
        let mut rounds = Vec::new();
        memory.engine.engine.for_each(|held| rounds.push(held.slot as usize / SLICE));
        assert_eq!(rounds.len(), 10_000, "each entry once");
        assert!(rounds.is_sorted(), "a shard was walked to its end while the others waited");
    }

    #[test]
    fn tables_become_small_after_a_limit_or_a_sweep_but_not_during_a_walk() {
        let memory: Memory<u32, ()> = Memory::new().with_shards(1).with_sweep_every(None);
        let engine = &memory.engine.engine;
        let slots = || engine.shards[0].lock().slots();
        let fill = || (0..4096).for_each(|key| assert!(memory.insert(key, ()).is_stored()));
        fill();
        let walk = Walk::begin(&engine.walks);
        memory.set_limits(Some(100), None);
        assert_eq!((memory.len(), slots()), (100, 4096), "somebody walks");
        drop(walk);
        memory.set_limits(Some(50), None);
        assert_eq!(slots(), 50);

        memory.set_limits(None, None);
        fill();
        let walk = Walk::begin(&engine.walks);
        assert_eq!(memory.remove_if(|key, ()| *key >= 50), 4046);
        memory.remove_expired();
        assert_eq!(slots(), 4096, "somebody walks");
        drop(walk);
        memory.remove_expired();
        assert_eq!(slots(), 50);
    }
}
