//! The cache as a whole: against the obvious model, under every schedule of loads and invalidations, and at its edges.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[cfg(not(strata_shuttle))]
#[path = "it/ages.rs"]
mod ages;
#[cfg(not(strata_shuttle))]
#[path = "it/allocation.rs"]
mod allocation;
#[cfg(not(strata_shuttle))]
#[path = "it/analytics.rs"]
mod analytics;
#[cfg(all(feature = "macros", not(strata_shuttle)))]
#[path = "it/cached.rs"]
mod cached;
#[cfg(not(strata_shuttle))]
#[path = "it/change.rs"]
mod change;
#[cfg(not(strata_shuttle))]
#[path = "it/close.rs"]
mod close;
#[cfg(all(feature = "json", feature = "lz4", feature = "msgpack", feature = "seal", feature = "zstd"))]
#[path = "it/codec.rs"]
mod codec;
#[cfg(not(strata_shuttle))]
#[path = "it/crowd.rs"]
mod crowd;
#[cfg(not(strata_shuttle))]
#[path = "it/flight.rs"]
mod flight;
#[cfg(not(strata_shuttle))]
#[path = "it/groups.rs"]
mod groups;
#[cfg(not(strata_shuttle))]
#[path = "it/history.rs"]
mod history;
#[cfg(not(strata_shuttle))]
#[path = "it/layer.rs"]
mod layer;
#[cfg(not(strata_shuttle))]
#[path = "it/many.rs"]
mod many;
#[cfg(not(strata_shuttle))]
#[path = "it/model.rs"]
mod model;
#[cfg(not(strata_shuttle))]
#[path = "it/panics.rs"]
mod panics;
#[cfg(not(strata_shuttle))]
#[path = "it/region.rs"]
mod region;
#[cfg(not(strata_shuttle))]
#[path = "it/schedule.rs"]
mod schedule;
#[cfg(strata_shuttle)]
#[path = "it/shuttle.rs"]
mod shuttle;
#[cfg(not(strata_shuttle))]
#[path = "it/stress.rs"]
mod stress;
#[cfg(not(strata_shuttle))]
#[path = "it/tags.rs"]
mod tags;
#[cfg(not(strata_shuttle))]
#[path = "it/tiers.rs"]
mod tiers;

use std::fmt;

/// A loader's error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Down(pub(crate) u32);

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the source is down ({})", self.0)
    }
}

#[cfg(not(strata_shuttle))]
/// Lets every task run until nothing moves: enough turns for any chain of wake-ups in these tests.
pub(crate) async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}
