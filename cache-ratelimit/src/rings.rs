//! The rings of a shard: a few words each for those keys whose state needs more than its entry, in a slab that never moves.

#[derive(Debug)]
pub(crate) struct Rings {
    words: Vec<u64>,
    /// Where the first ring begins: at a cache line, as long as the words have not moved.
    begin: usize,
    /// How many words each has.
    stride: usize,
    /// The first of those that are free, each of which knows the next.
    free: Option<u32>,
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
    pub(crate) fn take(&mut self) -> u32 {
        let Some(free) = self.free else {
            let new = (self.words.len() - self.begin) / self.stride;
            self.words.resize(self.words.len() + self.stride, 0);
            return u32::try_from(new).unwrap_or(u32::MAX);
        };
        let next = self.words(free)[0];
        self.words(free).fill(0);
        self.free = u32::try_from(next).ok();
        free
    }

    pub(crate) fn give_back(&mut self, ring: u32) {
        self.words(ring)[0] = self.free.map_or(u64::MAX, u64::from);
        self.free = Some(ring);
    }

    #[inline]
    pub(crate) fn words(&mut self, ring: u32) -> &mut [u64] {
        let at = self.begin + ring as usize * self.stride;
        &mut self.words[at..at + self.stride]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_used_again_and_begin_with_zeros() {
        let mut rings = Rings::new(2, 0);
        assert_eq!([rings.take(), rings.take(), rings.take()], [0, 1, 2]);
        for ring in 0..3 {
            rings.words(ring).fill(u64::MAX - u64::from(ring));
        }
        rings.give_back(2);
        rings.give_back(0);
        assert_eq!([rings.take(), rings.take(), rings.take()], [0, 2, 3]);
        assert_eq!((rings.words(0)[1], rings.words(1)[0], rings.words(2)[0]), (0, u64::MAX - 1, 0));
        assert_eq!(rings.words.len() - rings.begin, 8, "no ring more than were used at a time");
    }
}
