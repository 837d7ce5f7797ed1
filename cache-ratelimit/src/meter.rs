//! What is remembered of one key, and how a decision reads and changes it.
//!
//! The state of a key is a few words in its shard's slab, as many for every key of a limiter. What they mean is up to
//! one of three meters. All of them keep two rules: a clock that went back frees nothing, and what was charged is
//! counted too long rather than too short.

use super::gcra::Gcra;
use super::log::Log;
use super::window::Window;

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

#[derive(Clone, Debug)]
pub(crate) enum Meter {
    Window(Window),
    Log(Log),
    Smooth(Gcra),
}

impl Meter {
    /// How many words the state of a key has.
    pub(crate) fn words(&self) -> usize {
        match self {
            Self::Window(window) => window.words(),
            Self::Log(log) => log.words(),
            Self::Smooth(_) => Gcra::WORDS,
        }
    }

    /// Decides, and charges if that is asked for.
    #[inline]
    pub(crate) fn decide(&self, state: &mut [u64], ask: Ask) -> Reply {
        match self {
            Self::Window(window) => window.decide(state, ask),
            Self::Log(log) => log.decide(state, ask),
            Self::Smooth(gcra) => gcra.decide(state, ask),
        }
    }

    /// Takes out what was charged at this mark, as far as it is certain to be there still.
    pub(crate) fn give_back(&self, state: &mut [u64], cost: u64, mark: u64) {
        match self {
            Self::Window(_) => Window::give_back(state, cost, mark),
            Self::Log(log) => log.give_back(state, cost, mark),
            Self::Smooth(gcra) => gcra.give_back(state, cost, mark),
        }
    }

    /// How much counts at this moment.
    pub(crate) fn charged(&self, state: &mut [u64], now: u64) -> u64 {
        match self {
            Self::Window(window) => window.charged(state, now),
            Self::Log(log) => log.charged(state, now) as u64,
            Self::Smooth(gcra) => gcra.charged(state, now),
        }
    }

    /// The shortest time after which anything can have changed.
    pub(crate) fn grain(&self) -> u64 {
        match self {
            Self::Window(window) => window.bucket(),
            Self::Log(_) => 1_000_000,
            Self::Smooth(gcra) => gcra.each(),
        }
    }
}
