//! The four ages of an entry, and the moments at which one turns into the next.
//!
//! ```text
//! stored ──────────── due ──────────── stale ──────────── gone
//!   fresh: serve       due: serve,      stale: serve only   gone: as if it
//!                      refresh behind   when the load fails  had never been
//! ```

use crate::{Time, Ttl};

/// What may be done with an entry at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Age {
    /// Serve it.
    Fresh,
    /// Serve it, and begin to refresh it.
    Due,
    /// Keep it: serve it, marked as stale, only where the source cannot be asked.
    Stale,
    /// It may no longer be served at all.
    Gone,
}

impl Age {
    /// Tells whether an entry of this age answers a read without any further condition.
    pub fn is_servable(self) -> bool {
        matches!(self, Self::Fresh | Self::Due)
    }
}

/// When an entry's ages begin, on the clock of the cache that holds it.
///
/// ```
/// use cache_core::{Age, Lifetime, Time, Ttl};
/// use std::time::Duration;
/// let life = Lifetime::new(Time::ZERO, Ttl::from_secs(10)).with_stale_for(Duration::from_secs(5));
/// let at = |secs| life.age(Time::ZERO.after(Duration::from_secs(secs)));
/// assert_eq!([at(0), at(9), at(10), at(15)], [Age::Fresh, Age::Fresh, Age::Stale, Age::Gone]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    stored: Time,
    due: Time,
    stale: Time,
    gone: Time,
}

impl Lifetime {
    /// A lifetime that begins now and is gone, without a stale phase, after `ttl`.
    pub fn new(now: Time, ttl: Ttl) -> Self {
        let end = ttl.finite().map_or(Time::NEVER, |ttl| now.after(ttl));
        Self { stored: now, due: end, stale: end, gone: end }
    }

    /// Makes it due once `share` of its time to stale has passed. Range (0, 1); outside it nothing changes.
    #[must_use]
    pub fn with_due_at(mut self, share: f64) -> Self {
        if share > 0.0 && share < 1.0 && self.stale != Time::NEVER {
            self.due = self.stored.after(self.stale.since(self.stored).mul_f64(share));
        }
        self
    }

    /// Keeps it, as stale, for this long after it has ceased to be fresh.
    #[must_use]
    pub fn with_stale_for(mut self, keep: std::time::Duration) -> Self {
        self.gone = self.stale.after(keep);
        self
    }

    /// The age at `now`.
    pub fn age(&self, now: Time) -> Age {
        if now < self.due {
            Age::Fresh
        } else if now < self.stale {
            Age::Due
        } else if now < self.gone {
            Age::Stale
        } else {
            Age::Gone
        }
    }

    /// When the entry was stored.
    pub fn stored(&self) -> Time {
        self.stored
    }

    /// When it is gone for good; [`Time::NEVER`] if time does not end it.
    pub fn gone(&self) -> Time {
        self.gone
    }

    /// How much longer it is fresh or due; [`Ttl::FOREVER`] if time does not end it, zero once it is stale.
    pub fn remaining(&self, now: Time) -> Ttl {
        Ttl::between(now, self.stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn secs(secs: u64) -> Time {
        Time::ZERO.after(Duration::from_secs(secs))
    }

    #[test]
    fn each_age_begins_exactly_at_its_moment() {
        let life = Lifetime::new(secs(100), Ttl::from_secs(10))
            .with_due_at(0.8)
            .with_stale_for(Duration::from_secs(20));
        let edges =
            [(100, Age::Fresh), (107, Age::Fresh), (108, Age::Due), (109, Age::Due), (110, Age::Stale)];
        for (at, age) in edges.into_iter().chain([(129, Age::Stale), (130, Age::Gone), (9999, Age::Gone)]) {
            assert_eq!(life.age(secs(at)), age, "at {at} s");
        }
        assert_eq!(life.remaining(secs(104)), Ttl::from_secs(6));
        assert_eq!(life.remaining(secs(111)), Ttl::ZERO);
    }

    #[test]
    fn forever_is_fresh_forever() {
        let life = Lifetime::new(secs(5), Ttl::FOREVER).with_due_at(0.5).with_stale_for(Duration::MAX);
        assert_eq!(life.age(Time::from_nanos(u64::MAX - 1)), Age::Fresh);
        assert_eq!(life.remaining(secs(7)), Ttl::FOREVER);
    }

    #[test]
    fn a_zero_ttl_is_gone_at_once_and_a_huge_one_does_not_overflow() {
        assert_eq!(Lifetime::new(secs(5), Ttl::ZERO).age(secs(5)), Age::Gone);
        let long = Lifetime::new(secs(5), Ttl::from_secs(u64::MAX));
        assert_eq!(long.age(secs(1_000_000)), Age::Fresh);
    }

    #[test]
    fn a_share_outside_the_open_interval_changes_nothing() {
        let life = Lifetime::new(secs(0), Ttl::from_secs(10));
        for share in [0.0, 1.0, -1.0, 2.0, f64::NAN] {
            assert_eq!(life.with_due_at(share), life, "{share}");
        }
    }
}
