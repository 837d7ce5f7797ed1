//! Caches of all makes behind one face, for what is asked of behaviour and not of speed.
//!
//! Keys and values are numbers, every verb is boxed, and what a cache does not have it says so: [`Lacks`]. Each is set up as
//! its documentation shows, with its protection against stampedes on where that has to be asked for.

#![expect(
    clippy::unnecessary_wraps,
    reason = "all entrants are built by functions of one type, and some cannot fail"
)]

#[cfg(feature = "cache")]
mod amalgam;
#[cfg(feature = "cache")]
mod cached;
#[cfg(feature = "cache")]
mod cachet;
mod foyer;
#[cfg(feature = "cache")]
mod hitbox;
mod moka;
#[cfg(feature = "cache")]
mod multi_tier;
#[cfg(test)]
pub(crate) mod planted;
mod strata;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use cache_testkit::hold::Hold;

use crate::Outcome;

/// A cache under test.
pub(crate) trait Peer: Send + Sync {
    /// Reads a value, or else loads it and stores it, with this tag where the cache has any.
    fn load(&self, key: u64, tag: Option<&'static str>, loader: Loader) -> Act<'_, Result<u64, String>>;

    /// Reads a value. Where a cache cannot without loading, a load that stores something else may take its place: it is
    /// the last thing that is asked.
    fn get(&self, key: u64) -> Act<'_, Option<u64>>;

    fn insert(&self, key: u64, value: u64) -> Offered<'_>;

    /// Removes a value, so that nothing may bring it back.
    fn remove(&self, key: u64) -> Offered<'_>;

    fn clear(&self) -> Offered<'_>;

    /// Removes every value with this tag.
    fn remove_tag(&self, tag: &'static str) -> Offered<'_>;
}

/// A step that may wait.
pub(crate) type Act<'a, T = ()> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A step, unless the cache has none such.
pub(crate) type Offered<'a, T = ()> = Result<Act<'a, T>, Lacks>;

/// Makes the value.
pub(crate) type Loader = Box<dyn FnOnce() -> Act<'static, u64> + Send>;

/// What a cache does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lacks(pub(crate) &'static str);

/// How a cache is to be set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Nobody waits longer for a load.
    pub(crate) hard_timeout: Option<Duration>,
}

/// Two nodes over one second tier, the second of which can be held in the middle of a read.
pub(crate) struct Pair {
    pub(crate) first: Arc<dyn Peer>,
    pub(crate) second: Arc<dyn Peer>,
    pub(crate) hold: Hold,
}

/// A cache that can take part.
#[derive(Clone, Copy)]
pub(crate) struct Entrant {
    pub(crate) name: &'static str,
    /// Whose version is told.
    pub(crate) package: &'static str,
    pub(crate) build: fn(Setting) -> Outcome<Built>,
    pub(crate) pair: fn() -> Outcome<Result<Pair, Lacks>>,
}

/// A cache, unless it cannot be set up so.
pub(crate) type Built = Result<Arc<dyn Peer>, Lacks>;

/// All that this program was compiled with.
pub(crate) const ALL: &[Entrant] = &[
    strata::ENTRANT,
    moka::ENTRANT,
    foyer::ENTRANT,
    #[cfg(feature = "cache")]
    cached::ENTRANT,
    #[cfg(feature = "cache")]
    amalgam::ENTRANT,
    #[cfg(feature = "cache")]
    cachet::ENTRANT,
    #[cfg(feature = "cache")]
    multi_tier::ENTRANT,
    #[cfg(feature = "cache")]
    hitbox::ENTRANT,
];

const NO_TAGS: Lacks = Lacks("no tags");
const NO_HARD_TIMEOUT: Lacks = Lacks("no hard timeout");
const ONE_NODE: Lacks = Lacks("one node");
