//! The slab of a shard: for each key its fingerprint, two links and its state, in a few words that never move.
//!
//! ```text
//! slot   fingerprint │ links │ state ...        links: kept apart │ before │ after
//! ```
//!
//! Slots up to two cache lines long begin with one, so that what every decision needs is in one.
//!
//! A slot stands in one of two queues, or among those that are free. Keys that were denied are kept apart, so that
//! whoever looks for a key to give up looks at them last.

/// What a key is known by: 64 bits of its hash, seeded in each limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(crate) u64);

#[expect(clippy::cast_possible_truncation, reason = "parts of it are meant")]
impl Fingerprint {
    /// What it is found by within a shard.
    #[inline]
    pub(crate) fn tag(self) -> u32 {
        self.0 as u32
    }

    /// Which of so many shards, which are a power of two, it belongs to.
    #[inline]
    pub(crate) fn shard(self, shards: usize) -> usize {
        (self.0 >> 48) as usize & (shards - 1)
    }
}

#[derive(Debug)]
pub(crate) struct Slots {
    words: Vec<u64>,
    /// Where the first slot begins: at a cache line, as long as the words have not moved.
    begin: usize,
    stride: usize,
    /// The first of those that are free; each knows the next.
    free: u32,
    queues: [Queue; 2],
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    first: u32,
    last: u32,
}

const FREE: u32 = 0x7fff_ffff;
const LINKS: usize = 1;
const STATE: usize = 2;
const LINE: usize = 64;
const APART: u64 = 1 << 63;

impl Slots {
    /// Slots with so many words of state, with memory set aside for so many of them.
    pub(crate) fn new(state_words: usize, expected: usize) -> Self {
        let stride = stride(state_words);
        let queues = [Queue { first: FREE, last: FREE }; 2];
        let mut words: Vec<u64> = Vec::with_capacity(stride.saturating_mul(expected) + LINE / 8);
        let begin = words.as_ptr().align_offset(LINE).min(LINE / 8);
        words.resize(begin, 0);
        Self { words, begin, stride, free: FREE, queues }
    }

    #[inline]
    pub(crate) fn is(&self, slot: u32, who: Fingerprint) -> bool {
        self.words[self.at(slot)] == who.0
    }

    pub(crate) fn fingerprint(&self, slot: u32) -> Fingerprint {
        Fingerprint(self.words[self.at(slot)])
    }

    /// The state, and whether the key is kept apart.
    #[inline]
    pub(crate) fn state(&mut self, slot: u32) -> (&mut [u64], bool) {
        let at = self.at(slot);
        let [links, state @ ..] = &mut self.words[at + LINKS..at + self.stride] else {
            return (&mut [], false);
        };
        (state, *links & APART != 0)
    }

    /// The slot that was denied, or was not, longest ago.
    pub(crate) fn first(&self, apart: bool) -> Option<u32> {
        Some(self.queues[usize::from(apart)].first).filter(|slot| *slot != FREE)
    }

    /// A slot for this key with this state, at the end of those that are not kept apart.
    pub(crate) fn take(&mut self, who: Fingerprint, state: &[u64]) -> u32 {
        let slot = if self.free == FREE {
            let new = u32::try_from((self.words.len() - self.begin) / self.stride).unwrap_or(FREE);
            self.words.resize(self.words.len() + self.stride, 0);
            new
        } else {
            let free = self.free;
            self.free = self.links(free).2;
            free
        };
        let at = self.at(slot);
        self.words[at] = who.0;
        self.words[at + STATE..at + STATE + state.len()].copy_from_slice(state);
        self.push(slot, false);
        slot
    }

    pub(crate) fn give_back(&mut self, slot: u32) {
        self.unlink(slot);
        self.set_links(slot, (false, FREE, self.free));
        self.free = slot;
    }

    /// Moves a slot to the end of one of the queues.
    pub(crate) fn put(&mut self, slot: u32, apart: bool) {
        self.unlink(slot);
        self.push(slot, apart);
    }

    fn push(&mut self, slot: u32, apart: bool) {
        let last = self.queues[usize::from(apart)].last;
        self.set_links(slot, (apart, last, FREE));
        self.queues[usize::from(apart)].last = slot;
        if last == FREE {
            self.queues[usize::from(apart)].first = slot;
        } else {
            let (_, before, _) = self.links(last);
            self.set_links(last, (apart, before, slot));
        }
    }

    fn unlink(&mut self, slot: u32) {
        let (apart, before, after) = self.links(slot);
        if before == FREE {
            self.queues[usize::from(apart)].first = after;
        } else {
            let (_, further, _) = self.links(before);
            self.set_links(before, (apart, further, after));
        }
        if after == FREE {
            self.queues[usize::from(apart)].last = before;
        } else {
            let (_, _, further) = self.links(after);
            self.set_links(after, (apart, before, further));
        }
    }

    fn links(&self, slot: u32) -> (bool, u32, u32) {
        let word = self.words[self.at(slot) + LINKS];
        #[expect(clippy::cast_possible_truncation, reason = "masked to 31 bits")]
        let half = |shift: u32| (word >> shift) as u32 & FREE;
        (word & APART != 0, half(32), half(0))
    }

    fn set_links(&mut self, slot: u32, (apart, before, after): (bool, u32, u32)) {
        let at = self.at(slot) + LINKS;
        self.words[at] = if apart { APART } else { 0 } | u64::from(before) << 32 | u64::from(after);
    }

    #[inline]
    fn at(&self, slot: u32) -> usize {
        self.begin + slot as usize * self.stride
    }
}

/// How many words from slot to slot: what fits into two cache lines is made to.
pub(crate) fn stride(state_words: usize) -> usize {
    let words = STATE + state_words;
    if words <= 2 * LINE / 8 { words.next_power_of_two() } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(slots: &Slots, apart: bool) -> Vec<u32> {
        let after = |slot: &u32| Some(slots.links(*slot).2).filter(|slot| *slot != FREE);
        std::iter::successors(slots.first(apart), after).collect()
    }

    #[test]
    fn slots_move_between_the_queues_and_are_used_again() {
        let mut slots = Slots::new(1, 0);
        for number in 0..4 {
            assert_eq!(u64::from(slots.take(Fingerprint(number), &[number])), number);
        }
        slots.put(1, true);
        slots.put(3, true);
        slots.put(0, false);
        assert_eq!((order(&slots, false), order(&slots, true)), (vec![2, 0], vec![1, 3]));
        assert_eq!((slots.state(3).0[0], slots.state(3).1), (3, true));
        slots.give_back(1);
        slots.give_back(2);
        assert_eq!((order(&slots, false), order(&slots, true)), (vec![0], vec![3]));
        assert_eq!([slots.take(Fingerprint(8), &[8]), slots.take(Fingerprint(9), &[9])], [2, 1]);
        assert!(slots.is(2, Fingerprint(8)) && !slots.is(2, Fingerprint(9)));
        assert_eq!(order(&slots, false), [0, 2, 1]);
        slots.give_back(3);
        assert_eq!(slots.first(true), None);
        assert_eq!(slots.words.len() - slots.begin, 16, "no slot more than were used at a time");
    }
}
