//! Who left lately: fingerprints of entries that were evicted, in two bytes each.
//!
//! Buckets of one cache line. Each keeps the last 31 that came to it, in a ring, so that how far back a fingerprint
//! stands tells roughly how many were evicted since: one table answers for a short and for a long memory. Asking costs
//! one cache miss. Half of a fingerprint tells the bucket, the other half is kept: of keys that never were here, one in
//! two thousand is taken for one that left.
//!
//! Source: the ghost queue of S3-FIFO (Yang et al., SOSP 2023), in the form of a set-associative table.

use wide::u16x8;

use crate::node::Slab;

/// The fingerprints that left last, about as many as it is fitted to.
#[derive(Debug, Default)]
pub(super) struct Returns {
    buckets: Vec<Bucket>,
}

/// A ring of tags, of which 0 is none. The first number is not one of them, but the place of the newest: lower than any.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Bucket([u16; 1 + TAGS]);

const TAGS: usize = 31;
const PLACES: u32 = 31;
const LEAST_TAG: u16 = 32;

impl Returns {
    /// Fits it to so many fingerprints. If that changes much, it forgets all: where they belong now, it does not know.
    #[inline]
    pub(super) fn fit(&mut self, fingerprints: usize) {
        let (fitted, buckets) = (self.buckets.len() * TAGS, fingerprints.div_ceil(TAGS));
        let too_many = fingerprints < fitted / 2 && buckets < self.buckets.len();
        if fingerprints > fitted + fitted / 4 || too_many {
            self.buckets = vec![Bucket::default(); buckets];
        }
    }

    /// Remembers a fingerprint in place of the oldest of its bucket.
    #[inline]
    pub(super) fn insert(&mut self, fingerprint: u32) {
        let (bucket, tag) = self.find(fingerprint);
        let Some(Bucket(cells)) = self.buckets.get_mut(bucket) else { return };
        let newest = if usize::from(cells[0]) < TAGS { usize::from(cells[0]) + 1 } else { 1 };
        cells[newest] = tag;
        #[expect(clippy::cast_possible_truncation, reason = "at most 31")]
        let place = newest as u16;
        cells[0] = place;
    }

    /// Forgets a fingerprint, and tells whether it is one of the newest: of so many 1024ths of those that
    /// this was fitted to.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a call costs as much as the look")]
    pub(super) fn take(&mut self, fingerprint: u32, share: u32) -> bool {
        let (bucket, tag) = self.find(fingerprint);
        let Some(bucket) = self.buckets.get_mut(bucket) else { return false };
        // Nearly always there is none, and to look at all of them without a branch takes a few instructions.
        let is_there = bucket.0.iter().fold(0, |found, cell| found | u16::from(*cell == tag)) != 0;
        is_there && bucket.take(tag, share)
    }

    /// Fetches the bucket of a fingerprint.
    #[inline]
    pub(super) fn fetch(&self, slab: &impl Slab, fingerprint: u32) {
        if let Some(bucket) = self.buckets.get(self.find(fingerprint).0) {
            slab.fetch(bucket);
        }
    }

    /// The bucket of a fingerprint, and what is kept of it.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
    fn find(&self, fingerprint: u32) -> (usize, u16) {
        let hash = (u64::from(fingerprint) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let bucket = ((hash >> 32) * self.buckets.len() as u64) >> 32;
        (bucket as usize, ((hash >> 16) as u16).max(LEAST_TAG))
    }
}

impl Bucket {
    /// One bit for each place that this tag is in.
    #[inline]
    fn places_of(&self, tag: u16) -> u32 {
        let wanted = u16x8::splat(tag);
        let of_eight = |first: usize| {
            let eight = self.0.get(first..first + 8).and_then(|eight| eight.try_into().ok());
            eight.map_or(0, |eight| u16x8::new(eight).simd_eq(wanted).to_bitmask())
        };
        of_eight(0) | of_eight(8) << 8 | of_eight(16) << 16 | of_eight(24) << 24
    }

    /// Forgets the newest of these tags, of which there is one at least, and tells whether it is among so many 1024ths of the
    /// places.
    #[cold]
    fn take(&mut self, tag: u16, share: u32) -> bool {
        let (places, newest) = (self.places_of(tag), u32::from(self.0[0]));
        // Behind its end the ring goes on at its beginning.
        let recent = places & (u32::MAX >> (31 - newest.min(31)));
        let (place, ahead) =
            if recent != 0 { (recent.ilog2(), newest) } else { (places.ilog2(), newest + PLACES) };
        self.0[place as usize % (1 + TAGS)] = 0;
        (ahead - place) << 10 < PLACES * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_left_lately_is_known_once_and_whoever_left_long_ago_is_forgotten() {
        let mut returns = Returns::default();
        returns.fit(31_000);
        (0..100_000).for_each(|key| returns.insert(key));
        let known = |returns: &mut Returns, from: u32| {
            (from..from + 1000).filter(|key| returns.take(*key, 1024)).count()
        };
        assert_eq!(known(&mut returns, 99_000), 1000);
        assert_eq!(known(&mut returns, 99_000), 0);
        assert!(known(&mut returns, 85_000) > 950);
        assert!(known(&mut returns, 40_000) < 50);
    }

    #[test]
    fn a_share_is_of_those_who_left_last() {
        let mut returns = Returns::default();
        returns.fit(31_000);
        (0..31_000).for_each(|key| returns.insert(key));
        let known = (0..31_000).filter(|key| returns.take(*key, 512)).count();
        assert!((14_500..16_500).contains(&known), "{known}");
    }

    #[test]
    fn strangers_are_seldom_taken_for_known() {
        let mut returns = Returns::default();
        returns.fit(31_000);
        (0..31_000).for_each(|key| returns.insert(key));
        let known = (1_000_000..1_100_000).filter(|key| returns.take(*key, 1024)).count();
        assert!(known < 200, "{known}");
    }

    #[test]
    fn one_that_fits_nobody_knows_nobody() {
        let mut returns = Returns::default();
        returns.insert(1);
        assert!(!returns.take(1, 1024));
        returns.fit(1);
        returns.insert(1);
        returns.fit(0);
        assert!(!returns.take(1, 1024));
    }

    #[test]
    fn one_of_a_small_cache_that_changes_a_little_forgets_nobody() {
        let mut returns = Returns::default();
        returns.fit(14);
        returns.insert(1);
        returns.fit(13);
        assert!(returns.take(1, 1024));
    }

    #[test]
    fn a_fingerprint_takes_about_two_bytes() {
        assert_eq!((size_of::<Bucket>(), align_of::<Bucket>()), (64, 64));
    }
}
