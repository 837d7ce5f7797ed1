//! How long to wait before trying again: exponential backoff with full jitter.
//!
//! Source: Brooker, "Exponential backoff and jitter", 2015: of the ways to spread retries, a random share of the whole pause makes the
//! fewest calls until all are through.

use std::time::Duration;

/// The pauses between tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// The most that the first pause may be; each next one twice as much.
    pub first: Duration,
    /// The most that any pause may be.
    pub longest: Duration,
}

impl Backoff {
    /// Pauses that grow from up to `first` to up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The pause after so many failures, the first being 1, for a random number from [0, 1).
    ///
    /// ```
    /// use std::time::Duration;
    /// use cache_policy::Backoff;
    /// let backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
    /// let at_most = |failures| backoff.pause(failures, 0.5) * 2;
    /// assert_eq!([1, 2, 4, 5, 99].map(|failures| at_most(failures).as_millis()), [10, 20, 80, 100, 100]);
    /// ```
    pub fn pause(&self, failures: u32, random: f64) -> Duration {
        let doubled = 2_u32.checked_pow(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(doubled).min(self.longest);
        whole.mul_f64(random.clamp(0.0, 1.0))
    }
}

impl Default for Backoff {
    /// From 10 to 100 milliseconds.
    fn default() -> Self {
        Self::new(Duration::from_millis(10), Duration::from_millis(100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pause_is_longer_than_the_longest_or_panics_at_extremes() {
        let extreme = Backoff::new(Duration::MAX, Duration::MAX);
        assert_eq!(extreme.pause(u32::MAX, 0.0), Duration::ZERO);
        assert!(extreme.pause(u32::MAX, 0.25) > Duration::from_secs(1));
        let backoff = Backoff::default();
        for failures in 0..200 {
            assert!(backoff.pause(failures, 0.999) < backoff.longest);
        }
        assert_eq!(backoff.pause(3, 2.0), Duration::from_millis(40), "a number that is none of those");
    }
}
