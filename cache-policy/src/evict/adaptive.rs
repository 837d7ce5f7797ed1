//! Whatever does best here: five rules over the same queues, chosen by trial in miniature.
//!
//! No fixed rule is good everywhere: each is 17 to 45 points of hit ratio behind the best one on some trace. These
//! are, between them, within a point of the best that is known on each of 22 traces:
//! - a window of 3 % and a memory for who left lately, like S3-FIFO's: for most workloads;
//! - one of 1 % with a shorter memory, which clings to what it has: for loops and scans larger than the cache;
//! - one of 10 % with a longer memory, which follows what is new: where recent use tells most;
//! - one of 20 % before W-TinyLFU's contest: where popularity lasts, and much is asked for once;
//! - none, as in SIEVE: where popularity lasts, at the least cost of a miss. It keeps nothing that others would like to find when they take over,
//!   so it has to be better for long.
//!
//! The [`Judge`] hears of at least one request in 32, by fingerprint; of every one in a cache of fewer than 256 entries.
//! All other uses set a mark, and that only if it is not set. Of a cache in several parts, one part tries the rules for
//! all.

use super::judge::Judge;
use super::sketch::Sketch;
use super::staged::{Admit, Rule, Staged};
use super::{Advice, Evict, NO_USE};
use crate::node::{Slab, Slot};

#[derive(Debug)]
pub(super) struct Adaptive {
    stages: Staged,
    /// Of several parts of a cache one tries for all: each is a sample of all keys already.
    judge: Option<Box<Judge<5>>>,
    /// The rule at work, and its number.
    rule: Rule,
    advice: Advice,
    /// Whether the last that happened was that somebody had to make room: then whoever comes next is in his place.
    made_room: bool,
    /// Whether anybody ever had to. Until then all rules are equal, and no use tells anything.
    is_full: bool,
}

const RULES: [Rule; 5] = [
    Rule { window: 31, admit: Admit::Returning(1024) },
    Rule { window: 10, admit: Admit::Returning(614) },
    Rule { window: 102, admit: Admit::Returning(1024) },
    Rule { window: 205, admit: Admit::Frequent },
    Rule { window: 0, admit: Admit::Anyone },
];
/// How many of those who left are remembered, in 1024ths of the entries held.
const MEMORY: u32 = 1536;

impl Adaptive {
    pub(super) fn new(leads: bool) -> Self {
        Self {
            stages: Staged::new(Sketch::coarse(), MEMORY),
            judge: leads.then(|| Box::new(Judge::new(RULES, MEMORY))),
            rule: RULES[0],
            advice: 0,
            made_room: false,
            is_full: false,
        }
    }

    /// Chooses the next victim by the rule at work.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "an insert into a full cache is one piece of code: a call in it costs a twentieth of the whole"
    )]
    pub(super) fn evict_by_advice(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        (self.made_room, self.is_full) = (true, true);
        self.stages.evict(slab, self.rule)
    }

    #[inline]
    fn try_out(&mut self, fingerprint: u32) {
        if let Some(judge) = &mut self.judge
            && fingerprint & judge.watch() == 0
        {
            judge.observe(fingerprint);
        }
    }
}

impl Evict for Adaptive {
    fn watch(&self) -> u32 {
        self.judge.as_ref().filter(|_| self.is_full).map_or(NO_USE, |judge| judge.watch())
    }

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "an insert into a full cache is one piece of code: a call in it costs a twentieth of the whole"
    )]
    fn insert(&mut self, slab: &mut impl Slab, slot: Slot) {
        if self.judge.is_some() {
            self.try_out(slab.fingerprint(slot));
        }
        self.stages.insert(slab, slot, self.rule);
        if !std::mem::take(&mut self.made_room) {
            self.stages.drain_window(slab, self.rule);
            if let Some(judge) = &mut self.judge {
                judge.fit(self.stages.held());
            }
        }
    }

    fn observe(&mut self, slab: &mut impl Slab, slot: Slot) {
        self.try_out(slab.fingerprint(slot));
    }

    fn remove(&mut self, slab: &mut impl Slab, slot: Slot) {
        // Copies that never have to make room would keep every key that ever was in a cache that time empties.
        if let Some(judge) = self.judge.as_mut().filter(|_| !self.is_full) {
            judge.forget(slab.fingerprint(slot));
        }
        self.stages.remove(slab, slot);
    }

    fn evict(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        if let Some(judge) = &mut self.judge {
            judge.limit(self.stages.held());
            let best = judge.best();
            self.follow(best);
        }
        self.evict_by_advice(slab)
    }

    #[inline]
    fn prepare(&self, slab: &impl Slab, fingerprint: u32) -> Option<Slot> {
        self.stages.prepare(slab, fingerprint)
    }

    fn advice(&self) -> Advice {
        self.advice
    }

    fn follow(&mut self, advice: Advice) {
        self.advice = advice;
        self.rule = RULES[usize::from(advice) % RULES.len()];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Slots;

    #[test]
    fn a_cache_that_time_empties_before_it_is_full_tries_out_no_more_keys_than_it_holds() {
        let (mut slots, mut adaptive) = (Slots::default(), Adaptive::new(true));
        for key in 0..10_000_u32 {
            slots.put(key % 100, key.wrapping_mul(0x9E37_79B9), 0);
            adaptive.insert(&mut slots, key % 100);
            if let Some(oldest) = key.checked_sub(50) {
                adaptive.remove(&mut slots, oldest % 100);
            }
        }
        assert_eq!(adaptive.judge.map(|judge| judge.records()), Some(50));
    }

    #[test]
    fn whoever_follows_tries_nothing_and_takes_any_advice() {
        let (mut slots, mut adaptive) = (Slots::default(), Adaptive::new(false));
        assert!(adaptive.judge.is_none());
        for (advice, slot) in (0..=Advice::MAX).zip(0..) {
            adaptive.follow(advice);
            assert!(advice >= 5 || adaptive.rule == RULES[usize::from(advice)]);
            slots.put(slot, slot, 0);
            adaptive.insert(&mut slots, slot);
            assert!(slot % 2 == 0 || adaptive.evict(&mut slots).is_some());
            assert_eq!((adaptive.advice(), adaptive.watch()), (advice, NO_USE));
        }
    }

    #[test]
    fn nobody_hears_of_uses_before_it_is_full() {
        let (mut slots, mut adaptive) = (Slots::default(), Adaptive::new(true));
        slots.put(0, 7, 0);
        adaptive.insert(&mut slots, 0);
        assert_eq!(adaptive.watch(), NO_USE);
        adaptive.evict(&mut slots);
        assert_eq!(adaptive.watch(), 0);
    }
}
