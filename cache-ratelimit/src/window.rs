//! The conservative window: a sum, and the counts of the buckets that it is the sum of.
//!
//! ```text
//! state   number of the latest bucket │ its count │ sum │ few older counts, or a ring of them │ denied
//!
//! a bucket counts until its end is a window old:      [ oldest ][    ][    ][    ][ latest ]
//!                                                               ◄──────── window ────────►
//! ```
//!
//! Any interval as long as the window touches at most as many buckets as are counted, and at each admission all of them together are
//! at most the limit. The many keys that call now and then have few counts at a time, which the state holds itself. Those that call in
//! more buckets have a ring, which is looked at when a bucket begins.

use std::fmt;
use std::marker::PhantomData;

use super::meter::{Ask, Meter, Reply};
use super::rings::Rings;

#[derive(Clone, Debug)]
pub(crate) struct Window<C> {
    /// In nanoseconds, rounded up: a window that is too short would admit too much.
    bucket: u64,
    /// How many buckets count at a time.
    buckets: u64,
    /// How many places a ring has, a power of two: a count stands at the lowest bits of its bucket's number.
    places: u64,
    /// The width of a count in a ring, in bits, is two to the power of this.
    width: u32,
    counts: PhantomData<C>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State<C> {
    latest: u64,
    /// Of the latest bucket, whose place in a ring is empty until the next one begins.
    count: C,
    sum: C,
    older: Older,
    denied: bool,
}

/// The counts of buckets before the latest. In bytes, so that a state with counts of 32 bits is half a cache line with its fingerprint.
#[derive(Clone, Copy, Debug)]
enum Older {
    /// From the oldest on; those behind the last are zero.
    Few([Few; FEW]),
    /// In a ring, and the lowest bits of the number of the oldest bucket that counts.
    Ring { ring: [u8; 4], oldest: [u8; 2] },
}

#[derive(Clone, Copy, Debug, Default)]
struct Few {
    /// The lowest bits of its number.
    bucket: u8,
    count: u8,
}

const FEW: usize = 3;

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
        let width = match most {
            0..=0xff => 3,
            0x100..=0xffff => 4,
            0x1_0000..=0xffff_ffff => 5,
            _ => 6,
        };
        // Any interval as long as the window touches one more than it has.
        let counted = u64::from(buckets.max(1)) + 1;
        Self {
            bucket: window.div_ceil(counted - 1).max(1),
            buckets: counted,
            places: counted.next_power_of_two(),
            width,
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
        if state.sum.into() == 0 || number - state.latest >= self.buckets {
            if let Some(ring) = Self::ring(state) {
                rings.give_back(ring);
            }
            *state = State { denied: state.denied, ..State::default() };
        } else {
            match state.older {
                Older::Few(few) => self.turn_few(state, few, rings, number),
                Older::Ring { ring, .. } => self.turn_ring(state, u32::from_ne_bytes(ring), rings, number),
            }
            state.count = C::default();
        }
        state.latest = number;
    }

    fn turn_few(&self, state: &mut State<C>, few: [Few; FEW], rings: &mut Rings, number: u64) {
        let older = few.iter().map(|one| (one.number(state.latest), u64::from(one.count)));
        let (mut kept, mut len) = ([(0, 0); FEW + 1], 0);
        for (bucket, count) in older.chain([(state.latest, state.count.into())]) {
            if number - bucket >= self.buckets {
                state.sum = C::of(state.sum.into() - count);
            } else if count > 0 {
                kept[len] = (bucket, count);
                len += 1;
            }
        }
        let kept = &kept[..len];
        state.older = self.few(kept).unwrap_or_else(|| {
            let ring = rings.take();
            let words = rings.words(ring);
            for (bucket, count) in kept {
                self.set(words, *bucket, *count);
            }
            Older::in_ring(ring, kept[0].0)
        });
    }

    /// These counts of buckets without a ring, if they are so few and small.
    fn few(&self, counts: &[(u64, u64)]) -> Option<Older> {
        let mut few = [Few::default(); FEW];
        if self.buckets > 1 << u8::BITS || counts.len() > FEW {
            return None;
        }
        for (one, (bucket, count)) in few.iter_mut().zip(counts) {
            *one = Few { bucket: low(*bucket), count: u8::try_from(*count).ok()? };
        }
        Some(Older::Few(few))
    }

    fn turn_ring(&self, state: &mut State<C>, ring: u32, rings: &mut Rings, number: u64) {
        let words = rings.words(ring);
        self.set(words, state.latest, state.count.into());
        let mut oldest = state.oldest();
        loop {
            let count = self.get(words, oldest);
            if count > 0 && number - oldest < self.buckets {
                state.older = Older::in_ring(ring, oldest);
                break;
            }
            state.sum = C::of(state.sum.into() - count);
            self.set(words, oldest, 0);
            if oldest == state.latest {
                rings.give_back(ring);
                state.older = Older::default();
                break;
            }
            oldest += 1;
        }
    }

    /// The moment at which so much has left.
    #[inline]
    fn until(&self, state: &State<C>, rings: &mut Rings, mut lacking: u64) -> u64 {
        let oldest = state.oldest();
        // Whoever is denied again and again lacks a single unit, and one has left when the oldest bucket has.
        if lacking > 1 {
            for number in oldest..state.latest {
                let count = match state.older {
                    Older::Few(few) => {
                        few.iter().find(|it| it.bucket == low(number)).map_or(0, |it| it.count.into())
                    }
                    Older::Ring { ring, .. } => self.get(rings.words(u32::from_ne_bytes(ring)), number),
                };
                if lacking <= count {
                    return self.leaves(number);
                }
                lacking -= count;
            }
            return self.leaves(state.latest);
        }
        self.leaves(oldest)
    }

    /// When a bucket stops counting.
    fn leaves(&self, number: u64) -> u64 {
        number.saturating_add(self.buckets).saturating_mul(self.bucket)
    }

    #[inline]
    fn get(&self, words: &[u64], number: u64) -> u64 {
        let (word, shift) = self.position(number);
        (words[word] >> shift) & self.mask()
    }

    #[inline]
    fn set(&self, words: &mut [u64], number: u64, count: u64) {
        let (word, shift) = self.position(number);
        words[word] = words[word] & !(self.mask() << shift) | count << shift;
    }

    /// Word and bit of a bucket's place in a ring.
    #[inline]
    fn position(&self, number: u64) -> (usize, u64) {
        let bit = (number & (self.places - 1)) << self.width;
        (usize::try_from(bit >> 6).unwrap_or(usize::MAX), bit & 63)
    }

    #[inline]
    fn mask(&self) -> u64 {
        u64::MAX >> (64 - (1 << self.width))
    }
}

impl<C: Count> Meter for Window<C> {
    type State = State<C>;

    fn ring_words(&self) -> usize {
        usize::try_from((self.places << self.width).div_ceil(64)).unwrap_or(usize::MAX)
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

    fn ring(state: &State<C>) -> Option<u32> {
        match state.older {
            Older::Few(_) => None,
            Older::Ring { ring, .. } => Some(u32::from_ne_bytes(ring)),
        }
    }
}

impl<C> State<C> {
    /// The number of the oldest bucket that counts, which is the latest if no other does.
    #[inline]
    fn oldest(&self) -> u64 {
        match self.older {
            Older::Few([Few { count: 0, .. }, ..]) => self.latest,
            Older::Few([first, ..]) => first.number(self.latest),
            Older::Ring { oldest, .. } => {
                let age = low_two(self.latest).wrapping_sub(u16::from_ne_bytes(oldest));
                self.latest - u64::from(age)
            }
        }
    }
}

impl Older {
    fn in_ring(ring: u32, oldest: u64) -> Self {
        Self::Ring { ring: ring.to_ne_bytes(), oldest: low_two(oldest).to_ne_bytes() }
    }
}

impl Default for Older {
    fn default() -> Self {
        Self::Few([Few::default(); FEW])
    }
}

impl Few {
    #[inline]
    fn number(self, latest: u64) -> u64 {
        latest - u64::from(low(latest).wrapping_sub(self.bucket))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are meant")]
#[inline]
fn low(number: u64) -> u8 {
    number as u8
}

#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are meant")]
#[inline]
fn low_two(number: u64) -> u16 {
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
    fn whether_counts_are_few_or_in_a_ring_is_not_to_be_seen() {
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
            assert!(
                buckets <= 3 || (1..2_000).contains(&rings),
                "{rings} of 2000 in a ring, {buckets} buckets"
            );
            one.charged(now + MILLI * 10_000);
            assert_eq!((Window::ring(&one.state), one.rings.take()), (None, 0), "it has given back its ring");
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
