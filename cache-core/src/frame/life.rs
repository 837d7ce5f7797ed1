//! The ages of an entry that is written down: in wall time, because no other clock outlives the process.
//!
//! Everything else in Strata counts from a monotonic now. Who reads a frame asks for what is left and counts on from
//! there.

use std::time::Duration;

use crate::{Age, Ttl};

/// A moment of wall time, in milliseconds since 1970 in UTC. Stands only in stored frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(u64);

impl Wall {
    /// The moment this many milliseconds after the beginning of 1970 in UTC.
    pub const fn from_unix_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the beginning of 1970 in UTC.
    pub const fn as_unix_millis(self) -> u64 {
        self.0
    }
}

/// When an entry was stored and when its ages begin, to the millisecond and never later than they were asked for.
///
/// The clocks of two machines differ. An entry from the future counts as stored now, so an error of the clock prolongs
/// a life by no more than itself; the store's own expiry, which does not come from a frame, ends it in any case.
///
/// ```
/// use cache_core::{Age, Life, Ttl, Wall};
/// use std::time::Duration;
/// let at = |secs: u64| Wall::from_unix_millis(1_800_000_000_000 + secs * 1000);
/// let life = Life::new(at(0), Ttl::from_secs(10)).with_due_at(0.8).with_stale_for(Duration::from_secs(5));
/// assert_eq!([life.age(at(7)), life.age(at(8))], [Age::Fresh, Age::Due]);
/// assert_eq!((life.ttl(at(4)), life.stale_for(at(4))), (Ttl::from_secs(6), Duration::from_secs(5)));
/// assert_eq!((life.ttl(at(12)), life.stale_for(at(12))), (Ttl::ZERO, Duration::from_secs(3)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    pub(super) stored_at: Wall,
    /// Milliseconds after that; [`NEVER`] if time does not begin this age.
    pub(super) due: u64,
    pub(super) stale: u64,
    pub(super) gone: u64,
}

pub(super) const NEVER: u64 = u64::MAX;

impl Life {
    /// A life that begins at `stored_at` and is gone, without a stale phase, after `ttl`.
    pub fn new(stored_at: Wall, ttl: Ttl) -> Self {
        let end = ttl.finite().map_or(NEVER, millis);
        Self { stored_at, due: end, stale: end, gone: end }
    }

    /// Makes it due once `share` of its time to stale has passed. Range (0, 1); outside it nothing changes.
    #[must_use]
    pub fn with_due_at(mut self, share: f64) -> Self {
        if share > 0.0 && share < 1.0 && self.stale != NEVER {
            self.due = millis(Duration::from_millis(self.stale).mul_f64(share)).min(self.stale);
        }
        self
    }

    /// Keeps it, as stale, for this long after it has ceased to be fresh.
    #[must_use]
    pub fn with_stale_for(mut self, keep: Duration) -> Self {
        self.gone = self.stale.saturating_add(millis(keep));
        self
    }

    /// When it was stored, by the clock of the machine that did.
    pub fn stored_at(&self) -> Wall {
        self.stored_at
    }

    /// The age at `now`.
    pub fn age(&self, now: Wall) -> Age {
        let elapsed = self.elapsed(now);
        if elapsed < self.due {
            Age::Fresh
        } else if elapsed < self.stale {
            Age::Due
        } else if elapsed < self.gone {
            Age::Stale
        } else {
            Age::Gone
        }
    }

    /// How much longer nothing need be done about it; zero once it is due.
    pub fn due_in(&self, now: Wall) -> Ttl {
        self.until(self.due, now)
    }

    /// How much longer it is fresh or due; zero once it is stale.
    pub fn ttl(&self, now: Wall) -> Ttl {
        self.until(self.stale, now)
    }

    /// How much longer than [`ttl`](Self::ttl) it may be kept, as stale. [`Duration::MAX`] if for ever.
    pub fn stale_for(&self, now: Wall) -> Duration {
        if self.gone == NEVER && self.stale != NEVER {
            return Duration::MAX;
        }
        Duration::from_millis(self.gone.saturating_sub(self.stale.max(self.elapsed(now))))
    }

    fn until(&self, end: u64, now: Wall) -> Ttl {
        if end == NEVER { Ttl::FOREVER } else { Ttl::from_millis(end.saturating_sub(self.elapsed(now))) }
    }

    /// Never as much as [`NEVER`], so that what never begins does not begin in the last millisecond either.
    fn elapsed(&self, now: Wall) -> u64 {
        now.0.saturating_sub(self.stored_at.0).min(NEVER - 1)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Wall {
        Wall::from_unix_millis(millis)
    }

    #[test]
    fn each_age_begins_exactly_at_its_moment() {
        let life = Life::new(at(1000), Ttl::from_millis(100))
            .with_due_at(0.8)
            .with_stale_for(Duration::from_millis(50));
        let ages = [(1079, Age::Fresh), (1080, Age::Due), (1099, Age::Due), (1100, Age::Stale)];
        for (now, age) in ages.into_iter().chain([(1149, Age::Stale), (1150, Age::Gone)]) {
            assert_eq!(life.age(at(now)), age, "at {now} ms");
        }
    }

    #[test]
    fn a_life_is_never_longer_than_asked_for() {
        let life = Life::new(at(0), Ttl::from(Duration::from_micros(1999)));
        assert_eq!(life.age(at(1)), Age::Gone);
    }

    #[test]
    fn forever_does_not_end_with_time_itself() {
        let life = Life::new(at(0), Ttl::FOREVER).with_due_at(0.5).with_stale_for(Duration::from_secs(1));
        assert_eq!(life.age(at(u64::MAX)), Age::Fresh);
        assert_eq!((life.ttl(at(u64::MAX)), life.due_in(at(5))), (Ttl::FOREVER, Ttl::FOREVER));
        let kept = Life::new(at(0), Ttl::from_millis(1)).with_stale_for(Duration::MAX);
        assert_eq!((kept.age(at(u64::MAX)), kept.stale_for(at(9))), (Age::Stale, Duration::MAX));
    }

    #[test]
    fn an_entry_from_the_future_is_as_if_stored_now() {
        let life = Life::new(at(10_000), Ttl::from_millis(100));
        assert_eq!((life.age(at(0)), life.ttl(at(0))), (Age::Fresh, Ttl::from_millis(100)));
    }
}
