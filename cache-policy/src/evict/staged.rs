//! Three queues that an entry goes through, and what is remembered of those who left: the parts of which W-TinyLFU and
//! rules like S3-FIFO are made.
//!
//! ```text
//!  new ──> window ── admitted ──> probation ── used ──> protected (4/5 of the main part)
//!    \       │ not                  │ ^                    │ too many
//!     \      v                      v └────────────────────┘
//!      \    gone: remembered       gone
//!       └── comes back soon: to probation at once
//! ```
//! A [`Rule`] says how large the window is and whom it admits. All rules work on the same queues, so that one can follow
//! another while the entries stay where they are. A use only sets a mark; it counts when its entry comes to the end of a
//! queue.

use std::num::NonZeroU8;

use super::returns::Returns;
use super::sketch::Sketch;
use crate::node::{Slab, Slot};
use crate::queue::Queue;

/// Who goes, in terms of the queues.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rule {
    /// The share of the window among the entries held, in 1024ths.
    pub(super) window: u32,
    pub(super) admit: Admit,
}

/// Who gets from the window into the main part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Admit {
    /// Who was used in the window, or comes back while at most so many have left after it, as a share in 1024ths of those
    /// who are remembered; the main part gives second chances in the order of arrival.
    Returning(u32),
    /// Who was seen more often than the entry of the main part that would have to go.
    Frequent,
    /// Everyone, at once: there is no window, and whoever was not used since he was looked at last goes, in the order of arrival.
    Anyone,
}

#[derive(Debug)]
pub(super) struct Staged {
    window: Queue,
    probation: Queue,
    protected: Queue,
    sketch: Sketch,
    returns: Returns,
    /// How many of those who left are remembered, in 1024ths of the entries held.
    memory: u32,
    /// For how many entries held that was fitted last.
    fitted: u32,
    /// Counts the warm candidates that lost.
    losers: u32,
    /// What the nodes of those on probation say, and of those who are protected: the two change places each time all were looked at under a
    /// rule that admits anyone.
    marks: [NonZeroU8; 2],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Window,
    Probation,
    Protected,
}

const WINDOW: NonZeroU8 = NonZeroU8::MIN;
/// A candidate that is used at least this often may win by luck, one time in [`ODDS`]: whoever floods the cache with
/// keys that share the counters of its entries cannot keep all newcomers out. Source of both: Caffeine,
/// `BoundedLocalCache.admit`.
const WARM: u8 = 6;
const ODDS: u32 = 128;

impl Staged {
    /// No entries yet, in a sketch that counts this way and with a memory of so many 1024ths as many as are held.
    pub(super) fn new(sketch: Sketch, memory: u32) -> Self {
        Self {
            window: Queue::default(),
            probation: Queue::default(),
            protected: Queue::default(),
            sketch,
            returns: Returns::default(),
            memory,
            fitted: 0,
            losers: 0,
            marks: [WINDOW.saturating_add(1), WINDOW.saturating_add(2)],
        }
    }

    pub(super) fn held(&self) -> u32 {
        self.window.len() + self.main()
    }

    fn main(&self) -> u32 {
        self.probation.len() + self.protected.len()
    }

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "the compiler does not, and a call costs a tenth of an eviction"
    )]
    pub(super) fn insert(&mut self, slab: &mut impl Slab, slot: Slot, rule: Rule) {
        let held = self.held();
        let node = slab.node_mut(slot);
        let is_admitted = match rule.admit {
            Admit::Returning(soon) => self.returns.take(node.fingerprint(), soon),
            Admit::Frequent => {
                self.sketch.fit(held + 1);
                self.sketch.add(node.fingerprint(), 1);
                false
            }
            Admit::Anyone => true,
        };
        node.queue = if is_admitted { self.marks[0] } else { WINDOW };
        let queue = if is_admitted { &mut self.probation } else { &mut self.window };
        queue.push(slab, slot);
    }

    pub(super) fn remove(&mut self, slab: &mut impl Slab, slot: Slot) {
        let stage = self.stage_of(slab, slot);
        self.queue(stage).remove(slab, slot);
    }

    fn stage_of(&self, slab: &impl Slab, slot: Slot) -> Stage {
        match slab.node(slot).queue {
            WINDOW => Stage::Window,
            mark if mark == self.marks[0] => Stage::Probation,
            _ => Stage::Protected,
        }
    }

    /// See [`Evict::prepare`](super::Evict::prepare). Of the third victim from now the node and links are fetched, of the second
    /// what they lead to.
    #[inline]
    pub(super) fn prepare(&self, slab: &impl Slab, fingerprint: u32) -> Option<Slot> {
        self.returns.fetch(slab, fingerprint);
        if let Some(next) = self.probation.oldest().and_then(|oldest| Queue::newer(slab, oldest)) {
            slab.fetch_entry(next);
        }
        let queue = if self.window.len() > 0 { &self.window } else { &self.probation };
        let second = queue.prepare(slab)?;
        self.returns.fetch(slab, slab.fingerprint(second));
        Some(second)
    }

    /// Fetches what is known of how often this fingerprint was seen, and of those who will be compared after the next
    /// eviction: of one on probation that is the oldest, if the next to leave is from the window.
    #[inline]
    pub(super) fn prepare_contest(&self, slab: &impl Slab, fingerprint: u32) {
        let candidate = self.window.oldest().and_then(|oldest| Queue::newer(slab, oldest));
        let slots = candidate.into_iter().chain(self.probation.oldest());
        let fingerprints = slots.map(|slot| slab.fingerprint(slot)).chain([fingerprint]);
        fingerprints.for_each(|fingerprint| self.sketch.fetch(slab, fingerprint));
    }

    /// Chooses the next victim and forgets it, but for its fingerprint.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "the compiler does not, and a call costs a tenth of an eviction"
    )]
    pub(super) fn evict(&mut self, slab: &mut impl Slab, rule: Rule) -> Option<Slot> {
        let held = self.held();
        if held != self.fitted {
            self.fit(held);
        }
        let room = room(held, rule);
        match rule.admit {
            Admit::Returning(_) => self.unused_of_window(slab, room).or_else(|| self.unused(slab, room)),
            Admit::Frequent => self.loser(slab, room),
            Admit::Anyone => self.unvisited(slab),
        }
    }

    /// Takes out the first who was not used since he was looked at last, as SIEVE does. Those who were keep their places, behind which the next
    /// look goes on: they are the protected, until all were looked at.
    #[inline(never)]
    fn unvisited(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        // A few at a time, so that no eviction costs much where another rule has left a large window.
        for _ in 0..2 {
            if let Some(slot) = self.window.oldest() {
                self.transfer(slab, slot, Stage::Probation);
            }
        }
        self.end_pass();
        loop {
            let slot = self.probation.oldest()?;
            let is_used = std::mem::take(&mut slab.node_mut(slot).uses) > 0;
            if is_used {
                self.transfer(slab, slot, Stage::Protected);
            } else {
                self.probation.pop(slab);
            }
            self.end_pass();
            if !is_used {
                return Some(slot);
            }
        }
    }

    /// If all were looked at, the next look begins again with the oldest.
    fn end_pass(&mut self) {
        if self.probation.len() == 0 {
            std::mem::swap(&mut self.probation, &mut self.protected);
            self.marks.reverse();
        }
    }

    /// Fits what is remembered of those who left to so many entries held.
    #[cold]
    fn fit(&mut self, held: u32) {
        self.fitted = held;
        self.returns.fit(part(held, self.memory) as usize);
    }

    /// While there is room for all, whatever the window has no room for goes to the main part without contest. At most
    /// two at a time, so that a window that has to shrink costs no insert much.
    pub(super) fn drain_window(&mut self, slab: &mut impl Slab, rule: Rule) {
        let room = room(self.held(), rule);
        for _ in 0..2 {
            if self.window.len() <= room {
                return;
            }
            if let Some(slot) = self.last_of_window(slab) {
                self.transfer(slab, slot, Stage::Probation);
            }
        }
    }

    /// Takes out the oldest entry of a window that holds as much as it may, if it was not used.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "the compiler does not, and a call costs a tenth of an eviction"
    )]
    fn unused_of_window(&mut self, slab: &mut impl Slab, room: u32) -> Option<Slot> {
        let slot = self.window.oldest().filter(|_| self.window.len() >= room)?;
        let node = slab.node(slot);
        if node.uses > 0 {
            return None;
        }
        self.returns.insert(node.fingerprint());
        self.window.pop(slab)
    }

    /// Takes out the first unused entry of the window if that holds more than there is room for, else of the main part.
    #[inline(never)]
    fn unused(&mut self, slab: &mut impl Slab, room: u32) -> Option<Slot> {
        while self.window.len() >= room
            && let Some(slot) = self.window.oldest()
        {
            if let Some(victim) = self.unused_of_window(slab, room) {
                return Some(victim);
            }
            self.count_uses(slab, slot);
            self.transfer(slab, slot, Stage::Probation);
        }
        let victim = self.unused_of_main(slab).or_else(|| self.last_of_window(slab))?;
        self.take_out(slab, victim)
    }

    /// Under a rule that protects nobody, the protected are those who have been here longest.
    #[inline]
    fn unused_of_main(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        loop {
            let slot = self.protected.oldest().or_else(|| self.probation.oldest())?;
            if !self.count_uses(slab, slot) {
                return Some(slot);
            }
            self.transfer(slab, slot, Stage::Probation);
        }
    }

    /// Takes out whoever was seen less often of the last of a window that holds as much as it may and the last of the main part.
    #[inline(never)]
    fn loser(&mut self, slab: &mut impl Slab, room: u32) -> Option<Slot> {
        let is_full = self.window.len() >= room;
        let candidate = if is_full { self.last_of_window(slab) } else { None };
        let victim = self.last_of_main(slab);
        let loser = match (candidate, victim) {
            (Some(candidate), Some(victim)) if self.wins(slab, candidate, victim) => {
                self.transfer(slab, candidate, Stage::Probation);
                victim
            }
            (Some(candidate), _) => candidate,
            (None, Some(victim)) => victim,
            (None, None) => self.last_of_window(slab)?,
        };
        self.take_out(slab, loser)
    }

    /// Takes the oldest of a queue out of it, and remembers it if it was in the window.
    fn take_out(&mut self, slab: &mut impl Slab, victim: Slot) -> Option<Slot> {
        let stage = self.stage_of(slab, victim);
        if stage == Stage::Window {
            self.returns.insert(slab.fingerprint(victim));
        }
        self.queue(stage).pop(slab)
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
            self.transfer(slab, slot, Stage::Protected);
            if u64::from(self.protected.len()) * 5 > u64::from(self.main()) * 4
                && let Some(demoted) = self.last_of_protected(slab)
            {
                self.transfer(slab, demoted, Stage::Probation);
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

    fn queue(&mut self, stage: Stage) -> &mut Queue {
        match stage {
            Stage::Window => &mut self.window,
            Stage::Probation => &mut self.probation,
            Stage::Protected => &mut self.protected,
        }
    }

    fn transfer(&mut self, slab: &mut impl Slab, slot: Slot, to: Stage) {
        let from = self.stage_of(slab, slot);
        self.queue(from).remove(slab, slot);
        slab.node_mut(slot).queue = match to {
            Stage::Window => WINDOW,
            Stage::Probation => self.marks[0],
            Stage::Protected => self.marks[1],
        };
        self.queue(to).push(slab, slot);
    }

    /// Carries an entry's uses over into the sketch, and tells whether there were any.
    #[inline]
    fn count_uses(&mut self, slab: &mut impl Slab, slot: Slot) -> bool {
        let node = slab.node_mut(slot);
        let uses = std::mem::take(&mut node.uses);
        if uses > 0 {
            self.sketch.add(node.fingerprint(), uses);
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

/// How many entries of so many the window may hold.
#[inline]
fn room(held: u32, rule: Rule) -> u32 {
    part(held, rule.window).max(1)
}

/// So many 1024ths of so many entries.
#[expect(clippy::cast_possible_truncation, reason = "a few times as many as there are slots, at most")]
fn part(entries: u32, share: u32) -> u32 {
    ((u64::from(entries) * u64::from(share)) >> 10) as u32
}

/// One number in [`ODDS`], without a pattern that a flood could be timed by.
fn is_lucky(number: u32) -> bool {
    number.wrapping_mul(0x9E37_79B9).wrapping_mul(number ^ 0x85EB_CA6B) >> (u32::BITS - ODDS.ilog2()) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Evict as _;
    use super::super::sieve::Sieve;
    use super::super::watched::Watched;
    use super::*;
    use crate::slots::Slots;

    const RULE: Rule = Rule { window: 205, admit: Admit::Returning(1024) };

    #[test]
    fn whoever_leaves_the_window_was_fetched_two_evictions_before() {
        let (mut slab, mut stages) = (Watched::default(), Staged::new(Sketch::coarse(), 1536));
        for slot in 0..100 {
            slab.slots.put(slot, slot, 0);
            stages.insert(&mut slab, slot, RULE);
        }
        assert!(stages.evict(&mut slab, RULE).is_some());
        let mut expected = Vec::new();
        for step in 0..50 {
            let second = stages.prepare(&slab, 1000 + step);
            // Its own bucket of those who left, and that of the second victim.
            assert_eq!(slab.places.take(), 2);
            expected.push((second, slab.entries.take()));
            let victim = stages.evict(&mut slab, RULE).expect("there are some");
            slab.slots.put(victim, 1000 + step, 0);
            stages.insert(&mut slab, victim, RULE);
            let (before, before_that) = (expected.iter().rev().nth(1), expected.iter().rev().nth(2));
            assert!(before.is_none_or(|(second, _)| *second == Some(victim)), "in step {step}");
            assert!(before_that.is_none_or(|(_, fetched)| fetched == &[victim]), "in step {step}");
        }
    }

    #[test]
    fn there_is_nobody_to_fetch_where_nobody_is() {
        let (mut slab, mut stages) = (Watched::default(), Staged::new(Sketch::coarse(), 1536));
        for slot in 0..2 {
            assert_eq!(stages.prepare(&slab, 7), None);
            slab.slots.put(slot, slot, 0);
            stages.insert(&mut slab, slot, RULE);
        }
        assert_eq!((stages.prepare(&slab, 7), slab.entries.take()), (Some(1), Vec::new()));
    }

    fn lives_as_sieve(requests: &[u32], capacity: usize) {
        let rule = Rule { window: 0, admit: Admit::Anyone };
        let (mut slots, mut stages) = (Slots::default(), Staged::new(Sketch::coarse(), 1536));
        let (mut twins, mut sieve) = (Slots::default(), Sieve::default());
        let mut keys: Vec<u32> = Vec::new();
        for key in requests {
            if let Some(slot) = (0..).zip(&keys).find_map(|(slot, held)| (held == key).then_some(slot)) {
                slots.node_mut(slot).uses = 1;
                twins.node_mut(slot).uses = 1;
                continue;
            }
            let slot = if keys.len() < capacity {
                keys.push(*key);
                keys.len() - 1
            } else {
                let victim = stages.evict(&mut slots, rule);
                assert_eq!(victim, sieve.evict(&mut twins));
                victim.expect("there are some") as usize
            };
            keys[slot] = *key;
            let slot = u32::try_from(slot).expect("few");
            slots.put(slot, *key, 0);
            twins.put(slot, *key, 0);
            stages.insert(&mut slots, slot, rule);
            sieve.insert(&mut twins, slot);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn who_admits_anyone_evicts_whom_sieve_does(
            requests in prop::collection::vec(0_u32..40, 0..600),
            capacity in 1_usize..24,
        ) {
            lives_as_sieve(&requests, capacity);
        }
    }

    #[test]
    fn what_another_rule_has_left_in_its_window_goes_over_in_small_steps() {
        let (mut slab, mut stages) = (Watched::default(), Staged::new(Sketch::coarse(), 1536));
        for slot in 0..100 {
            slab.slots.put(slot, slot, 0);
            stages.insert(&mut slab, slot, RULE);
        }
        let rule = Rule { window: 0, admit: Admit::Anyone };
        for step in 1..=100 {
            assert!(stages.evict(&mut slab, rule).is_some());
            assert_eq!((stages.window.len(), stages.held()), (100_u32.saturating_sub(2 * step), 100 - step));
        }
        assert_eq!(stages.evict(&mut slab, rule), None);
    }

    #[test]
    fn about_one_number_in_the_odds_is_lucky() {
        for from in [0, 1 << 20, 1 << 31] {
            let lucky = (from..from + 128 * ODDS).filter(|number| is_lucky(*number)).count();
            assert!((64..256).contains(&lucky), "{lucky} of 128 from {from}");
        }
    }
}
