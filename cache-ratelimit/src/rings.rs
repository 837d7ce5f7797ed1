//! The rings of a shard: a few words each for those keys whose state needs more than its entry, in a slab that never moves.

use std::num::NonZeroU32;

/// Which ring, from one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ring(NonZeroU32);

#[derive(Debug)]
pub(crate) struct Rings {
    words: Vec<u64>,
    /// Where the first ring begins: at a cache line, as long as the words have not moved.
    begin: usize,
    /// How many words each has.
    stride: usize,
    /// The first of those that are free, each of which knows the next.
    free: Option<Ring>,
}

const LINE: usize = 64;

impl Rings {
    /// Rings of so many words, at least one, with address space set aside for so many of them.
    pub(crate) fn new(stride: usize, expected: usize) -> Self {
        let mut words: Vec<u64> = Vec::with_capacity(stride.saturating_mul(expected) + LINE / 8);
        let begin = words.as_ptr().align_offset(LINE).min(LINE / 8);
        words.resize(begin, 0);
        Self { words, begin, stride, free: None }
    }

    /// A ring of zeros.
    pub(crate) fn take(&mut self) -> Ring {
        let Some(free) = self.free else {
            self.words.resize(self.words.len() + self.stride, 0);
            return Ring::numbered(((self.words.len() - self.begin) / self.stride) as u64)
                .unwrap_or(Ring(NonZeroU32::MAX));
        };
        let next = self.words(free)[0];
        self.words(free).fill(0);
        self.free = Ring::numbered(next);
        free
    }

    pub(crate) fn give_back(&mut self, ring: Ring) {
        self.words(ring)[0] = self.free.map_or(0, |next| next.0.get().into());
        self.free = Some(ring);
    }

    #[inline]
    pub(crate) fn words(&mut self, ring: Ring) -> &mut [u64] {
        let at = self.begin + (ring.0.get() - 1) as usize * self.stride;
        &mut self.words[at..at + self.stride]
    }
}

impl Ring {
    fn numbered(number: u64) -> Option<Self> {
        u32::try_from(number).ok().and_then(NonZeroU32::new).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_used_again_and_begin_with_zeros() {
        let mut rings = Rings::new(2, 0);
        let all = [rings.take(), rings.take(), rings.take()];
        for ring in all {
            rings.words(ring).fill(ring.0.get().into());
        }
        rings.give_back(all[2]);
        rings.give_back(all[0]);
        assert_eq!([rings.take(), rings.take()], [all[0], all[2]]);
        let last = rings.take();
        assert_eq!([all[0], all[1], all[2], last].map(|ring| rings.words(ring)[1]), [0, 2, 0, 0]);
        assert_eq!(rings.words.len() - rings.begin, 8, "no ring more than were used at a time");
    }
}
