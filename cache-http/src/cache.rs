//! A cache of responses in front of an application, as a layer: RFC 9111 for a cache that all its callers share, over Strata.
//!
//! ```text
//! request ─► asked: may it be answered from here? ── no ─► the application, and what an unsafe method changes is removed
//!              │ yes: a key
//!            visit: is there one for this request? ── fresh ─► it, or 304
//!              │ no, or too old        └── stale, and allowed: it, and refreshed behind the answer
//!            fetch: the application, once for all who wait ─► rules: may it be kept, for how long?
//!              │ no: its answer, untouched, to who has asked; whoever has waited asks for himself
//!              ▼ yes: kept in memory and the tiers below, with its tags
//! ```
//!
//! Nothing of it can fail the application: where the cache has no answer, the application gives it. The rules, each with the tests that
//! show it, are in `docs/http.md`.

mod asked;
mod body;
mod codec;
mod conditions;
mod control;
mod fetch;
mod layer;
mod rules;
mod said;
mod settings;
mod stored;
mod vary;
mod visit;

use std::sync::Arc;

use strata::codec::Framer;
use strata::{Builder, Cache, Memory};

pub use self::body::Body;
pub use self::layer::{CacheLayer, Cached};
pub use self::stored::Stored;

/// Begins a cache for a [`CacheLayer`]: so many bytes of responses in memory, and a framer, so that tiers can be added.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cache_http::cache::{CacheLayer, builder};
/// let pages = builder("pages", 64 << 20).build()?;
/// let layer = CacheLayer::new(pages);
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
pub fn builder(name: impl Into<String>, max_bytes: u64) -> Builder<String, Stored> {
    Cache::builder(name).memory(memory(max_bytes)).framer(Framer::new("http response", codec::Wire))
}

/// The memory of a cache of responses, for who wants to set more of it before he gives it to [`Builder::memory`].
pub fn memory(max_bytes: u64) -> Memory<String, Arc<Stored>> {
    Memory::new()
        .with_max_bytes(max_bytes)
        .with_weigher(|key: &String, stored: &Arc<Stored>| key.len() as u64 + stored.weight())
}
