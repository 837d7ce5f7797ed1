//! What time it is at a server, told without asking it: so that lives are counted by one clock, whoever reads or writes.
//!
//! ```text
//! ours     sent ───────────── received          the server said T somewhere in between, so its clock is ahead of ours by
//! server          T                             at least T - received and at most T - sent
//! ```
//!
//! Each answer narrows these bounds; as clocks drift, they widen again with time. An answer that fits into none of them means
//! that the server's clock was set, or that another server answers, and begins anew. Half of the shortest round trip is what
//! the middle can be wrong by.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use cache_core::{Clock, SystemClock, Time, Ttl, Wall};
use parking_lot::Mutex;

/// What two clocks drift apart in a second, at worst: 100 µs, the tolerance of common quartz.
const DRIFT_PER_SECOND: i64 = 100;

/// An estimate of a server's clock. Microseconds throughout.
#[derive(Debug)]
pub(crate) struct ServerClock {
    own: SystemClock,
    /// By how much the server's time is ahead of ours; [`UNKNOWN`] before the first answer.
    ahead: AtomicI64,
    bounds: Mutex<Option<Bounds>>,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    least: i64,
    most: i64,
    /// Of our time.
    known_at: i64,
}

const UNKNOWN: i64 = i64::MIN;

/// A moment of a server's time, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Later than every other.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    pub(crate) const fn as_micros(self) -> u64 {
        self.0
    }

    pub(crate) fn after_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1000)))
    }

    /// What is left at this moment of a life that ends at `end`.
    pub(crate) fn until(self, end: Self) -> Ttl {
        if end == Self::NEVER {
            return Ttl::FOREVER;
        }
        Duration::from_micros(end.0.saturating_sub(self.0)).into()
    }

    /// As it stands in frames.
    pub(crate) fn wall(self) -> Wall {
        Wall::from_unix_millis(self.0 / 1000)
    }
}

impl ServerClock {
    pub(crate) fn new() -> Self {
        Self { own: SystemClock::new(), ahead: AtomicI64::new(UNKNOWN), bounds: Mutex::default() }
    }

    /// Our own time, by which answers are taken.
    pub(crate) fn own(&self) -> Time {
        self.own.now()
    }

    /// The server's time, if it has ever told it.
    pub(crate) fn now(&self) -> Option<Moment> {
        let ahead = self.ahead.load(Ordering::Relaxed);
        let now = micros(self.own()).saturating_add(ahead);
        (ahead != UNKNOWN).then(|| Moment(u64::try_from(now).unwrap_or(0)))
    }

    /// Takes an answer: what the server said its time was, and when we asked and heard.
    pub(crate) fn learn(&self, server: i64, sent: Time, received: Time) {
        let (sent, received) = (micros(sent), micros(received));
        // The server tells whole microseconds, so it may have been up to one later.
        let heard = Bounds { least: server - received, most: server + 1 - sent, known_at: received };
        let mut bounds = self.bounds.lock();
        let known = bounds.map_or(heard, |before| before.narrowed_by(heard));
        *bounds = Some(known);
        self.ahead.store(known.least.midpoint(known.most), Ordering::Relaxed);
    }
}

impl Bounds {
    fn narrowed_by(self, heard: Self) -> Self {
        let drift = (heard.known_at - self.known_at).max(0) / 1_000_000 * DRIFT_PER_SECOND;
        let least = heard.least.max(self.least - drift);
        let most = heard.most.min(self.most + drift);
        if least <= most { Self { least, most, ..heard } } else { heard }
    }
}

fn micros(time: Time) -> i64 {
    i64::try_from(time.as_nanos() / 1000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Time {
        Time::from_nanos(micros * 1000)
    }

    fn bounds(clock: &ServerClock) -> (i64, i64) {
        let bounds = clock.bounds.lock().expect("it was told");
        (bounds.least, bounds.most)
    }

    #[test]
    fn each_answer_narrows_what_is_known() {
        let clock = ServerClock::new();
        assert_eq!(clock.now(), None);
        clock.learn(10_000, at(100), at(900));
        assert_eq!(bounds(&clock), (9100, 9901));
        clock.learn(11_000, at(1400), at(1500));
        assert_eq!(bounds(&clock), (9500, 9601));
        assert_eq!(clock.ahead.load(Ordering::Relaxed), 9550);
        clock.learn(20_000, at(2000), at(20_000));
        assert_eq!(bounds(&clock), (9500, 9601), "a slow answer spoils nothing");
    }

    #[test]
    fn what_is_known_fades_as_clocks_drift() {
        let clock = ServerClock::new();
        clock.learn(10_000, at(100), at(200));
        clock.learn(10_011_000, at(10_000_000), at(10_002_000));
        assert_eq!(bounds(&clock), (9000, 10_901), "a millisecond in ten seconds, either way");
    }

    #[test]
    fn a_clock_that_was_set_is_believed() {
        let clock = ServerClock::new();
        clock.learn(10_000_000, at(100), at(200));
        clock.learn(5_000_000, at(300), at(400));
        assert_eq!(bounds(&clock), (4_999_600, 4_999_701));
    }

    #[test]
    fn the_time_is_in_microseconds_since_1970() {
        let clock = ServerClock::new();
        let now = clock.own();
        clock.learn(1_800_000_000_000_000, now, now);
        let told = clock.now().expect("it was told");
        assert!((1_800_000_000_000..1_800_000_060_000).contains(&told.wall().as_unix_millis()), "{told:?}");
    }

    #[test]
    fn a_life_that_has_ended_has_nothing_left_and_one_without_end_everything() {
        let now = Moment::from_micros(5000);
        assert_eq!(now.until(now.after_millis(3)), Ttl::from_millis(3));
        assert_eq!(now.until(Moment::from_micros(4999)), Ttl::ZERO);
        assert_eq!(now.until(Moment::NEVER), Ttl::FOREVER);
    }
}
