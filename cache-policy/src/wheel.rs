//! Who expires next: a hierarchical timing wheel over slots.
//!
//! Seven levels of 64 buckets cover 2^42 ticks (139 years of milliseconds). A deadline waits in the bucket of the
//! highest digit, to base 64, in which it differs from the present; when the present reaches that bucket, its slots
//! move to a lower level or expire. Each slot moves at most six times, and every step moves or expires exactly one,
//! so the owner bounds how long it works at a stretch.
//!
//! Source: Varghese and Lauck, "Hashed and hierarchical timing wheels", SOSP 1987, scheme 7.

use crate::Slot;
use crate::links::{Links, List};

const LEVELS: usize = 7;
const BITS: usize = 6;
const BUCKETS: usize = 1 << BITS;
const HORIZON: u64 = 1 << (BITS * LEVELS);

/// Deadlines of slots, in ticks of the owner's choice.
///
/// ```
/// use cache_policy::{Step, Wheel};
/// let mut wheel = Wheel::new();
/// wheel.schedule(7, 1000);
/// let mut expired = Vec::new();
/// loop {
///     match wheel.step(1000) {
///         Step::Expired(slot) => expired.push(slot),
///         Step::Moved => {}
///         Step::Idle => break,
///     }
/// }
/// assert_eq!(expired, [7]);
/// ```
#[derive(Debug)]
pub struct Wheel {
    links: Links,
    buckets: Box<[List]>,
    /// One bit per bucket of a level: whether it holds a slot.
    occupied: [u64; LEVELS],
    timers: Vec<Timer>,
    now: u64,
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    deadline: u64,
    /// Where it waits: level times 64 plus bucket. A slot's level cannot be computed again from its deadline,
    /// because the present may stand inside a bucket that is only partly emptied.
    bucket: u16,
}

const UNSCHEDULED: u16 = u16::MAX;

/// What one [`Wheel::step`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// This slot's deadline has passed; the wheel has forgotten it.
    Expired(Slot),
    /// A slot came nearer to its deadline.
    Moved,
    /// Nothing is to be done until a later tick.
    Idle,
}

impl Default for Wheel {
    fn default() -> Self {
        Self::new()
    }
}

impl Wheel {
    /// An empty wheel at tick zero.
    pub fn new() -> Self {
        Self {
            links: Links::default(),
            buckets: vec![List::default(); LEVELS * BUCKETS].into(),
            occupied: [0; LEVELS],
            timers: Vec::new(),
            now: 0,
        }
    }

    /// Sets or changes a slot's deadline. One beyond the horizon never comes; one that has passed comes at once.
    pub fn schedule(&mut self, slot: Slot, deadline: u64) {
        self.cancel(slot);
        if deadline < HORIZON {
            self.place(slot, deadline.max(self.now));
        }
    }

    /// Forgets a slot's deadline, if it has one.
    pub fn cancel(&mut self, slot: Slot) {
        if self.timers.get(slot as usize).is_some_and(|timer| timer.bucket != UNSCHEDULED) {
            self.unlink(slot);
        }
    }

    /// Does one bounded piece of the work that is due at tick `now`.
    pub fn step(&mut self, now: u64) -> Step {
        let Some((from, bucket)) = self.next_bucket().filter(|(from, _)| *from <= now) else {
            // No bucket begins up to now, so no slot's highest differing digit changes by moving the present there.
            self.now = self.now.max(now);
            return Step::Idle;
        };
        self.now = self.now.max(from);
        let slot = self.buckets[bucket].back();
        let deadline = self.unlink(slot);
        if deadline <= now {
            return Step::Expired(slot);
        }
        self.place(slot, deadline);
        Step::Moved
    }

    /// The earliest tick at which there is something to do: no later than the earliest deadline.
    pub fn next_tick(&self) -> Option<u64> {
        self.next_bucket().map(|(from, _)| from)
    }

    fn place(&mut self, slot: Slot, deadline: u64) {
        let level = ((self.now ^ deadline) | 1).ilog2() as usize / BITS;
        let digit = digit(deadline, level);
        let bucket = level * BUCKETS + digit;
        let index = slot as usize;
        if index >= self.timers.len() {
            self.timers.resize(index + 1, Timer { deadline: 0, bucket: UNSCHEDULED });
        }
        #[expect(clippy::cast_possible_truncation, reason = "there are 448 buckets")]
        let timer = Timer { deadline, bucket: bucket as u16 };
        self.timers[index] = timer;
        self.buckets[bucket].push_front(&mut self.links, slot);
        self.occupied[level] |= 1 << digit;
    }

    /// Takes a scheduled slot out of its bucket and returns its deadline.
    fn unlink(&mut self, slot: Slot) -> u64 {
        let timer = &mut self.timers[slot as usize];
        let bucket = usize::from(std::mem::replace(&mut timer.bucket, UNSCHEDULED));
        let deadline = timer.deadline;
        self.buckets[bucket].remove(&mut self.links, slot);
        if self.buckets[bucket].is_empty() {
            self.occupied[bucket / BUCKETS] &= !(1 << (bucket % BUCKETS));
        }
        deadline
    }

    /// The occupied bucket that begins first, and the tick at which it begins.
    fn next_bucket(&self) -> Option<(u64, usize)> {
        let first_of_level = |level: usize| {
            let bits = self.occupied[level];
            (bits != 0).then(|| {
                // Digits in use never lie before the present's, so the lowest one is the next.
                let digit = bits.trailing_zeros() as usize;
                let below = BITS * (level + 1);
                let from = (self.now >> below << below) | ((digit as u64) << (BITS * level));
                (from, level * BUCKETS + digit)
            })
        };
        (0..LEVELS).filter_map(first_of_level).min()
    }
}

fn digit(tick: u64, level: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "masked to six bits")]
    let digit = (tick >> (BITS * level)) as usize & (BUCKETS - 1);
    digit
}
