//! Strata: the caching layer between a service and everything slow or metered.
//!
//! ```text
//! cache.get_or_load(key, loader)
//!    │ memory      typed, shared, synchronous: nothing is decoded or copied       ── found? ready at once
//!    │ flight      the first caller leads, the rest wait for the same load
//!    │ tiers       what other processes have stored, or this one before a restart ── found? into memory
//!    │ loader      your function, as a task of its own
//!    ▼ store       refused if the key was invalidated meanwhile                   ── everyone gets the value
//! ```
//!
//! # The first minute
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use strata::{Cache, Memory, Options, Ttl};
//!
//! let users: Cache<u64, String> = Cache::builder("users")
//!     .memory(Memory::new().with_max_entries(10_000))
//!     .options(Options::new().with_ttl(Ttl::from_secs(1800)))
//!     .build()?;
//!
//! // From memory, else from the loader: once, however many ask.
//! let user = users.get_or_load(&7, || async { Ok::<_, std::io::Error>("Ada".to_owned()) }).await?;
//! assert_eq!(user.len(), 3);
//!
//! users.remove(&7).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Loaders run on the caller's tokio runtime; there is no other, and no global state. A cache's loads end with its
//! last handle, or with [`Cache::close`].

mod analytics;
#[cfg(feature = "macros")]
#[doc(hidden)]
mod answer;
mod below;
mod builder;
mod cache;
#[cfg(feature = "macros")]
mod call;
mod caught;
mod change;
mod close;
pub mod codec;
mod compute;
mod expire;
mod failures;
mod fence;
mod fleet;
mod flight;
mod fresh;
mod gate;
mod health;
mod hit;
mod kept;
pub mod layer;
mod lease;
mod load;
mod load_many;
mod loaded;
mod monitor;
mod news;
mod options;
mod preset;
mod rare;
mod region;
mod renew;
mod stats;
mod sync;
mod task;
mod through;
mod tiers;
mod wait;
mod waiters;
mod windows;
mod write;

pub use analytics::{AccessPattern, Analytics};
pub use builder::{BuildError, Builder};
pub use cache::Cache;
pub use cache_core::{
    CacheKey, Clock, Error, ErrorKind, Key, KeyError, KeyWriter, Params, Pattern, PatternError, Priority,
    Result, SystemClock, Tag, TagError, Tags, Time, Ttl, TtlError,
};
#[cfg(feature = "macros")]
pub use cache_core::{Encoding, Param};
pub use cache_core::{FrameError, Header, Life, Wall};
#[cfg(feature = "disk")]
/// A tier in files of this machine: `Disk` for [`Builder::tier`], made local by [`Tier::local`]. By the feature `disk`.
pub use cache_disk as disk;
pub use cache_invalidation::{
    Bus, BusBuilder, BusSecret, BusSecretError, BusStats, Consistency, Disagreement, Doubt, Finding,
};
#[cfg(feature = "macros")]
#[doc = include_str!("cached.md")]
pub use cache_macros::cached;
#[cfg(feature = "macros")]
#[doc = include_str!("invalidates.md")]
pub use cache_macros::invalidates;
pub use cache_memory::{Cause, Inserted, Memory, Objective, Policy, Sampled, TopKey};
#[cfg(feature = "ratelimit")]
/// Limits for callers, and budgets for calls to others. By the feature `ratelimit`.
pub use cache_ratelimit as ratelimit;
#[cfg(feature = "redis")]
/// What a fleet shares on Redis: a store for [`Builder::tier`], messages for [`Bus::builder`], leases for [`Builder::lease`].
/// By the feature `redis`.
pub use cache_redis as redis;
#[cfg(feature = "macros")]
pub use call::CallKey;
pub use change::Change;
pub use close::Closed;
pub use gate::{Gate, Leave, OverBudget};
pub use health::Health;
pub use hit::{Hit, Source, Stale};
pub use kept::{Kept, Last};
pub use lease::{LeaseToken, Leased};
pub use load::GetOrLoad;
pub use load_many::GetOrLoadMany;
pub use loaded::{LoadError, Loaded};
pub use monitor::Monitor;
pub use options::Options;
pub use preset::{PresetError, Presets};
pub use region::{NameTaken, Region, Registry};
pub use stats::Stats;
pub use tiers::{Tier, TierStats};

/// What the attribute macros write, and nobody else.
#[cfg(feature = "macros")]
#[doc(hidden)]
pub mod __macros {
    pub use crate::answer::{any, look, negative_none, only_some, own_cache, remove, tagged};
    pub use crate::call::Function;
}

/// Compiles and runs the README's examples, some of which need the features.
#[cfg(doctest)]
#[cfg(all(feature = "macros", feature = "msgpack", feature = "redis"))]
#[doc = include_str!("../../README.md")]
struct Readme;

/// Compiles the example of how a fleet is run.
#[cfg(doctest)]
#[cfg(feature = "redis")]
#[doc = include_str!("../../docs/operations.md")]
struct Operations;
