//! How often a fingerprint was seen lately, roughly, in at most four or eight bytes an entry.
//!
//! A count-min sketch of four rows of 4-bit counters: the estimate is the lowest of the four, never below what was
//! added since the last ageing, more only where others fell on all four. The four counters of a fingerprint stand in
//! one block of 64 bytes, so that asking costs one cache miss. Every so often all counters are halved: the sketch
//! forgets, and old popularity does not keep out new.
//!
//! Source: Cormode and Muthukrishnan, "An improved data stream summary", J. Algorithms 55(1), 2005; the ageing is that
//! of Einziger, Friedman and Manes, "`TinyLFU`", ACM Transactions on Storage 13(4), 2017, the blocks are an idea of
//! Caffeine's sketch.

use crate::node::Slab;

/// Counters from 0 to 15.
#[derive(Debug)]
pub(super) struct Sketch {
    /// A power of two of them, once there are any.
    blocks: Vec<Block>,
    /// What was added since the last ageing; half of what was there before it still counts.
    added: u32,
    /// How much may be added until all counters are halved.
    period: u32,
    /// A block is for two to this power of entries.
    entries_shift: u32,
}

/// Four rows of two words; a word holds sixteen counters.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Block([u64; 2 * ROWS]);

/// Where in its block a counter stands.
#[derive(Clone, Copy)]
struct Counter {
    word: usize,
    shift: u32,
}

impl Counter {
    /// The one of a hash in this row.
    #[inline]
    fn of(hash: u64, row: usize) -> Self {
        let bits = hash >> (44 + 5 * row);
        Self { word: 2 * row + (bits & 1) as usize, shift: (bits >> 1 & 15) as u32 * 4 }
    }
}

const ROWS: usize = 4;
/// The bits of a counter, all set: its highest value.
const MASK: u64 = 15;
/// The fewest entries that it is made for.
const LEAST_ENTRIES: u32 = 8;
/// In additions per entry. Source: Caffeine, `FrequencySketch`; with less, estimates are coarse, with more, stale.
const PERIOD_PER_ENTRY: u32 = 10;

impl Sketch {
    /// At most eight bytes an entry: estimates are good enough to be compared alone.
    pub(super) fn fine() -> Self {
        Self { blocks: Vec::new(), added: 0, period: 0, entries_shift: 3 }
    }

    /// At most four bytes an entry.
    pub(super) fn coarse() -> Self {
        Self { entries_shift: 4, ..Self::fine() }
    }

    /// Fits it to so many entries. It grows by doubling, and keeps what it knows; it does not shrink.
    pub(super) fn fit(&mut self, entries: u32) {
        self.period = entries.max(LEAST_ENTRIES).saturating_mul(PERIOD_PER_ENTRY);
        let whole_blocks = (entries >> self.entries_shift).max(1);
        while self.blocks.len() * 2 <= whole_blocks as usize || self.blocks.is_empty() {
            self.double();
        }
    }

    /// Counts a fingerprint so many times more.
    pub(super) fn add(&mut self, fingerprint: u32, times: u8) {
        let (block, hash) = self.find(fingerprint);
        let Some(Block(words)) = self.blocks.get_mut(block) else { return };
        for row in 0..ROWS {
            let Counter { word, shift } = Counter::of(hash, row);
            let count = words[word] >> shift & MASK;
            let sum = (count + u64::from(times)).min(MASK);
            words[word] += (sum - count) << shift;
        }
        self.added += u32::from(times);
        if self.added >= self.period {
            self.age();
        }
    }

    /// Fetches the block of a fingerprint.
    #[inline]
    pub(super) fn fetch(&self, slab: &impl Slab, fingerprint: u32) {
        if let Some(block) = self.blocks.get(self.find(fingerprint).0) {
            slab.fetch(block);
        }
    }

    /// How often a fingerprint was counted lately, at most 15.
    pub(super) fn estimate(&self, fingerprint: u32) -> u8 {
        let (block, hash) = self.find(fingerprint);
        let Some(Block(words)) = self.blocks.get(block) else { return 0 };
        let counts = (0..ROWS).map(|row| {
            let Counter { word, shift } = Counter::of(hash, row);
            words[word] >> shift & MASK
        });
        #[expect(clippy::cast_possible_truncation, reason = "masked to four bits")]
        let least = counts.fold(MASK, u64::min) as u8;
        least
    }

    /// The block of a fingerprint, and the hash that tells its counters.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
    fn find(&self, fingerprint: u32) -> (usize, u64) {
        let hash = (u64::from(fingerprint) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // The highest bits of a product are its best, the lowest depend on the lowest of the fingerprint alone.
        let block = (hash ^ hash >> 32) as usize & self.blocks.len().wrapping_sub(1);
        (block, hash)
    }

    /// A block is told by the lowest bits of a hash, so what was in one block is in that one or in its copy.
    #[cold]
    fn double(&mut self) {
        if self.blocks.is_empty() {
            self.blocks.push(Block::default());
        } else {
            self.blocks.extend_from_within(..);
        }
    }

    /// Halves every counter: one pass over the sketch in ten additions an entry.
    #[cold]
    fn age(&mut self) {
        const LOWEST_THREE_BITS_OF_EACH: u64 = 0x7777_7777_7777_7777;
        for word in self.blocks.iter_mut().flat_map(|block| &mut block.0) {
            *word = *word >> 1 & LOWEST_THREE_BITS_OF_EACH;
        }
        self.added /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(entries: u32) -> Sketch {
        let mut sketch = Sketch::fine();
        sketch.fit(entries);
        sketch
    }

    #[test]
    fn a_sketch_takes_at_most_four_or_eight_bytes_an_entry() {
        for entries in [8, 9, 15, 16, 100, 1000, 1 << 20] {
            let bytes = size_of_val(sketch(entries).blocks.as_slice());
            assert!(bytes <= entries as usize * 8 && bytes * 2 > entries as usize * 4, "{entries}: {bytes}");
        }
        let mut coarse = Sketch::coarse();
        coarse.fit(1 << 17);
        assert_eq!(size_of_val(coarse.blocks.as_slice()), 4 << 17);
    }

    #[test]
    fn an_estimate_is_never_too_low_and_seldom_too_high() {
        const KEYS: u32 = 4096;
        let times = |key: u32| (key % 5) as u8;
        let mut sketch = sketch(KEYS);
        (0..KEYS).for_each(|key| sketch.add(key, times(key)));
        assert!((0..KEYS).all(|key| sketch.estimate(key) >= times(key)));
        let too_high = (0..KEYS).filter(|key| sketch.estimate(*key) > times(*key)).count();
        assert!(too_high < KEYS as usize / 8, "{too_high} of {KEYS}");
    }

    #[test]
    fn counters_stop_at_the_most_and_are_halved_in_time() {
        let mut sketch = sketch(8);
        sketch.add(1, 9);
        sketch.add(1, 9);
        assert_eq!((sketch.estimate(1), sketch.added), (15, 18));
        sketch.add(1, 61);
        assert_eq!((sketch.estimate(1), sketch.added), (15, 79));
        sketch.add(2, 1);
        assert_eq!((sketch.estimate(1), sketch.added), (7, 40));
    }

    #[test]
    fn growing_forgets_nothing() {
        let mut sketch = sketch(8);
        (0..20).for_each(|key| sketch.add(key, 3));
        let before: Vec<u8> = (0..20).map(|key| sketch.estimate(key)).collect();
        sketch.fit(10_000);
        let after: Vec<u8> = (0..20).map(|key| sketch.estimate(key)).collect();
        assert_eq!(before, after);
    }

    #[test]
    fn an_empty_sketch_counts_nothing() {
        let mut sketch = Sketch::fine();
        sketch.add(1, 1);
        assert_eq!(sketch.estimate(1), 0);
    }
}
