//! One look at a shard without its lock. All of the unsafe code of [`optimistic`](super), where it is argued.

use std::hash::{BuildHasher, Hash};
use std::hint::cold_path;
use std::mem::MaybeUninit;
use std::ptr;

use equivalent::Equivalent;

use super::readers::Reading;
use super::thread;
use crate::cells::Cell;
use crate::engine::{BATCH, CacheAligned, Engine, Hash64, Lock};
use crate::fetch::fetch;
use crate::index::{self, Bucket, Head};
use crate::lock::{Seq, seq_of};
use crate::shard::Rules;

/// What a look needs of a shard, as it was at one moment.
struct Sight<'a, K, V> {
    seq: &'a Seq,
    /// When that was.
    begun: u64,
    rules: *const Rules,
    buckets: *const Bucket,
    bucket_count: usize,
    cells: *const Option<Cell<K, V>>,
    cell_room: usize,
}

/// Reads what another thread may be writing: bytes that mean nothing yet.
///
/// # Safety
/// It points to memory of that type that is allocated now, though perhaps to no value of it.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it is one instruction")]
unsafe fn copy<T>(from: *const T) -> MaybeUninit<T> {
    // SAFETY: any bytes are a `MaybeUninit`; allocated and aligned as the caller says. It may be written meanwhile: see the module.
    unsafe { ptr::read_volatile(from.cast()) }
}

impl<'a, K, V> Sight<'a, K, V> {
    /// Looks at the shard; `None` if somebody has its lock. To be called, and used, only by whoever has entered.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a hit is one piece of code")]
    fn of(CacheAligned(lock): &'a Lock<K, V>) -> Option<Self> {
        let seq = seq_of(lock);
        let begun = seq.begin()?;
        let shard = lock.data_ptr();
        // SAFETY: the fields of the shard are there as long as the lock, which is borrowed. No reference to the shard is made:
        // somebody may hold an exclusive one.
        let (rules, buckets, cells) = unsafe {
            (
                &raw const (*shard).rules,
                copy(&raw const (*shard).index.buckets.span),
                copy(&raw const (*shard).slab.cells.table.span),
            )
        };
        if !seq.is_still(begun) {
            return None;
        }
        // SAFETY: nobody has had the lock meanwhile, so each of these is as the last holder left it.
        let ((buckets, bucket_count), (cells, cell_room)) =
            unsafe { (buckets.assume_init().parts(), cells.assume_init().parts()) };
        Some(Self { seq, begun, rules, buckets, bucket_count, cells, cell_room })
    }

    /// The bucket where a look for this fingerprint begins, if there are any.
    #[inline]
    fn bucket(&self, fingerprint: u32) -> Option<*const Bucket> {
        let home = index::home(fingerprint, self.bucket_count);
        // It is below the count by its making, unless that is zero.
        (self.bucket_count > 0).then(|| self.buckets.wrapping_add(home))
    }

    /// The bucket after this one.
    fn after(&self, bucket: *const Bucket) -> *const Bucket {
        let next = bucket.wrapping_add(1);
        if next == self.buckets.wrapping_add(self.bucket_count) { self.buckets } else { next }
    }

    /// The head of a bucket, perhaps half changed.
    #[inline]
    fn head(bucket: *const Bucket) -> Head {
        // SAFETY: the bucket is one of a table that was the shard's when this thread looked, after it had entered, so it has not
        // been freed. Its head comes first, as its layout is C's, so it is aligned as sixteen lanes are, and of their size; they
        // have no bits that mean nothing.
        unsafe { copy(bucket.cast::<Head>()).assume_init() }
    }

    /// Tells whether nobody has had the lock since this sight was taken.
    #[inline]
    fn is_still_so(&self) -> bool {
        self.seq.is_still(self.begun)
    }

    /// Ends and counts a read that has found nothing where the key may stand, if nobody has had the lock since this sight was taken; tells
    /// whether it did.
    #[inline]
    fn tell_miss(&self, reading: Reading<'_>) -> bool {
        let is_so = self.is_still_so();
        if is_so {
            reading.end().count_miss();
        }
        is_so
    }

    /// The slot in the first of these lanes of a bucket.
    #[inline]
    fn slot(bucket: *const Bucket, lanes: u32) -> usize {
        let lane = lanes.trailing_zeros() as usize;
        // SAFETY: the bucket is allocated, as above, and a number has no bits that mean nothing. The lane is one of those that hold
        // slots, as `lanes` tells of no other.
        let slot = unsafe { copy((&raw const (*bucket).slots).cast::<u32>().add(lane)).assume_init() };
        slot as usize
    }

    /// Has the processor fetch the cell that the first of these lanes of a bucket leads to.
    #[inline]
    fn fetch_cell(&self, bucket: *const Bucket, lanes: u32) {
        fetch(self.cells.wrapping_add(Self::slot(bucket, lanes)));
    }

    /// A copy of the cell that the first of these lanes of a bucket leads to, and of the rules; `None` if it leads nowhere, or if
    /// anyone has had the lock since this sight was taken.
    #[inline]
    fn copy_of(&self, bucket: *const Bucket, lanes: u32) -> Option<Seen<K, V>> {
        let slot = Self::slot(bucket, lanes);
        if slot >= self.cell_room {
            return None;
        }
        // SAFETY: the cell is one of a table that was the shard's when this thread looked, after it had entered; the rules are a
        // field of the shard.
        let (cell, rules) = unsafe { (copy(self.cells.add(slot)), copy(self.rules)) };
        self.is_still_so().then_some(Seen { cell, rules })
    }
}

/// A copy of a cell and of the rules of its shard, in which nothing was half changed.
struct Seen<K, V> {
    cell: MaybeUninit<Option<Cell<K, V>>>,
    rules: MaybeUninit<Rules>,
}

impl<K, V> Seen<K, V> {
    #[inline]
    fn cell(&self) -> Option<&Cell<K, V>> {
        // SAFETY: made in `copy_of` only, where nobody had the lock meanwhile; so it is what the last holder left: a cell, or none. It
        // is never dropped, and as its key and value are `Copy`, a second copy of their bits is as good as the first.
        unsafe { self.cell.assume_init_ref() }.as_ref()
    }

    /// Tells whether it is of this key.
    #[inline]
    fn is_of<Q: Equivalent<K> + ?Sized>(&self, key: &Q) -> bool {
        let Some(cell) = self.cell() else {
            cold_path();
            return false;
        };
        key.equivalent(&cell.pair.0)
    }

    /// Its value, if to read it changes nothing and needs no clock.
    #[inline]
    fn value(&self, horizon: u64) -> Option<&V> {
        let cell = self.cell()?;
        // SAFETY: as above.
        let rules = unsafe { self.rules.assume_init() };
        rules.are_indifferent(cell.node, horizon).then_some(&cell.pair.1)
    }
}

/// What a look without the lock has found.
pub(super) enum Glance<V> {
    Hit(V),
    Miss,
    /// Only one who has the lock can tell, or has more to do than to tell.
    Unclear,
}

impl<K: Hash + Eq, V: Clone, S: BuildHasher + 'static> Engine<K, V, S> {
    /// Looks for a key at the first place where it may stand, without a lock, and counts the read if it is there, or can be nowhere. If
    /// neither is certain, it is looked for [elsewhere](Self::copy_elsewhere); if it is there and there is more to do, it is read
    /// [under the lock](Self::copy_locked).
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "a hit is one piece of code: a call in it costs a fifth of the whole"
    )]
    pub(super) fn glance<Q>(&self, hash: Hash64, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let fingerprint = hash.fingerprint();
        let looked = || {
            let reading = self.readers.enter_here()?;
            let sight = Sight::of(self.lock_of(hash))?;
            let bucket = sight.bucket(fingerprint)?;
            Some((reading, sight, bucket))
        };
        let Some((reading, sight, bucket)) = looked() else {
            cold_path();
            return self.copy_elsewhere(hash, key);
        };
        let head = Sight::<K, V>::head(bucket);
        let lanes = index::lanes(head, fingerprint);
        if lanes == 0 {
            if index::has_spilled(head) {
                // Ends before the other look begins.
                drop(reading);
            } else if sight.tell_miss(reading) {
                return None;
            }
            return self.copy_elsewhere(hash, key);
        }
        // Asked before the copy is made, so that it vouches for no one who was removed by then.
        let horizon = self.present.horizon();
        let Some(seen) = sight.copy_of(bucket, lanes) else {
            cold_path();
            drop(reading);
            return self.copy_elsewhere(hash, key);
        };
        let ended = reading.end();
        if !seen.is_of(key) {
            cold_path();
            return self.copy_elsewhere(hash, key);
        }
        let Some(value) = seen.value(horizon) else {
            cold_path();
            return self.copy_locked(hash, key);
        };
        let value = value.clone();
        ended.count_hits(1);
        Some(value)
    }

    /// Looks for a key at all places where it may stand, without a lock, and counts the read unless it is unclear.
    pub(super) fn glance_around<Q>(&self, hash: Hash64, key: &Q) -> Glance<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let Some(reading) = self.readers.enter_here() else {
            if !self.readers.is_empty() {
                // The next read of this thread will have a mark.
                thread::assign();
            }
            return Glance::Unclear;
        };
        let Some(sight) = Sight::of(self.lock_of(hash)) else { return Glance::Unclear };
        self.walk_chain(reading, &sight, (hash, key)).unwrap_or(Glance::Unclear)
    }

    fn walk_chain<Q>(
        &self,
        mut reading: Reading<'_>,
        sight: &Sight<'_, K, V>,
        (hash, key): (Hash64, &Q),
    ) -> Option<Glance<V>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let home = sight.bucket(hash.fingerprint())?;
        let mut bucket = home;
        loop {
            let head = Sight::<K, V>::head(bucket);
            let mut lanes = index::lanes(head, hash.fingerprint());
            while lanes != 0 {
                let horizon = self.present.horizon();
                let seen = sight.copy_of(bucket, lanes)?;
                let ended = reading.end();
                if seen.is_of(key) {
                    let value = seen.value(horizon)?.clone();
                    ended.count_hits(1);
                    return Some(Glance::Hit(value));
                }
                reading = ended.resume();
                // The tables may have been freed in between; if not, they will not be before this ends, either.
                if !sight.is_still_so() {
                    return None;
                }
                lanes &= lanes - 1;
            }
            bucket = sight.after(bucket);
            if !index::has_spilled(head) || bucket == home {
                return sight.tell_miss(reading).then_some(Glance::Miss);
            }
        }
    }

    /// Reads many values so, of at most [`BATCH`] keys, and the others one by one; `false` if that is not possible now.
    /// Looks first at all buckets, then for all cells, and only then copies them, so that the processor fetches each kind from
    /// memory at the same time.
    pub(super) fn glance_at_many<Q>(&self, keys: &[&Q], answers: &mut Vec<Option<V>>) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let mut hashes = [Hash64::ZERO; BATCH];
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.hash(*key);
        }
        let Some(reading) = self.readers.enter_here() else { return false };
        let sights: [_; BATCH] = std::array::from_fn(|number| {
            let sight = Sight::of(self.lock_of(hashes[number]))?;
            let bucket = sight.bucket(hashes[number].fingerprint())?;
            fetch(bucket);
            Some((sight, bucket))
        });
        let lanes: [u32; BATCH] = std::array::from_fn(|number| {
            let bucket = sights[number].as_ref().map(|(_, bucket)| *bucket);
            bucket.map_or(0, |bucket| index::lanes(Sight::<K, V>::head(bucket), hashes[number].fingerprint()))
        });
        for (sight, lanes) in sights.iter().zip(lanes) {
            if let Some((sight, bucket)) = sight
                && lanes != 0
            {
                sight.fetch_cell(*bucket, lanes);
            }
        }
        let horizon = self.present.horizon();
        let seen: [_; BATCH] = std::array::from_fn(|number| {
            let (sight, bucket) = sights[number].as_ref().filter(|_| lanes[number] != 0)?;
            sight.copy_of(*bucket, lanes[number])
        });
        let ended = reading.end();
        let mut hits = 0;
        answers.extend(hashes.iter().zip(keys).zip(seen).map(|((hash, key), seen)| {
            let seen = seen.as_ref().filter(|seen| seen.is_of(*key));
            if let Some(value) = seen.and_then(|seen| seen.value(horizon)) {
                hits += 1;
                return Some(value.clone());
            }
            self.copy_elsewhere(*hash, *key)
        }));
        ended.count_hits(hits);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    #[test]
    fn a_miss_is_believed_only_if_nobody_was_there_meanwhile() {
        let memory: Memory<u64, u64> = Memory::new().with_shards(1);
        assert!(memory.insert(1, 10).is_stored() && memory.get(&1).is_some());
        let engine = &memory.engine.engine;
        let look = |meanwhile: &dyn Fn()| {
            let hash = engine.hash(&2_u64);
            let sight = Sight::of(engine.lock_of(hash)).expect("nobody has the lock");
            meanwhile();
            let reading = engine.readers.enter_here().expect("there is a mark");
            engine.walk_chain(reading, &sight, (hash, &2_u64))
        };
        assert!(matches!(look(&|| ()), Some(Glance::Miss)));
        assert!(look(&|| assert!(memory.insert(3, 30).is_stored())).is_none());
    }

    #[test]
    fn a_shard_is_free_while_the_tables_that_it_outgrew_wait_for_who_reads_them() {
        let memory: Memory<u64, u64> = Memory::new().with_shards(1).with_sweep_every(None);
        (0..2048).for_each(|key| assert!(memory.insert(key, key).is_stored()));
        assert!(memory.get(&0).is_some());
        assert_eq!(memory.remove_if(|_, _| true), 2048);
        let engine = &memory.engine.engine;
        let shard = &engine.lock_of(Hash64::ZERO).0;
        let reading = engine.readers.enter_here().expect("there is a mark");
        std::thread::scope(|scope| {
            let sweeper = scope.spawn(|| memory.remove_expired());
            // Bounded, because whoever held the lock while he waits would wait for this thread.
            let is_free = (0..10_000_000).any(|_| {
                std::thread::yield_now();
                shard.try_lock().is_some_and(|shard| shard.slots() == 0)
            });
            assert!(is_free, "the lock is held until nobody reads");
            assert!(!sweeper.is_finished(), "nobody has waited for the reader");
            reading.end().count_miss();
        });
    }
}
