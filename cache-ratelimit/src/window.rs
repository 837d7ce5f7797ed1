//! The conservative window: a ring of buckets and their sum.
//!
//! ```text
//! state   number of the latest bucket, its place │ sum │ its count │ no room before │ ring of the counts before it
//!
//! a bucket counts until its end is a window old:      [ oldest ][    ][    ][    ][ latest ]
//!                                                               ◄──────── window ────────►
//! ```
//!
//! Any interval as long as the window touches at most as many buckets as the ring has, and at each admission all of
//! them together are at most the limit. Counts are as wide as the limit needs. The ring is looked at when a bucket
//! begins and when a call is denied for the first time; all other calls need one cache line.

use super::meter::{Ask, Reply};

#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// In nanoseconds, rounded up: a window that is too short would admit too much.
    bucket: u64,
    /// How many counts the ring has.
    ring: u64,
    /// The width of a count in bits is two to the power of this.
    width: u32,
}

/// The number of the latest bucket, and its place in the ring below it.
const PLACE_BITS: u32 = 12;
const SUM: usize = 1;
/// The count of the latest bucket, whose place in the ring is empty until the next one begins.
const COUNT: usize = 2;
/// When the oldest unit leaves, if that was asked for since the state has changed; else zero.
const UNTIL: usize = 3;
const RING: usize = 4;

impl Window {
    /// A window of so many nanoseconds in at most 1000 buckets of a millisecond or more, for limits up to `most`.
    pub(crate) fn new(window: u64, buckets: u32, most: u64) -> Self {
        let width = match most {
            0..=0xff => 3,
            0x100..=0xffff => 4,
            0x1_0000..=0xffff_ffff => 5,
            _ => 6,
        };
        Self {
            bucket: window.div_ceil(u64::from(buckets.max(1))).max(1),
            ring: u64::from(buckets) + 1,
            width,
        }
    }

    pub(crate) fn words(&self) -> usize {
        let bits = self.ring << self.width;
        RING + usize::try_from(bits.div_ceil(64)).unwrap_or(usize::MAX)
    }

    pub(crate) fn bucket(&self) -> u64 {
        self.bucket
    }

    #[inline]
    pub(crate) fn decide(&self, state: &mut [u64], ask: Ask) -> Reply {
        let (latest, place) = self.slide(state, ask.now / self.bucket);
        let charged = state[SUM];
        let room = ask.limit.saturating_sub(charged);
        if ask.cost > room {
            let lacking = charged - (ask.limit - ask.cost);
            if lacking > 1 || state[UNTIL] == 0 {
                let until = self.until(state, (latest, place), lacking);
                if lacking > 1 {
                    return Reply::full(until.saturating_sub(ask.now));
                }
                state[UNTIL] = until;
            }
            return Reply::full(state[UNTIL].saturating_sub(ask.now));
        }
        if ask.charges {
            state[SUM] = charged + ask.cost;
            state[COUNT] += ask.cost;
        }
        let reset = self.leaves(latest).saturating_sub(ask.now);
        Reply::room(room - ask.cost, reset, latest)
    }

    pub(crate) fn give_back(state: &mut [u64], cost: u64, mark: u64) {
        if unpacked(state[0]).0 == mark {
            let returned = cost.min(state[COUNT]);
            state[COUNT] -= returned;
            state[SUM] -= returned;
            state[UNTIL] = 0;
        }
    }

    /// How much counts at this moment.
    pub(crate) fn charged(&self, state: &mut [u64], now: u64) -> u64 {
        self.slide(state, now / self.bucket);
        state[SUM]
    }

    /// Lets the buckets leave whose time it is, and makes this one the latest, unless it lies before that.
    #[inline]
    fn slide(&self, state: &mut [u64], number: u64) -> (u64, u64) {
        let (latest, place) = unpacked(state[0]);
        // A clock that went back charges to the latest bucket, which leaves last.
        if number <= latest { (latest, place) } else { self.turn(state, number) }
    }

    fn turn(&self, state: &mut [u64], number: u64) -> (u64, u64) {
        let (latest, mut place) = unpacked(state[0]);
        if state[SUM] == 0 {
            // Nothing is charged, so all counts are zero already.
        } else if number - latest >= self.ring {
            state[SUM..].fill(0);
        } else {
            self.set(state, place, state[COUNT]);
            state[COUNT] = 0;
            for _ in latest..number {
                place = self.next(place);
                state[SUM] -= self.get(state, place);
                self.set(state, place, 0);
            }
            state[UNTIL] = 0;
        }
        state[0] = packed(number, place);
        (number, place)
    }

    /// The moment at which so much has left.
    #[cold]
    fn until(&self, state: &[u64], (latest, place): (u64, u64), mut lacking: u64) -> u64 {
        // From the oldest on: first the places behind the latest, then those before it, and itself.
        let older = self.counts(state, place + 1, self.ring).map(|(at, count)| (at - place - 1, count));
        let newer = self.counts(state, 0, place).map(|(at, count)| (at + self.ring - place - 1, count));
        for (age, count) in older.chain(newer) {
            if lacking <= count {
                return self.leaves(latest.saturating_sub(self.ring - 1 - age));
            }
            lacking -= count;
        }
        self.leaves(latest)
    }

    /// The counts in these places that are not zero. Words without any are passed over, as most are in most rings.
    fn counts(&self, state: &[u64], begin: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
        let mut next = begin;
        std::iter::from_fn(move || {
            while next < end {
                let (word, shift) = self.position(next);
                let rest = state[word] >> shift;
                if rest == 0 {
                    next += (64 - shift) >> self.width;
                    continue;
                }
                let at = next + u64::from(rest.trailing_zeros() >> self.width);
                next = at + 1;
                return (at < end).then(|| (at, self.get(state, at)));
            }
            None
        })
    }

    /// When a bucket stops counting.
    fn leaves(&self, number: u64) -> u64 {
        number.saturating_add(self.ring).saturating_mul(self.bucket)
    }

    fn next(&self, place: u64) -> u64 {
        if place + 1 == self.ring { 0 } else { place + 1 }
    }

    #[inline]
    fn get(&self, state: &[u64], place: u64) -> u64 {
        let (word, shift) = self.position(place);
        (state[word] >> shift) & self.mask()
    }

    #[inline]
    fn set(&self, state: &mut [u64], place: u64, count: u64) {
        let (word, shift) = self.position(place);
        state[word] = state[word] & !(self.mask() << shift) | count << shift;
    }

    #[inline]
    fn position(&self, place: u64) -> (usize, u64) {
        let bit = place << self.width;
        (RING + usize::try_from(bit >> 6).unwrap_or(usize::MAX), bit & 63)
    }

    #[inline]
    fn mask(&self) -> u64 {
        u64::MAX >> (64 - (1 << self.width))
    }
}

/// A bucket is at least a millisecond, so that numbers have 45 bits.
fn packed(latest: u64, place: u64) -> u64 {
    latest << PLACE_BITS | place
}

fn unpacked(word: u64) -> (u64, u64) {
    (word >> PLACE_BITS, word & ((1 << PLACE_BITS) - 1))
}

#[cfg(test)]
mod tests {
    use super::super::meter::Kind;
    use super::*;

    fn left(reply: Reply) -> Option<u64> {
        (reply.kind == Kind::Room).then_some(reply.remaining)
    }

    const MILLI: u64 = 1_000_000;

    fn asked(window: &Window, state: &mut [u64], (cost, limit): (u64, u64), now: u64) -> Reply {
        window.decide(state, Ask { cost, limit, now, charges: true })
    }

    #[test]
    fn a_bucket_leaves_when_its_end_is_a_window_old() {
        for most in [3, 300, 70_000, u64::MAX] {
            let window = Window::new(30 * MILLI, 3, most);
            let mut state = vec![0; window.words()];
            let unit = most / 3;
            assert!(asked(&window, &mut state, (unit, unit * 3), 5 * MILLI).kind == Kind::Room);
            let two = asked(&window, &mut state, (unit * 2, unit * 3), 10 * MILLI);
            assert_eq!(two, Reply::room(0, 40 * MILLI, 1));
            for (cost, wait) in [(unit, 28), (unit * 2, 38)] {
                let full = asked(&window, &mut state, (cost, unit * 3), 12 * MILLI);
                assert_eq!(full, Reply::full(wait * MILLI), "{most}");
            }
            assert_eq!(window.charged(&mut state, 40 * MILLI - 1), unit * 3);
            assert_eq!(window.charged(&mut state, 40 * MILLI), unit * 2);
            assert_eq!(window.charged(&mut state, 50 * MILLI), 0);
        }
    }

    #[test]
    fn a_smaller_limit_waits_until_enough_has_left() {
        let window = Window::new(30 * MILLI, 3, 10);
        let mut state = vec![0; window.words()];
        asked(&window, &mut state, (5, 10), 0);
        asked(&window, &mut state, (5, 10), 10 * MILLI);
        assert_eq!(asked(&window, &mut state, (1, 4), 10 * MILLI), Reply::full(40 * MILLI));
        assert_eq!(asked(&window, &mut state, (1, 6), 10 * MILLI), Reply::full(30 * MILLI));
    }

    #[test]
    fn the_end_of_time_neither_overflows_nor_locks() {
        let window = Window::new(1000 * MILLI, 1000, u64::MAX);
        let mut state = vec![0; window.words()];
        let whole = (u64::MAX, u64::MAX);
        assert_eq!(left(asked(&window, &mut state, whole, 0)), Some(0));
        assert_eq!(left(asked(&window, &mut state, whole, u64::MAX)), Some(0));
        assert_eq!(asked(&window, &mut state, whole, u64::MAX), Reply::full(0));
    }
}
