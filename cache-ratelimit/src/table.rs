//! All keys of a limiter: shards, each behind its lock, and the room that they share.
//!
//! A decision takes one lock, or none where a [notice](Notice) tells that its key is denied. Only a new key for which neither the shared room nor its own shard has a place looks into
//! the other shards, one at a time and with no lock held; if it finds nothing but keys that are at their limit, nobody
//! looks again for a while.

use std::fmt;

use super::index::Fingerprint;
use super::meter::{Ask, Meter, Reply};
use super::notice::Notice;
use super::room::Room;
use super::shard::{Counts, Shard, Source};
use super::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

#[derive(Debug)]
pub(crate) struct Table<M: Meter> {
    meter: M,
    places: Box<[Place<M>]>,
    room: Room,
    /// Until then there is no room for another key, and no use in looking for some.
    crowded_until: AtomicU64,
}

/// A shard, and beside its lock what can be said without it. No two share a cache line.
#[derive(Debug)]
#[repr(align(128))]
struct Place<M: Meter> {
    shard: Mutex<Shard<M>>,
    notice: Notice,
    /// How many were denied by the notice.
    denied: AtomicU64,
}

impl<M: Meter> Place<M> {
    /// The shard, for whoever may change what is charged other than by deciding for a key that is there.
    fn change(&self) -> MutexGuard<'_, Shard<M>> {
        let shard = self.shard.lock();
        self.notice.withdraw();
        shard
    }
}

/// A table, whatever its meter.
pub(crate) trait AnyTable: fmt::Debug + Send + Sync {
    /// Decides for a key, and charges if that is asked for.
    fn decide(&self, who: Fingerprint, ask: Ask) -> Reply;

    /// Takes out what was charged to a key at this mark, as far as it is certain to be there still.
    fn give_back(&self, who: Fingerprint, cost: u64, mark: u64);

    /// Forgets a key and what is charged to it.
    fn reset(&self, who: Fingerprint);

    /// How many keys are kept, which is never more than the bound.
    fn keys(&self) -> usize;

    /// The sums over all shards.
    fn counts(&self) -> Counts;

    /// How many were denied without a lock, which are among those.
    fn noticed(&self) -> u64;
}

impl<M: Meter> Table<M> {
    /// A table of at most so many keys, in shards whose number is a power of two.
    pub(crate) fn new(meter: M, max_keys: usize, shards: usize) -> Self {
        // Keys are spread at random, so some shards have a few more than their part.
        let part = max_keys / shards.max(1);
        let expected = part + part / 8 + 8;
        let place = |_| Place {
            shard: Mutex::new(Shard::new(&meter, expected.min(max_keys))),
            notice: Notice::new(),
            denied: AtomicU64::new(0),
        };
        let places = (0..shards.max(1)).map(place).collect();
        Self { meter, places, room: Room::new(max_keys), crowded_until: AtomicU64::new(0) }
    }

    /// Decides for a key that was not there a moment ago.
    #[cold]
    #[inline(never)]
    fn begin(&self, who: Fingerprint, ask: Ask) -> Reply {
        if let Some(reply) = self.try_begin(who, ask, Source::Shared(&self.room)) {
            return reply;
        }
        // With the room of a key of another shard.
        let nobody_looked = self.crowded_until.load(Ordering::Relaxed) <= ask.now;
        let mut others = self.places.iter().filter(|_| nobody_looked);
        if others.any(|place| place.change().give_up_one(&self.meter, ask))
            && let Some(reply) = self.try_begin(who, ask, Source::Taken(&self.room))
        {
            return reply;
        }
        if nobody_looked {
            let until = ask.now.saturating_add(self.meter.grain().min(LONGEST_BLINDNESS));
            self.crowded_until.store(until, Ordering::Relaxed);
        }
        self.place(who).shard.lock().counts.crowded += 1;
        Reply::crowded(self.meter.grain())
    }

    fn try_begin(&self, who: Fingerprint, ask: Ask, source: Source<'_>) -> Option<Reply> {
        let place = self.place(who);
        let mut shard = place.change();
        let Some(at) = shard.find(who) else { return shard.begin(&self.meter, who, ask, source) };
        if let Source::Taken(room) = source {
            room.give_back(1);
        }
        Some(shard.decide(&self.meter, at, ask))
    }

    #[inline]
    fn place(&self, who: Fingerprint) -> &Place<M> {
        &self.places[who.shard(self.places.len())]
    }
}

impl<M: Meter> AnyTable for Table<M> {
    fn decide(&self, who: Fingerprint, ask: Ask) -> Reply {
        let place = self.place(who);
        if let Some(reply) = place.notice.denial(who, ask) {
            place.denied.fetch_add(u64::from(ask.charges), Ordering::Relaxed);
            return reply;
        }
        let mut shard = place.shard.lock();
        if let Some(at) = shard.find(who) {
            let reply = shard.decide(&self.meter, at, ask);
            place.notice.tell(who, ask, reply);
            return reply;
        }
        drop(shard);
        self.begin(who, ask)
    }

    fn give_back(&self, who: Fingerprint, cost: u64, mark: u64) {
        self.place(who).change().give_back(&self.meter, who, cost, mark);
    }

    fn reset(&self, who: Fingerprint) {
        if self.place(who).change().reset(who) {
            self.room.give_back(1);
        }
    }

    fn keys(&self) -> usize {
        self.room.taken()
    }

    fn noticed(&self) -> u64 {
        self.places.iter().map(|place| place.denied.load(Ordering::Relaxed)).sum()
    }

    fn counts(&self) -> Counts {
        let begun = Counts { denied: self.noticed(), ..Counts::default() };
        self.places.iter().fold(begun, |sum, place| {
            let counts = place.shard.lock().counts;
            Counts {
                admitted: sum.admitted + counts.admitted,
                denied: sum.denied + counts.denied,
                given_up: sum.given_up + counts.given_up,
                crowded: sum.crowded + counts.crowded,
            }
        })
    }
}

/// So long nobody looks for room again after there was none.
const LONGEST_BLINDNESS: u64 = 10_000_000;
