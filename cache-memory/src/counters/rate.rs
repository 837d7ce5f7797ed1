//! One smooth quota: units drain one after another, and all that is remembered is when the last one will have.
//!
//! That moment lies at most a burst ahead, so idling earns no more than that.

use std::time::Duration;

use cache_core::{Quota, Time};

#[derive(Debug)]
pub(super) struct Rate {
    quota: Quota,
    /// How long one unit takes, in nanoseconds.
    each: u64,
    drained: Time,
    denied: bool,
}

impl Rate {
    pub(super) fn new(quota: Quota, each: Duration) -> Self {
        // A quota's unit takes at most 366 days.
        let each = u64::try_from(each.as_nanos()).unwrap_or(u64::MAX);
        Self { quota, each, drained: Time::ZERO, denied: false }
    }

    pub(super) fn is_of(&self, quota: &Quota) -> bool {
        self.quota == *quota
    }

    pub(super) fn has_denied(&self) -> bool {
        self.denied
    }

    pub(super) fn ask(&mut self, cost: u64, now: Time) -> Result<u64, Duration> {
        let ahead = self.after(cost, now).since(now);
        let most = self.quota.per();
        if cost > 0 && ahead > most {
            self.denied = true;
            return Err(ahead.saturating_sub(most));
        }
        let left = most.saturating_sub(ahead).as_nanos() / u128::from(self.each);
        Ok(u64::try_from(left).unwrap_or(u64::MAX))
    }

    /// Returns when all will have drained then.
    pub(super) fn take(&mut self, cost: u64, now: Time) -> u64 {
        self.drained = self.after(cost, now);
        self.denied = false;
        self.drained.as_nanos()
    }

    /// Gives back if nothing was charged since: later charges may have begun after this one had drained.
    pub(super) fn give_back(&mut self, cost: u64, drained: u64) {
        if self.drained.as_nanos() == drained {
            self.drained = Time::from_nanos(drained.saturating_sub(self.each.saturating_mul(cost)));
            self.denied = false;
        }
    }

    pub(super) fn idle_at(&self) -> Option<Time> {
        (self.drained > Time::ZERO).then_some(self.drained)
    }

    /// When all will have drained, with this cost. A clock that went back finds that moment further ahead.
    fn after(&self, cost: u64, now: Time) -> Time {
        self.drained.max(now).after(Duration::from_nanos(self.each.saturating_mul(cost)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_went_back_neither_frees_nor_locks_for_longer_than_a_burst()
    -> Result<(), cache_core::QuotaError> {
        let second = Duration::from_secs(1);
        let mut rate = Rate::new(Quota::smooth(1, second, 3)?, second);
        let at = |secs| Time::ZERO.after(Duration::from_secs(secs));
        rate.take(3, at(3600));
        assert_eq!(rate.ask(1, at(0)), Err(Duration::from_secs(3601)));
        assert_eq!((rate.ask(1, at(3600)), rate.ask(1, at(3601))), (Err(second), Ok(0)));
        assert_eq!(rate.ask(3, at(3603)), Ok(0));
        Ok(())
    }
}
