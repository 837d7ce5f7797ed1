//! Who expires next: a hierarchical timing wheel over slots.
//!
//! Seven levels of 64 buckets cover 2^42 ticks (139 years of milliseconds). A deadline waits in the bucket of the
//! highest digit, to base 64, in which it differs from the present; when the present reaches that bucket, its slots
//! move to a lower level or expire. Each slot moves at most six times, and every step moves or expires exactly one,
//! so the owner bounds how long it works at a stretch.
//!
//! Source: Varghese and Lauck, "Hashed and hierarchical timing wheels", SOSP 1987, scheme 7.

use crate::column::Column;
use crate::node::{NIL, Node, Slab, Slot, WATCHED};

const LEVELS: usize = 7;
const BITS: usize = 6;
const BUCKETS: usize = 1 << BITS;
const HORIZON: u64 = 1 << (BITS * LEVELS);

/// Deadlines of the slots of a slab, in ticks of the owner's choice.
///
/// The owner keeps the deadlines; the node knows the bucket; the wheel itself takes eight bytes for an entry that can
/// expire, and nothing for one that cannot.
///
/// ```
/// use cache_policy::{Slots, Step, Wheel};
/// let (mut slots, mut wheel) = (Slots::default(), Wheel::default());
/// slots.put(7, 0, 0);
/// slots.set_deadline(7, 1000);
/// wheel.schedule(&mut slots, 7);
/// let mut expired = Vec::new();
/// loop {
///     match wheel.step(&mut slots, 1000) {
///         Step::Expired(slot) => expired.push(slot),
///         Step::Moved => {}
///         Step::Idle => break,
///     }
/// }
/// assert_eq!(expired, [7]);
/// ```
#[derive(Debug, Default)]
pub struct Wheel {
    /// The first slot of each bucket; no buckets before the first deadline.
    buckets: Vec<Slot>,
    /// One bit per bucket of a level: whether it holds a slot.
    occupied: [u64; LEVELS],
    links: Column<Link>,
    scheduled: u32,
    now: u64,
}

/// The neighbours within a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Link {
    next: Slot,
    previous: Slot,
}

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

/// Where a wheel stands: all that it takes to tell who outlives a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hand(u64);

impl Wheel {
    /// All deadlines are earlier than this tick, so nobody whom the wheel knows outlives it.
    pub const LATEST: u64 = (BUCKETS as u64 - 1) << (BITS * LEVELS);

    /// Sets or changes a slot's deadline to what the slab says. One beyond the horizon never comes, and is
    /// [watched](Self::watch); one that has passed comes at once; `u64::MAX` is none.
    pub fn schedule(&mut self, slab: &mut impl Slab, slot: Slot) {
        self.cancel(slab, slot);
        let deadline = slab.deadline(slot);
        if deadline < HORIZON {
            self.place(slab, slot, deadline.max(self.now));
        } else if deadline < u64::MAX {
            self.watch(slab, slot);
        }
    }

    /// Watches a slot, if it has no deadline: until the next [`schedule`](Self::schedule) or [`cancel`](Self::cancel),
    /// [`outlives`](Self::outlives) vouches for it below [`LATEST`](Self::LATEST) only. So an owner who may have ended it in
    /// another way asks about that tick, and is told to look for itself.
    pub fn watch(&mut self, slab: &mut impl Slab, slot: Slot) {
        let node = slab.node_mut(slot);
        if node.place() == 0 {
            node.set_place(WATCHED);
        }
    }

    /// Forgets a slot's deadline, if it has one, and watches it no longer.
    pub fn cancel(&mut self, slab: &mut impl Slab, slot: Slot) {
        match slab.node(slot).place() {
            0 => {}
            WATCHED => slab.node_mut(slot).set_place(0),
            _ => self.unlink(slab, slot),
        }
    }

    /// Does one bounded piece of the work that is due at tick `now`.
    pub fn step(&mut self, slab: &mut impl Slab, now: u64) -> Step {
        let Some((from, bucket)) = self.next_bucket().filter(|(from, _)| *from <= now) else {
            // No bucket begins up to now, so no slot's highest differing digit changes by moving the present there.
            self.now = self.now.max(now);
            return Step::Idle;
        };
        self.now = self.now.max(from);
        let slot = self.buckets[bucket];
        self.unlink(slab, slot);
        let deadline = slab.deadline(slot);
        if deadline <= now {
            return Step::Expired(slot);
        }
        self.place(slab, slot, deadline);
        Step::Moved
    }

    /// The earliest tick at which there is something to do: no later than the earliest deadline.
    #[inline]
    pub fn next_tick(&self) -> Option<u64> {
        if self.scheduled == 0 { None } else { self.next_bucket().map(|(from, _)| from) }
    }

    /// Tells without a look at its deadline, which may stand far away in memory, that an entry lives beyond this tick.
    /// `false` if that is not certain, and for all but those without a deadline from [`LATEST`](Self::LATEST) on.
    #[inline]
    pub fn outlives(&self, node: &Node, tick: u64) -> bool {
        self.hand().outlives(node, tick)
    }

    /// Where it stands. Moves only in a [`step`](Self::step).
    #[inline]
    pub fn hand(&self) -> Hand {
        Hand(self.now)
    }

    fn place(&mut self, slab: &mut impl Slab, slot: Slot, deadline: u64) {
        if self.buckets.is_empty() {
            self.buckets = vec![NIL; LEVELS * BUCKETS];
        }
        let level = ((self.now ^ deadline) | 1).ilog2() as usize / BITS;
        let digit = digit(deadline, level);
        let bucket = level * BUCKETS + digit;
        let next = std::mem::replace(&mut self.buckets[bucket], slot);
        self.links.set(slot, Link { next, previous: NIL });
        if next != NIL {
            self.links.set(next, Link { previous: slot, ..self.links.get(next) });
        }
        self.occupied[level] |= 1 << digit;
        self.scheduled += 1;
        #[expect(clippy::cast_possible_truncation, reason = "there are 448 buckets")]
        slab.node_mut(slot).set_place(bucket as u16 + 1);
    }

    /// Takes a scheduled slot out of its bucket.
    fn unlink(&mut self, slab: &mut impl Slab, slot: Slot) {
        let node = slab.node_mut(slot);
        // The bucket cannot be computed again from the deadline, because the present may stand inside one that is only
        // partly emptied.
        let bucket = usize::from(node.place()) - 1;
        node.set_place(0);
        self.scheduled -= 1;
        let Link { next, previous } = self.links.get(slot);
        if next != NIL {
            self.links.set(next, Link { previous, ..self.links.get(next) });
        }
        if previous != NIL {
            self.links.set(previous, Link { next, ..self.links.get(previous) });
            return;
        }
        self.buckets[bucket] = next;
        if next == NIL {
            self.occupied[bucket / BUCKETS] &= !(1 << (bucket % BUCKETS));
        }
    }

    /// The occupied bucket that begins first, and the tick at which it begins.
    fn next_bucket(&self) -> Option<(u64, usize)> {
        let first_of_level = |level: usize| {
            let bits = self.occupied[level];
            (bits != 0).then(|| {
                // Digits in use never lie before the present's, so the lowest one is the next.
                let bucket = level * BUCKETS + bits.trailing_zeros() as usize;
                (self.begins(bucket), bucket)
            })
        };
        (0..LEVELS).filter_map(first_of_level).min()
    }

    /// The tick at which a bucket that is in use begins; for the place of whom it watches, [`Wheel::LATEST`].
    #[inline]
    fn begins(&self, bucket: usize) -> u64 {
        self.hand().begins(bucket)
    }
}

impl Hand {
    /// What [`Wheel::outlives`] says while the wheel stands here.
    #[inline]
    pub fn outlives(self, node: &Node, tick: u64) -> bool {
        match usize::from(node.place()) {
            0 => true,
            place => self.begins(place - 1) > tick,
        }
    }

    #[inline]
    fn begins(self, bucket: usize) -> u64 {
        let (level, digit) = (bucket / BUCKETS, (bucket % BUCKETS) as u64);
        let below = BITS * (level + 1);
        (self.0 >> below << below) | digit << (BITS * level)
    }
}

fn digit(tick: u64, level: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "masked to six bits")]
    let digit = (tick >> (BITS * level)) as usize & (BUCKETS - 1);
    digit
}
