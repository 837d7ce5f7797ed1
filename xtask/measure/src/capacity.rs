//! How many entries the cache may hold: a number, or a share of the keys that occur.

use cache_testkit::share::Share;
use clap::value_parser;

use crate::Outcome;

/// The capacity of one cache.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(crate) struct Capacity {
    /// The most entries that the cache holds
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    capacity: Option<u64>,
    /// The same as a share of the keys that occur: above 0, up to 1
    #[arg(long, value_name = "F")]
    fraction: Option<Share>,
}

impl Capacity {
    /// The number of entries where `unique` keys occur.
    pub(crate) fn of(&self, unique: u64) -> Outcome<u64> {
        let missing = "how many entries may the cache hold? Give --capacity or --fraction";
        Ok(self.given(unique).ok_or(missing)?)
    }

    /// The same, if it was said.
    pub(crate) fn given(&self, unique: u64) -> Option<u64> {
        self.capacity.or_else(|| self.fraction.map(|share| share.of(unique)))
    }
}
