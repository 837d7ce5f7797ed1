//! Time by hand, and time that a suite can let pass whatever it is.
//!
//! [`ManualClock`] stands still until a test moves it. [`Passage`] is what a suite asks for instead of a clock of one
//! kind: by hand it moves on at once, in front of a real server it waits. A suite therefore compares with the clock
//! what it measured, and never assumes that exactly the time it asked for has passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{Clock, Time};

/// A clock that can be let run on, for what lives by it.
#[async_trait]
pub trait Passage: Clock {
    /// Returns once at least this much time has passed.
    async fn pass(&self, duration: Duration);
}

/// A clock that moves only when it is told to, and never back. Clones show the same time.
///
/// ```
/// use cache_core::{Clock, Time};
/// use cache_testkit::clock::ManualClock;
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let shared = clock.clone();
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(shared.now(), Time::ZERO.after(Duration::from_secs(5)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    nanos: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that stands at [`Time::ZERO`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves on by this much, at most to [`Time::NEVER`].
    pub fn advance(&self, duration: Duration) {
        let later = |nanos| Time::from_nanos(nanos).after(duration).as_nanos();
        self.nanos.update(Ordering::SeqCst, Ordering::SeqCst, later);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time::from_nanos(self.nanos.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl Passage for ManualClock {
    async fn pass(&self, duration: Duration) {
        self.advance(duration);
    }
}

/// Time as it is, in front of a server that has its own. It waits by tokio's timer.
#[cfg(feature = "redis")]
#[derive(Debug, Default)]
pub struct RealTime(cache_core::SystemClock);

#[cfg(feature = "redis")]
impl RealTime {
    /// A clock whose origin is now.
    pub fn new() -> Self {
        Self::default()
    }
}

#[cfg(feature = "redis")]
impl Clock for RealTime {
    fn now(&self) -> Time {
        self.0.now()
    }
}

#[cfg(feature = "redis")]
#[async_trait]
impl Passage for RealTime {
    async fn pass(&self, duration: Duration) {
        let _ = tokio::time::timeout(duration, std::future::pending::<()>()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stops_at_the_end_of_time() {
        let clock = ManualClock::new();
        clock.advance(Duration::from_nanos(3));
        clock.advance(Duration::MAX);
        clock.advance(Duration::from_nanos(1));
        assert_eq!(clock.now(), Time::NEVER);
    }
}
