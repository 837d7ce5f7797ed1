//! The four ages of an entry, and the moments at which one turns into the next.
//!
//! ```text
//! stored ──────────── due ──────────── stale ──────────── gone
//!   fresh: serve       due: serve,      stale: serve, marked,  gone: as if it
//!                      refresh behind   where that is allowed   had never been
//! ```

use std::time::Duration;

use crate::{Time, Ttl};

/// What may be done with an entry at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Age {
    /// Serve it.
    Fresh,
    /// Serve it, and begin to refresh it.
    Due,
    /// Keep it: serve it, marked as stale, while it is refreshed or where the source cannot be asked, if its
    /// [`Lifetime`] allows that.
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
/// Two windows follow its fresh life, and both begin when that ends: in the first a read is answered at once and the value
/// is refreshed behind it, in the second it is the copy to fall back on. It is gone when both are over.
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
    stale_for: Duration,
    fail_safe_for: Duration,
}

impl Lifetime {
    /// A lifetime that begins now and is gone, without a stale phase, after `ttl`.
    pub fn new(now: Time, ttl: Ttl) -> Self {
        let end = ttl.finite().map_or(Time::NEVER, |ttl| now.after(ttl));
        Self { stored: now, due: end, stale: end, stale_for: Duration::ZERO, fail_safe_for: Duration::ZERO }
    }

    /// Makes it due once `share` of its time to stale has passed. Range (0, 1); outside it nothing changes.
    #[must_use]
    pub fn with_due_at(mut self, share: f64) -> Self {
        if share > 0.0 && share < 1.0 && self.stale != Time::NEVER {
            self.due = self.stored.after(self.stale.since(self.stored).mul_f64(share));
        }
        self
    }

    /// Makes it due no later than this long before it is stale, but not before it is stored.
    #[must_use]
    pub fn with_due_before(mut self, lead: Duration) -> Self {
        if self.stale != Time::NEVER {
            let fresh = self.stale.since(self.stored).saturating_sub(lead);
            self.due = self.due.min(self.stored.after(fresh));
        }
        self
    }

    /// Lets it answer, as stale, for this long after it has ceased to be fresh, while it is refreshed.
    #[must_use]
    pub fn with_stale_for(mut self, window: Duration) -> Self {
        self.stale_for = window;
        self
    }

    /// Keeps it, as stale, for this long after it has ceased to be fresh, for the case that it cannot be loaded.
    #[must_use]
    pub fn with_fail_safe_for(mut self, window: Duration) -> Self {
        self.fail_safe_for = window;
        self
    }

    /// Ends its fresh life now. It no longer answers while it is refreshed; the copy to fall back on stays for as long as
    /// it would have after a natural end, and never longer than it would have without this.
    #[must_use]
    pub fn expired(mut self, now: Time) -> Self {
        self.stale = self.stale.min(now);
        self.due = self.due.min(now);
        self.stale_for = Duration::ZERO;
        self
    }

    /// The same windows after a fresh life of `ttl` from now. What was due before its end is so again, at the same share.
    #[must_use]
    pub fn renewed(self, now: Time, ttl: Ttl) -> Self {
        let fresh = self.stale.since(self.stored);
        let share = self.due.since(self.stored).as_secs_f64() / fresh.as_secs_f64();
        Self { stale_for: self.stale_for, fail_safe_for: self.fail_safe_for, ..Self::new(now, ttl) }
            .with_due_at(share)
    }

    /// The age at `now`.
    pub fn age(&self, now: Time) -> Age {
        if now < self.due {
            Age::Fresh
        } else if now < self.stale {
            Age::Due
        } else if now < self.gone() {
            Age::Stale
        } else {
            Age::Gone
        }
    }

    /// Tells whether it answers a read, be it as stale, while it is refreshed.
    pub fn answers(&self, now: Time) -> bool {
        now < self.stale.after(self.stale_for)
    }

    /// Tells whether it may stand in for what cannot be loaded.
    pub fn stands_in(&self, now: Time) -> bool {
        !self.fail_safe_for.is_zero() && now < self.stale.after(self.fail_safe_for)
    }

    /// When the entry was stored.
    pub fn stored(&self) -> Time {
        self.stored
    }

    /// When it begins to be worth a refresh.
    pub fn due(&self) -> Time {
        self.due
    }

    /// When it ceases to be fresh; [`Time::NEVER`] if time does not end it.
    pub fn stale(&self) -> Time {
        self.stale
    }

    /// When it is gone for good; [`Time::NEVER`] if time does not end it.
    pub fn gone(&self) -> Time {
        self.stale.after(self.stale_for.max(self.fail_safe_for))
    }

    /// How much longer it is fresh or due; [`Ttl::FOREVER`] if time does not end it, zero once it is stale.
    pub fn remaining(&self, now: Time) -> Ttl {
        Ttl::between(now, self.stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_two_stale_windows_are_apart_and_both_end() {
        let both = Lifetime::new(secs(0), Ttl::from_secs(10))
            .with_stale_for(Duration::from_secs(5))
            .with_fail_safe_for(Duration::from_secs(20));
        let at = |at| (both.answers(secs(at)), both.stands_in(secs(at)), both.age(secs(at)));
        assert_eq!(at(14), (true, true, Age::Stale));
        assert_eq!(at(15), (false, true, Age::Stale));
        assert_eq!(at(30), (false, false, Age::Gone));
        let behind_only = Lifetime::new(secs(0), Ttl::from_secs(10)).with_stale_for(Duration::from_secs(5));
        assert!(behind_only.answers(secs(12)) && !behind_only.stands_in(secs(12)));
    }

    #[test]
    fn an_expired_one_only_stands_in_and_never_longer_than_before() {
        let life = Lifetime::new(secs(0), Ttl::from_secs(10))
            .with_stale_for(Duration::from_secs(50))
            .with_fail_safe_for(Duration::from_secs(20));
        let early = life.expired(secs(4));
        assert_eq!((early.age(secs(4)), early.answers(secs(4)), early.gone()), (Age::Stale, false, secs(24)));
        let late = life.expired(secs(15));
        assert_eq!((late.stands_in(secs(29)), late.gone()), (true, secs(30)));
        assert_eq!(Lifetime::new(secs(0), Ttl::FOREVER).expired(secs(3)).age(secs(3)), Age::Gone);
    }

    #[test]
    fn a_renewed_one_has_its_windows_and_its_share_again() {
        let life = Lifetime::new(secs(0), Ttl::from_secs(10))
            .with_due_at(0.5)
            .with_stale_for(Duration::from_secs(1))
            .with_fail_safe_for(Duration::from_secs(2));
        let renewed = life.renewed(secs(100), Ttl::from_secs(20));
        assert_eq!((renewed.due(), renewed.stale(), renewed.gone()), (secs(110), secs(120), secs(122)));
        assert_eq!(life.renewed(secs(100), Ttl::FOREVER).age(secs(1_000_000)), Age::Fresh);
    }

    #[test]
    fn a_lead_moves_the_due_moment_forward_only() {
        let life = Lifetime::new(secs(100), Ttl::from_secs(10)).with_due_at(0.5);
        assert_eq!(life.with_due_before(Duration::from_secs(2)).due(), secs(105));
        assert_eq!(life.with_due_before(Duration::from_secs(7)).due(), secs(103));
        assert_eq!(life.with_due_before(Duration::MAX).due(), secs(100));
        let endless = Lifetime::new(secs(100), Ttl::FOREVER);
        assert_eq!(endless.with_due_before(Duration::from_secs(1)), endless);
    }
}
