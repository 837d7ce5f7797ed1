//! What is remembered of one key, and how a decision reads and changes it.
//!
//! A key has a state of a few bytes beside its fingerprint, and a ring of words if its meter takes one for it. All meters keep two
//! rules: a clock that went back frees nothing, and what was charged is counted too long rather than too short.

use std::fmt;

use super::rings::{Ring, Rings};

/// What a decision is about. Times are nanoseconds of the limiter's clock; `cost` is at most `limit`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) cost: u64,
    pub(crate) limit: u64,
    pub(crate) now: u64,
    /// Whether it is charged if there is room.
    pub(crate) charges: bool,
}

/// What was decided. As flat as it can be, since it goes through many hands in a few nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) kind: Kind,
    pub(crate) remaining: u64,
    /// Of a denial, how long until there is room. Else, after this long nothing of what is charged counts any more.
    pub(crate) after: u64,
    /// Where it was charged.
    pub(crate) mark: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There is room.
    Room,
    /// There is none at present.
    Full,
    /// There is no room for another key, and whoever has a place is at its limit.
    Crowded,
}

impl Reply {
    #[inline]
    pub(crate) fn room(remaining: u64, after: u64, mark: u64) -> Self {
        Self { kind: Kind::Room, remaining, after, mark }
    }

    #[inline]
    pub(crate) fn full(wait: u64) -> Self {
        Self { kind: Kind::Full, remaining: 0, after: wait, mark: 0 }
    }

    pub(crate) fn crowded(wait: u64) -> Self {
        Self { kind: Kind::Crowded, ..Self::full(wait) }
    }
}

/// One of the ways to count.
pub(crate) trait Meter: fmt::Debug + Send + Sync + 'static {
    /// What is remembered of every key, and by default of one to which nothing is charged.
    type State: Copy + Default + fmt::Debug + Send;

    /// What the entry of a key begins with: [`Line`](super::index::Line) or half of one.
    type Line: Copy + Default + fmt::Debug + Send;

    /// How many words a ring has.
    fn ring_words(&self) -> usize;

    /// Decides, and charges if that is asked for.
    fn decide(&self, state: &mut Self::State, rings: &mut Rings, ask: Ask) -> Reply;

    /// Takes out what was charged at this mark, as far as it is certain to be there still.
    fn give_back(&self, state: &mut Self::State, rings: &mut Rings, cost: u64, mark: u64);

    /// How much counts at this moment.
    fn charged(&self, state: &mut Self::State, rings: &mut Rings, now: u64) -> u64;

    /// The shortest time after which anything can have changed.
    fn grain(&self) -> u64;

    /// Whether the key was ever denied, which the shard keeps here, where there is room for it.
    fn denied(state: &mut Self::State) -> &mut bool;

    /// The ring that was taken for it.
    fn ring(state: &Self::State) -> Option<Ring>;
}

/// One key by itself, for the tests of meters.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct One<M: Meter> {
    pub(crate) meter: M,
    pub(crate) state: M::State,
    pub(crate) rings: Rings,
}

#[cfg(test)]
impl<M: Meter> One<M> {
    pub(crate) fn of(meter: M) -> Self {
        Self { state: M::State::default(), rings: Rings::new(meter.ring_words(), 1), meter }
    }

    pub(crate) fn asks(&mut self, (cost, limit): (u64, u64), now: u64) -> Reply {
        let ask = Ask { cost, limit, now, charges: true };
        self.meter.decide(&mut self.state, &mut self.rings, ask)
    }

    pub(crate) fn gives_back(&mut self, cost: u64, mark: u64) {
        self.meter.give_back(&mut self.state, &mut self.rings, cost, mark);
    }

    pub(crate) fn charged(&mut self, now: u64) -> u64 {
        self.meter.charged(&mut self.state, &mut self.rings, now)
    }
}

#[cfg(test)]
impl Reply {
    /// How much is left, if there was room.
    pub(crate) fn left(self) -> Option<u64> {
        (self.kind == Kind::Room).then_some(self.remaining)
    }
}
