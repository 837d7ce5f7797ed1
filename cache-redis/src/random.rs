//! Chance: for the marks of tags and for spreading reconnections.

use std::hash::{BuildHasher as _, RandomState};

/// A number that nobody can guess or repeat: the standard library seeds its hashers by the operating system, and each
/// further one differently.
pub(crate) fn number() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn no_number_comes_twice() {
        let numbers: BTreeSet<u64> = (0..10_000).map(|_| super::number()).collect();
        assert_eq!(numbers.len(), 10_000);
    }
}
