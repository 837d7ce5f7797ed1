//! The shards together: which one a key belongs to, and what is read and removed there.
//!
//! A shard's lock is held for one short step at a time and never together with another's, save where many keys are read
//! or a limit is set: then locks are taken in the order of the shards, so that nobody waits in a circle. Whatever leaves
//! is reported and dropped after unlocking. Walks over all entries are in [`walk`](crate::walk).

mod insert;

use std::any::TypeId;
use std::hash::{BuildHasher, Hash};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

use cache_core::{Time, Ttl};
use cache_policy::Slot;
use equivalent::Equivalent;
use foldhash::fast::RandomState;

use crate::budget::{Budget, Room};
use crate::listen::{Cause, Reporter};
use crate::lock::{Mutex, MutexGuard};
use crate::now::Present;
use crate::optimistic::Readers;
use crate::ruins::Ruins;
use crate::shard::{Held, Left, Plan, Shard};
use crate::stats::Stats;

/// Higher than the number of any shard.
const NO_SHARD: u16 = u16::MAX;

/// How many keys are read together: as many misses as a core has in flight, and no more locks at a time than that.
pub(crate) const BATCH: usize = 16;

pub(crate) struct Engine<K, V, S> {
    /// A power of two of them.
    pub(crate) shards: Box<[Lock<K, V>]>,
    /// Who reads without a lock.
    pub(crate) readers: Readers,
    pub(crate) budget: Budget,
    /// How shards are made. Locked before any shard, by whoever moves entries or room outside of the shards' books.
    pub(crate) plan: Mutex<Plan>,
    /// How many walks are under way that know entries by their slots: while there are any, none moves to another.
    pub(crate) walks: AtomicUsize,
    /// Where to look next for a victim outside of one's own shard: each time elsewhere, so that none is emptied.
    next_donor: AtomicUsize,
    /// What the shards are told when they have to evict: what the policy of the first one has learned, and whether there
    /// are [`RUINS`](crate::ruins::RUINS).
    pub(crate) advice: AtomicU8,
    pub(crate) ruins: Ruins<K, V>,
    pub(crate) hasher: S,
    pub(crate) present: Present,
    pub(crate) reporter: Reporter<K, V>,
}

/// Keeps neighbouring shards from sharing a cache line, or the pair of lines that a prefetcher fetches together.
#[repr(align(128))]
pub(crate) struct CacheAligned<T>(pub(crate) T);

pub(crate) type Lock<K, V> = CacheAligned<Mutex<Shard<K, V>>>;

impl<K, V> Lock<K, V> {
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shard<K, V>> {
        self.0.lock()
    }
}

/// Spreads a hash over all its bits. Many hashers leave some of them alike for all keys of a kind: `FxHash` the lowest for
/// multiples of a power of two, one that takes numbers as they are the upper half. Here all are looked at.
fn spread(hash: u64) -> u64 {
    let product = u128::from(hash) * 0x9E37_79B9_7F4A_7C15;
    #[expect(clippy::cast_possible_truncation, reason = "the lower half, with the upper one folded onto it")]
    let folded = (product ^ product >> 64) as u64;
    folded
}

/// The hash of a key, and which of its bits are for whom.
#[derive(Clone, Copy)]
pub(crate) struct Hash64(u64);

impl Hash64 {
    pub(crate) const ZERO: Self = Self(0);

    /// What the shard and its policy know the key by.
    #[inline]
    pub(crate) fn fingerprint(self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let lower = self.0 as u32;
        lower
    }

    /// The upper half tells the shard, so that the fingerprints of a shard are as different as those of all.
    #[inline]
    pub(crate) fn shard(self, shards: usize) -> usize {
        (self.0 >> 32) as usize & (shards - 1)
    }
}

impl<K: Hash + Eq, V, S: BuildHasher + 'static> Engine<K, V, S> {
    pub(crate) fn new(
        shards: usize,
        plan: Plan,
        budget: Budget,
        parts: (S, Present, Reporter<K, V>, Readers),
    ) -> Self {
        debug_assert!(shards.is_power_of_two());
        let (hasher, present, reporter, readers) = parts;
        let plan_of = |number| Plan { leads: number == 0, ..plan };
        let shard = |number| CacheAligned(Mutex::new(Shard::new(plan_of(number), &readers)));
        Self {
            shards: (0..shards).map(shard).collect(),
            readers,
            budget,
            plan: Mutex::new(plan),
            walks: AtomicUsize::new(0),
            next_donor: AtomicUsize::new(0),
            advice: AtomicU8::new(0),
            ruins: Ruins::new(),
            hasher,
            present,
            reporter,
        }
    }

    /// Runs `read` on a living entry and counts that as a use of it.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "a hit is one piece of code: a call in it costs a fifth of the whole"
    )]
    pub(crate) fn read<Q, R>(&self, key: &Q, read: impl FnOnce(Held<'_, K, V>) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.read_locked(self.hash(key), key, |held| Some(read(held)))
    }

    /// The same, unless `read` declines the entry: then it was neither a read nor a use.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "a hit is one piece of code: a call in it costs a fifth of the whole"
    )]
    pub(crate) fn read_if<Q, R>(&self, key: &Q, read: impl FnOnce(Held<'_, K, V>) -> Option<R>) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.read_locked(self.hash(key), key, read)
    }

    /// The same, for whoever has the key's hash, and may decline.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "a hit is one piece of code: a call in it costs a fifth of the whole"
    )]
    pub(crate) fn read_locked<Q, R>(
        &self,
        hash: Hash64,
        key: &Q,
        read: impl FnOnce(Held<'_, K, V>) -> Option<R>,
    ) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let mut shard = self.shard(hash);
        let found = shard.find(hash.fingerprint(), key);
        self.read_at(&mut shard, found, read)
    }

    /// Runs `read` on the entry that was found in this slot, if one was, and enters the read into the books unless `read` declines.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "a hit is one piece of code: a call in it costs a fifth of the whole"
    )]
    fn read_at<R>(
        &self,
        shard: &mut Shard<K, V>,
        found: Option<Slot>,
        read: impl FnOnce(Held<'_, K, V>) -> Option<R>,
    ) -> Option<R> {
        let is_due = |expires: Time| self.present.now() >= expires;
        let horizon = || self.present.horizon();
        let mut declined = false;
        let read = |held: Held<'_, K, V>| {
            let answer = read(held);
            declined = answer.is_none();
            answer
        };
        // See there for why nothing drops the answer meanwhile.
        let answer = found.and_then(|slot| shard.read(slot, horizon, is_due, read)).map(ManuallyDrop::new);
        if answer.is_some() {
            shard.count_hit(found);
        } else if !declined {
            shard.stats.misses += 1;
        }
        answer.map(ManuallyDrop::into_inner)
    }

    /// Copies many values, each as [`copy`](Self::copy) does: one answer per key, in their order.
    pub(crate) fn copy_many<'k, Q>(&self, keys: impl IntoIterator<Item = &'k Q>) -> Vec<Option<V>>
    where
        V: Clone,
        Q: Hash + Equivalent<K> + ?Sized + 'k,
    {
        let mut keys = keys.into_iter();
        let mut answers = Vec::with_capacity(keys.size_hint().0);
        let Some(mut next) = keys.next() else { return answers };
        loop {
            let mut batch = [next; BATCH];
            let others = batch[1..].iter_mut().zip(&mut keys).map(|(place, key)| *place = key).count();
            if !self.copy_batch(&batch[..=others], &mut answers) {
                self.read_batch(&batch[..=others], &|held: Held<'_, K, V>| held.value.clone(), &mut answers);
            }
            match keys.next() {
                Some(key) => next = key,
                None => return answers,
            }
        }
    }

    /// Has the processor fetch all buckets, then all cells, then what their entries own, and only then reads them. The locks come
    /// first, because they would make it wait in between.
    fn read_batch<Q, R>(&self, keys: &[&Q], read: &impl Fn(Held<'_, K, V>) -> R, answers: &mut Vec<Option<R>>)
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let mut hashes = [Hash64::ZERO; BATCH];
        let mut shards = [NO_SHARD; BATCH];
        for (number, key) in keys.iter().enumerate() {
            hashes[number] = self.hash(key);
            #[expect(clippy::cast_possible_truncation, reason = "there are at most 4096 shards")]
            let shard = hashes[number].shard(self.shards.len()) as u16;
            shards[number] = shard;
        }
        // Sorts the shards without a branch: each stands behind all that are lower, those of one shard at the same place.
        let guard_of = shards.map(|shard| shards.iter().map(|other| u16::from(*other < shard)).sum::<u16>());
        let mut sorted = [NO_SHARD; BATCH];
        for (place, shard) in guard_of.iter().zip(shards) {
            sorted[usize::from(*place)] = shard;
        }
        let guard_of = guard_of.map(usize::from);
        let mut guards = sorted.map(|shard| self.shards.get(usize::from(shard)).map(Lock::lock));
        for stage in [Shard::fetch_bucket, Shard::fetch_cell, Shard::fetch_pair] {
            for (place, hash) in guard_of.iter().zip(hashes).take(keys.len()) {
                if let Some(shard) = &guards[*place] {
                    stage(shard, hash.fingerprint());
                }
            }
        }
        let mut slots = [None; BATCH];
        for (number, key) in keys.iter().enumerate() {
            let shard = guards[guard_of[number]].as_ref();
            slots[number] = shard.and_then(|shard| shard.find(hashes[number].fingerprint(), *key));
        }
        answers.extend((0..keys.len()).map(|number| {
            let shard = guards[guard_of[number]].as_mut()?;
            self.read_at(shard, slots[number], |held| Some(read(held)))
        }));
    }

    /// Runs `read` on a living entry, which counts neither as a read nor as a use.
    pub(crate) fn peek<Q, R>(&self, key: &Q, read: impl FnOnce(Held<'_, K, V>) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hash(key);
        let shard = self.shard(hash);
        let slot = shard.find(hash.fingerprint(), key)?;
        let is_alive = shard.outlives(slot, self.present.horizon());
        let held = shard.get(slot)?;
        (is_alive || held.expires == Time::NEVER || held.is_alive(self.present.now())).then(|| read(held))
    }

    /// Enters a read into the books that was not made by [`read`](Self::read).
    pub(crate) fn count_read<Q: Hash + ?Sized>(&self, key: &Q, hit: bool) {
        let mut shard = self.shard(self.hash(key));
        if hit {
            shard.count_hit(None);
        } else {
            shard.stats.misses += 1;
        }
    }

    pub(crate) fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hash(key);
        let mut shard = self.shard(hash);
        let slot = shard.find(hash.fingerprint(), key)?;
        let cause = match shard.get(slot)? {
            held if held.expires == Time::NEVER => Cause::Removed,
            held => held.cause_of_removal(self.present.now()),
        };
        let left: Left<K, V> = shard.extract(slot, cause)?;
        self.release(Some(left.bytes));
        drop(shard);
        let (key, value) = left.pair;
        self.reporter.report(&key, &value, left.cause);
        // Here rather than at the end: if that panics, the value must neither leak nor be lost to the caller.
        self.reporter.survive(|| drop(key));
        (cause == Cause::Removed).then_some(value)
    }

    /// Gives a living entry the life from now that `life` chooses for it. One of zero removes it.
    pub(crate) fn touch<Q>(&self, key: &Q, life: impl FnOnce(Held<'_, K, V>) -> Ttl) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hash(key);
        let now = self.present.now();
        let mut shard = self.shard(hash);
        let Some(slot) = shard.find(hash.fingerprint(), key) else { return false };
        let Some(held) = shard.get(slot).filter(|held| held.is_alive(now)) else { return false };
        let ttl = life(held);
        if ttl.is_zero() {
            let mut gone = self.reporter.departures();
            self.release(shard.remove(slot, Cause::Removed, &mut gone));
            drop(shard);
            self.reporter.dismiss(gone);
            return true;
        }
        shard.set_expiry(slot, ttl.finite().map_or(Time::NEVER, |ttl| now.after(ttl)));
        shard.touch(slot);
        true
    }

    /// Gives the room of an entry of this weight that has left back to the budget, and says whether there was one. To be
    /// called under the lock of its shard.
    pub(crate) fn release(&self, bytes: Option<u64>) -> bool {
        if let Some(bytes) = bytes {
            self.budget.give(Room::of_one(bytes));
        }
        bytes.is_some()
    }

    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> Hash64 {
        let hash = self.hasher.hash_one(key);
        // A comparison of constants: whoever takes the default pays nothing for the others.
        Hash64(if TypeId::of::<S>() == TypeId::of::<RandomState>() { hash } else { spread(hash) })
    }

    #[inline]
    fn shard(&self, hash: Hash64) -> MutexGuard<'_, Shard<K, V>> {
        self.lock_of(hash).lock()
    }

    #[inline]
    pub(crate) fn lock_of(&self, hash: Hash64) -> &Lock<K, V> {
        &self.shards[hash.shard(self.shards.len())]
    }
}

impl<K, V, S> Engine<K, V, S> {
    pub(crate) fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for shard in &self.shards {
            sum += shard.lock().books();
        }
        let (hits, misses) = self.readers.counts();
        sum += Stats { hits, misses, ..Stats::default() };
        let (room, _ruins) = self.ruins.survey();
        sum += Stats { unfreed: room.entries, bytes: room.bytes, ..Stats::default() };
        sum.listener_panics = self.reporter.panics.load(Relaxed);
        sum
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn hashes_that_differ_in_any_few_bits_differ_where_it_counts() {
        for shift in 0..=52 {
            let hashes = (0..4096_u64).map(|number| Hash64(spread(number << shift)));
            let (mut shards, mut buckets, mut lowest) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
            for hash in hashes {
                shards.insert(hash.shard(1024));
                buckets.insert(hash.fingerprint() >> 22);
                lowest.insert(hash.fingerprint() & 1023);
            }
            let fewest = shards.len().min(buckets.len()).min(lowest.len());
            assert!(fewest > 512, "{shift}: {} {} {}", shards.len(), buckets.len(), lowest.len());
        }
    }
}
