//! Time as a value that is handed in, so that every decision about it can be tested by hand.
//!
//! [`Time`] is monotonic and only compares with times of the same clock. Wall time stands only in stored frames,
//! never in a lifetime. This is the only module that asks the operating system for the time.

use std::fmt;
use std::time::{Duration, Instant};

/// A moment on a [`Clock`], in nanoseconds since that clock's origin.
///
/// All arithmetic saturates: [`Time::NEVER`] stays never, and nothing overflows after 584 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The origin of every clock.
    pub const ZERO: Self = Self(0);
    /// Later than every other moment.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `nanos` nanoseconds after the clock's origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time that has passed since `earlier`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `duration` later; [`Time::NEVER`] where that cannot be expressed.
    ///
    /// ```
    /// use cache_core::Time;
    /// use std::time::Duration;
    /// assert_eq!(Time::ZERO.after(Duration::from_secs(1)).as_nanos(), 1_000_000_000);
    /// assert_eq!(Time::ZERO.after(Duration::MAX), Time::NEVER);
    /// ```
    #[must_use]
    pub const fn after(self, duration: Duration) -> Self {
        let nanos = duration.as_nanos();
        if nanos >= u64::MAX as u128 {
            return Self::NEVER;
        }
        #[expect(clippy::cast_possible_truncation, reason = "compared with u64::MAX above")]
        Self(self.0.saturating_add(nanos as u64))
    }
}

/// What tells the time: monotonic, shared by all parts of a cache, exchangeable in tests.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present moment. Never earlier than a moment returned before.
    fn now(&self) -> Time;
}

/// The operating system's monotonic clock, with its origin at the clock's creation.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Starts a clock whose origin is now.
    #[expect(clippy::disallowed_methods, reason = "the one place that may ask the system for the time")]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time::ZERO.after(self.origin.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let last = Time::from_nanos(u64::MAX - 1);
        assert_eq!(last.after(Duration::from_nanos(5)), Time::NEVER);
        assert_eq!(Time::NEVER.after(Duration::MAX), Time::NEVER);
        assert_eq!(Time::ZERO.since(last), Duration::ZERO);
        assert_eq!(last.since(Time::ZERO), Duration::from_nanos(u64::MAX - 1));
    }

    #[test]
    fn the_system_clock_never_goes_back() {
        let clock = SystemClock::new();
        let moments: Vec<Time> = (0..100).map(|_| clock.now()).collect();
        assert!(moments.is_sorted());
    }
}
