//! One window of one quota: what is charged in which bucket, and when that leaves.
//!
//! A bucket counts until its end is a whole window old, so what was charged at its very beginning counts longest: a
//! window and a bucket. Only buckets with something in them take room.

use std::collections::VecDeque;
use std::time::Duration;

use cache_core::{Quota, Time};

#[derive(Debug)]
pub(super) struct Window {
    quota: Quota,
    /// The sum of the buckets, never more than the limit.
    charged: u64,
    buckets: VecDeque<Bucket>,
    /// Whether it had no room when it was last asked, and nothing has been taken or given back since.
    denied: bool,
}

#[derive(Debug)]
struct Bucket {
    number: u64,
    charged: u64,
}

impl Window {
    pub(super) fn new(quota: Quota) -> Self {
        Self { quota, charged: 0, buckets: VecDeque::new(), denied: false }
    }

    pub(super) fn is_of(&self, quota: &Quota) -> bool {
        self.quota == *quota
    }

    pub(super) fn has_denied(&self) -> bool {
        self.denied
    }

    /// What would be left after this cost, which is within the limit, or how long to wait for room.
    pub(super) fn ask(&mut self, cost: u64, now: Time) -> Result<u64, Duration> {
        self.slide(now);
        let room = self.quota.limit() - self.charged;
        let answer = room.checked_sub(cost).ok_or_else(|| self.wait(cost - room, now));
        self.denied |= answer.is_err();
        answer
    }

    /// Charges a cost for which there is room, and returns the number of the bucket.
    pub(super) fn take(&mut self, cost: u64, now: Time) -> u64 {
        let number = number(self.quota, now);
        self.charged += cost;
        self.denied = false;
        match self.buckets.back_mut() {
            // A clock that went back would charge to a bucket that leaves too early; the latest one is the safe place.
            Some(latest) if latest.number >= number => {
                latest.charged += cost;
                latest.number
            }
            _ => {
                self.buckets.push_back(Bucket { number, charged: cost });
                number
            }
        }
    }

    /// Takes a charge out of this bucket, unless it has left.
    pub(super) fn give_back(&mut self, cost: u64, number: u64) {
        let Ok(at) = self.buckets.binary_search_by_key(&number, |bucket| bucket.number) else { return };
        let bucket = &mut self.buckets[at];
        let returned = cost.min(bucket.charged);
        bucket.charged -= returned;
        self.charged -= returned;
        self.denied = false;
        if bucket.charged == 0 {
            self.buckets.remove(at);
        }
    }

    /// When the last charge leaves; `None` if nothing is charged.
    pub(super) fn idle_at(&self) -> Option<Time> {
        self.buckets.back().map(|latest| leaves(self.quota, latest.number))
    }

    /// Lets the buckets leave whose time it is.
    fn slide(&mut self, now: Time) {
        while let Some(oldest) =
            self.buckets.front().filter(|oldest| leaves(self.quota, oldest.number) <= now)
        {
            self.charged -= oldest.charged;
            self.buckets.pop_front();
        }
    }

    /// How long until the bucket leaves with which this much will have left.
    fn wait(&self, mut lacking: u64, now: Time) -> Duration {
        for bucket in &self.buckets {
            if lacking <= bucket.charged {
                return leaves(self.quota, bucket.number).since(now);
            }
            lacking -= bucket.charged;
        }
        Duration::ZERO
    }
}

/// The number of the bucket of this moment. Buckets begin at the clock's origin.
fn number(quota: Quota, now: Time) -> u64 {
    now.as_nanos() / bucket_nanos(quota)
}

fn leaves(quota: Quota, number: u64) -> Time {
    Time::from_nanos(bucket_nanos(quota).saturating_mul(number.saturating_add(1))).after(quota.per())
}

fn bucket_nanos(quota: Quota) -> u64 {
    // A quota's bucket has at least a microsecond and at most 366 days.
    u64::try_from(quota.bucket().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Time {
        Time::ZERO.after(Duration::from_millis(millis))
    }

    #[test]
    fn a_bucket_leaves_when_its_end_is_a_window_old() -> Result<(), cache_core::QuotaError> {
        let mut window = Window::new(Quota::with_buckets(3, Duration::from_millis(30), 3)?);
        window.take(1, millis(5));
        window.take(2, millis(10));
        assert_eq!(window.ask(1, millis(12)), Err(Duration::from_millis(28)));
        assert_eq!(window.ask(2, millis(12)), Err(Duration::from_millis(38)));
        assert_eq!(window.ask(1, Time::from_nanos(39_999_999)), Err(Duration::from_nanos(1)));
        assert_eq!((window.ask(1, millis(40)), window.idle_at()), (Ok(0), Some(millis(50))));
        assert_eq!((window.ask(1, millis(50)), window.idle_at()), (Ok(2), None));
        Ok(())
    }

    #[test]
    fn a_window_that_its_buckets_do_not_divide_counts_no_shorter() -> Result<(), cache_core::QuotaError> {
        let mut window = Window::new(Quota::with_buckets(1, Duration::from_millis(100), 3)?);
        window.take(1, Time::ZERO);
        let leaves = Time::from_nanos(133_333_333);
        assert_eq!(window.idle_at(), Some(leaves));
        assert_eq!(window.ask(1, millis(100)), Err(leaves.since(millis(100))));
        Ok(())
    }

    #[test]
    fn a_clock_that_went_back_neither_frees_nor_locks() -> Result<(), cache_core::QuotaError> {
        let mut window = Window::new(Quota::with_buckets(2, Duration::from_millis(10), 1)?);
        window.take(1, millis(3_600_005));
        assert_eq!(window.ask(1, millis(5)), Ok(0));
        let bucket = window.take(1, millis(5));
        assert_eq!((window.ask(0, millis(5)), window.idle_at()), (Ok(0), Some(millis(3_600_020))));
        window.give_back(1, bucket);
        assert_eq!((window.ask(0, millis(5)), window.idle_at()), (Ok(1), Some(millis(3_600_020))));
        Ok(())
    }

    #[test]
    fn the_end_of_time_does_not_overflow() -> Result<(), cache_core::QuotaError> {
        let mut window = Window::new(Quota::with_buckets(u64::MAX, Duration::from_hours(24 * 366), 1)?);
        window.take(u64::MAX, Time::NEVER);
        assert_eq!((window.idle_at(), window.ask(0, Time::NEVER)), (Some(Time::NEVER), Ok(u64::MAX)));
        Ok(())
    }
}
