//! How much a cache may hold: a number, or a share of what there is.

use cache_testkit::share::Share;
use clap::value_parser;

/// Capacities to compare.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Capacities {
    /// The most entries that the cache holds, or bytes where those are limited; several are separated by commas
    #[arg(long, value_name = "N,N", value_delimiter = ',', value_parser = value_parser!(u64).range(1..))]
    capacity: Vec<u64>,
    /// The same as a share of the keys that occur, or of the sum of their sizes: above 0, up to 1
    #[arg(long, value_name = "F,F", value_delimiter = ',')]
    fraction: Vec<Share>,
}

impl Capacities {
    /// The capacities where there are `whole` keys, or bytes.
    pub(crate) fn of(&self, whole: u64) -> Vec<u64> {
        let shares = self.fraction.iter().map(|share| share.of(whole));
        self.capacity.iter().copied().chain(shares).collect()
    }
}
