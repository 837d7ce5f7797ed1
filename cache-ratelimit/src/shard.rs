//! One shard of the table: what stands behind one lock.
//!
//! ```text
//! fingerprint ─► index: state
//!                  │ not there? decide for an empty state, and keep it if something was charged
//!                  └─► in a place of the table's room │ of a key that is idle │ of the one with the least charged among
//!                      a few that were not denied
//! ```
//!
//! Whoever was denied is never given up for another key: it would get its limit again. Of the others, those with many
//! charges stay longest, so who wants to be forgotten has to fill the whole table with keys that are nearly at their
//! limit, within a window. A hand goes round the index, so that in time all keys are looked at.

use super::index::{Fingerprint, Index};
use super::meter::{Ask, Kind, Meter, Reply};
use super::rings::Rings;
use super::room::Room;

#[derive(Debug)]
pub(crate) struct Shard<M: Meter> {
    index: Index<M::State, M::Line>,
    /// Apart, as few keys need one, so that what each decision needs of a shard is in two cache lines.
    pub(crate) rings: Box<Rings>,
    /// The place that is looked at next.
    hand: usize,
    /// How many keys were denied.
    denied: usize,
    /// The least that was charged to a key when it was denied, at least 1: keys may be denied for different limits and costs.
    least_denied: u64,
    pub(crate) counts: Counts,
}

/// What has happened in a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) admitted: u64,
    pub(crate) denied: u64,
    /// Keys given up while something was charged to them.
    pub(crate) given_up: u64,
    /// Calls of new keys for which no room was found.
    pub(crate) crowded: u64,
}

/// Where the room of a new key comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// From what all shards share, else from a key of this one.
    Shared(&'a Room),
    /// It was taken elsewhere, and goes back if it is not needed.
    Taken(&'a Room),
}

/// At how many places a new key looks for idle ones: there are more than it adds, and no call pays for all.
const SWEPT: usize = 8;
/// Among how many a key is chosen that is given up.
const CANDIDATES: usize = 8;

impl<M: Meter> Shard<M> {
    pub(crate) fn new(meter: &M, expected: usize) -> Self {
        Self {
            index: Index::new(expected),
            rings: Box::new(Rings::new(meter.ring_words(), expected)),
            hand: 0,
            denied: 0,
            least_denied: u64::MAX,
            counts: Counts::default(),
        }
    }

    /// Decides for a key that is there, and charges.
    #[inline]
    pub(crate) fn decide(&mut self, meter: &M, at: usize, ask: Ask) -> Reply {
        let state = self.index.state(at);
        let reply = meter.decide(state, &mut self.rings, ask);
        if ask.charges {
            let is_denied = reply.kind != Kind::Room;
            // It counts as denied when it is admitted again, until somebody needs its place.
            if is_denied && !*M::denied(state) {
                *M::denied(state) = true;
                self.denied += 1;
                let charged = meter.charged(state, &mut self.rings, ask.now);
                self.least_denied = self.least_denied.min(charged.max(1));
            }
            self.count(is_denied);
        }
        reply
    }

    #[inline]
    fn count(&mut self, is_denied: bool) {
        *if is_denied { &mut self.counts.denied } else { &mut self.counts.admitted } += 1;
    }

    /// Decides for a key that is not there, which is kept only if something is charged to it; `None` if that needs room
    /// and there is none in this shard.
    pub(crate) fn begin(
        &mut self,
        meter: &M,
        who: Fingerprint,
        ask: Ask,
        source: Source<'_>,
    ) -> Option<Reply> {
        self.sweep(meter, ask.now, source);
        let mut state = M::State::default();
        let reply = meter.decide(&mut state, &mut self.rings, ask);
        let is_kept = ask.charges && ask.cost > 0 && reply.kind == Kind::Room;
        let has_room = match source {
            Source::Taken(room) if !is_kept => {
                room.give_back(1);
                false
            }
            Source::Shared(room) if is_kept => room.take() || self.give_up_one(meter, ask),
            _ => is_kept,
        };
        if has_room {
            self.index.insert(who, state);
        } else if let Some(ring) = M::ring(&state) {
            self.rings.give_back(ring);
        }
        if is_kept && !has_room {
            return None;
        }
        if ask.charges {
            self.count(reply.kind != Kind::Room);
        }
        Some(reply)
    }

    /// Frees a few keys if nothing is charged to them any more.
    fn sweep(&mut self, meter: &M, now: u64, source: Source<'_>) {
        let (Source::Shared(room) | Source::Taken(room)) = source;
        for _ in 0..SWEPT {
            match self.charged(meter, self.hand, now) {
                // The key behind it may be there now.
                Some(0) => {
                    self.forget(self.hand);
                    room.give_back(1);
                }
                _ => self.hand = self.index.after(self.hand),
            }
        }
    }

    /// Frees the place of a key for another one. Those that were denied stay, unless they have more room again than any had that was.
    /// Where nearly all were, the hand goes once round to find another: some microseconds for the few thousand places of a shard.
    pub(crate) fn give_up_one(&mut self, meter: &M, ask: Ask) -> bool {
        let are_all_denied = self.denied == self.index.len();
        let candidates = if are_all_denied { self.denied } else { self.index.len() - self.denied };
        let mut wanted = CANDIDATES.min(candidates);
        let mut least: Option<(u64, usize)> = None;
        while wanted > 0 {
            let at = self.hand;
            self.hand = self.index.after(at);
            let Some(state) = self.index.get(at) else { continue };
            if *M::denied(state) != are_all_denied {
                continue;
            }
            wanted -= 1;
            let charged = meter.charged(state, &mut self.rings, ask.now);
            let may_go = !are_all_denied || charged < self.least_denied;
            if may_go && least.is_none_or(|(fewest, _)| charged < fewest) {
                least = Some((charged, at));
            }
        }
        let Some((charged, at)) = least else { return false };
        self.counts.given_up += u64::from(charged > 0);
        self.forget(at);
        true
    }

    /// How much is charged to the key at a place, if there is one.
    fn charged(&mut self, meter: &M, at: usize, now: u64) -> Option<u64> {
        let state = self.index.get(at)?;
        Some(meter.charged(state, &mut self.rings, now))
    }

    /// Forgets a key and what is charged to it; tells whether it was there.
    pub(crate) fn reset(&mut self, who: Fingerprint) -> bool {
        let found = self.find(who);
        if let Some(at) = found {
            self.forget(at);
        }
        found.is_some()
    }

    pub(crate) fn give_back(&mut self, meter: &M, who: Fingerprint, cost: u64, mark: u64) {
        if let Some(at) = self.find(who) {
            meter.give_back(self.index.state(at), &mut self.rings, cost, mark);
        }
    }

    #[inline]
    pub(crate) fn find(&self, who: Fingerprint) -> Option<usize> {
        self.index.find(who)
    }

    fn forget(&mut self, at: usize) {
        let state = self.index.state(at);
        self.denied -= usize::from(*M::denied(state));
        if let Some(ring) = M::ring(state) {
            self.rings.give_back(ring);
        }
        self.index.remove(at);
    }
}
