//! One shard: what stands behind one lock. An index into a slab of residents, a policy, a wheel and the tags.
//!
//! Nothing here locks, allocates room, calls a listener or drops a user's value while others wait: what leaves is
//! handed to the caller, who unlocks first.

use cache_core::{Tags, Time};
use cache_policy::{Evict, Facts, Policy, Slot, Step, Wheel};
use equivalent::Equivalent;
use hashbrown::HashTable;

use crate::listen::{Cause, Departed};
use crate::stats::Stats;
use crate::tagged::Tagged;

const NANOS_PER_TICK: u64 = 1_000_000;

/// An entry as it stands in its slot.
#[derive(Debug)]
pub(crate) struct Resident<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    pub(crate) hash: u64,
    pub(crate) expires: Time,
    pub(crate) bytes: u64,
    pub(crate) tags: Tags,
}

impl<K, V> Resident<K, V> {
    pub(crate) fn is_alive(&self, now: Time) -> bool {
        now < self.expires
    }

    /// Whoever is removed after its time was over has expired, even if nobody has noticed before.
    pub(crate) fn cause_of_removal(&self, now: Time) -> Cause {
        if self.is_alive(now) { Cause::Removed } else { Cause::Expired }
    }

    fn departed(self, cause: Cause) -> Departed<K, V> {
        Departed { key: self.key, value: self.value, bytes: self.bytes, cause }
    }

    /// The first tick at which its time is over.
    pub(crate) fn deadline(&self) -> u64 {
        if self.expires == Time::NEVER { u64::MAX } else { self.expires.as_nanos().div_ceil(NANOS_PER_TICK) }
    }
}

/// An entry that is about to stand in a slot, and what the policy may know of it.
pub(crate) struct Candidate<K, V> {
    pub(crate) resident: Resident<K, V>,
    pub(crate) facts: Facts,
}

#[derive(Debug)]
pub(crate) struct Shard<K, V> {
    index: HashTable<Slot>,
    slots: Vec<Option<Resident<K, V>>>,
    free: Vec<Slot>,
    policy: Box<dyn Evict>,
    wheel: Wheel,
    tagged: Tagged,
    pub(crate) stats: Stats,
}

impl<K, V> Shard<K, V> {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            policy: policy.build(),
            wheel: Wheel::new(),
            tagged: Tagged::default(),
            stats: Stats::default(),
        }
    }

    pub(crate) fn find<Q: Equivalent<K> + ?Sized>(&self, hash: u64, key: &Q) -> Option<Slot> {
        let slots = &self.slots;
        let same = |slot: &Slot| {
            slots[*slot as usize].as_ref().is_some_and(|held| held.hash == hash && key.equivalent(&held.key))
        };
        self.index.find(hash, same).copied()
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Resident<K, V>> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// How many slots there are, empty ones included: the range of all entries.
    pub(crate) fn slot_count(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn touch(&mut self, slot: Slot) {
        self.policy.touch(slot);
    }

    /// Gives the entry in this slot another end.
    pub(crate) fn set_expiry(&mut self, slot: Slot, expires: Time) {
        if let Some(held) = &mut self.slots[slot as usize] {
            held.expires = expires;
            let deadline = held.deadline();
            self.wheel.schedule(slot, deadline);
        }
    }

    /// Links a new entry whose key is not here yet.
    pub(crate) fn link(&mut self, Candidate { resident, facts }: Candidate<K, V>) {
        let hash = resident.hash;
        let slot = self.settle(resident);
        self.policy.insert(slot, &facts);
        let slots = &self.slots;
        let rehash = |slot: &Slot| slots[*slot as usize].as_ref().map_or(0, |held| held.hash);
        self.index.insert_unique(hash, slot, rehash);
    }

    /// Exchanges the entry in this slot for a newer one of the same key.
    pub(crate) fn replace(&mut self, slot: Slot, newer: Candidate<K, V>) -> Option<Departed<K, V>> {
        let old = self.unsettle(slot)?;
        let same = self.settle(newer.resident);
        debug_assert_eq!(same, slot, "the slot that was freed last is taken first");
        self.policy.update(slot, &newer.facts);
        Some(self.depart(old, Cause::Replaced))
    }

    /// Takes out the entry in this slot.
    pub(crate) fn remove(&mut self, slot: Slot, cause: Cause) -> Option<Departed<K, V>> {
        self.policy.remove(slot);
        self.unlink(slot, cause)
    }

    /// Makes room: takes out an entry whose time is over, else the policy's victim.
    pub(crate) fn evict(&mut self, now: Time) -> Option<Departed<K, V>> {
        if let Some(expired) = self.pop_expired(now, &mut 8) {
            return Some(expired);
        }
        let victim = self.policy.evict()?;
        self.unlink(victim, Cause::Evicted)
    }

    /// Takes out one entry whose time is over, if `steps` steps of the wheel find one.
    pub(crate) fn pop_expired(&mut self, now: Time, steps: &mut usize) -> Option<Departed<K, V>> {
        while *steps > 0 {
            *steps -= 1;
            match self.wheel.step(now.as_nanos() / NANOS_PER_TICK) {
                Step::Expired(slot) => return self.remove(slot, Cause::Expired),
                Step::Moved => {}
                Step::Idle => return None,
            }
        }
        None
    }

    /// The slots that carry this tag, as they are now.
    pub(crate) fn tagged(&self, tag: &str) -> Vec<Slot> {
        self.tagged.snapshot(tag)
    }

    /// Takes everything out at once and goes on as a new one. To be looked through without its lock: see [`Drained`].
    pub(crate) fn drain(&mut self, policy: Policy) -> Drained<K, V> {
        let kept = Stats { entries: 0, bytes: 0, ..self.stats };
        let old = std::mem::replace(self, Self::new(policy));
        self.stats = kept;
        Drained(old)
    }

    /// Enters departures into the books that a [`Drained`] has told.
    pub(crate) fn enter(&mut self, removed: u64, expired: u64) {
        self.stats.removed += removed;
        self.stats.expired += expired;
    }

    fn unlink(&mut self, slot: Slot, cause: Cause) -> Option<Departed<K, V>> {
        let resident = self.unsettle(slot)?;
        if let Ok(place) = self.index.find_entry(resident.hash, |held| *held == slot) {
            place.remove();
        }
        Some(self.depart(resident, cause))
    }

    /// Puts an entry into a free slot, with its deadline and tags; index and policy are the caller's.
    fn settle(&mut self, resident: Resident<K, V>) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a shard of 2^32 entries does not fit into memory"
            )]
            let slot = (self.slots.len() - 1) as Slot;
            slot
        });
        self.stats.inserts += 1;
        self.stats.entries += 1;
        self.stats.bytes = self.stats.bytes.wrapping_add(resident.bytes);
        if resident.expires != Time::NEVER {
            self.wheel.schedule(slot, resident.deadline());
        }
        self.tagged.insert(slot, &resident.tags);
        self.slots[slot as usize] = Some(resident);
        slot
    }

    fn unsettle(&mut self, slot: Slot) -> Option<Resident<K, V>> {
        let resident = self.slots[slot as usize].take()?;
        self.wheel.cancel(slot);
        self.tagged.remove(slot, &resident.tags);
        self.free.push(slot);
        Some(resident)
    }

    /// Enters a departure into the books.
    fn depart(&mut self, resident: Resident<K, V>, cause: Cause) -> Departed<K, V> {
        self.stats.entries -= 1;
        self.stats.bytes = self.stats.bytes.wrapping_sub(resident.bytes);
        *match cause {
            Cause::Expired => &mut self.stats.expired,
            Cause::Evicted => &mut self.stats.evicted,
            Cause::Replaced => &mut self.stats.replaced,
            Cause::Removed => &mut self.stats.removed,
        } += 1;
        resident.departed(cause)
    }
}

/// What a shard held when it was drained.
pub(crate) struct Drained<K, V>(Shard<K, V>);

impl<K, V> Drained<K, V> {
    pub(crate) fn departed(self, now: Time) -> impl Iterator<Item = Departed<K, V>> {
        self.0.slots.into_iter().flatten().map(move |held| {
            let cause = held.cause_of_removal(now);
            held.departed(cause)
        })
    }
}
