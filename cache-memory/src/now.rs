//! What time it is, asked only where the answer can matter.
//!
//! A clock costs more than a whole hit. So a thread that wakes every 100 milliseconds anyway announces a horizon: a
//! tick that time has certainly not reached yet when it is read. Whoever ends beyond it is alive, and no clock is asked; near
//! its end an entry is asked about to the nanosecond. Without that thread, or under a clock of the user's, which may be
//! moved by hand, the horizon is infinitely far and every question goes to the clock.
//!
//! So it is also while a shard holds entries that something else than time has ended: then nothing that could have
//! ended is taken for alive without a closer look, and nobody else pays for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cache_core::{Clock, Time};
use cache_policy::Wheel;

use crate::slab::tick;

#[derive(Debug)]
pub(crate) struct Present {
    clock: Arc<dyn Clock>,
    /// Whether the clock only moves as real time does, so that it can be extrapolated.
    is_steady: bool,
    /// The tick, or [`UNKNOWN`], in the lower bits; how many doubt it in the upper ones, where each makes it a tick beyond
    /// all others. In one word, so that no announcement can hide a doubt.
    horizon: AtomicU64,
}

/// How often the horizon is announced anew.
pub(crate) const ANNOUNCE_EVERY: Duration = Duration::from_millis(100);

/// How far ahead the horizon lies: a thread that is ready to run does not wait for a core that long. A process that was
/// stopped for longer may, once it goes on, take what has ended meanwhile for alive until that thread has run.
const AHEAD: Duration = Duration::from_secs(2);

pub(crate) const UNKNOWN: u64 = DOUBT - 1;
const DOUBT: u64 = 1 << 48;
const _: () = assert!(UNKNOWN > Wheel::LATEST, "a wheel must vouch for nobody up to an unknown tick");

impl Present {
    pub(crate) fn new(clock: Arc<dyn Clock>, is_steady: bool) -> Self {
        Self { clock, is_steady, horizon: AtomicU64::new(UNKNOWN) }
    }

    #[inline]
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// The tick up to which an entry must live to count as alive without a question.
    #[inline]
    pub(crate) fn horizon(&self) -> u64 {
        self.horizon.load(Relaxed)
    }

    /// Moves the horizon. To be called every [`ANNOUNCE_EVERY`].
    pub(crate) fn announce(&self) {
        if self.is_steady {
            let horizon = tick(self.now().after(AHEAD));
            // It cannot fail: the closure always has an answer.
            let _held = self.horizon.fetch_update(Relaxed, Relaxed, |held| Some(held & !UNKNOWN | horizon));
        }
    }

    /// Takes the horizon back until it is announced again: every question goes to the clock.
    pub(crate) fn retract(&self) {
        self.horizon.fetch_or(UNKNOWN, Relaxed);
    }

    /// Lets nothing that could have ended be taken for alive without a closer look, until as many [`trust`](Self::trust)
    /// again. To be called under the lock of a shard, by which its readers learn of it.
    pub(crate) fn doubt(&self) {
        self.horizon.fetch_add(DOUBT, Relaxed);
    }

    /// Takes back a [`doubt`](Self::doubt), under the same lock.
    pub(crate) fn trust(&self) {
        self.horizon.fetch_sub(DOUBT, Relaxed);
    }

    /// Tells whether anyone doubts.
    pub(crate) fn is_doubted(&self) -> bool {
        self.horizon() >= DOUBT
    }
}
