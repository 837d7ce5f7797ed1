//! Random numbers from a seed: who a publisher is, and how long it waits before the next attempt.
//!
//! `SplitMix64`: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number that nobody can guess or repeat: the standard library seeds its hashers by the operating system, and each
    /// further one differently.
    pub(crate) fn unpredictable() -> u64 {
        RandomState::new().hash_one(())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// How long to wait after so many failures, the first being 1: doubling from the shortest up to the longest, each time
    /// shortened by up to a half, so that a fleet that lost its broker together does not come back together.
    pub(crate) fn pause(&mut self, failures: u32, longest: Duration) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let full = SHORTEST.saturating_mul(doubled).min(longest);
        let thousandth = u32::try_from(self.next() % 1000).unwrap_or(0);
        full.saturating_sub(full / 2 * thousandth / 1000)
    }
}

const SHORTEST: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_no_two_buses_are_alike() {
        let numbers = |seed| {
            let mut chance = Chance::new(seed);
            [chance.next(), chance.next(), chance.next()]
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
        assert_ne!(Chance::unpredictable(), Chance::unpredictable());
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_are_shortened_by_at_most_a_half() {
        let (mut chance, milli) = (Chance::new(3), Duration::from_millis(1));
        for (failures, full) in [(1, 50), (2, 100), (3, 200), (4, 400), (5, 400), (u32::MAX, 400)] {
            let pause = chance.pause(failures, milli * 400);
            assert!(pause > milli * full / 2 && pause <= milli * full, "{failures}: {pause:?}");
        }
    }
}
