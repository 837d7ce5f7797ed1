//! How an entry is stored: in place of an older one of its key, in free room, or in that of a victim.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::Ordering::Relaxed;

use cache_core::{Priority, Time, Ttl};
use cache_policy::{Node, Slot};

use super::{Engine, Hash64};
use crate::budget::Room;
use crate::listen::{Cause, Departures};
use crate::put::{Inserted, Put};
use crate::shard::{About, Shard, Special};

/// How often an insert looks through all shards in vain before it gives up. Others hold room unlinked for
/// nanoseconds, so only a fault in the books, or a machine that runs nobody else, lasts so long.
const PATIENCE: u32 = 10_000;

impl<K: Hash + Eq, V, S: BuildHasher + 'static> Engine<K, V, S> {
    /// Stores an entry of this weight and life, whatever `put` says of the latter, if it fits and, at the moment it would
    /// become visible, `permit` says so.
    pub(crate) fn insert(
        &self,
        pair: (K, V),
        (bytes, ttl): (u64, Ttl),
        put: Put,
        permit: impl Fn() -> bool,
    ) -> Inserted {
        let Put { priority, cost, tags, .. } = put;
        if ttl.is_zero() {
            return self.turn_away(self.hash(&pair.0), &pair.0, Inserted::Expired, &permit);
        }
        let mut special = None;
        if !ttl.is_forever() || cost != 0.0 || !tags.is_empty() {
            let expires = ttl.finite().map_or(Time::NEVER, |ttl| self.present.now().after(ttl));
            special = Some(Special { expires, cost, tags });
        }
        self.insert_new(pair, (bytes, priority), &mut special, permit)
    }

    /// Stores an entry of this weight of which nothing else is known.
    #[inline]
    pub(crate) fn insert_plain(&self, pair: (K, V), bytes: u64) -> Inserted {
        self.insert_new(pair, (bytes, Priority::default()), &mut None, || true)
    }

    #[inline]
    fn insert_new(
        &self,
        pair: (K, V),
        (bytes, priority): (u64, Priority),
        special: &mut Option<Special>,
        permit: impl Fn() -> bool,
    ) -> Inserted {
        let hash = self.hash(&pair.0);
        let mut about = About { node: Node::new(hash.fingerprint(), priority as u8), bytes, special };
        match self.try_insert(hash, pair, &mut about, &permit) {
            Ok(outcome) => outcome,
            Err(pair) => self.insert_patiently(hash, pair, &mut about, &permit),
        }
    }

    /// Makes room in other shards for an entry whose own one has none, until it is stored.
    #[cold]
    fn insert_patiently(
        &self,
        hash: Hash64,
        mut pair: (K, V),
        about: &mut About<'_>,
        permit: &dyn Fn() -> bool,
    ) -> Inserted {
        let mut patience = PATIENCE;
        while patience > 0 {
            let mut gone = self.reporter.departures();
            if !self.evict_elsewhere(hash, &mut gone) {
                // The room is held by inserts that are about to link or to give it back.
                patience -= 1;
                std::thread::yield_now();
            }
            self.reporter.dismiss(gone);
            match self.try_insert(hash, pair, about, permit) {
                Ok(outcome) => return outcome,
                Err(back) => pair = back,
            }
        }
        Inserted::NoRoom
    }

    /// Stores an entry if there is room for it, or can be made in its own shard; else gives it back.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "an insert is one piece of code: a call in it costs a twentieth of the whole"
    )]
    fn try_insert(
        &self,
        hash: Hash64,
        pair: (K, V),
        about: &mut About<'_>,
        permit: &(impl Fn() -> bool + ?Sized),
    ) -> Result<Inserted, (K, V)> {
        let mut gone = self.reporter.departures();
        let mut shard = self.shard(hash);
        if !permit() {
            return Ok(Inserted::Refused);
        }
        // Asked under the lock, where no other limit can be set: what will never fit must not make all others leave.
        if !self.budget.could_hold(about.bytes) {
            drop(shard);
            return Ok(self.turn_away(hash, &pair.0, Inserted::TooLarge, permit));
        }
        shard.prepare_insert(hash.fingerprint());
        let stored = match shard.find(hash.fingerprint(), &pair.0) {
            None => self.store_new(&mut shard, pair, about, &mut gone),
            Some(slot) if self.take_growth(&shard, slot, about.bytes) => {
                shard.replace(slot, pair, about, &mut gone);
                Ok(())
            }
            Some(slot) => {
                let freed =
                    shard.remove(slot, Cause::Replaced, &mut gone).map(Room::of_one).unwrap_or_default();
                self.store_piecemeal(&mut shard, (None, freed), (pair, about), &mut gone)
            }
        };
        drop(shard);
        self.reporter.dismiss(gone);
        stored.map(|()| Inserted::Stored)
    }

    /// In place, an entry keeps its position and its room, and needs only what it grows by. Takes that, or gives back what
    /// it shrinks by.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "an insert is one piece of code: a call in it costs a twentieth of the whole"
    )]
    fn take_growth(&self, shard: &Shard<K, V>, slot: Slot, bytes: u64) -> bool {
        let held = shard.weight(slot);
        if held == bytes {
            return true;
        }
        let growth = Room { entries: 0, bytes: bytes.saturating_sub(held) };
        let fits = self.budget.take(growth);
        if fits {
            self.budget.give(Room { entries: 0, bytes: held.saturating_sub(bytes) });
        }
        fits
    }

    /// Stores an entry whose key is not here yet in free room or in that of a victim in this shard; gives it back if the shard
    /// is empty and there is still no room: then others hold it.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "an insert is one piece of code: a call in it costs a twentieth of the whole"
    )]
    fn store_new(
        &self,
        shard: &mut Shard<K, V>,
        pair: (K, V),
        about: &mut About<'_>,
        gone: &mut Departures<K, V>,
    ) -> Result<(), (K, V)> {
        if self.budget.take(Room::of_one(about.bytes)) {
            shard.add(pair, about);
            return Ok(());
        }
        let Some(victim) = shard.choose(&self.present, &self.advice) else { return Err(pair) };
        // Most entries are alike: then there is nothing to settle.
        if !shard.is_plain(about) || shard.is_marked(victim.0) {
            return self.store_piecemeal(shard, (Some(victim), Room::default()), (pair, about), gone);
        }
        shard.exchange_plain(victim, pair, about.node, gone);
        Ok(())
    }

    /// Does the same where victims do not make just the room that is needed, or somebody has extras: goes on from the first victim, and
    /// from what was freed before.
    #[inline(never)]
    fn store_piecemeal(
        &self,
        shard: &mut Shard<K, V>,
        (mut chosen, mut freed): (Option<(Slot, Cause)>, Room),
        (pair, about): ((K, V), &mut About<'_>),
        gone: &mut Departures<K, V>,
    ) -> Result<(), (K, V)> {
        let need = Room::of_one(about.bytes);
        let stored = loop {
            if let Some((slot, _)) = chosen {
                freed.add(Room::of_one(shard.weight(slot)));
            }
            if self.budget.take_missing(need, &mut freed) {
                match chosen {
                    Some(victim) => shard.exchange(victim, pair, about, gone),
                    None => shard.add(pair, about),
                }
                break Ok(());
            }
            if let Some(victim) = chosen {
                shard.unlink_chosen(victim, gone);
            }
            chosen = shard.choose(&self.present, &self.advice);
            if chosen.is_none() {
                break Err(pair);
            }
        };
        self.budget.give(freed);
        stored
    }

    /// Removes what an entry that cannot be kept would have replaced: the older value is no longer true.
    #[cold]
    fn turn_away(
        &self,
        hash: Hash64,
        key: &K,
        why: Inserted,
        permit: &(impl Fn() -> bool + ?Sized),
    ) -> Inserted {
        let mut gone = self.reporter.departures();
        let mut shard = self.shard(hash);
        if !permit() {
            return Inserted::Refused;
        }
        shard.stats.too_large += u64::from(why == Inserted::TooLarge);
        if let Some(slot) = shard.find(hash.fingerprint(), key) {
            self.release(shard.remove(slot, Cause::Replaced, &mut gone));
        }
        drop(shard);
        self.reporter.dismiss(gone);
        why
    }

    /// Frees room of what was cleared, else in another shard than the one that `hash` belongs to, and says whether there was
    /// anything to free.
    #[cold]
    fn evict_elsewhere(&self, hash: Hash64, gone: &mut Departures<K, V>) -> bool {
        if self.take_from_ruins(gone) {
            return true;
        }
        let own = hash.shard(self.shards.len());
        let from = self.next_donor.fetch_add(1, Relaxed);
        let others = (0..self.shards.len()).map(|step| from.wrapping_add(step) % self.shards.len());
        others.filter(|other| *other != own).any(|other| {
            let mut shard = self.shards[other].lock();
            self.release(shard.evict(&self.present, &self.advice, gone))
        })
    }
}
