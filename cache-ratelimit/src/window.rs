//! The conservative window: a sum, and the counts of the buckets that it is the sum of.
//!
//! ```text
//! state   number of the latest bucket │ its count │ sum │ lowest bits of the older counts      ring   their other bits
//!
//! a bucket counts until its end is a window old:      [ oldest ][    ][    ][    ][ latest ]
//!                                                               ◄──────── window ────────►
//! ```
//!
//! Any interval as long as the window touches at most as many buckets as are counted, and at each admission all of them together are
//! at most the limit. Of most keys no bucket counts much, so that the state holds all of it. A ring is taken for those of which one
//! does, and is looked at when a bucket begins.

use std::fmt;
use std::marker::PhantomData;

use super::index::Line;
use super::meter::{Ask, Meter, Reply};
use super::rings::{Ring, Rings};

#[derive(Clone, Debug)]
pub(crate) struct Window<C> {
    /// In nanoseconds, rounded up: a window that is too short would admit too much.
    bucket: u64,
    /// How many buckets count at a time.
    buckets: u64,
    /// What a state holds of an older count, and what its ring does.
    low: Packed,
    high: Packed,
    counts: PhantomData<C>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State<C> {
    latest: u64,
    /// Of the latest bucket, whose own place is empty until the next one begins.
    count: C,
    sum: C,
    low: [u64; LOW],
    ring: Option<Ring>,
    /// The lowest bits of the number of the oldest bucket that counts.
    oldest: u16,
    denied: bool,
}

/// How many words of a state hold older counts: as many as make it a cache line with its fingerprint.
const LOW: usize = 4;

/// Numbers of so many bits side by side, one for each of the lowest bits of a bucket's number.
#[derive(Clone, Copy, Debug)]
struct Packed {
    /// How many there are, which is a power of two.
    places: u64,
    /// Zero or a power of two.
    bits: u32,
}

/// A count that is wide enough for the limit.
pub(crate) trait Count: Copy + Default + fmt::Debug + Into<u64> + Send + Sync + 'static {
    /// This number, which is at most the limit.
    fn of(number: u64) -> Self;
}

impl Count for u32 {
    #[inline]
    fn of(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

impl Count for u64 {
    #[inline]
    fn of(number: u64) -> Self {
        number
    }
}

impl<C: Count> Window<C> {
    /// A window of so many nanoseconds in at most 1000 buckets of a millisecond or more, for limits up to `most`.
    pub(crate) fn new(window: u64, buckets: u32, most: u64) -> Self {
        // Any interval as long as the window touches one more than it has.
        let counted = u64::from(buckets.max(1)) + 1;
        let places = counted.next_power_of_two();
        let low = u32::try_from(LOW as u64 * 64 / places).unwrap_or(u64::BITS).min(u64::BITS);
        let high = match (u64::BITS - most.leading_zeros()).saturating_sub(low) {
            0 => 0,
            bits => bits.next_power_of_two(),
        };
        Self {
            bucket: window.div_ceil(counted - 1).max(1),
            buckets: counted,
            low: Packed { places, bits: low },
            high: Packed { places, bits: high },
            counts: PhantomData,
        }
    }

    /// Lets the buckets leave whose time it is, and makes this one the latest, unless it lies before that.
    #[inline]
    fn slide(&self, state: &mut State<C>, rings: &mut Rings, now: u64) {
        let number = now / self.bucket;
        // A clock that went back charges to the latest bucket, which leaves last.
        if number > state.latest {
            self.turn(state, rings, number);
        }
    }

    fn turn(&self, state: &mut State<C>, rings: &mut Rings, number: u64) {
        let latest = state.latest;
        if state.sum.into() == 0 || number - latest >= self.buckets {
            return Self::clear(state, rings, number);
        }
        let mut oldest = state.oldest();
        self.set(state, rings, latest, state.count.into());
        loop {
            let count = self.get(state, rings, oldest);
            if count > 0 && number - oldest < self.buckets {
                break;
            }
            if oldest == latest {
                return Self::clear(state, rings, number);
            }
            state.sum = C::of(state.sum.into() - count);
            self.set(state, rings, oldest, 0);
            oldest += 1;
        }
        *state = State { latest: number, count: C::default(), oldest: lowest(oldest), ..*state };
    }

    /// Forgets everything that is charged.
    fn clear(state: &mut State<C>, rings: &mut Rings, latest: u64) {
        if let Some(ring) = state.ring {
            rings.give_back(ring);
        }
        *state = State { latest, oldest: lowest(latest), denied: state.denied, ..State::default() };
    }

    /// The moment at which so much has left.
    #[inline]
    fn until(&self, state: &State<C>, rings: &mut Rings, mut lacking: u64) -> u64 {
        let mut number = state.oldest();
        // Whoever is denied again and again lacks a single unit, and one has left when the oldest bucket has.
        if lacking > 1 {
            while number < state.latest {
                let count = self.get(state, rings, number);
                if lacking <= count {
                    break;
                }
                lacking -= count;
                number += 1;
            }
        }
        self.leaves(number)
    }

    /// When a bucket stops counting.
    fn leaves(&self, number: u64) -> u64 {
        number.saturating_add(self.buckets).saturating_mul(self.bucket)
    }

    #[inline]
    fn get(&self, state: &State<C>, rings: &mut Rings, number: u64) -> u64 {
        let high = state.ring.map_or(0, |ring| self.high.get(rings.words(ring), number) << self.low.bits);
        self.low.get(&state.low, number) | high
    }

    #[inline]
    fn set(&self, state: &mut State<C>, rings: &mut Rings, number: u64, count: u64) {
        self.low.set(&mut state.low, number, count);
        let high = count.checked_shr(self.low.bits).unwrap_or(0);
        if high > 0 || state.ring.is_some() {
            let ring = *state.ring.get_or_insert_with(|| rings.take());
            self.high.set(rings.words(ring), number, high);
        }
    }
}

impl<C: Count> Meter for Window<C> {
    type State = State<C>;
    type Line = Line;

    fn ring_words(&self) -> usize {
        self.high.words()
    }

    #[inline]
    fn decide(&self, state: &mut State<C>, rings: &mut Rings, ask: Ask) -> Reply {
        self.slide(state, rings, ask.now);
        let charged = state.sum.into();
        let room = ask.limit.saturating_sub(charged);
        if ask.cost > room {
            let until = self.until(state, rings, charged - (ask.limit - ask.cost));
            return Reply::full(until.saturating_sub(ask.now));
        }
        if ask.charges {
            state.sum = C::of(charged + ask.cost);
            state.count = C::of(state.count.into() + ask.cost);
        }
        let reset = self.leaves(state.latest).saturating_sub(ask.now);
        Reply::room(room - ask.cost, reset, state.latest)
    }

    fn give_back(&self, state: &mut State<C>, _: &mut Rings, cost: u64, mark: u64) {
        if state.latest == mark {
            let count = state.count.into();
            let returned = cost.min(count);
            state.count = C::of(count - returned);
            state.sum = C::of(state.sum.into() - returned);
        }
    }

    fn charged(&self, state: &mut State<C>, rings: &mut Rings, now: u64) -> u64 {
        self.slide(state, rings, now);
        state.sum.into()
    }

    fn grain(&self) -> u64 {
        self.bucket
    }

    #[inline]
    fn denied(state: &mut State<C>) -> &mut bool {
        &mut state.denied
    }

    fn ring(state: &State<C>) -> Option<Ring> {
        state.ring
    }
}

impl<C> State<C> {
    /// The number of the oldest bucket that counts, which is the latest if no other does.
    #[inline]
    fn oldest(&self) -> u64 {
        self.latest - u64::from(lowest(self.latest).wrapping_sub(self.oldest))
    }
}

impl Packed {
    fn words(self) -> usize {
        usize::try_from((self.places * u64::from(self.bits)).div_ceil(64)).unwrap_or(usize::MAX)
    }

    #[inline]
    fn get(self, words: &[u64], number: u64) -> u64 {
        let (word, shift) = self.position(number);
        (words[word] >> shift) & self.mask()
    }

    /// As many of the lowest bits of a count as fit.
    #[inline]
    fn set(self, words: &mut [u64], number: u64, count: u64) {
        let (word, shift) = self.position(number);
        words[word] = words[word] & !(self.mask() << shift) | (count & self.mask()) << shift;
    }

    #[inline]
    fn position(self, number: u64) -> (usize, u64) {
        let bit = (number & (self.places - 1)) * u64::from(self.bits);
        (usize::try_from(bit >> 6).unwrap_or(usize::MAX), bit & 63)
    }

    #[inline]
    fn mask(self) -> u64 {
        u64::MAX.checked_shr(u64::BITS - self.bits).unwrap_or(0)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are meant")]
#[inline]
fn lowest(number: u64) -> u16 {
    number as u16
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::meter::One;
    use super::*;

    const MILLI: u64 = 1_000_000;

    #[test]
    fn a_bucket_leaves_when_its_end_is_a_window_old() {
        fn check<C: Count>(most: u64) {
            let mut one = One::of(Window::<C>::new(30 * MILLI, 3, most));
            let unit = most / 3;
            assert!(one.asks((unit, unit * 3), 5 * MILLI).left().is_some());
            assert_eq!(one.asks((unit * 2, unit * 3), 10 * MILLI), Reply::room(0, 40 * MILLI, 1));
            for (cost, wait) in [(unit, 28), (unit * 2, 38)] {
                assert_eq!(one.asks((cost, unit * 3), 12 * MILLI), Reply::full(wait * MILLI), "{most}");
            }
            for (millis, charged) in [(40, unit * 2), (50, 0)] {
                assert!(one.charged(millis * MILLI - 1) > charged);
                assert_eq!(one.charged(millis * MILLI), charged);
            }
        }
        for most in [3, 300, 70_000] {
            check::<u32>(most);
        }
        check::<u64>(u64::MAX);
    }

    #[test]
    fn a_smaller_limit_waits_until_enough_has_left() {
        let mut one = One::of(Window::<u32>::new(30 * MILLI, 3, 10));
        one.asks((5, 10), 0);
        one.asks((5, 10), 10 * MILLI);
        assert_eq!(one.asks((1, 4), 10 * MILLI), Reply::full(40 * MILLI));
        assert_eq!(one.asks((1, 6), 10 * MILLI), Reply::full(30 * MILLI));
    }

    #[test]
    fn the_end_of_time_neither_overflows_nor_locks() {
        let mut one = One::of(Window::<u64>::new(1000 * MILLI, 1000, u64::MAX));
        let whole = (u64::MAX, u64::MAX);
        assert_eq!(one.asks(whole, 0).left(), Some(0));
        assert_eq!(one.asks(whole, u64::MAX).left(), Some(0));
        assert_eq!(one.asks(whole, u64::MAX), Reply::full(0));
    }

    /// All counts by the number of their bucket, with nothing left out.
    #[derive(Default)]
    struct Naive(BTreeMap<u64, u64>);

    impl Naive {
        fn sum(&self) -> u64 {
            self.0.values().sum()
        }

        /// What a window of so many buckets of a millisecond would say.
        fn asks(&mut self, buckets: u64, (cost, limit): (u64, u64), now: u64) -> Reply {
            let number = now / MILLI;
            self.0.retain(|bucket, count| bucket + buckets >= number && *count > 0);
            let Some(room) = limit.saturating_sub(self.sum()).checked_sub(cost) else {
                let mut left = self.sum();
                let mut enough = |count: &u64| {
                    left -= count;
                    left + cost <= limit
                };
                let leaves = self.0.iter().find_map(|(bucket, count)| enough(count).then_some(*bucket));
                return Reply::full((leaves.unwrap() + buckets + 1) * MILLI - now);
            };
            *self.0.entry(number).or_default() += cost;
            Reply::room(room, (number + buckets + 1) * MILLI - now, number)
        }
    }

    #[test]
    fn whether_counts_are_in_the_state_or_a_ring_is_not_to_be_seen() {
        fn check<C: Count>(most: u64, buckets: u32, random: &mut impl FnMut(u64) -> u64) {
            let mut one = One::of(Window::<C>::new(u64::from(buckets) * MILLI, buckets, most));
            let (mut naive, mut now, mut rings) = (Naive::default(), MILLI * random(1 << 40), 0);
            for step in 0..2_000 {
                let buckets = u64::from(buckets);
                now += match random(100) {
                    0 => MILLI * random(buckets * 3),
                    1..10 => MILLI * random(5) * buckets / 8,
                    10..60 => random(2 * MILLI),
                    _ => random(MILLI / 8),
                };
                let limit = most - random(2) * random(most);
                let largest = if random(8) == 0 { limit } else { limit.div_ceil(64).min(4) };
                let cost = random(largest + 1);
                let (ours, expected) =
                    (one.asks((cost, limit), now), naive.asks(buckets, (cost, limit), now));
                assert_eq!(ours, expected, "step {step}: {cost} of {limit} in {buckets} buckets, {one:?}");
                assert_eq!(one.charged(now), naive.sum());
                if ours.left().is_some() && random(8) == 0 {
                    one.gives_back(cost, ours.mark);
                    naive.0.entry(ours.mark).and_modify(|count| *count -= cost);
                }
                rings += usize::from(Window::ring(&one.state).is_some());
            }
            assert_eq!(rings > 0, one.meter.high.bits > 0, "{rings} of 2000 with a ring, {one:?}");
            one.charged(now + MILLI * 10_000);
            assert_eq!(Window::ring(&one.state), None);
            let is_free = rings == 0 || one.rings.take() == Rings::new(1, 0).take();
            assert!(is_free, "{one:?}");
        }
        let mut seed = 1_u64;
        let mut random = |end: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 16) % end
        };
        for buckets in [1, 3, 60, 255, 256, 1000] {
            for most in [7, 255, 256, 70_000, u32::MAX.into()] {
                check::<u32>(most, buckets, &mut random);
            }
            check::<u64>(1 << 45, buckets, &mut random);
        }
    }
}
