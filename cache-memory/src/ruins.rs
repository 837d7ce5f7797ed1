//! What was cleared: out of everyone's sight in one move, and then freed a slice at a time.
//!
//! It takes room until it is freed, so whoever needs room takes it from here before he evicts anybody. Where nobody is in
//! need, the sweeping thread does it.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::budget::{Budget, Room};
use crate::listen::{Cause, Departures};
use crate::lock::{Mutex, MutexGuard};
use crate::shard::Shard;

/// Tells all shards, among what they are told, that there are ruins.
pub(crate) const RUINS: u8 = 1 << 7;

pub(crate) struct Ruins<K, V>(Mutex<Vec<Ruin<K, V>>>);

/// What a shard was when it was cleared, whole: to return its tables may take a while, too.
pub(crate) struct Ruin<K, V> {
    shard: Shard<K, V>,
    /// Of the entries that are left.
    room: Room,
}

impl<K, V> Ruins<K, V> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Adds one. To be called under the lock of its shard, which comes first; so nobody sees it in neither place.
    pub(crate) fn add(&self, ruin: Ruin<K, V>, told: &AtomicU8) {
        let mut ruins = self.0.lock();
        ruins.push(ruin);
        told.fetch_or(RUINS, Relaxed);
    }

    /// Frees a slice of so many slots, if there are any ruins, and says whether there were.
    pub(crate) fn free_slice(
        &self,
        slots: usize,
        (told, budget): (&AtomicU8, &Budget),
        gone: &mut Departures<'_, K, V>,
    ) -> bool {
        let mut ruins = self.0.lock();
        let Some(ruin) = ruins.last_mut() else { return false };
        let is_level = ruin.free_slice(slots, budget, gone);
        let level = if is_level { ruins.pop() } else { None };
        if ruins.is_empty() {
            told.fetch_and(!RUINS, Relaxed);
        }
        drop(ruins);
        // Returns the tables, which may take a while.
        drop(level);
        true
    }

    /// The room that is held. Nobody frees it while the guard lives.
    pub(crate) fn survey(&self) -> (Room, impl Drop + '_) {
        let ruins: MutexGuard<'_, _> = self.0.lock();
        let mut room = Room::default();
        for ruin in ruins.iter() {
            room.add(ruin.room);
        }
        (room, ruins)
    }
}

impl<K, V> Ruin<K, V> {
    pub(crate) fn new(shard: Shard<K, V>) -> Self {
        let room = shard.room();
        Self { shard, room }
    }

    /// Frees the entries in so many slots, and says whether none is left.
    fn free_slice(&mut self, slots: usize, budget: &Budget, gone: &mut Departures<'_, K, V>) -> bool {
        let slab = &mut self.shard.slab;
        let mut freed = Room::default();
        for (slot, cell) in std::iter::from_fn(|| slab.cells.pop()).take(slots) {
            let Some(cell) = cell else { continue };
            freed.add(Room::of_one(slab.extras.weight(slot)));
            gone.push(cell.pair, Cause::Removed);
        }
        self.room.entries -= freed.entries;
        self.room.bytes = self.room.bytes.saturating_sub(freed.bytes);
        budget.give(freed);
        slab.cells.slots() == 0
    }
}
