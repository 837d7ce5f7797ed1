//! The clock of limits: the processor's own counter, where it can be relied on.

use cache_core::{Clock, Time};

/// A clock that costs a few nanoseconds, where asking the system costs as much as the rest of a decision.
///
/// It counts the ticks of the processor, calibrated once in a process against the system's clock, and is that clock
/// where the processor has no constant ticks. Between processors it may go back by some of them, which a limiter stands.
///
/// ```
/// use cache_core::Clock;
/// use cache_ratelimit::TickClock;
/// let clock = TickClock::new();
/// assert!(clock.now() <= clock.now());
/// ```
#[derive(Clone, Debug)]
pub struct TickClock {
    clock: quanta::Clock,
    origin: quanta::Instant,
}

impl TickClock {
    /// Starts a clock whose origin is now. The first one of a process takes some milliseconds to calibrate.
    pub fn new() -> Self {
        let clock = quanta::Clock::new();
        Self { origin: clock.now(), clock }
    }
}

impl Default for TickClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TickClock {
    #[inline]
    fn now(&self) -> Time {
        Time::ZERO.after(self.clock.now().duration_since(self.origin))
    }
}
