//! Reads without a lock: a hit copies the entry and then looks whether anyone has had the shard's lock meanwhile.
//!
//! Nothing shared is written, so any number of threads read the same keys without waiting for each other's lines of memory;
//! with two of them a hit takes a third of the time that it takes under a lock. What such a read cannot do is left to one
//! under the lock: it marks an entry that is used for the first time, tells the policy of a use that it
//! wants to hear of, asks the clock about an entry near its end, and waits for a writer.
//!
//! ```text
//! enter ─ note the count ─ tables ─ bucket ─ cell: copied ─ is the count still the same? ─ end ─ compare the key ─► value
//!                              └───────────────┴── no, or more to do ──► read under the lock
//! ```
//!
//! Only keys and values that are plain bits, `Copy`, are read so. A copy of others would have to be cloned before anyone drops what
//! they own, and nobody who removes an entry waits for readers. Others have no [`Readers`], and the compiler leaves
//! most of this out for them.
//!
//! Unsafe: see each block. Three things hold for all. **What is read may be half changed**: it is read as bytes that need not mean
//! anything ([`MaybeUninit`](std::mem::MaybeUninit)), by volatile reads, which the compiler neither leaves out nor repeats, and taken for what it is only
//! after the count was the same: then no writer has been there since the count was read, because each makes it odd before
//! his first change and greater after his last one. By the letter of the memory model reading what another thread may be
//! writing is a race all the same, as in every sequence lock (Boehm, "Can seqlocks get along with programming language memory models?",
//! 2012; crossbeam's `AtomicCell` reads the same way). **What is read is not freed meanwhile**: a table that is replaced
//! is freed only when all who have [entered](Readers::enter) before have ended; see [`readers`], of which loom tries every
//! schedule (`tests/it/optimistic.rs`). **No foreign code runs meanwhile**: keys are compared after the end, so nobody who is waited for
//! waits himself. The safe twin is the read under the lock, [`Memory::get_with`](crate::Memory::get_with).

#[expect(unsafe_code, reason = "argued in the head of this module, and at each block")]
mod glance;
mod plain;
mod readers;
mod sync;
mod table;
mod thread;

use std::hash::{BuildHasher, Hash};
use std::mem::needs_drop;

use equivalent::Equivalent;

use self::glance::Glance;
pub(crate) use self::plain::are_plain;
pub(crate) use self::readers::Readers;
pub(crate) use self::table::Table;
use crate::engine::{Engine, Hash64};

impl Readers {
    /// No marks: all reads take the lock.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self::new(0)
    }

    /// Marks for more threads than there usually are, if keys and values are `Copy`, as the caller says, and small, and the
    /// system can do it; else none.
    pub(crate) fn of<K, V>(are_copy: bool) -> Self {
        // Its tasks share a thread, and so would share a mark.
        let has_threads = cfg!(not(strata_shuttle));
        let owns = needs_drop::<K>() || needs_drop::<V>();
        let is_small = size_of::<K>() + size_of::<V>() <= MOST_BYTES;
        let can = are_copy && !owns && is_small && has_threads && sync::has_heavy();
        Self::new(if can { THREADS } else { 0 })
    }

    /// Begins a read of this thread, if there is a mark for it.
    #[inline]
    fn enter_here(&self) -> Option<readers::Reading<'_>> {
        self.enter(thread::number())
    }
}

/// Threads beyond take the lock.
const THREADS: usize = 64;

/// To copy more, perhaps in vain, costs more than a lock.
const MOST_BYTES: usize = 128;

impl<K: Hash + Eq, V: Clone, S: BuildHasher + 'static> Engine<K, V, S> {
    /// Reads a value, without a lock where that is possible, and counts that as a use of it.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "a hit is one piece of code: a call in it costs a fifth of the whole"
    )]
    pub(crate) fn copy<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hash(key);
        if const { needs_drop::<K>() || needs_drop::<V>() } {
            return self.read_locked(hash, key, |held| Some(held.value.clone()));
        }
        self.glance(hash, key)
    }

    /// Reads a value that was not found at the first place where it may stand.
    #[inline(never)]
    fn copy_elsewhere<Q>(&self, hash: Hash64, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        match self.glance_around(hash, key) {
            Glance::Hit(value) => Some(value),
            Glance::Miss => None,
            Glance::Unclear => self.copy_locked(hash, key),
        }
    }

    /// Copies the values of at most [`BATCH`](crate::engine::BATCH) keys to the answers, if that is possible without their locks.
    pub(crate) fn copy_batch<Q>(&self, keys: &[&Q], answers: &mut Vec<Option<V>>) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        if const { needs_drop::<K>() || needs_drop::<V>() } || self.readers.is_empty() {
            return false;
        }
        let is_done = self.glance_at_many(keys, answers);
        if !is_done {
            thread::assign();
        }
        is_done
    }

    /// Reads a value of which a use is to be noted, or about which the clock is to be asked, or which somebody is writing.
    #[inline(never)]
    fn copy_locked<Q>(&self, hash: Hash64, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.read_locked(hash, key, |held| Some(held.value.clone()))
    }
}
