//! The two kinds of keys: numbers, and text that a cache owns as a `String`.

use std::borrow::Borrow;
use std::hash::Hash;

use cache_core::CacheKey;

use super::lane::{Lane, Name};
#[cfg(feature = "cache")]
use super::others;
use super::subject;
use crate::Outcome;
use crate::bench::memory::kind::{Integers, Kind, Strings};

/// A kind of key.
pub(super) trait Keys: Sized + 'static {
    /// As a cache owns it.
    type Own: Borrow<Self::Asked> + CacheKey + Clone + Hash + Eq + Send + Sync + 'static;
    /// As it is asked for.
    type Asked: ToOwned<Owned = Self::Own> + Hash + Eq + Send + Sync + ?Sized;
    /// Many of them, lying one after another.
    type Batch: Send + Sync;

    /// In results.
    const NAME: &'static str;

    fn batch(ids: impl Iterator<Item = u64>) -> Self::Batch;

    fn asked(batch: &Self::Batch) -> impl Iterator<Item = &Self::Asked>;

    /// The cache of this name, if it takes such keys.
    fn lane(name: Name, capacity: u64) -> Outcome<Option<Box<dyn Lane<Self>>>>;
}

impl Keys for Integers {
    type Own = u64;
    type Asked = u64;
    type Batch = Vec<u64>;

    const NAME: &'static str = "u64";

    fn batch(ids: impl Iterator<Item = u64>) -> Vec<u64> {
        <Self as Kind>::batch(ids)
    }

    fn asked(batch: &Vec<u64>) -> impl Iterator<Item = &u64> {
        Self::lookups(batch)
    }

    fn lane(name: Name, capacity: u64) -> Outcome<Option<Box<dyn Lane<Self>>>> {
        #[cfg(feature = "cache")]
        if let Some(lane) = others::for_integers(name, capacity)? {
            return Ok(Some(lane));
        }
        subject::build(name, capacity)
    }
}

impl Keys for Strings {
    type Own = String;
    type Asked = str;
    type Batch = String;

    const NAME: &'static str = "text";

    fn batch(ids: impl Iterator<Item = u64>) -> String {
        <Self as Kind>::batch(ids)
    }

    fn asked(batch: &String) -> impl Iterator<Item = &str> {
        Self::lookups(batch)
    }

    fn lane(name: Name, capacity: u64) -> Outcome<Option<Box<dyn Lane<Self>>>> {
        #[cfg(feature = "cache")]
        if let Some(lane) = others::for_text(name, capacity)? {
            return Ok(Some(lane));
        }
        subject::build(name, capacity)
    }
}
