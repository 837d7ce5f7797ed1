//! From a fingerprint to a slot: buckets of one cache line, with one-byte tags in front of twelve slots.
//!
//! A look compares all tags of a bucket at once and then, almost always, one key: two cache misses where the slot's is
//! counted, and one where nothing is found. A bucket that was full when an entry came remembers that it spilled, and
//! only then does a look go on to the next one. The table grows by half, not by doubling, so that little of it
//! stands empty.
//!
//! The shape is F14's (Bronson and Shi, "Open-sourcing F14 for faster, more memory-efficient hash tables", 2019).

use std::hint::cold_path;

use cache_policy::Slot;
use wide::{u8x16, u32x4};

use crate::fetch::fetch;
use crate::optimistic::{Readers, Table};

const WIDTH: usize = 12;
/// A bit for each lane that may hold an entry.
const LANES: u32 = (1 << WIDTH) - 1;
const SPILLED: usize = WIDTH;
const MOST_SPILLED: u8 = u8::MAX;
/// Sixteenths of the places that are used at most. With more, every fourth insert would find its bucket full, and the
/// processor not foresee it.
const FULL: usize = 11;
/// The same of few buckets, where room costs little and nothing else makes the processor wait: a bucket then misleads one in thirty looks for what is not
/// there, instead of one in eight.
const FULL_OF_FEW: usize = 8;
/// So many are few: 32 KiB of them.
const FEW: usize = 1 << 9;

/// Read as it is compared, all at once: read byte by byte, it would be put together again at each look.
pub(crate) type Head = u8x16;

/// One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Bucket {
    /// Twelve tags, zero where there is no entry, then the number of entries that found this bucket full, and three bytes that are
    /// none.
    pub(crate) head: Head,
    pub(crate) slots: [Slot; WIDTH],
}

const EMPTY: Bucket = Bucket { head: Head::ZERO, slots: [0; WIDTH] };

#[derive(Debug)]
#[repr(C)]
pub(crate) struct Index {
    pub(crate) buckets: Table<Bucket>,
    len: usize,
    /// How many entries it will hold in the end, if that is known.
    expected: usize,
}

impl Index {
    /// An empty index that will not need much more room than for this many entries.
    pub(crate) const fn new(expected: usize, readers: Readers) -> Self {
        Self { buckets: Table::new(readers), len: 0, expected }
    }

    /// The slot with this fingerprint that `same` accepts.
    #[inline]
    pub(crate) fn find(&self, fingerprint: u32, mut same: impl FnMut(Slot) -> bool) -> Option<Slot> {
        let home = self.home(fingerprint);
        let mut at = home;
        loop {
            let bucket = self.buckets.get(at)?;
            let mut lanes = lanes(bucket.head, fingerprint);
            while lanes != 0 {
                let Some(&slot) = bucket.slots.get(lanes.trailing_zeros() as usize) else { break };
                if same(slot) {
                    return Some(slot);
                }
                cold_path();
                lanes &= lanes - 1;
            }
            if !has_spilled(bucket.head) {
                return None;
            }
            at = self.after(at);
            // Where there are few buckets, each of them may have been full once, and an entry of each live in the next.
            if at == home {
                return None;
            }
        }
    }

    /// Has the processor fetch what a look for this fingerprint will begin with.
    #[inline]
    pub(crate) fn fetch(&self, fingerprint: u32) {
        if let Some(bucket) = self.buckets.get(self.home(fingerprint)) {
            fetch(bucket);
        }
    }

    /// The slot that a look for this fingerprint finds first, most likely the right one.
    #[inline]
    pub(crate) fn likely(&self, fingerprint: u32) -> Option<Slot> {
        let bucket = self.buckets.get(self.home(fingerprint))?;
        bucket.slots.get(lanes(bucket.head, fingerprint).trailing_zeros() as usize).copied()
    }

    /// Adds a slot that is not in it. `fingerprints` tells every slot that is, for when the table has to grow.
    #[inline]
    pub(crate) fn insert<I: Iterator<Item = (u32, Slot)>>(
        &mut self,
        fingerprint: u32,
        slot: Slot,
        fingerprints: impl FnOnce() -> I,
    ) {
        if self.len >= most_in(self.buckets.len()) {
            self.grow(fingerprints());
        }
        self.place(fingerprint, slot);
        self.len += 1;
    }

    /// Takes out a slot that is in it.
    pub(crate) fn remove(&mut self, fingerprint: u32, slot: Slot) {
        if self.unplace(fingerprint, slot) {
            self.len -= 1;
        }
    }

    /// Lets a slot that is in it stand for another fingerprint.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "an insert is one piece of code: a call in it costs a twentieth of the whole"
    )]
    pub(crate) fn exchange(&mut self, old: u32, new: u32, slot: Slot) {
        if self.unplace(old, slot) {
            self.place(new, slot);
        }
    }

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "an insert is one piece of code: a call in it costs a twentieth of the whole"
    )]
    fn unplace(&mut self, fingerprint: u32, slot: Slot) -> bool {
        let tag = tag(fingerprint);
        let home = self.home(fingerprint);
        let mut at = home;
        loop {
            let Some(bucket) = self.buckets.get_mut(at) else { return false };
            if let Some(lane) = bucket.lane_of(tag, slot) {
                bucket.head.as_mut_array()[lane] = 0;
                break;
            }
            if !has_spilled(bucket.head) {
                debug_assert!(false, "slot {slot} is not in the index");
                return false;
            }
            at = self.after(at);
        }
        let mut passed = home;
        while passed != at {
            let spilled = &mut self.buckets[passed].head.as_mut_array()[SPILLED];
            // A count that once reached its end is no longer exact, and stays there.
            *spilled -= u8::from(*spilled != MOST_SPILLED);
            passed = self.after(passed);
        }
        true
    }

    #[cold]
    fn grow(&mut self, fingerprints: impl Iterator<Item = (u32, Slot)>) {
        let by_half = self.buckets.len() + self.buckets.len() / 2 + 1;
        let in_the_end = buckets_for(self.expected);
        let near_the_end = by_half * 5 / 4 >= in_the_end && self.buckets.len() < in_the_end;
        self.rebuild(if near_the_end { in_the_end } else { by_half }, fingerprints);
    }

    fn rebuild(&mut self, buckets: usize, fingerprints: impl Iterator<Item = (u32, Slot)>) {
        // The old ones are freed first, because their memory may do for the new ones.
        self.buckets.replace(Vec::new());
        let mut empty = Vec::new();
        empty.reserve_exact(buckets);
        empty.resize(buckets, EMPTY);
        // By way of a box, which has room for no more: who reads without the lock takes all the room for buckets.
        self.buckets.replace(empty.into_boxed_slice().into_vec());
        fingerprints.for_each(|(fingerprint, slot)| self.place(fingerprint, slot));
    }

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "an insert is one piece of code: a call in it costs a twentieth of the whole"
    )]
    fn place(&mut self, fingerprint: u32, slot: Slot) {
        let home = self.home(fingerprint);
        if !self.buckets[home].place(fingerprint, slot) {
            self.place_behind(home, fingerprint, slot);
        }
    }

    /// Places a slot for which the bucket where a look begins has no room.
    #[cold]
    fn place_behind(&mut self, home: usize, fingerprint: u32, slot: Slot) {
        let mut at = home;
        loop {
            let full = &mut self.buckets[at];
            full.head.as_mut_array()[SPILLED] = full.spilled().saturating_add(1);
            at = self.after(at);
            if self.buckets[at].place(fingerprint, slot) {
                return;
            }
        }
    }

    /// The bucket where a look begins.
    #[inline]
    fn home(&self, fingerprint: u32) -> usize {
        home(fingerprint, self.buckets.len())
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.buckets.len() { 0 } else { at + 1 }
    }
}

impl Bucket {
    /// How many entries found it full.
    #[inline]
    fn spilled(&self) -> u8 {
        self.head.as_array()[SPILLED]
    }

    /// Puts a slot into a free lane, and says whether there was one.
    #[inline]
    fn place(&mut self, fingerprint: u32, slot: Slot) -> bool {
        let free = self.lanes_with(0).trailing_zeros() as usize;
        let Some(lane) = self.slots.get_mut(free) else { return false };
        *lane = slot;
        self.head.as_mut_array()[free] = tag(fingerprint);
        true
    }

    /// One bit per lane that holds this tag; for tag 0, per free lane.
    #[inline]
    fn lanes_with(&self, tag: u8) -> u32 {
        equal_bytes(self.head, tag) & LANES
    }

    #[inline]
    fn lane_of(&self, tag: u8, slot: Slot) -> Option<usize> {
        let mut lanes = self.lanes_with(tag);
        while lanes != 0 {
            let lane = lanes.trailing_zeros() as usize;
            if self.slots.get(lane) == Some(&slot) {
                return Some(lane);
            }
            lanes &= lanes - 1;
        }
        None
    }
}

/// The one of so many buckets where a look begins. Spreads the fingerprints over any number of buckets: Lemire, "Fast random
/// integer generation in an interval", 2019.
#[inline]
pub(crate) fn home(fingerprint: u32, buckets: usize) -> usize {
    ((u64::from(fingerprint) * buckets as u64) >> 32) as usize
}

/// One bit per lane of this head that holds the tag of this fingerprint.
#[inline]
pub(crate) fn lanes(head: Head, fingerprint: u32) -> u32 {
    equal_bytes(head, tag(fingerprint)) & LANES
}

/// Tells whether entries may stand in the buckets behind one with this head for want of room in it.
#[inline]
pub(crate) fn has_spilled(head: Head) -> bool {
    // By a comparison, which is made where it is asked for: a byte that was loaded with others is taken from them at once.
    head.simd_eq(Head::ZERO).to_bitmask() & 1 << SPILLED == 0
}

/// The lowest eight bits, which do not tell the bucket, but for zero, which tells that there is no entry.
#[inline]
fn tag(fingerprint: u32) -> u8 {
    (fingerprint & 0xff).max(1) as u8
}

/// How many entries so many buckets hold.
#[inline]
fn most_in(buckets: usize) -> usize {
    buckets * WIDTH * if buckets <= FEW { FULL_OF_FEW } else { FULL } / 16
}

/// How many buckets hold so many entries.
fn buckets_for(entries: usize) -> usize {
    let buckets = |full: usize| (entries * 16 / full).div_ceil(WIDTH) + 1;
    if buckets(FULL_OF_FEW) <= FEW { buckets(FULL_OF_FEW) } else { buckets(FULL).max(FEW + 1) }
}

/// One bit per byte that equals `wanted`.
#[inline]
fn equal_bytes(bytes: Head, wanted: u8) -> u32 {
    // Four at a time, because that is what a processor without later instructions can spread.
    let four = u32x4::splat(u32::from(wanted) * 0x0101_0101);
    bytes.simd_eq(bytemuck::cast::<u32x4, u8x16>(four)).to_bitmask()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bucket_is_one_cache_line() {
        assert_eq!((size_of::<Bucket>(), align_of::<Bucket>()), (64, 64));
    }

    #[test]
    fn equal_bytes_are_found_in_every_lane() {
        for lane in 0..16 {
            let mut bytes = [7; 16];
            bytes[lane] = 200;
            assert_eq!(equal_bytes(Head::new(bytes), 200), 1 << lane);
        }
        assert_eq!(equal_bytes(Head::ZERO, 0), 0xffff);
        assert_eq!(equal_bytes(Head::ZERO, 1), 0);
    }

    #[test]
    fn a_lane_that_holds_no_slot_is_told_of_by_no_head() {
        for byte in 0..=u8::MAX {
            // As a head may look that is half changed, and a count that is the same as a tag.
            let told = lanes(Head::splat(byte), u32::from(byte.max(1)));
            assert_eq!(told, if byte == 0 { 0 } else { LANES }, "{byte}");
        }
        assert_eq!(lanes(Head::ZERO, 0), 0, "a free lane is nobody's");
        let (index, mut crowded) = (Index::new(0, Readers::none()), Index::new(WIDTH * 2, Readers::none()));
        assert_eq!(index.likely(0), None, "there are no buckets");
        index.fetch(0);
        let held = |number: u32| (0..number).map(|slot| (2, slot));
        // Behind the tags stands one more count each time, so it comes to be the tag that is looked for.
        (0..20).for_each(|slot| crowded.insert(2, slot, || held(slot)));
        for fingerprint in 0..=u32::from(u8::MAX) {
            assert!(crowded.likely(fingerprint).is_none_or(|slot| slot < 20 && fingerprint == 2));
        }
    }

    #[test]
    fn a_count_of_the_spilled_that_came_to_its_end_leads_to_all_that_remain() {
        let mut index = Index::new(0, Readers::none());
        let most: Slot = 3 * u32::from(u8::MAX);
        (0..most).for_each(|slot| index.insert(0, slot, || (0..slot).map(|held| (0, held))));
        assert_eq!(index.buckets[0].spilled(), MOST_SPILLED);
        for gone in 0..most {
            for slot in [gone, gone + 1, most - 1] {
                assert_eq!(index.find(0, |found| found == slot), (slot < most).then_some(slot));
            }
            index.remove(0, gone);
            assert_eq!(index.find(0, |found| found == gone), None);
        }
        assert_eq!(
            (index.len, index.buckets[0].spilled()),
            (0, MOST_SPILLED),
            "it is no longer exact, and stays"
        );
    }

    #[test]
    fn an_index_that_nothing_was_known_of_grows_beyond_the_small_ones() {
        let fingerprint = |number: u32| number.wrapping_mul(0x9E37_79B9);
        let mut index = Index::new(0, Readers::none());
        let mut sizes = Vec::new();
        for number in 0..12_000 {
            index.insert(fingerprint(number), number, || (0..number).map(|held| (fingerprint(held), held)));
            let buckets = index.buckets.len();
            let sixteenths = if buckets <= 512 { 8 } else { 11 };
            assert!(index.len * 16 <= buckets * 12 * sixteenths, "{number} in {buckets} buckets");
            sizes.push(buckets);
        }
        assert!(sizes.is_sorted() && sizes.contains(&1) && sizes.last().is_some_and(|last| *last > FEW));
        let lost =
            (0..12_000).find(|number| index.find(fingerprint(*number), |slot| slot == *number).is_none());
        assert_eq!(lost, None);
        let sizes = [0, 1, 3065, 3066, 3067, 4223, 4224, 1 << 20];
        let short = sizes.into_iter().find(|entries| most_in(buckets_for(*entries)) < *entries);
        assert_eq!(short, None, "so many buckets do not hold what they are for");
    }

    #[test]
    fn few_looks_for_what_is_not_there_are_misled() {
        let fingerprint =
            |number: u32| number.wrapping_mul(0x9E37_79B9) ^ number.wrapping_mul(0x85EB_CA6B) >> 15;
        for (entries, most_misled) in [(1000, 4), (3000, 4), (100_000, 15)] {
            let mut index = Index::new(entries as usize, Readers::none());
            (0..entries).for_each(|number| {
                index.insert(fingerprint(number), number, || {
                    (0..number).map(|held| (fingerprint(held), held))
                });
            });
            assert!(
                index.len <= most_in(index.buckets.len())
                    && index.buckets.len() == buckets_for(entries as usize)
            );
            let misled = (entries..entries + 100_000).map(fingerprint).filter(|absent| {
                let head = index.buckets[index.home(*absent)].head;
                lanes(head, *absent) != 0 || has_spilled(head)
            });
            let percent = misled.count() / 1000;
            assert!(percent <= most_misled, "{percent} % among {entries}");
        }
    }

    #[test]
    fn a_look_ends_though_every_bucket_has_spilled() {
        let mut index = Index::new(24, Readers::none());
        let mut slots = 0..;
        let mut held = Vec::new();
        let mut insert = |index: &mut Index, held: &mut Vec<(u32, Slot)>, fingerprint: u32| {
            let slot = slots.next().expect("endless");
            index.insert(fingerprint, slot, || held.clone().into_iter());
            held.push((fingerprint, slot));
        };
        (0..24).for_each(|_| insert(&mut index, &mut held, 0));
        held.drain(..).for_each(|(fingerprint, slot)| index.remove(fingerprint, slot));
        let buckets = index.buckets.len();
        for bucket in 0..buckets {
            let first = ((bucket as u64) << 32).div_ceil(buckets as u64);
            let fingerprint = u32::try_from(first).expect("below the last bucket's end");
            let kept = held.len();
            (0..=WIDTH).for_each(|_| insert(&mut index, &mut held, fingerprint));
            // The last one has found its bucket full, and stays.
            held.drain(kept..held.len() - 1).for_each(|(fingerprint, slot)| index.remove(fingerprint, slot));
        }
        assert_eq!(index.buckets.len(), buckets, "it has not grown meanwhile");
        assert!(index.buckets.iter().all(|bucket| bucket.spilled() > 0));
        assert_eq!(index.find(0, |_| false), None);
    }

    fn check(ops: Vec<(bool, u32, Slot)>, spread: u32, expected: usize) -> Result<(), TestCaseError> {
        let mut index = Index::new(expected, Readers::none());
        let mut twin: HashMap<Slot, u32> = HashMap::new();
        for (insert, fingerprint, slot) in ops {
            let fingerprint = fingerprint / spread * spread;
            if insert && !twin.contains_key(&slot) {
                let held: Vec<_> = twin.iter().map(|(slot, fingerprint)| (*fingerprint, *slot)).collect();
                index.insert(fingerprint, slot, || held.into_iter());
                twin.insert(slot, fingerprint);
            } else if let Some(fingerprint) = twin.remove(&slot) {
                index.remove(fingerprint, slot);
            }
            prop_assert_eq!(index.len, twin.len());
        }
        for (slot, fingerprint) in &twin {
            prop_assert_eq!(index.find(*fingerprint, |found| found == *slot), Some(*slot));
        }
        prop_assert_eq!(index.find(1, |slot| !twin.contains_key(&slot)), None);
        let all: usize =
            index.buckets.iter().map(|bucket| WIDTH - bucket.lanes_with(0).count_ones() as usize).sum();
        prop_assert_eq!(all, twin.len());
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn agrees_with_a_map(
            ops in prop::collection::vec((prop::bool::weighted(0.7), any::<u32>(), 0_u32..500), 0..1500),
            // Few different fingerprints make buckets spill.
            spread in prop_oneof![Just(1_u32), Just(1 << 24), Just(1 << 30)],
            expected in prop_oneof![Just(0_usize), Just(100), Just(400)],
        ) {
            check(ops, spread, expected)?;
        }
    }
}
