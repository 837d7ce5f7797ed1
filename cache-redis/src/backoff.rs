//! How long to wait before the next attempt: doubling, up to a most, each time shortened at random so that a fleet that
//! lost its server together does not come back together.

use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    attempts: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, attempts: 0 }
    }

    /// The next pause. `chance` decides how much of it is spared, up to a half.
    pub(crate) fn next(&mut self, chance: u64) -> Duration {
        let full = self.first.saturating_mul(2_u32.saturating_pow(self.attempts)).min(self.max);
        self.attempts = self.attempts.saturating_add(1);
        let thousandth = u32::try_from(chance % 1000).unwrap_or(0);
        full.saturating_sub(full / 2 * thousandth / 1000)
    }

    /// Begins again.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_most_and_is_shortened_by_at_most_a_half() {
        let milli = Duration::from_millis(1);
        let mut backoff = Backoff::new(milli * 20, milli * 500);
        for expected in [20, 40, 80, 160, 320, 500, 500].map(|millis| milli * millis) {
            assert_eq!(backoff.next(0), expected);
        }
        for _ in 0..100 {
            backoff.next(0);
        }
        let shortest = backoff.next(999);
        assert!(shortest >= milli * 250 && shortest < milli * 251, "{shortest:?}");
        backoff.reset();
        assert_eq!(backoff.next(1000), milli * 20);
    }
}
