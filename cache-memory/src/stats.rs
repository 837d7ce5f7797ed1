//! What happened, as plain numbers. Each shard counts under the lock it already holds; reading sums them up.

use std::ops::AddAssign;

use crate::listen::Cause;

/// Counts since the cache was made, and what it holds now.
///
/// The books balance at rest: `inserts == expired + evicted + replaced + removed + entries`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Reads that found a living entry.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Entries stored, replacements included.
    pub inserts: u64,
    /// Entries that ended by time.
    pub expired: u64,
    /// Entries that had to make room.
    pub evicted: u64,
    /// Entries whose key was given a new value.
    pub replaced: u64,
    /// Entries removed by key, tag, prefix, predicate or clear.
    pub removed: u64,
    /// Inserts refused because the entry alone exceeds the limits.
    pub too_large: u64,
    /// Calls of the removal listener, and drops of what had left, that ended in a panic.
    pub listener_panics: u64,
    /// Entries held, expired ones that are not yet freed included.
    pub entries: u64,
    /// Entries that were removed with a tag or by clear, are seen by nobody and still take room, until they are freed. The limit
    /// in entries holds for them and `entries` together.
    pub unfreed: u64,
    /// The weight of `entries` and `unfreed`: bytes, as the weigher counts them, modulo 2^64.
    pub bytes: u64,
}

impl Stats {
    /// Hits per read, in [0, 1]; `None` before the first read.
    pub fn hit_ratio(&self) -> Option<f64> {
        let reads = self.hits + self.misses;
        #[expect(clippy::cast_precision_loss, reason = "a ratio of counts up to 2^53 is exact enough")]
        let ratio = self.hits as f64 / reads as f64;
        (reads > 0).then_some(ratio)
    }

    /// Counts one entry that leaves for this reason.
    #[inline]
    pub(crate) fn count(&mut self, cause: Cause) {
        *match cause {
            Cause::Expired => &mut self.expired,
            Cause::Evicted => &mut self.evicted,
            Cause::Replaced => &mut self.replaced,
            Cause::Removed => &mut self.removed,
        } += 1;
    }
}

impl AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        let Self {
            hits,
            misses,
            inserts,
            expired,
            evicted,
            replaced,
            removed,
            too_large,
            listener_panics,
            entries,
            unfreed,
            bytes,
        } = other;
        self.hits += hits;
        self.misses += misses;
        self.inserts += inserts;
        self.expired += expired;
        self.evicted += evicted;
        self.replaced += replaced;
        self.removed += removed;
        self.too_large += too_large;
        self.listener_panics += listener_panics;
        self.entries += entries;
        self.unfreed += unfreed;
        self.bytes = self.bytes.wrapping_add(bytes);
    }
}
