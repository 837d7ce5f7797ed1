//! The shards together: which one a key belongs to, how an insert finds room, and walks over all of them.
//!
//! A shard's lock is held for one short step at a time and never together with another's. Whatever leaves is reported
//! and dropped after unlocking.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cache_core::{Clock, Time, Ttl};
use cache_policy::{Facts, Policy, Slot};
use equivalent::Equivalent;
use parking_lot::{Mutex, MutexGuard};

use crate::budget::{Budget, Room};
use crate::listen::{Cause, Departed, Departures, Reporter};
use crate::put::{Inserted, Put};
use crate::shard::{Candidate, Resident, Shard};
use crate::stats::Stats;

/// How many slots or timers one lock hold works through at most.
const SLICE: usize = 256;

/// How often an insert looks through all shards in vain before it gives up. Others hold room unlinked for
/// nanoseconds, so only a fault in the books, or a machine that runs nobody else, lasts so long.
const PATIENCE: u32 = 10_000;

pub(crate) struct Engine<K, V, S> {
    shards: Box<[Lock<K, V>]>,
    budget: Budget,
    policy: Policy,
    /// Where to look next for a victim outside of one's own shard: each time elsewhere, so that none is emptied.
    next_donor: AtomicUsize,
    pub(crate) hasher: S,
    pub(crate) clock: Arc<dyn Clock>,
    reporter: Reporter<K, V>,
}

/// Keeps neighbouring shards from sharing a cache line, or the pair of lines that a prefetcher fetches together.
#[repr(align(128))]
struct CacheAligned<T>(T);

type Lock<K, V> = CacheAligned<Mutex<Shard<K, V>>>;

/// An entry on its way in.
pub(crate) struct Newcomer<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    pub(crate) bytes: u64,
    pub(crate) ttl: Ttl,
    pub(crate) put: Put,
}

impl<K, V> Newcomer<K, V> {
    fn into_candidate(self, hash: u64, now: Time) -> Candidate<K, V> {
        let Self { key, value, bytes, ttl, put } = self;
        let expires = ttl.finite().map_or(Time::NEVER, |ttl| now.after(ttl));
        let resident = Resident { key, value, hash, expires, bytes, tags: put.tags };
        let facts = Facts {
            fingerprint: hash,
            weight: bytes,
            cost: put.cost.as_secs_f32(),
            class: put.priority as u8,
            deadline: resident.deadline(),
        };
        Candidate { resident, facts }
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Engine<K, V, S> {
    pub(crate) fn new(
        shards: usize,
        policy: Policy,
        budget: Budget,
        parts: (S, Arc<dyn Clock>, Reporter<K, V>),
    ) -> Self {
        debug_assert!(shards.is_power_of_two());
        let (hasher, clock, reporter) = parts;
        let shards = (0..shards).map(|_| CacheAligned(Mutex::new(Shard::new(policy)))).collect();
        Self { shards, budget, policy, next_donor: AtomicUsize::new(0), hasher, clock, reporter }
    }

    /// Runs `read` on a living entry. `used` says whether this counts as a use of it.
    pub(crate) fn read<Q, R>(&self, key: &Q, used: bool, read: impl FnOnce(&Resident<K, V>) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash);
        // The clock is asked only for an entry that time can end.
        let alive = |held: &Resident<K, V>| held.expires == Time::NEVER || held.is_alive(self.clock.now());
        let found = shard.find(hash, key).filter(|slot| shard.get(*slot).is_some_and(alive));
        if used {
            match found {
                Some(slot) => {
                    shard.stats.hits += 1;
                    shard.touch(slot);
                }
                None => shard.stats.misses += 1,
            }
        }
        found.and_then(|slot| shard.get(slot)).map(read)
    }

    /// Enters a read into the books that was not made by [`read`](Self::read).
    pub(crate) fn count_read<Q: Hash + ?Sized>(&self, key: &Q, hit: bool) {
        let stats = &mut self.shard(self.hasher.hash_one(key)).stats;
        *(if hit { &mut stats.hits } else { &mut stats.misses }) += 1;
    }

    /// Stores an entry if it fits and, at the moment it would become visible, `permit` says so.
    pub(crate) fn insert(&self, newcomer: Newcomer<K, V>, permit: impl Fn() -> bool) -> Inserted {
        let hash = self.hasher.hash_one(&newcomer.key);
        if newcomer.ttl.is_zero() {
            return self.turn_away(hash, &newcomer.key, Inserted::Expired, permit);
        }
        if !self.budget.could_hold(newcomer.bytes) {
            return self.turn_away(hash, &newcomer.key, Inserted::TooLarge, permit);
        }
        let now = self.clock.now();
        let mut candidate = newcomer.into_candidate(hash, now);
        let mut departed = Departures::none();
        let mut patience = PATIENCE;
        let outcome = loop {
            let mut shard = self.shard(hash);
            if !permit() {
                break Inserted::Refused;
            }
            match self.admit(&mut shard, candidate, now, &mut departed) {
                Ok(()) => break Inserted::Stored,
                Err(back) => candidate = *back,
            }
            drop(shard);
            if !self.evict_elsewhere(hash, now, &mut departed) {
                // The room is held by inserts that are about to link or to give it back.
                patience -= 1;
                if patience == 0 {
                    break Inserted::NoRoom;
                }
                std::thread::yield_now();
            }
        };
        self.reporter.dismiss(departed);
        outcome
    }

    /// Takes room for the entry, evicting from this shard as needed, and links it. Gives it back if the shard is
    /// empty and there is still no room: then others hold it.
    fn admit(
        &self,
        shard: &mut Shard<K, V>,
        candidate: Candidate<K, V>,
        now: Time,
        departed: &mut Departures<K, V>,
    ) -> Result<(), Box<Candidate<K, V>>> {
        let mut freed = Room::default();
        let bytes = candidate.resident.bytes;
        if let Some(slot) = shard.find(candidate.resident.hash, &candidate.resident.key) {
            // In place, the entry keeps its position and its room, and needs only what it has grown by.
            let held = shard.get(slot).map_or(0, |held| held.bytes);
            let growth = Room { entries: 0, bytes: bytes.saturating_sub(held) };
            if self.budget.take(growth, &mut freed) {
                departed.extend(shard.replace(slot, candidate));
                self.budget.give(Room { entries: 0, bytes: held.saturating_sub(bytes) });
                return Ok(());
            }
            freed.add(Room::of_one(held));
            departed.extend(shard.remove(slot, Cause::Replaced));
        }
        let outcome = loop {
            if self.budget.take(Room::of_one(bytes), &mut freed) {
                shard.link(candidate);
                break Ok(());
            }
            let Some(victim) = shard.evict(now) else { break Err(Box::new(candidate)) };
            freed.add(Room::of_one(victim.bytes));
            departed.push(victim);
        };
        self.budget.give(freed);
        outcome
    }

    /// Removes what an entry that cannot be kept would have replaced: the older value is no longer true.
    fn turn_away(&self, hash: u64, key: &K, why: Inserted, permit: impl Fn() -> bool) -> Inserted {
        let mut shard = self.shard(hash);
        if !permit() {
            return Inserted::Refused;
        }
        shard.stats.too_large += u64::from(why == Inserted::TooLarge);
        let old = shard.find(hash, key).and_then(|slot| self.release(shard.remove(slot, Cause::Replaced)));
        drop(shard);
        self.reporter.dismiss(old.into_iter().collect());
        why
    }

    /// Frees room in another shard than the one that `hash` belongs to, and says whether there was anything to evict.
    fn evict_elsewhere(&self, hash: u64, now: Time, departed: &mut Departures<K, V>) -> bool {
        let own = self.shard_index(hash);
        let from = self.next_donor.fetch_add(1, Relaxed);
        let others = (0..self.shards.len()).map(|step| from.wrapping_add(step) % self.shards.len());
        for other in others.filter(|other| *other != own) {
            let victim = self.shards[other].0.lock().evict(now);
            if victim.is_some() {
                departed.extend(self.release(victim));
                return true;
            }
        }
        false
    }

    pub(crate) fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let now = self.clock.now();
        let mut shard = self.shard(hash);
        let slot = shard.find(hash, key)?;
        let cause = shard.get(slot)?.cause_of_removal(now);
        let gone = self.release(shard.remove(slot, cause));
        drop(shard);
        let gone = gone?;
        self.reporter.report(&gone);
        (cause == Cause::Removed).then_some(gone.value)
    }

    /// Gives a living entry the life from now that `life` chooses for it. One of zero removes it.
    pub(crate) fn touch<Q>(&self, key: &Q, life: impl FnOnce(&Resident<K, V>) -> Ttl) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let now = self.clock.now();
        let mut shard = self.shard(hash);
        let Some(slot) = shard.find(hash, key) else { return false };
        let Some(held) = shard.get(slot).filter(|held| held.is_alive(now)) else { return false };
        let ttl = life(held);
        if ttl.is_zero() {
            let gone = self.release(shard.remove(slot, Cause::Removed));
            drop(shard);
            self.reporter.dismiss(gone.into_iter().collect());
            return true;
        }
        shard.set_expiry(slot, ttl.finite().map_or(Time::NEVER, |ttl| now.after(ttl)));
        shard.touch(slot);
        true
    }

    /// Removes the entries with this tag that were here when it was called, a bounded slice at a time.
    pub(crate) fn remove_tag(&self, tag: &str) -> u64 {
        let carries = |held: &Resident<K, V>| held.tags.contains(tag);
        self.shards
            .iter()
            .map(|shard| {
                let slots = shard.0.lock().tagged(tag);
                slots
                    .chunks(SLICE)
                    .map(|slice| self.remove_slice(shard, slice.iter().copied(), &carries))
                    .sum::<u64>()
            })
            .sum()
    }

    /// Removes the entries that `doomed` accepts and that were here when it was called, a bounded slice at a time.
    pub(crate) fn remove_if(&self, doomed: impl Fn(&K, &V) -> bool) -> u64 {
        let doomed = |held: &Resident<K, V>| doomed(&held.key, &held.value);
        let mut removed = 0;
        for shard in &self.shards {
            let slots = shard.0.lock().slot_count();
            for from in (0..slots).step_by(SLICE) {
                #[expect(clippy::cast_possible_truncation, reason = "slots are 32-bit numbers")]
                let slice = from as Slot..(from + SLICE).min(slots) as Slot;
                removed += self.remove_slice(shard, slice, &doomed);
            }
        }
        removed
    }

    fn remove_slice(
        &self,
        shard: &Lock<K, V>,
        slots: impl Iterator<Item = Slot>,
        doomed: &dyn Fn(&Resident<K, V>) -> bool,
    ) -> u64 {
        let now = self.clock.now();
        let mut departed = Departures::none();
        let mut shard = shard.0.lock();
        for slot in slots {
            let Some(held) = shard.get(slot).filter(|held| doomed(held)) else { continue };
            let cause = held.cause_of_removal(now);
            departed.extend(self.release(shard.remove(slot, cause)));
        }
        drop(shard);
        let removed = departed.iter().filter(|gone| gone.cause == Cause::Removed).count() as u64;
        self.reporter.dismiss(departed);
        removed
    }

    /// Removes everything and says how many living entries that were. Each shard is locked for two short moments,
    /// however much it holds.
    pub(crate) fn clear(&self) -> u64 {
        let mut all_removed = 0;
        for shard in &self.shards {
            let now = self.clock.now();
            let drained = shard.0.lock().drain(self.policy);
            let (mut removed, mut expired, mut room) = (0, 0, Room::default());
            let count = |gone: &Departed<K, V>| {
                *(if gone.cause == Cause::Removed { &mut removed } else { &mut expired }) += 1;
                room.add(Room::of_one(gone.bytes));
            };
            let departed = drained.departed(now).inspect(count).collect();
            shard.0.lock().enter(removed, expired);
            self.budget.give(room);
            self.reporter.dismiss(departed);
            all_removed += removed;
        }
        all_removed
    }

    /// Frees all entries whose time is over, a bounded slice at a time, and says how many.
    pub(crate) fn remove_expired(&self) -> u64 {
        let mut freed = 0;
        for shard in &self.shards {
            loop {
                let now = self.clock.now();
                let mut departed = Departures::none();
                let mut steps = SLICE;
                let mut shard = shard.0.lock();
                while let Some(expired) = self.release(shard.pop_expired(now, &mut steps)) {
                    departed.push(expired);
                }
                let idle = steps > 0;
                drop(shard);
                freed += departed.iter().count() as u64;
                self.reporter.dismiss(departed);
                if idle {
                    break;
                }
            }
        }
        freed
    }

    /// Calls `visit` with every living entry, a bounded slice at a time. Runs under a shard's lock.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Resident<K, V>)) {
        for shard in &self.shards {
            let slots = shard.0.lock().slot_count();
            for from in (0..slots).step_by(SLICE) {
                let now = self.clock.now();
                let shard = shard.0.lock();
                #[expect(clippy::cast_possible_truncation, reason = "slots are 32-bit numbers")]
                let slice = from as Slot..(from + SLICE).min(slots) as Slot;
                slice
                    .filter_map(|slot| shard.get(slot))
                    .filter(|held| held.is_alive(now))
                    .for_each(&mut visit);
            }
        }
    }

    /// Gives the room of what has left back to the budget.
    fn release(&self, gone: Option<Departed<K, V>>) -> Option<Departed<K, V>> {
        if let Some(gone) = &gone {
            self.budget.give(Room::of_one(gone.bytes));
        }
        gone
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard<K, V>> {
        self.shards[self.shard_index(hash)].0.lock()
    }

    fn shard_index(&self, hash: u64) -> usize {
        // The table of a shard uses the lowest bits and the seven highest ones: take others.
        (hash >> 32) as usize & (self.shards.len() - 1)
    }
}

impl<K, V, S> Engine<K, V, S> {
    pub(crate) fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for shard in &self.shards {
            sum += shard.0.lock().stats;
        }
        sum.listener_panics = self.reporter.panics.load(std::sync::atomic::Ordering::Relaxed);
        sum
    }
}
