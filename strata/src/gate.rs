//! Whether the source may be asked now: a rate limit or an API budget in front of the loader.
//!
//! ```text
//! a load that found nothing below ► gate ── now ─────────────► the loader
//!                                    └── wait, or never ────► OverBudget: a stale value, a wait, or an error
//! ```
//!
//! Only a load that would run its loader comes here: hits, callers who join, and what is found below memory cost no budget.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::options::Options;
use crate::sync::pause;

/// What a gate says to a call of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Leave {
    /// It may be made, and counts from now on.
    Now,
    /// It may not be made now. It may be once so much time has passed, if nobody else asks meanwhile.
    Wait(Duration),
    /// It may not be made, and nobody can tell when.
    Never,
}

/// Guards a source. A function that says whether it may be asked is one, and so is what several caches share in an `Arc`.
///
/// ```
/// use async_trait::async_trait;
/// use std::time::Duration;
/// use strata::{Cache, Gate, Leave};
///
/// /// A source that is asked for nothing but prices.
/// struct PricesOnly;
///
/// #[async_trait]
/// impl Gate for PricesOnly {
///     async fn ask(&self, endpoint: &str) -> Leave {
///         if endpoint == "prices" { Leave::Now } else { Leave::Never }
///     }
/// }
///
/// let cache: Cache<String, f64> = Cache::builder("prices").budget(PricesOnly).build()?;
/// let other: Cache<String, f64> = Cache::builder("other").budget(|| false).build()?;
/// # Ok::<(), strata::BuildError>(())
/// ```
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// Asks for leave to make one call of an endpoint; of none in particular, if that is empty. Whoever is told [`Leave::Now`] makes it,
    /// unless the cache is closed, or has as many loads running as it may, at just that moment. What takes longer than the hard
    /// timeout of a load ends it.
    async fn ask(&self, endpoint: &str) -> Leave;
}

#[async_trait]
impl<F: Fn() -> bool + Send + Sync + 'static> Gate for F {
    async fn ask(&self, _: &str) -> Leave {
        if self() { Leave::Now } else { Leave::Never }
    }
}

#[async_trait]
impl<G: Gate + ?Sized> Gate for Arc<G> {
    async fn ask(&self, endpoint: &str) -> Leave {
        (**self).ask(endpoint).await
    }
}

#[cfg(feature = "ratelimit")]
#[async_trait]
impl Gate for cache_ratelimit::Budget {
    async fn ask(&self, endpoint: &str) -> Leave {
        // Who names none asks for one of all.
        let endpoint = if endpoint.is_empty() { "any" } else { endpoint };
        match self.take(endpoint).await.answer {
            cache_ratelimit::Answer::Now => Leave::Now,
            cache_ratelimit::Answer::Wait(wait) => Leave::Wait(wait),
            cache_ratelimit::Answer::Never => Leave::Never,
        }
    }
}

/// What becomes of a call whose load its gate does not let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverBudget {
    /// A stale value answers, marked [`Stale::OverBudget`](crate::Stale), if one may stand in; else the call fails.
    #[default]
    Stale,
    /// The load waits for its turn, but for no longer than this in all; if that is too short, as [`OverBudget::Stale`], and at once where
    /// the gate says so.
    Wait(Duration),
    /// The call fails with [`LoadError::OverBudget`](crate::LoadError::OverBudget), whatever could stand in.
    Fail,
}

/// Waits until the gate lets a load through, as far as these options allow. If it does not, says when it may, if that is known.
pub(crate) async fn pass(gate: &dyn Gate, options: &Options) -> Result<(), Option<Duration>> {
    let mut patience = match options.over_budget().unwrap_or_default() {
        OverBudget::Wait(most) => most,
        OverBudget::Stale | OverBudget::Fail => Duration::ZERO,
    };
    loop {
        match gate.ask(options.endpoint().unwrap_or_default()).await {
            Leave::Now => return Ok(()),
            Leave::Wait(wait) if wait <= patience && !patience.is_zero() => {
                // A wait of nothing would ask without an end.
                let wait = wait.max(SHORTEST_WAIT);
                patience = patience.saturating_sub(wait);
                pause(wait).await;
            }
            Leave::Wait(wait) => return Err(Some(wait)),
            Leave::Never => return Err(None),
        }
    }
}

/// Between two questions to a gate.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
