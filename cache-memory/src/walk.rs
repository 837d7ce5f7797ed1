//! What goes over all shards: removals by tag and predicate, sweeping, clearing, other limits and policies.
//!
//! A walk holds one shard's lock for at most [`SLICE`] entries at a time, so that reads pass in between.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cache_policy::{Policy, Slot};

use crate::budget::Room;
use crate::engine::{Engine, Lock};
use crate::listen::Cause;
use crate::shard::Held;

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
    /// Removes the entries with this tag that `doomed` accepts and that were here when it was called, a bounded slice at a
    /// time.
    pub(crate) fn remove_tag(&self, tag: &str, doomed: impl Fn(&K, &V) -> bool) -> u64 {
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
            let Some(held) = shard.get(slot).filter(|held| doomed(held)) else { continue };
            let cause = held.cause_of_removal(now);
            self.release(shard.remove(slot, cause, &mut gone));
            removed += u64::from(cause == Cause::Removed);
        }
        drop(shard);
        self.reporter.dismiss(gone);
        removed
    }

    /// Removes everything and says how many living entries that were. Each shard is locked for two short moments,
    /// however much it holds.
    pub(crate) fn clear(&self) -> u64 {
        let mut all_removed = 0;
        for shard in &self.shards {
            let now = self.present.now();
            let plan = self.plan.lock();
            let drained = shard.lock().drain(*plan);
            let (mut removed, mut expired, mut room) = (0, 0, Room::default());
            let mut gone = self.reporter.departures();
            drained.for_each(now, |pair, bytes, cause| {
                *(if cause == Cause::Removed { &mut removed } else { &mut expired }) += 1;
                room.add(Room::of_one(bytes));
                gone.push(pair, cause);
            });
            let mut shard = shard.lock();
            shard.enter(removed, expired);
            self.budget.give(room);
            drop((shard, plan));
            self.reporter.dismiss(gone);
            all_removed += removed;
        }
        all_removed
    }

    /// Frees all entries whose time is over, and says how many: a slice at a time, now in one shard, now in another, so
    /// that whoever waits for a shard finds it free soon.
    pub(crate) fn remove_expired(&self) -> u64 {
        let mut sweeping: Vec<_> = self.shards.iter().collect();
        let mut freed = 0;
        while !sweeping.is_empty() {
            sweeping.retain(|shard| self.sweep_slice(shard, &mut freed));
            std::thread::yield_now();
        }
        freed
    }

    /// Frees a slice of what has expired, adds how many to those that were `freed` before, and says whether there may be
    /// more.
    fn sweep_slice(&self, shard: &Lock<K, V>, freed: &mut u64) -> bool {
        let (now, plan) = (self.present.now(), *self.plan.lock());
        let mut gone = self.reporter.departures();
        let mut steps = SLICE;
        let mut locked = shard.lock();
        while self.release(locked.pop_expired(now, &mut steps, &mut gone)) {
            *freed += 1;
        }
        let idle = steps > 0;
        if idle && self.walks.load(Relaxed) == 0 {
            locked.shrink(plan);
        }
        drop(locked);
        self.reporter.dismiss(gone);
        !idle
    }

    /// Calls `visit` with every living entry, a bounded slice at a time. Runs under a shard's lock.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(Held<'_, K, V>)) {
        let _walk = Walk::begin(&self.walks);
        for shard in &self.shards {
            let slots = shard.lock().slots();
            for slice in slices(slots) {
                let now = self.present.now();
                let shard = shard.lock();
                let held = slice.filter_map(|slot| shard.get(slot));
                held.filter(|held| held.is_alive(now)).for_each(&mut visit);
            }
        }
    }

    /// Goes on with other limits, and evicts what is too much before it returns, a bounded slice at a time. While it
    /// does, others may insert and read; what is held only shrinks.
    pub(crate) fn set_limits(&self, max_entries: Option<u64>, max_bytes: Option<u64>) {
        // All shards at once: only then does nobody hold room that is in no shard.
        let plan = self.plan.lock();
        let all: Vec<_> = self.shards.iter().map(Lock::lock).collect();
        let mut held = Room::default();
        for shard in &all {
            held.add(Room { entries: shard.stats.entries, bytes: shard.stats.bytes });
        }
        self.budget.set(max_entries, max_bytes, held);
        drop((all, plan));
        while self.budget.is_overdrawn() && self.evict_slices() {
            std::thread::yield_now();
        }
    }

    /// Evicts a slice from every shard, as long as too much is held, and says whether there was anything to evict.
    fn evict_slices(&self) -> bool {
        let mut found = false;
        for shard in &self.shards {
            let (moment, plan) = (self.present.moment(), *self.plan.lock());
            let mut gone = self.reporter.departures();
            let mut shard = shard.lock();
            for _ in 0..SLICE {
                if !self.budget.is_overdrawn() {
                    break;
                }
                if !self.release(shard.evict(&moment, &self.advice, &mut gone)) {
                    break;
                }
                found = true;
            }
            if !self.budget.is_overdrawn() && self.walks.load(Relaxed) == 0 {
                shard.shrink(plan);
            }
            drop(shard);
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

fn slices(slots: usize) -> impl Iterator<Item = std::ops::Range<Slot>> {
    (0..slots).step_by(SLICE).map(move |from| {
        #[expect(clippy::cast_possible_truncation, reason = "slots are 32-bit numbers")]
        let slice = from as Slot..(from + SLICE).min(slots) as Slot;
        slice
    })
}
