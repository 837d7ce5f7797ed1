//! The limits of a cache, shared by its shards: room is taken before an entry is linked, so that neither bound is
//! exceeded at any moment, not even between two steps of an insert.
//!
//! The whole limit belongs to all shards together. Split evenly, an unlucky shard would evict while others have room,
//! and an entry larger than a shard's share could never be stored. A read never comes here, and an insert that evicts
//! as much as it needs settles the exchange without touching the shared counters.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Places and weight: of an entry, of what is free, of what is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Room {
    /// The room of one entry of this weight.
    #[inline]
    pub(crate) fn of_one(bytes: u64) -> Self {
        Self { entries: 1, bytes }
    }

    #[inline]
    pub(crate) fn add(&mut self, other: Self) {
        self.entries += other.entries;
        // Sums overflow only where bytes are not limited, and there nobody looks at them.
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    fn beyond(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_sub(other.entries),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Budget {
    entries: Bound,
    bytes: Bound,
}

impl Budget {
    pub(crate) fn new(max_entries: Option<u64>, max_bytes: Option<u64>) -> Self {
        Self { entries: Bound::new(max_entries), bytes: Bound::new(max_bytes) }
    }

    /// Tells whether an entry of this weight could be stored in an otherwise empty cache.
    #[inline]
    pub(crate) fn could_hold(&self, bytes: u64) -> bool {
        self.entries.max() >= 1 && self.bytes.max() >= bytes
    }

    /// Takes all of that, or nothing.
    #[inline]
    pub(crate) fn take(&self, need: Room) -> bool {
        if !self.entries.take(need.entries) {
            return false;
        }
        let fits = self.bytes.take(need.bytes);
        if !fits {
            self.entries.give(need.entries);
        }
        fits
    }

    /// Covers `need` from what the caller has just freed and takes the rest, or nothing; what was freed and is not needed
    /// stays with the caller.
    pub(crate) fn take_missing(&self, need: Room, freed: &mut Room) -> bool {
        let fits = self.take(need.beyond(*freed));
        if fits {
            *freed = freed.beyond(need);
        }
        fits
    }

    #[inline]
    pub(crate) fn give(&self, room: Room) {
        self.entries.give(room.entries);
        self.bytes.give(room.bytes);
    }

    /// Sets other limits where `held` is all that is held. Nobody may take or give meanwhile.
    pub(crate) fn set(&self, max_entries: Option<u64>, max_bytes: Option<u64>, held: Room) {
        self.entries.set(max_entries, held.entries);
        self.bytes.set(max_bytes, held.bytes);
    }

    /// Tells whether more is held than may be, as after a limit was lowered.
    pub(crate) fn is_overdrawn(&self) -> bool {
        self.entries.is_overdrawn() || self.bytes.is_overdrawn()
    }

    pub(crate) fn max_entries(&self) -> Option<u64> {
        self.entries.limit()
    }

    pub(crate) fn max_bytes(&self) -> Option<u64> {
        self.bytes.limit()
    }
}

/// One bounded quantity. Unbounded ones are not counted: the shards know what they hold.
#[derive(Debug)]
struct Bound {
    /// [`UNBOUNDED`] if there is none: a limit that nothing reaches is none.
    max: AtomicU64,
    used: AtomicU64,
}

const UNBOUNDED: u64 = u64::MAX;

impl Bound {
    fn new(max: Option<u64>) -> Self {
        Self { max: AtomicU64::new(max.unwrap_or(UNBOUNDED)), used: AtomicU64::new(0) }
    }

    // Relaxed suffices throughout: the counters order nothing else, and the entries themselves are published by the
    // shards' locks. That also holds for a new limit, which is set while all shards are locked.
    #[inline]
    fn max(&self) -> u64 {
        self.max.load(Relaxed)
    }

    fn limit(&self) -> Option<u64> {
        Some(self.max()).filter(|max| *max != UNBOUNDED)
    }

    #[inline]
    fn take(&self, amount: u64) -> bool {
        if amount == 0 {
            return true;
        }
        let max = self.max();
        if max == UNBOUNDED {
            return true;
        }
        let fits = |used: u64| used.checked_add(amount).filter(|sum| *sum <= max);
        self.used.fetch_update(Relaxed, Relaxed, fits).is_ok()
    }

    #[inline]
    fn give(&self, amount: u64) {
        if amount > 0 && self.max() != UNBOUNDED {
            self.used.fetch_sub(amount, Relaxed);
        }
    }

    fn set(&self, max: Option<u64>, used: u64) {
        self.max.store(max.unwrap_or(UNBOUNDED), Relaxed);
        self.used.store(used, Relaxed);
    }

    fn is_overdrawn(&self) -> bool {
        self.max() != UNBOUNDED && self.used.load(Relaxed) > self.max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_both_or_neither() {
        let budget = Budget::new(Some(2), Some(10));
        let mut freed = Room::default();
        assert!(budget.take_missing(Room::of_one(8), &mut freed));
        assert!(!budget.take_missing(Room::of_one(3), &mut freed), "too heavy");
        assert!(
            budget.take_missing(Room::of_one(2), &mut freed),
            "the failed attempt has given its place back"
        );
        assert!(!budget.take_missing(Room::of_one(0), &mut freed), "no third place");
    }

    #[test]
    fn what_was_freed_covers_the_need_first() {
        let budget = Budget::new(Some(1), Some(10));
        assert!(budget.take(Room::of_one(10)));
        let mut freed = Room::of_one(10);
        assert!(budget.take_missing(Room::of_one(4), &mut freed));
        assert_eq!(freed, Room { entries: 0, bytes: 6 });
        budget.give(freed);
        assert!(budget.take(Room { entries: 0, bytes: 6 }));
    }

    #[test]
    fn extremes_do_not_overflow() {
        let budget = Budget::new(None, Some(u64::MAX - 1));
        assert!(budget.take(Room::of_one(u64::MAX - 1)));
        assert!(!budget.take(Room::of_one(1)));
        assert!(!Budget::new(Some(0), None).could_hold(0));
    }
}
