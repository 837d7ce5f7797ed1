//! Whether a place that keeps failing may be asked: a circuit breaker.
//!
//! ```text
//! closed ── so many failures in a row ──► open ── the pause is over ──► half-open: one probe ── succeeds ──► closed
//!                                          ▲                                        │
//!                                          └──────────────── fails ─────────────────┘
//! ```
//!
//! Whoever is admitted gets a [`Pass`] and hands it back with the outcome. A pass from before the last transition is out of date:
//! a slow failure from before the breaker opened does not open it again, and a slow success does not close it.
//!
//! Source: Nygard, "Release It!", 2007.

use std::time::Duration;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trip {
    /// So many failures in a row open it. At least 1.
    pub failures: u32,
    /// So long nobody is admitted, and so long a probe may take before another one is.
    pub pause: Duration,
}

impl Trip {
    /// Opens after so many failures in a row (0 counts as 1), for this long.
    pub fn new(failures: u32, pause: Duration) -> Self {
        Self { failures: failures.max(1), pause }
    }
}

impl Default for Trip {
    /// Five failures, and 150 ms: what is back is used again within that and the time until somebody asks.
    fn default() -> Self {
        Self::new(5, Duration::from_millis(150))
    }
}

/// What a breaker lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Passage {
    /// Everyone.
    Closed,
    /// Nobody.
    Open,
    /// One, whose outcome decides.
    HalfOpen,
}

impl Passage {
    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// The leave to ask, to be handed back with the outcome.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a probe that is not handed back keeps everyone else out for a pause"]
pub struct Pass {
    /// The transitions so far.
    epoch: u64,
}

/// Counts failures and decides who may ask. Moments are durations since a start of the owner's choice.
///
/// ```
/// use std::time::Duration;
/// use cache_policy::{Breaker, Passage, Trip};
/// let second = Duration::from_secs;
/// let mut breaker = Breaker::new(Trip::new(2, second(1)));
/// for _ in 0..2 {
///     let pass = breaker.admit(second(0)).expect("closed");
///     breaker.failed(pass, second(0));
/// }
/// assert!(breaker.admit(second(0)).is_none(), "open");
/// let probe = breaker.admit(second(1)).expect("the pause is over");
/// assert!(breaker.admit(second(1)).is_none(), "one probe at a time");
/// breaker.succeeded(probe);
/// assert_eq!(breaker.passage(), Passage::Closed);
/// ```
#[derive(Debug)]
pub struct Breaker {
    trip: Trip,
    passage: Passage,
    epoch: u64,
    /// Failures in a row while closed.
    failures: u32,
    /// When the next probe may go.
    until: Duration,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(trip: Trip) -> Self {
        Self { trip, passage: Passage::Closed, epoch: 0, failures: 0, until: Duration::ZERO }
    }

    /// What it lets pass, as of the last admission or outcome.
    pub fn passage(&self) -> Passage {
        self.passage
    }

    /// Leave to ask, if that makes sense now.
    pub fn admit(&mut self, now: Duration) -> Option<Pass> {
        if self.passage != Passage::Closed {
            if now < self.until {
                return None;
            }
            self.turn(Passage::HalfOpen, now);
        }
        Some(Pass { epoch: self.epoch })
    }

    /// Whoever had this pass was answered.
    pub fn succeeded(&mut self, Pass { epoch }: Pass) {
        if epoch != self.epoch {
            return;
        }
        self.failures = 0;
        if self.passage == Passage::HalfOpen {
            self.turn(Passage::Closed, Duration::ZERO);
        }
    }

    /// Whoever had this pass was not answered.
    pub fn failed(&mut self, Pass { epoch }: Pass, now: Duration) {
        if epoch != self.epoch {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.passage == Passage::HalfOpen || self.failures >= self.trip.failures {
            self.turn(Passage::Open, now);
        }
    }

    /// Whoever had this pass went away without an outcome. Another one may probe in his place.
    pub fn withdrawn(&mut self, Pass { epoch }: Pass) {
        if epoch == self.epoch && self.passage == Passage::HalfOpen {
            self.until = Duration::ZERO;
        }
    }

    fn turn(&mut self, passage: Passage, now: Duration) {
        self.passage = passage;
        self.epoch += 1;
        self.failures = 0;
        self.until = now.saturating_add(self.trip.pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(Trip::new(3, millis(100)));
        for _ in 0..3 {
            let pass = breaker.admit(millis(0)).expect("closed");
            breaker.failed(pass, millis(0));
        }
        assert_eq!(breaker.passage(), Passage::Open);
        breaker
    }

    #[test]
    fn a_success_in_between_begins_the_count_anew() {
        let mut breaker = Breaker::new(Trip::new(3, millis(100)));
        for failures in [2, 2] {
            for _ in 0..failures {
                let pass = breaker.admit(millis(0)).expect("closed");
                breaker.failed(pass, millis(0));
            }
            let pass = breaker.admit(millis(0)).expect("closed");
            breaker.succeeded(pass);
        }
        assert_eq!(breaker.passage(), Passage::Closed);
    }

    #[test]
    fn a_failed_probe_opens_it_for_another_pause() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(millis(99)), None);
        let probe = breaker.admit(millis(100)).expect("the pause is over");
        assert_eq!(breaker.passage(), Passage::HalfOpen);
        breaker.failed(probe, millis(150));
        assert_eq!((breaker.passage(), breaker.admit(millis(249))), (Passage::Open, None));
        assert!(breaker.admit(millis(250)).is_some());
    }

    #[test]
    fn what_comes_late_decides_nothing() {
        let mut breaker = Breaker::new(Trip::new(1, millis(100)));
        let [slow, slower, late, failing] = [0; 4].map(|now| breaker.admit(millis(now)).expect("closed"));
        breaker.failed(failing, millis(0));
        breaker.succeeded(slow);
        assert_eq!(breaker.passage(), Passage::Open, "a success from before it opened does not close it");
        let probe = breaker.admit(millis(100)).expect("the pause is over");
        breaker.succeeded(slower);
        assert_eq!(breaker.passage(), Passage::HalfOpen, "nor does it while a probe is out");
        breaker.succeeded(probe);
        breaker.failed(late, millis(101));
        assert_eq!(
            breaker.passage(),
            Passage::Closed,
            "a failure from before it opened does not open it again"
        );
    }

    #[test]
    fn a_probe_that_is_lost_keeps_nobody_out_for_longer_than_a_pause() {
        let mut breaker = opened();
        let lost = breaker.admit(millis(100)).expect("the pause is over");
        assert_eq!(breaker.admit(millis(199)), None);
        let second = breaker.admit(millis(200)).expect("the first one is lost");
        breaker.withdrawn(lost);
        assert_eq!(breaker.admit(millis(200)), None, "the second one is out");
        breaker.withdrawn(second);
        assert!(breaker.admit(millis(200)).is_some(), "and has gone away");
    }
}
