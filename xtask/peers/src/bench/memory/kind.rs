//! What keys and values are made of: plain numbers, and what services have.

use std::borrow::Borrow;
use std::fmt::Write as _;
use std::hash::Hash;
use std::sync::Arc;

use crate::scramble::scrambled;

/// A kind of entry. A key is looked up by what it is made from, which lies in a batch one after another, so that
/// fetching it costs next to nothing.
pub(in crate::bench) trait Kind: 'static {
    type Key: Borrow<Self::Lookup> + Hash + Eq + Clone + Send + Sync + 'static;
    type Lookup: Hash + Eq + ?Sized;
    type Value: Clone + Send + Sync + 'static;
    /// The keys of a batch.
    type Batch: Send + Sync;

    /// In results.
    const NAME: &'static str;

    fn batch(ids: impl Iterator<Item = u64>) -> Self::Batch;

    fn lookups(batch: &Self::Batch) -> impl Iterator<Item = &Self::Lookup>;

    /// Makes an entry, as a service does after a miss.
    fn entry(lookup: &Self::Lookup) -> (Self::Key, Self::Value);

    /// What an entry weighs, in bytes.
    fn weight(key: &Self::Key, value: &Self::Value) -> u64;
}

/// 8 bytes of key, 8 bytes of value.
#[derive(Debug)]
pub(in crate::bench) enum Integers {}

impl Kind for Integers {
    type Key = u64;
    type Lookup = u64;
    type Value = u64;
    type Batch = Vec<u64>;

    const NAME: &'static str = "integer";

    fn batch(ids: impl Iterator<Item = u64>) -> Vec<u64> {
        ids.map(scrambled).collect()
    }

    fn lookups(batch: &Vec<u64>) -> impl Iterator<Item = &u64> {
        batch.iter()
    }

    fn entry(lookup: &u64) -> (u64, u64) {
        (*lookup, !*lookup)
    }

    fn weight(_key: &u64, _value: &u64) -> u64 {
        16
    }
}

/// A shared string of 32 bytes, a shared value of 100.
#[derive(Debug)]
pub(in crate::bench) enum Strings {}

impl Kind for Strings {
    type Key = Arc<str>;
    type Lookup = str;
    type Value = Arc<[u8]>;
    type Batch = String;

    const NAME: &'static str = "string";

    fn batch(ids: impl Iterator<Item = u64>) -> String {
        let mut keys = String::new();
        for id in ids {
            // Writing to a string cannot fail.
            let _ = write!(keys, "{PREFIX}{:016x}", scrambled(id));
        }
        keys
    }

    fn lookups(batch: &String) -> impl Iterator<Item = &str> {
        (0..batch.len()).step_by(KEY_BYTES).map(|start| &batch[start..start + KEY_BYTES])
    }

    fn entry(lookup: &str) -> (Arc<str>, Arc<[u8]>) {
        (lookup.into(), [7; VALUE_BYTES].as_slice().into())
    }

    fn weight(key: &Arc<str>, value: &Arc<[u8]>) -> u64 {
        (key.len() + value.len()) as u64
    }
}

/// Keys of one application begin alike.
const PREFIX: &str = "tenant:0042:item";
const KEY_BYTES: usize = PREFIX.len() + 16;
const VALUE_BYTES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_the_size_that_is_said() {
        let batch = Strings::batch(0..3);
        let lookups: Vec<&str> = Strings::lookups(&batch).collect();
        assert_eq!(lookups.len(), 3);
        assert_ne!(lookups[0], lookups[1]);
        let (key, value) = Strings::entry(lookups[2]);
        assert_eq!((&*key, key.len(), value.len()), (lookups[2], 32, 100));
        assert_eq!(Integers::lookups(&Integers::batch(0..3)).count(), 3);
    }
}
