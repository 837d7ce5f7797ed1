//! The memory tier of Strata, and the in-process twins of every seam.
//!
//! ```text
//! Memory ── the typed L1: get, insert, remove by key, tag, prefix; statistics; listeners
//!    │
//! engine ── shards, and the budget they share: both limits are exact at every moment
//!    │
//! shard ─── one lock: index → slab → policy, wheel, tags
//!
//! MemoryStore · MemoryTransport · MemoryCounters · MemoryLease ── every feature works, and is tested, in one process
//! ```
//!
//! Everything is synchronous; a user of this crate compiles no async runtime. Expired entries are freed by time: a
//! thread of the cache sweeps them, and an insert that needs room takes that of its own shard's first.

mod budget;
mod cells;
mod counters;
mod engine;
#[expect(unsafe_code, reason = "argued in the head of this module, and at each block")]
mod fetch;
mod index;
mod lease;
mod listen;
mod lock;
mod memory;
#[cfg(feature = "moka")]
mod moka_store;
mod noted;
mod now;
mod optimistic;
mod put;
mod ruins;
mod sample;
mod setup;
mod shard;
mod slab;
mod stats;
mod store;
mod sweep;
mod tagged;
mod transport;
mod walk;

pub use cache_policy::{Objective, Policy, UnknownPolicy};
pub use counters::MemoryCounters;
pub use lease::MemoryLease;
pub use listen::Cause;
pub use memory::{Found, Memory};
#[cfg(feature = "moka")]
pub use moka_store::MokaStore;
pub use put::{Inserted, Put};
pub use sample::{Sampled, TopKey};
pub use stats::Stats;
pub use store::MemoryStore;
pub use transport::MemoryTransport;
