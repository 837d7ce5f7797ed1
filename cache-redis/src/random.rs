//! Chance: for the marks of tags and for spreading reconnections.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that nobody can guess or repeat: the standard library seeds its hashers by the operating system, and each
/// further one differently.
pub(crate) fn number() -> u64 {
    RandomState::new().hash_one(())
}

/// A number that does not come twice, for what only has to be told apart: one that nobody can guess, and from then on one
/// after another, scattered. A tenth of the time of [`number`].
pub(crate) fn unique() -> u64 {
    static FIRST: LazyLock<u64> = LazyLock::new(number);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // Each step of this is its own inverse or has one, so different counts stay different.
    let count = COUNT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = FIRST.wrapping_add(count);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn no_number_comes_twice() {
        for draw in [super::number, super::unique] {
            let numbers: BTreeSet<u64> = (0..10_000).map(|_| draw()).collect();
            assert_eq!(numbers.len(), 10_000);
            let ends: BTreeSet<u64> = numbers.iter().map(|number| number & 0xFF).collect();
            assert_eq!(ends.len(), 256, "every byte comes");
        }
    }
}
