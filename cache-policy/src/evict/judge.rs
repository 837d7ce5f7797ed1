//! Which rule would have done best here: small copies of the cache, each under its own rule, live through the same
//! requests for a sample of the keys.
//!
//! One key in 16, by hash, on a cache a sixteenth as large has the hit ratio of the whole (Waldspurger et al.,
//! "Cache modeling and optimization using miniature simulations", USENIX ATC 2017). The copies share one record for each
//! key, so that a sampled use costs one look for all of them; they are made of the same parts as the cache itself, so
//! that what they predict is what it does.
//!
//! What counts are the requests that one rule hits and another misses, lately. A rule must be ahead of the one at work by
//! more than a little: each change costs misses, because what is in the cache was chosen by another rule.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::NO_USE;
use super::sketch::Sketch;
use super::staged::{Admit, Rule, Staged};
use crate::node::{Slab, Slot};
use crate::slots::Slots;

/// Small copies of a cache under `N` rules, and who was better lately.
#[derive(Debug)]
pub(super) struct Judge<const N: usize> {
    rules: [Rule; N],
    copies: [Copied; N],
    records: HashMap<u32, Slot, BuildHasherDefault<Spread>>,
    /// In which copies a record is, one bit for each; the number of a record is its slot in all of them.
    held_by: Vec<u8>,
    free: Vec<Slot>,
    /// A key is in the sample if so many of the lowest bits of its fingerprint are zero.
    shift: u32,
    /// How many entries each copy may hold.
    room: u32,
    /// What is known since the last verdict, what of lately, and what of long.
    fresh: Books<N>,
    lately: Books<N>,
    long: Books<N>,
    /// Requests since the last verdict.
    seen: u32,
    best: u8,
    /// Verdicts since the last that changed something.
    steady: u32,
    /// How many more have to make room until it wakes.
    rest: u32,
    /// How many requests after it wakes only bring the copies up to date, at most.
    settling: u32,
}

/// How two rules did where they did not do the same.
#[derive(Debug)]
struct Books<const N: usize> {
    /// How often the first rule hit where the second missed.
    wins: [[f32; N]; N],
    /// Of how many requests.
    weight: f32,
}

impl<const N: usize> Books<N> {
    const fn new() -> Self {
        Self { wins: [[0.0; N]; N], weight: 0.0 }
    }

    /// Enters what others say; what was there before counts for this share.
    fn add(&mut self, newer: &Self, memory: f32) {
        self.weight = self.weight * memory + newer.weight;
        for (wins, newer) in self.wins.as_flattened_mut().iter_mut().zip(newer.wins.as_flattened()) {
            *wins = *wins * memory + newer;
        }
    }

    /// In how many requests more the first rule hit alone than the second.
    fn lead(&self, rule: usize, other: usize) -> f32 {
        self.wins[rule][other] - self.wins[other][rule]
    }

    /// Tells whether that is more than a little, and more than chance would make it.
    fn is_ahead(&self, rule: usize, other: usize) -> bool {
        let (lead, disputed) = (self.lead(rule, other), self.wins[rule][other] + self.wins[other][rule]);
        lead > LEAD * self.weight && lead > DOUBT * disputed.sqrt()
    }
}

#[derive(Debug)]
struct Copied {
    slots: Slots,
    stages: Staged,
}

/// The fewest entries of a copy, where the cache has as many: with fewer, chance decides.
const LEAST_ROOM: u32 = 256;
/// After so many verdicts that change nothing, it rests.
const STEADY: u32 = 128;
/// How long it rests: until so many times as many entries as are held have had to make room. A change that matters makes
/// more of them leave.
const REST: u32 = 4;
/// In how many times as many requests as a copy has entries it is brought up to date after a rest, at most.
const MOST_SETTLING: u32 = 8;
/// After how many verdicts it rests again, if they change nothing.
const AWAKE: u32 = 4;
/// The smallest sample: one key in 32. More bits would leave too few requests to decide by while they matter.
const MOST_SHIFT: u32 = 5;
/// How much of what was seen before still counts after a verdict, of which there are two in as many requests as
/// a copy has entries. Of 0.7 to 0.95, what did best on thirteen traces and on nine others.
const MEMORY: f32 = 0.93;
/// By what share of the requests another rule has to be better.
const LEAD: f32 = 0.005;
/// And by how many standard deviations of the number of requests that one of both hit alone: where all rules are equal,
/// chance would make one of them the best at every verdict.
const DOUBT: f32 = 2.0;
const LEAST_REQUESTS: u32 = 32;
/// The same as [`MEMORY`], where what lasts is asked for.
const LONG_MEMORY: f32 = 0.98;
/// A rule that admits anyone, and so loses what others would keep, has to be better for long: in so many times as many requests as a copy has entries.
const PATIENCE: f32 = 16.0;

impl<const N: usize> Judge<N> {
    /// Copies that remember `memory` 1024ths as many of those who left as they hold. The first rule is at work, and again
    /// whenever the one at work is not ahead of it.
    pub(super) fn new(rules: [Rule; N], memory: u32) -> Self {
        const { assert!(N <= 8, "a record has eight bits") };
        let copy = |_| Copied { slots: Slots::default(), stages: Staged::new(Sketch::coarse(), memory) };
        Self {
            rules,
            copies: std::array::from_fn(copy),
            records: HashMap::default(),
            held_by: Vec::new(),
            free: Vec::new(),
            shift: 0,
            room: u32::MAX,
            fresh: Books::new(),
            lately: Books::new(),
            long: Books::new(),
            seen: 0,
            best: 0,
            steady: 0,
            rest: 0,
            settling: 0,
        }
    }

    /// The number of the rule that has done best.
    pub(super) fn best(&self) -> u8 {
        self.best
    }

    /// Requests for fingerprints without these bits are to be [`observed`](Self::observe).
    pub(super) fn watch(&self) -> u32 {
        if self.rest > 0 { NO_USE } else { self.sample() }
    }

    /// No key of the sample has any of these bits.
    fn sample(&self) -> u32 {
        (1 << self.shift) - 1
    }

    /// Fits the sample to a cache that holds so many entries and may yet hold more: the copies do not evict.
    pub(super) fn fit(&mut self, held: u32) {
        if held >> self.shift >= 2 * LEAST_ROOM && self.shift < MOST_SHIFT {
            self.shift += 1;
            self.thin_out();
        } else if held >> self.shift < LEAST_ROOM / 2 && self.shift > 0 {
            self.shift -= 1;
        }
    }

    /// Fits the sample and the copies to a cache that is full with so many entries.
    pub(super) fn limit(&mut self, held: u32) {
        self.fit(held);
        self.room = (held >> self.shift).max(1);
        if self.rest > 0 {
            self.rest -= 1;
            self.forget_marks();
        }
    }

    /// While it rests, empties the copy of a rule that admits anyone, one entry at a time, if that rule is behind. In a loop SIEVE hits nothing,
    /// and so spares nobody. But whom requests of another order have marked it keeps for ever: a copy that was left at one
    /// place of the loop and goes on at another promises what the cache will not do. Where it is not behind it need not begin anew.
    fn forget_marks(&mut self) {
        for number in 0..N {
            let keeps_marks = self.rules[number].admit == Admit::Anyone;
            if keeps_marks && self.lately.is_ahead(usize::from(self.best), number) {
                self.drop_one(number);
            }
        }
    }

    /// Drops the records that are no longer of the sample. O(n), each time the cache has grown to twice as much.
    #[cold]
    fn thin_out(&mut self) {
        let sample = self.sample();
        let dropped = self.records.extract_if(|fingerprint, _| fingerprint & sample != 0);
        for record in dropped.map(|(_, record)| record).collect::<Vec<Slot>>() {
            self.release(record);
        }
    }

    /// Drops a key from all copies.
    pub(super) fn forget(&mut self, fingerprint: u32) {
        if let Some(record) = self.records.remove(&fingerprint) {
            self.release(record);
        }
    }

    fn release(&mut self, record: Slot) {
        let held_by = std::mem::take(&mut self.held_by[record as usize]);
        let copies = self.copies.iter_mut().enumerate().filter(|(number, _)| held_by >> number & 1 == 1);
        copies.for_each(|(_, copy)| copy.stages.remove(&mut copy.slots, record));
        self.free.push(record);
    }

    /// A key of the sample was asked for, be it here or not.
    #[inline(never)]
    pub(super) fn observe(&mut self, fingerprint: u32) {
        let record = self.record(fingerprint);
        let hits = self.held_by[record as usize];
        for number in 0..N {
            if hits >> number & 1 == 1 {
                self.copies[number].slots.node_mut(record).uses = 1;
            } else {
                self.admit(number, record, fingerprint);
            }
        }
        if self.settling > 0 {
            // Who began anew is not judged before it is full.
            let are_full = self.copies.iter().all(|copy| copy.stages.held() >= self.room);
            self.settling = if are_full { self.settling.min(self.room) } else { self.settling } - 1;
            return;
        }
        self.compare(hits);
        self.seen += 1;
        if self.seen >= (self.room / 2).max(LEAST_REQUESTS) {
            self.decide();
        }
    }

    #[cfg(test)]
    pub(super) fn records(&self) -> usize {
        self.records.len()
    }

    /// The record of a fingerprint, a new one if there is none.
    fn record(&mut self, fingerprint: u32) -> Slot {
        if let Some(record) = self.records.get(&fingerprint) {
            return *record;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a few thousand at most")]
        let record = self.free.pop().unwrap_or(self.held_by.len() as Slot);
        if record as usize == self.held_by.len() {
            self.held_by.push(0);
        }
        self.records.insert(fingerprint, record);
        record
    }

    /// One of the copies stores a key that it has missed.
    fn admit(&mut self, number: usize, record: Slot, fingerprint: u32) {
        let (rule, room) = (self.rules[number], self.room);
        let mut is_full = false;
        while self.copies[number].stages.held() >= room && self.drop_one(number).is_some() {
            is_full = true;
        }
        let Copied { slots, stages } = &mut self.copies[number];
        slots.put(record, fingerprint, 0);
        stages.insert(slots, record, rule);
        if !is_full {
            stages.drain_window(slots, rule);
        }
        self.held_by[record as usize] |= 1 << number;
    }

    /// One of the copies makes room.
    fn drop_one(&mut self, number: usize) -> Option<Slot> {
        let Copied { slots, stages } = &mut self.copies[number];
        let victim = stages.evict(slots, self.rules[number])?;
        let held_by = &mut self.held_by[victim as usize];
        *held_by &= !(1 << number);
        if *held_by == 0 {
            self.records.remove(&slots.fingerprint(victim));
            self.free.push(victim);
        }
        Some(victim)
    }

    /// Enters a request into the books that these copies have hit.
    fn compare(&mut self, hits: u8) {
        let everybody = u8::MAX >> (8 - N);
        if hits == 0 || hits == everybody {
            return;
        }
        for (one, row) in self.fresh.wins.iter_mut().enumerate().filter(|(one, _)| hits >> one & 1 == 1) {
            for (other, wins) in row.iter_mut().enumerate() {
                *wins += f32::from(!hits >> other & 1) * f32::from(u8::from(one != other));
            }
        }
    }

    #[cold]
    #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
    fn decide(&mut self) {
        self.fresh.weight = self.seen as f32;
        self.lately.add(&self.fresh, MEMORY);
        self.long.add(&self.fresh, LONG_MEMORY);
        (self.fresh, self.seen) = (Books::new(), 0);
        let now = usize::from(self.best);
        let lead = |rule| self.lately.lead(rule, now);
        let better = (0..N).filter(|rule| self.is_better(*rule, now));
        if let Some(best) = better.max_by(|one, other| lead(*one).total_cmp(&lead(*other))) {
            #[expect(clippy::cast_possible_truncation, reason = "at most eight")]
            let best = best as u8;
            self.best = best;
            self.steady = 0;
        } else if lead(0) >= 0.0 {
            // It is no worse, and costs less than others do.
            self.best = 0;
        }
        self.steady = self.steady.saturating_add(1);
        if self.steady >= STEADY && self.steady.is_multiple_of(AWAKE) {
            self.rest = (self.room << self.shift).saturating_mul(REST);
            self.settling = self.room.saturating_mul(MOST_SETTLING);
        }
    }

    /// Tells whether a rule should take over from another one.
    #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
    fn is_better(&self, rule: usize, other: usize) -> bool {
        match self.rules[rule].admit {
            Admit::Anyone => {
                let is_long = self.long.weight >= PATIENCE * self.room as f32;
                is_long && self.long.is_ahead(rule, other) && self.lately.lead(rule, other) > 0.0
            }
            _ => self.lately.is_ahead(rule, other),
        }
    }
}

/// Fingerprints of a sample have their lowest bits in common.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let product = (self.0 ^ u64::from(*byte)).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            self.0 = product ^ product >> 32;
        }
    }

    fn write_u32(&mut self, fingerprint: u32) {
        let product = (u64::from(fingerprint) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ product >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::staged::Admit;
    use super::*;

    const RULES: [Rule; 2] =
        [Rule { window: 10, admit: Admit::Returning(1024) }, Rule { window: 205, admit: Admit::Frequent }];

    fn judge() -> Judge<2> {
        Judge::new(RULES, 1536)
    }

    fn fingerprint(key: u32) -> u32 {
        key.wrapping_mul(0x9E37_79B9).swap_bytes()
    }

    /// Asks for a key if it is of the sample.
    fn ask(judge: &mut Judge<2>, key: u32) {
        if fingerprint(key) & judge.sample() == 0 {
            judge.observe(fingerprint(key));
        }
    }

    /// Every record is of the sample, in the copies that it says, and free if it says none; and they are `most` at most.
    #[track_caller]
    fn check(judge: &Judge<2>, most: usize) {
        assert!(judge.records.keys().all(|fingerprint| fingerprint & judge.sample() == 0));
        assert!(judge.records() <= most, "{} records", judge.records());
        assert_eq!(judge.records() + judge.free.len(), judge.held_by.len());
        for (number, copy) in judge.copies.iter().enumerate() {
            let held =
                judge.records.values().filter(|record| judge.held_by[**record as usize] >> number & 1 == 1);
            assert_eq!(copy.stages.held() as usize, held.count(), "copy {number}");
        }
        assert!(judge.free.iter().all(|record| judge.held_by[*record as usize] == 0));
    }

    fn grow(judge: &mut Judge<2>, keys: std::ops::Range<u32>) {
        for (key, held) in keys.zip(1..) {
            ask(judge, key);
            judge.fit(held);
        }
    }

    /// Records leave for all reasons while the queues of a rule that admits anyone change their names, and every copy can
    /// still be emptied of exactly those that it says it has.
    #[test]
    fn whoever_leaves_while_the_hand_passes_is_in_no_queue() {
        let anyone = Rule { window: 0, admit: Admit::Anyone };
        let mut judge = Judge::new([RULES[0], RULES[1], anyone], 1536);
        let spread = |key: u32| key.wrapping_mul(0x9E37_79B9).swap_bytes();
        let mut key = 0_u32;
        for held in [40, 90, 700, 3000, 200, 30, 1500] {
            judge.limit(held);
            for round in 0..3000_u32 {
                key = (key + round % 7) % 2500;
                if spread(key) & judge.sample() == 0 {
                    judge.observe(spread(key));
                }
                if round % 5 == 0 {
                    judge.forget(spread(key ^ round));
                }
            }
            judge.limit(held);
        }
        for (number, Copied { slots, stages }) in judge.copies.iter_mut().enumerate() {
            let held_by = &judge.held_by;
            let held = (0..).zip(held_by).filter(|(_, copies)| *copies >> number & 1 == 1);
            let mut held: Vec<Slot> = held.map(|(record, _)| record).collect();
            while let Some(victim) = stages.evict(slots, judge.rules[number]) {
                held.retain(|record| *record != victim);
                assert!(
                    stages.held() as usize == held.len(),
                    "copy {number} has {victim} and says it has not"
                );
            }
            assert!(held.is_empty(), "copy {number} has lost {held:?}");
        }
    }

    /// The third rule is ahead from the first request on, and takes over when that was long ago.
    #[test]
    fn who_admits_anyone_has_to_be_ahead_for_long() {
        let anyone = Rule { window: 0, admit: Admit::Anyone };
        let mut judge = Judge::new([RULES[0], RULES[1], anyone], 1536);
        judge.limit(100);
        let verdicts = (1..).take_while(|_| {
            (judge.fresh.wins[2][0], judge.seen) = (25.0, 50);
            judge.decide();
            judge.best == 0
        });
        // 16 times the 100 entries of a copy, of which half are a verdict, and what was before fades by a fiftieth.
        assert_eq!(verdicts.count(), 50);
        // What it loses at last counts as with any other, though it was ahead for long.
        let verdicts = (1..).take_while(|_| {
            (judge.fresh.wins[0][2], judge.seen) = (25.0, 50);
            judge.decide();
            judge.best == 2
        });
        assert!(verdicts.count() < 10 && judge.long.is_ahead(2, 0));
        (judge.fresh.wins[0][2], judge.seen) = (25.0, 50);
        judge.decide();
        assert!(
            judge.long.is_ahead(2, 0) && judge.best == 0,
            "who was ahead for long does not come back while it loses"
        );
    }

    #[test]
    fn a_sample_grows_and_shrinks_with_the_cache_and_nobody_is_left_behind() {
        let mut judge = judge();
        grow(&mut judge, 0..100_000);
        assert_eq!((judge.shift, judge.copies[0].stages.held()), (5, judge.copies[1].stages.held()));
        check(&judge, 100_000 / 32 * 11 / 10);
        let peak = judge.held_by.len();

        for held in (50..=100_000).rev() {
            judge.limit(held);
            ask(&mut judge, 1_000_000 + held);
        }
        assert_eq!((judge.shift, judge.room), (0, 50));
        check(&judge, 2 * 50);

        grow(&mut judge, 2_000_000..2_100_000);
        judge.limit(100_000);
        assert_eq!((judge.shift, judge.room), (5, 3125));
        (3_000_000..4_000_000).for_each(|key| ask(&mut judge, key));
        check(&judge, 2 * 3125);
        assert!(
            judge.held_by.len() <= peak + 2 * 3125 + 1,
            "records are used again: {}",
            judge.held_by.len()
        );
    }

    #[test]
    fn the_sample_has_a_share_of_the_keys_between_half_and_twice_the_least() {
        let mut judge = judge();
        let shifts =
            [(511, 0), (512, 1), (1023, 1), (1024, 2), (512, 2), (511, 1), (256, 1), (255, 0), (1, 0)];
        for (held, shift) in shifts {
            judge.limit(held);
            judge.limit(held);
            assert_eq!((judge.shift, judge.room), (shift, held >> shift), "{held}");
        }
        judge.limit(1 << 30);
        (0..10).for_each(|_| judge.limit(1 << 30));
        assert_eq!(judge.sample(), 31);
    }

    #[test]
    fn whoever_is_forgotten_is_in_no_copy() {
        let mut judge = judge();
        (0..100).for_each(|key| ask(&mut judge, key));
        (0..100).filter(|key| key % 3 > 0).for_each(|key| judge.forget(fingerprint(key)));
        judge.forget(fingerprint(1));
        check(&judge, 34);
        (0..100).for_each(|key| ask(&mut judge, key));
        check(&judge, 100);
        assert_eq!(judge.held_by.len(), 100, "records are used again");
    }

    #[test]
    fn a_verdict_is_due_after_half_as_many_requests_as_a_copy_holds_and_no_fewer_than_32() {
        for (held, due) in [(400, 200), (64, 32), (10, 32)] {
            let mut judge = judge();
            judge.limit(held);
            for key in 1..due {
                ask(&mut judge, key);
                assert_eq!(judge.seen, key, "{held}");
            }
            ask(&mut judge, due);
            assert_eq!(judge.seen, 0, "{held}");
        }
    }

    #[test]
    fn while_verdicts_change_nothing_it_rests() {
        let mut judge = judge();
        judge.limit(100);
        for _ in 0..STEADY {
            assert_eq!(judge.watch(), 0);
            judge.decide();
        }
        for _ in 0..REST * 100 {
            assert_eq!(judge.watch(), NO_USE);
            judge.limit(100);
        }
        assert_eq!(judge.watch(), 0);
        // A hundred until the copies are full, and as many that bring them up to date.
        (1..200).for_each(|key| judge.observe(key));
        assert_eq!((judge.seen, judge.fresh.wins), (0, [[0.0; 2]; 2]), "the copies had to catch up first");
        judge.observe(200);
        assert_eq!(judge.seen, 1);
        for verdict in 1..=AWAKE {
            assert_eq!(judge.watch(), 0, "before verdict {verdict}");
            judge.decide();
        }
        assert_eq!(judge.watch(), NO_USE);
    }

    #[test]
    fn copies_that_are_never_full_are_waited_for_no_longer_than_eight_times_their_room() {
        let mut judge = judge();
        judge.limit(100);
        (0..STEADY).for_each(|_| judge.decide());
        (0..REST * 100).for_each(|_| judge.limit(100));
        (0..800).for_each(|_| judge.observe(1));
        assert_eq!(judge.seen, 0);
        judge.observe(1);
        assert_eq!(judge.seen, 1);
    }

    #[test]
    fn while_it_rests_the_copy_of_a_rule_that_admits_anyone_is_emptied_if_that_is_behind() {
        for (lead, expected) in [(1000.0, 0), (0.0, 100)] {
            let rules = [Admit::Returning(1024), Admit::Anyone].map(|admit| Rule { window: 31, admit });
            let mut judge = Judge::new(rules, 1536);
            judge.limit(100);
            // A hundred that both hold, and one more that each of them makes room for.
            (0..101).for_each(|key| judge.observe(fingerprint(key)));
            (0..STEADY - 1).for_each(|_| judge.decide());
            (judge.fresh.wins[0][1], judge.seen) = (lead, 1000);
            judge.decide();
            for step in 1..=101 {
                judge.limit(100);
                let held = [0, 1].map(|number| judge.copies[number].stages.held());
                assert_eq!(held, [100, expected.max(100 - step.min(100))]);
            }
            let alone = judge.held_by.iter().filter(|held_by| **held_by & 2 != 0).count();
            assert_eq!(alone, expected as usize);
            assert!(
                expected > 0 || judge.records.len() == 100,
                "who was held by that copy alone is forgotten"
            );
        }
    }

    #[test]
    fn a_verdict_that_changes_something_keeps_it_awake() {
        let mut judge = judge();
        (0..STEADY - 1).for_each(|_| judge.decide());
        (judge.fresh.wins[1][0], judge.seen) = (1000.0, 1000);
        judge.decide();
        assert_eq!((judge.best, judge.rest), (1, 0));
        (0..STEADY - 2).for_each(|_| judge.decide());
        assert_eq!(judge.rest, 0);
        judge.decide();
        assert_ne!(judge.rest, 0);
    }

    /// A verdict on so many requests that the second rule alone hit, and so many that it alone missed.
    #[track_caller]
    fn check_verdict(wins: f32, losses: f32, best: u8) {
        let mut judge = judge();
        (judge.fresh.wins[1][0], judge.fresh.wins[0][1], judge.seen) = (wins, losses, 1000);
        judge.decide();
        assert_eq!((judge.best, judge.seen), (best, 0), "{wins} to {losses}");
    }

    #[test]
    fn a_rule_has_to_be_better_by_more_than_a_little() {
        check_verdict(0.0, 0.0, 0);
        check_verdict(5.0, 0.0, 0);
        check_verdict(6.0, 0.0, 1);
        check_verdict(506.0, 500.0, 0);
        check_verdict(564.0, 500.0, 0);
        check_verdict(566.0, 500.0, 1);
        check_verdict(500.0, 566.0, 0);
    }

    #[test]
    fn the_first_rule_takes_over_from_one_that_is_not_ahead_of_it() {
        for (wins, losses, best) in [(501.0, 500.0, 1), (500.0, 500.0, 0), (499.0, 500.0, 0)] {
            let mut judge = judge();
            (judge.best, judge.fresh.wins[1][0], judge.fresh.wins[0][1], judge.seen) =
                (1, wins, losses, 1000);
            judge.decide();
            assert_eq!(judge.best, best, "{wins} to {losses}");
        }
    }

    #[test]
    fn what_was_seen_before_counts_less_and_less() {
        let mut judge = judge();
        (judge.fresh.wins[1][0], judge.seen) = (1000.0, 10_000);
        judge.decide();
        assert_eq!(judge.best, 1);
        let verdicts = (1..).take_while(|_| {
            (judge.fresh.wins[0][1], judge.seen) = (200.0, 1000);
            judge.decide();
            judge.best == 1
        });
        assert_eq!(verdicts.count(), 4);
    }
}
