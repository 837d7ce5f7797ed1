//! The memory tier, and the in-process twins: asked what every backend of their seam is asked, and pushed where only
//! they can be.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "it/bounds.rs"]
mod bounds;
#[path = "it/chosen.rs"]
mod chosen;
#[path = "it/counters.rs"]
mod counters;
#[path = "it/edges.rs"]
mod edges;
#[path = "it/lease.rs"]
mod lease;
#[path = "it/lock.rs"]
mod lock;
#[path = "it/memory.rs"]
mod memory;
#[path = "it/model.rs"]
mod model;
#[cfg(feature = "moka")]
#[path = "it/moka_store.rs"]
mod moka_store;
#[path = "it/optimistic.rs"]
mod optimistic;
#[path = "it/panics.rs"]
mod panics;
#[path = "it/past_bugs.rs"]
mod past_bugs;
#[path = "it/readers.rs"]
mod readers;
#[path = "it/removed.rs"]
mod removed;
#[path = "it/sample.rs"]
mod sample;
#[path = "it/store.rs"]
mod store;
#[path = "it/transport.rs"]
mod transport;
#[path = "it/walks.rs"]
mod walks;

/// Far beyond any scheduling delay: only a hang reaches it.
pub(crate) const HANG: std::time::Duration = std::time::Duration::from_secs(30);
