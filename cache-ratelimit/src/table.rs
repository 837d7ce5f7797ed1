//! All keys of a limiter: shards, each behind its lock, and the room that they share.
//!
//! A decision takes one lock. Only a new key for which neither the shared room nor its own shard has a place looks into
//! the other shards, one at a time and with no lock held; if it finds nothing but keys that are at their limit, nobody
//! looks again for a while.

use std::fmt;

use super::index::Fingerprint;
use super::meter::{Ask, Meter, Reply};
use super::room::Room;
use super::shard::{Counts, Shard, Source};
use super::sync::{AtomicU64, Mutex, Ordering};

#[derive(Debug)]
pub(crate) struct Table<M: Meter> {
    meter: M,
    shards: Box<[Padded<M>]>,
    room: Room,
    /// Until then there is no room for another key, and no use in looking for some.
    crowded_until: AtomicU64,
}

/// Two shards never share a cache line.
#[derive(Debug)]
#[repr(align(128))]
struct Padded<M: Meter>(Mutex<Shard<M>>);

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
}

impl<M: Meter> Table<M> {
    /// A table of at most so many keys, in shards whose number is a power of two.
    pub(crate) fn new(meter: M, max_keys: usize, shards: usize) -> Self {
        // Keys are spread at random, so some shards have a few more than their part.
        let part = max_keys / shards.max(1);
        let expected = part + part / 8 + 8;
        let shard = |_| Padded(Mutex::new(Shard::new(&meter, expected.min(max_keys))));
        let shards = (0..shards.max(1)).map(shard).collect();
        Self { meter, shards, room: Room::new(max_keys), crowded_until: AtomicU64::new(0) }
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
        let mut others = self.shards.iter().filter(|_| nobody_looked);
        if others.any(|shard| shard.0.lock().give_up_one(&self.meter, ask))
            && let Some(reply) = self.try_begin(who, ask, Source::Taken(&self.room))
        {
            return reply;
        }
        if nobody_looked {
            let until = ask.now.saturating_add(self.meter.grain().min(LONGEST_BLINDNESS));
            self.crowded_until.store(until, Ordering::Relaxed);
        }
        self.shard(who).lock().counts.crowded += 1;
        Reply::crowded(self.meter.grain())
    }

    fn try_begin(&self, who: Fingerprint, ask: Ask, source: Source<'_>) -> Option<Reply> {
        let mut shard = self.shard(who).lock();
        let Some(at) = shard.find(who) else { return shard.begin(&self.meter, who, ask, source) };
        if let Source::Taken(room) = source {
            room.give_back(1);
        }
        Some(shard.decide(&self.meter, at, ask))
    }

    #[inline]
    fn shard(&self, who: Fingerprint) -> &Mutex<Shard<M>> {
        &self.shards[who.shard(self.shards.len())].0
    }
}

impl<M: Meter> AnyTable for Table<M> {
    fn decide(&self, who: Fingerprint, ask: Ask) -> Reply {
        let mut shard = self.shard(who).lock();
        if let Some(at) = shard.find(who) {
            return shard.decide(&self.meter, at, ask);
        }
        drop(shard);
        self.begin(who, ask)
    }

    fn give_back(&self, who: Fingerprint, cost: u64, mark: u64) {
        self.shard(who).lock().give_back(&self.meter, who, cost, mark);
    }

    fn reset(&self, who: Fingerprint) {
        if self.shard(who).lock().reset(who) {
            self.room.give_back(1);
        }
    }

    fn keys(&self) -> usize {
        self.room.taken()
    }

    fn counts(&self) -> Counts {
        self.shards.iter().fold(Counts::default(), |sum, shard| {
            let counts = shard.0.lock().counts;
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
