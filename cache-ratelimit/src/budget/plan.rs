//! Plans: what a service allows, as data.

use std::time::Duration;

use cache_core::Quota;

/// What a service allows: in all, each endpoint, and in a short time.
///
/// Windows have a thousand buckets where the figures are small: as good as an exact log of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The name, under which it is counted: letters, digits, dots, underscores and hyphens.
    pub name: &'static str,
    /// All calls together.
    pub global: Quota,
    /// The calls of each endpoint.
    pub endpoint: Quota,
    /// All calls together, in a shorter time.
    pub burst: Option<Quota>,
}

impl Plan {
    /// Market data: 100 a minute, of these 10 for each endpoint, and 20 in ten seconds.
    pub const MARKET_DATA: Self = Self {
        name: "market-data",
        global: quota(100, 60),
        endpoint: quota(10, 60),
        burst: Some(quota(20, 10)),
    };
    /// Image analysis: 10 a minute.
    pub const IMAGE_ANALYSIS: Self = Self::single("image-analysis", quota(10, 60));
    /// A table store: 5 in ten seconds.
    pub const TABLE_STORE: Self = Self::single("table-store", quota(5, 10));
    /// A messenger: 30 a minute.
    pub const MESSENGER: Self = Self::single("messenger", quota(30, 60));

    /// One limit, whatever is called.
    pub const fn single(name: &'static str, global: Quota) -> Self {
        Self { name, global, endpoint: global, burst: None }
    }
}

const fn quota(limit: u64, secs: u64) -> Quota {
    match Quota::with_buckets(limit, Duration::from_secs(secs), 1000) {
        Ok(quota) => quota,
        Err(_) => panic!("a bucket of less than a millisecond"),
    }
}
