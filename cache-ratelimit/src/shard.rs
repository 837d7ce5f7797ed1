//! One shard of the table: what stands behind one lock.
//!
//! ```text
//! fingerprint ─► index ─► slot: state
//!                  │ not there? decide for an empty state, and keep it if something was charged
//!                  └─► in a place of the table's room │ of a key that is idle │ of the one with the least charged among
//!                      a few that were not denied
//! ```
//!
//! Whoever was denied is never given up for another key: it would get its limit again. Of the others, those with many
//! charges stay longest, so who wants to be forgotten has to fill the whole table with keys that are nearly at their
//! limit, within a window.

use super::index::Index;
use super::meter::{Ask, Kind, Meter, Reply};
use super::room::Room;
use super::slots::{Fingerprint, Slots};

#[derive(Debug)]
pub(crate) struct Shard {
    index: Index,
    slots: Slots,
    /// The state of a key that has no slot yet.
    scratch: Box<[u64]>,
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

/// How many idle keys a new one looks for: more than it adds, and no call pays for all.
const SWEPT: usize = 2;
/// Among how many a key is chosen that is given up.
const CANDIDATES: usize = 8;

impl Shard {
    pub(crate) fn new(meter: &Meter, expected: usize) -> Self {
        Self {
            index: Index::new(),
            slots: Slots::new(meter.words(), expected),
            scratch: vec![0; meter.words()].into(),
            least_denied: u64::MAX,
            counts: Counts::default(),
        }
    }

    /// Decides for a key that is there, and charges.
    #[inline]
    pub(crate) fn decide(&mut self, meter: &Meter, slot: u32, ask: Ask) -> Reply {
        let (state, was_apart) = self.slots.state(slot);
        let reply = meter.decide(state, ask);
        if ask.charges {
            let denied = reply.kind != Kind::Room;
            self.count(denied);
            // It stays apart when it is admitted again, until somebody needs its place: one that is denied every other
            // time would move as often.
            if denied && !was_apart {
                let charged = self.charged(meter, slot, ask.now);
                self.least_denied = self.least_denied.min(charged.max(1));
                self.slots.put(slot, true);
            }
        }
        reply
    }

    #[inline]
    fn count(&mut self, denied: bool) {
        *if denied { &mut self.counts.denied } else { &mut self.counts.admitted } += 1;
    }

    /// Decides for a key that is not there, which gets a slot only if something is charged to it; `None` if it needs one
    /// and there is none in this shard.
    pub(crate) fn begin(
        &mut self,
        meter: &Meter,
        who: Fingerprint,
        ask: Ask,
        source: Source<'_>,
    ) -> Option<Reply> {
        self.sweep(meter, ask.now, source);
        self.scratch.fill(0);
        let reply = meter.decide(&mut self.scratch, ask);
        let is_kept = ask.charges && ask.cost > 0 && reply.kind == Kind::Room;
        match source {
            Source::Taken(room) if !is_kept => room.give_back(1),
            Source::Shared(room) if is_kept && !room.take() && !self.give_up_one(meter, ask) => return None,
            _ => {}
        }
        if is_kept {
            let slot = self.slots.take(who, &self.scratch);
            self.index.insert(who.tag(), slot);
        }
        if ask.charges {
            self.count(reply.kind != Kind::Room);
        }
        Some(reply)
    }

    /// Frees a few keys if nothing is charged to them any more.
    fn sweep(&mut self, meter: &Meter, now: u64, source: Source<'_>) {
        let (Source::Shared(room) | Source::Taken(room)) = source;
        for apart in [false, true] {
            for _ in 0..SWEPT {
                let Some(slot) = self.slots.first(apart) else { break };
                if self.charged(meter, slot, now) == 0 {
                    self.forget(slot);
                    room.give_back(1);
                } else {
                    self.slots.put(slot, apart);
                }
            }
        }
    }

    /// Frees the slot of a key for another one. Those that were denied stay, unless they have more room again than any had that was.
    pub(crate) fn give_up_one(&mut self, meter: &Meter, ask: Ask) -> bool {
        let mut least: Option<(u64, u32)> = None;
        for apart in [false, true] {
            for _ in 0..CANDIDATES {
                let Some(slot) = self.slots.first(apart) else { break };
                // Whoever was looked at goes behind the others, so that in time all are.
                self.slots.put(slot, apart);
                let charged = self.charged(meter, slot, ask.now);
                let may_go = !apart || charged < self.least_denied;
                if may_go && least.is_none_or(|(fewest, _)| charged < fewest) {
                    least = Some((charged, slot));
                }
            }
            if least.is_some() {
                break;
            }
        }
        let Some((charged, slot)) = least else { return false };
        self.counts.given_up += u64::from(charged > 0);
        self.forget(slot);
        true
    }

    fn charged(&mut self, meter: &Meter, slot: u32, now: u64) -> u64 {
        meter.charged(self.slots.state(slot).0, now)
    }

    /// Forgets a key and what is charged to it; tells whether it was there.
    pub(crate) fn reset(&mut self, who: Fingerprint) -> bool {
        let found = self.find(who);
        if let Some(slot) = found {
            self.forget(slot);
        }
        found.is_some()
    }

    pub(crate) fn give_back(&mut self, meter: &Meter, who: Fingerprint, cost: u64, mark: u64) {
        if let Some(slot) = self.find(who) {
            meter.give_back(self.slots.state(slot).0, cost, mark);
        }
    }

    #[inline]
    pub(crate) fn find(&self, who: Fingerprint) -> Option<u32> {
        self.index.find(who.tag(), |slot| self.slots.is(slot, who))
    }

    fn forget(&mut self, slot: u32) {
        self.index.remove(self.slots.fingerprint(slot).tag(), slot);
        self.slots.give_back(slot);
    }
}
