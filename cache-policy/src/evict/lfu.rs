//! W-TinyLFU: who was used more often stays. A newcomer that leaves the window is compared with the entry that would
//! have to go for it, by a sketch that also remembers keys that are not here.
//!
//! ```text
//!  new ──> window ── wins ──> probation ── used ──> protected (4/5 of the main part)
//!            │ loses            │ loses  ^             │ too many
//!            v                  v        └─────────────┘
//! ```
//! The window, 1 % to 80 % of the entries, is for what is used in bursts; its share is found by trying ([`Climber`]).
//!
//! Source: Einziger, Friedman and Manes, "`TinyLFU`: a highly efficient cache admission policy", ACM Transactions
//! on Storage 13(4), 2017, and Caffeine's form of it. It departs from them thus:
//! - A use only sets a mark in the entry's node. It reaches the sketch, and moves the entry, when the entry comes to
//!   the end of its queue; several uses until then count as one. Telling 3 or 15 apart gained nothing on nine traces at
//!   up to five sizes each: 44.7 % of reads hit in the mean, and 44.7 and 44.6.
//! - Only one use in sixteen, by fingerprint, is heard of at once, for the climber; in a small cache, every one.
//! - The share is of the entries held, not of a limit, which the policy does not know; so a part that is to grow
//!   does so with the next victims, not at once.

use std::num::NonZeroU8;

use super::Evict;
use super::climber::Climber;
use super::sketch::Sketch;
use crate::node::{Slab, Slot};
use crate::queue::Queue;

#[derive(Debug, Default)]
pub(super) struct TinyLfu {
    window: Queue,
    probation: Queue,
    protected: Queue,
    sketch: Sketch,
    climber: Climber,
    /// Counts the warm candidates that lost.
    losers: u32,
}

const WINDOW: NonZeroU8 = NonZeroU8::MIN;
const PROBATION: NonZeroU8 = WINDOW.saturating_add(1);
const PROTECTED: NonZeroU8 = PROBATION.saturating_add(1);
/// Uses of fingerprints without these bits are observed: one in sixteen.
const SAMPLE: u32 = 15;
/// In fewer entries than this a sample says too little, and a count costs no cache miss: every use is observed.
const FEW: u32 = 1024;
/// A candidate that is used at least this often may win by luck, one time in [`ODDS`]: whoever floods the cache with
/// keys that share the counters of its entries cannot keep all newcomers out. Source of both: Caffeine,
/// `BoundedLocalCache.admit`.
const WARM: u8 = 6;
const ODDS: u32 = 128;

impl Evict for TinyLfu {
    fn watch(&self) -> u32 {
        if self.held() < FEW { super::EVERY_USE } else { SAMPLE }
    }

    fn insert(&mut self, slab: &mut impl Slab, slot: Slot) {
        slab.node_mut(slot).queue = WINDOW;
        let fingerprint = slab.fingerprint(slot);
        self.sketch.fit(self.held() + 1);
        self.sketch.add(fingerprint, 1);
        if fingerprint & self.watch() == 0 {
            self.climber.miss();
        }
        self.window.push(slab, slot);
        self.drain_window(slab);
    }

    fn observe(&mut self, _slab: &mut impl Slab, _slot: Slot) {
        self.climber.hit();
    }

    fn remove(&mut self, slab: &mut impl Slab, slot: Slot) {
        self.queue(slab.node(slot).queue).remove(slab, slot);
    }

    fn evict(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        let held = self.held();
        self.climber.climb(if self.watch() == SAMPLE { held / 16 } else { held });
        let full = self.window.len() >= self.climber.part_of(held);
        let candidate = if full { self.last_of_window(slab) } else { None };
        let victim = self.last_of_main(slab);
        let (loser, winner) = match (candidate, victim) {
            (Some(candidate), Some(victim)) if self.wins(slab, candidate, victim) => {
                (victim, Some(candidate))
            }
            (Some(candidate), _) => (candidate, None),
            (None, Some(victim)) => (victim, None),
            (None, None) => (self.last_of_window(slab)?, None),
        };
        self.remove(slab, loser);
        if let Some(winner) = winner {
            self.transfer(slab, winner, PROBATION);
        }
        Some(loser)
    }
}

impl TinyLfu {
    fn held(&self) -> u32 {
        self.window.len() + self.probation.len() + self.protected.len()
    }

    fn queue(&mut self, number: NonZeroU8) -> &mut Queue {
        match number {
            WINDOW => &mut self.window,
            PROBATION => &mut self.probation,
            _ => &mut self.protected,
        }
    }

    fn transfer(&mut self, slab: &mut impl Slab, slot: Slot, to: NonZeroU8) {
        let from = std::mem::replace(&mut slab.node_mut(slot).queue, to);
        self.queue(from).remove(slab, slot);
        self.queue(to).push(slab, slot);
    }

    /// While there is room for all, whatever the window has no room for goes to the main part without contest. At most
    /// two at a time, so that a window that has to shrink costs no insert much.
    fn drain_window(&mut self, slab: &mut impl Slab) {
        let room = self.climber.part_of(self.held());
        for _ in 0..2 {
            if self.window.len() <= room {
                return;
            }
            if let Some(slot) = self.last_of_window(slab) {
                self.transfer(slab, slot, PROBATION);
            }
        }
    }

    /// The next to leave the window: whoever was used goes round once more.
    fn last_of_window(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        loop {
            let slot = self.window.oldest()?;
            if !self.count_uses(slab, slot) {
                return Some(slot);
            }
            self.window.rotate(slab);
        }
    }

    /// The next to leave the main part: the oldest on probation that was not used. The others are protected now.
    fn last_of_main(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        while let Some(slot) = self.probation.oldest() {
            if !self.count_uses(slab, slot) {
                return Some(slot);
            }
            self.transfer(slab, slot, PROTECTED);
            let main = self.probation.len() + self.protected.len();
            if u64::from(self.protected.len()) * 5 > u64::from(main) * 4
                && let Some(demoted) = self.last_of_protected(slab)
            {
                self.transfer(slab, demoted, PROBATION);
            }
        }
        self.last_of_protected(slab)
    }

    fn last_of_protected(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        loop {
            let slot = self.protected.oldest()?;
            if !self.count_uses(slab, slot) {
                return Some(slot);
            }
            self.protected.rotate(slab);
        }
    }

    /// Carries an entry's uses over into the sketch, and tells whether there were any.
    fn count_uses(&mut self, slab: &mut impl Slab, slot: Slot) -> bool {
        let uses = std::mem::take(&mut slab.node_mut(slot).uses);
        if uses > 0 {
            self.sketch.add(slab.fingerprint(slot), uses);
        }
        uses > 0
    }

    fn wins(&mut self, slab: &impl Slab, candidate: Slot, victim: Slot) -> bool {
        let estimate = |slot| self.sketch.estimate(slab.fingerprint(slot));
        let (challenger, defender) = (estimate(candidate), estimate(victim));
        if challenger <= defender && challenger >= WARM {
            self.losers = self.losers.wrapping_add(1);
            return is_lucky(self.losers);
        }
        challenger > defender
    }
}

/// One number in [`ODDS`], without a pattern that a flood could be timed by.
fn is_lucky(number: u32) -> bool {
    number.wrapping_mul(0x9E37_79B9).wrapping_mul(number ^ 0x85EB_CA6B) >> (u32::BITS - ODDS.ilog2()) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_number_in_the_odds_is_lucky() {
        for from in [0, 1 << 20, 1 << 31] {
            let lucky = (from..from + 128 * ODDS).filter(|number| is_lucky(*number)).count();
            assert!((64..256).contains(&lucky), "{lucky} of 128 from {from}");
        }
    }
}
