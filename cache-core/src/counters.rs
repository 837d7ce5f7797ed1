//! The seam of limits: may I, and if not, how long must I wait?
//!
//! Reading, deciding and charging are one atomic step, over all limits of a call at once: either every limit has
//! room and all are charged, or none is. Split into two steps, two callers would both see the last free place.
//!
//! The window slides in whole buckets and counts conservatively: what was charged in a bucket counts until the whole
//! bucket is a window old. So no interval of length `per` ever admits more than `limit`.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::{Key, Result};

/// Counts charges against limits.
#[async_trait]
pub trait Counters: fmt::Debug + Send + Sync + 'static {
    /// Charges all, or none if one of them has no room.
    ///
    /// One key may stand in several charges with different quotas; each pair is a limit of its own. A cost of zero
    /// asks without charging.
    async fn charge(&self, charges: &[Charge]) -> Result<Verdict>;

    /// Gives back what an admitted charge has taken from its present bucket, at most what is charged there.
    async fn refund(&self, charges: &[Charge]) -> Result<()>;

    /// Forgets everything charged to a key.
    async fn reset(&self, key: &Key) -> Result<()>;
}

/// `cost` units of one key's quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Who or what is limited.
    pub key: Key,
    /// By how much.
    pub quota: Quota,
    /// How much this call takes. Zero only asks.
    pub cost: u64,
}

/// At most `limit` units in any interval of length `per`.
///
/// ```
/// use cache_core::Quota;
/// use std::time::Duration;
/// let quota = Quota::new(100, Duration::from_secs(60))?;
/// assert_eq!(quota.bucket(), Duration::from_secs(1));
/// assert!(Quota::new(1, Duration::ZERO).is_err());
/// # Ok::<(), cache_core::QuotaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    limit: u64,
    per: Duration,
    buckets: u32,
}

impl Quota {
    /// A quota that slides in 60 buckets, which keeps 98 % of the nominal rate.
    ///
    /// # Errors
    /// A window of less than 60 ms or more than 366 days. A limit of zero is legal and admits nothing.
    pub const fn new(limit: u64, per: Duration) -> Result<Self, QuotaError> {
        Self::with_buckets(limit, per, 60)
    }

    /// A quota that slides in this many buckets: more are smoother and need more memory.
    ///
    /// # Errors
    /// Not 1 to 1000 buckets, a bucket of less than 1 ms, or a window of more than 366 days.
    pub const fn with_buckets(limit: u64, per: Duration, buckets: u32) -> Result<Self, QuotaError> {
        if buckets == 0 || buckets > 1000 {
            return Err(QuotaError::Buckets { buckets });
        }
        let (longest, shortest) = (Duration::from_hours(24 * 366), Duration::from_millis(1));
        let nanos = per.as_nanos();
        if nanos > longest.as_nanos() || nanos < shortest.as_nanos() * buckets as u128 {
            return Err(QuotaError::Window { per, buckets });
        }
        Ok(Self { limit, per, buckets })
    }

    /// How many units fit into a window.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The length of the window.
    pub fn per(&self) -> Duration {
        self.per
    }

    /// How many buckets the window has.
    pub fn buckets(&self) -> u32 {
        self.buckets
    }

    /// The length of one bucket.
    pub fn bucket(&self) -> Duration {
        self.per / self.buckets
    }
}

/// Why figures are not a quota.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QuotaError {
    /// The window is too short for its buckets, or longer than a year.
    #[error(
        "a window of {per:?} in {buckets} buckets is not possible; use at least 1 ms a bucket, at most 366 days"
    )]
    Window {
        /// The window asked for.
        per: Duration,
        /// Its buckets.
        buckets: u32,
    },
    /// Too few or too many buckets.
    #[error("{buckets} buckets are not possible; use 1 to 1000")]
    Buckets {
        /// The number asked for.
        buckets: u32,
    },
}

/// The answer to a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Charged. `remaining` is the least that is left of any of the limits.
    Admitted {
        /// Units left.
        remaining: u64,
    },
    /// Not charged. The same charges fit once `wait` has passed, if nobody else charges meanwhile.
    Denied {
        /// How long, at most a window and a bucket.
        wait: Duration,
    },
    /// Not charged, and never will be: a cost is larger than its limit.
    Never,
}
