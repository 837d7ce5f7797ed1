//! The seam of limits: may I, and if not, how long must I wait?
//!
//! Reading, deciding and charging are one atomic step, over all limits of a call at once: either every limit has
//! room and all are charged, or none is. Split into two steps, two callers would both see the last free place.
//!
//! A window slides in whole buckets and counts conservatively: what was charged in a bucket counts until the whole
//! bucket is a window old. So no interval of length `per` ever admits more than `limit`. An exact quota counts each unit by itself,
//! and a smooth one lets units drain one after another ([`Shape`]).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::{Key, Result};

/// Counts charges against limits.
#[async_trait]
pub trait Counters: fmt::Debug + Send + Sync + 'static {
    /// Charges all, or none if one of them has no room. What was admitted comes with the receipt that gives it back.
    ///
    /// One key may stand in several charges with different quotas; each pair is a limit of its own. A cost of zero
    /// asks without charging.
    async fn charge(&self, charges: &[Charge]) -> Result<(Verdict, Receipt)>;

    /// Gives back what an admitted call has taken: the same charges, or less of each, with its receipt.
    ///
    /// It is taken out of the buckets that it went into and of no other, however late it comes: nothing of what others have charged.
    /// What has left its window, or is not known any more, leaves nothing to give back. Nor does a smooth quota to which
    /// something has been charged since: all that is kept of one is when everything will have drained, and others may have made use
    /// of the time that has passed.
    ///
    /// Of a bucket that was charged again after it was forgotten, by a reset or a loss, it takes at most what was forgotten.
    async fn refund(&self, charges: &[Charge], receipt: Receipt) -> Result<()>;

    /// Forgets everything charged to a key.
    async fn reset(&self, key: &Key) -> Result<()>;
}

/// `cost` units of one key's quota.
///
/// ```
/// use cache_core::{Charge, Key, Quota};
/// let quota = Quota::new(100, std::time::Duration::from_secs(60))?;
/// let call = Charge::new(Key::new("client:7").expect("legal"), quota, 1);
/// // Denied as soon as forty are charged, by whomever.
/// let of_low_rank = Charge { spare: 60, ..call };
/// # drop(of_low_rank);
/// # Ok::<(), cache_core::QuotaError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Who or what is limited.
    pub key: Key,
    /// By how much.
    pub quota: Quota,
    /// How much this call takes. Zero only asks.
    pub cost: u64,
    /// How much it has to leave: it is admitted only if so much of the limit is left after it, and then charged its cost alone. So calls of
    /// unlike rank share one limit.
    pub spare: u64,
}

impl Charge {
    /// A charge that may take the last of the limit.
    pub fn new(key: Key, quota: Quota, cost: u64) -> Self {
        Self { key, quota, cost, spare: 0 }
    }

    /// How much has to be free for it: nothing if it only asks.
    pub fn room(&self) -> u64 {
        room(self.cost, self.spare)
    }
}

fn room(cost: u64, spare: u64) -> u64 {
    if cost == 0 { 0 } else { cost.saturating_add(spare) }
}

/// What a call wants of one limit.
///
/// ```
/// use cache_core::{Charge, Demand, Key, Quota};
/// let quota = Quota::new(3, std::time::Duration::from_secs(60))?;
/// let charge = |cost| Charge::new(Key::new("client:7").expect("legal"), quota, cost);
/// assert_eq!(Demand::of(&[charge(1), charge(2)]).map(|demands| demands[0].cost), Some(3));
/// assert_eq!(Demand::of(&[charge(2), charge(2)]), None);
/// # Ok::<(), cache_core::QuotaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand<'a> {
    /// Who or what is limited.
    pub key: &'a Key,
    /// By how much.
    pub quota: &'a Quota,
    /// How much the call takes.
    pub cost: u64,
    /// How much it has to leave. With the cost it is never more than the limit, unless the call only asks.
    pub spare: u64,
}

impl Demand<'_> {
    /// How much has to be free for it: nothing if it only asks.
    pub fn room(&self) -> u64 {
        room(self.cost, self.spare)
    }

    /// One demand per limit, however often it stands in the call, in the order in which they first do; `None` if one can never be met.
    pub fn of(charges: &[Charge]) -> Option<Vec<Demand<'_>>> {
        let mut demands: Vec<Demand> = Vec::with_capacity(charges.len());
        for Charge { key, quota, cost, spare } in charges {
            match demands.iter_mut().find(|demand| demand.key == key && demand.quota == quota) {
                Some(demand) => {
                    demand.cost = demand.cost.checked_add(*cost)?;
                    demand.spare = demand.spare.max(*spare);
                }
                None => demands.push(Demand { key, quota, cost: *cost, spare: *spare }),
            }
        }
        let can_be_met = |Demand { quota, cost, spare, .. }: &Demand| {
            *cost == 0 || cost.checked_add(*spare).is_some_and(|room| room <= quota.limit())
        };
        demands.iter().all(can_be_met).then_some(demands)
    }
}

/// Where an admitted call was charged, for the counters that it was charged by. It gives the call back once.
///
/// Empty if nothing was admitted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    marks: Vec<u64>,
}

impl Receipt {
    /// A receipt with a mark for each [`Demand`] of the call, in their order.
    pub fn new(marks: Vec<u64>) -> Self {
        Self { marks }
    }

    /// What [`new`](Self::new) was told. What a mark means is known to the counters that have made it.
    pub fn marks(&self) -> &[u64] {
        &self.marks
    }
}

/// At most `limit` units in any interval of length `per`; or, if it is [`smooth`](Quota::smooth), a rate and a burst.
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
    shape: Shape,
}

/// How a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// In this many buckets: what is in one counts until all of it is a window old.
    Buckets(u32),
    /// Each unit by itself, until it is a window old, to the microsecond.
    Exact,
    /// One unit drains after another, each in this time. The limit is how many may wait for it.
    Smooth {
        /// Whole microseconds.
        each: Duration,
    },
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
        let shortest = Duration::from_millis(1);
        let nanos = per.as_nanos();
        if nanos > LONGEST.as_nanos() || nanos < shortest.as_nanos() * buckets as u128 {
            return Err(QuotaError::Window { per, buckets });
        }
        Ok(Self { limit, per, shape: Shape::Buckets(buckets) })
    }

    /// A quota that counts each unit by itself: no call is denied that would fit. What is counted of a key grows with the limit, and
    /// with it what a decision costs: meant for small limits, such as those of other people's services.
    ///
    /// # Errors
    /// A limit of more than 1,000, or a window of less than 1 ms or more than 366 days.
    pub const fn exact(limit: u64, per: Duration) -> Result<Self, QuotaError> {
        if limit > 1000 {
            return Err(QuotaError::Exact { limit });
        }
        match Self::with_buckets(limit, per, 1) {
            Ok(quota) => Ok(Self { shape: Shape::Exact, ..quota }),
            Err(error) => Err(error),
        }
    }

    /// `rate` units per `per`, evenly, after at most `burst` at once: a promise about the rate, not about windows, of which one as
    /// long as a burst takes to drain may have twice the burst. Its limit is the burst, its window how long that takes to drain.
    ///
    /// ```
    /// use cache_core::{Quota, Shape};
    /// use std::time::Duration;
    /// let quota = Quota::smooth(60, Duration::from_secs(60), 5)?;
    /// assert_eq!((quota.limit(), quota.per()), (5, Duration::from_secs(5)));
    /// assert_eq!(quota.shape(), Shape::Smooth { each: Duration::from_secs(1) });
    /// # Ok::<(), cache_core::QuotaError>(())
    /// ```
    ///
    /// # Errors
    /// A rate or burst of zero, more than a million units a second, or a burst that takes more than 366 days to drain. How long a unit
    /// takes is rounded up to a microsecond.
    pub const fn smooth(rate: u64, per: Duration, burst: u64) -> Result<Self, QuotaError> {
        if rate == 0 || burst == 0 || per.is_zero() {
            return Err(QuotaError::Smooth { rate, per, burst });
        }
        let each = per.as_nanos().div_ceil(1000).div_ceil(rate as u128);
        let drains = each.saturating_mul(burst as u128);
        if rate as u128 > per.as_nanos() / 1000 || drains > LONGEST.as_micros() {
            return Err(QuotaError::Smooth { rate, per, burst });
        }
        // Both are at most a year.
        #[expect(clippy::cast_possible_truncation, reason = "a year has 2^45 microseconds")]
        let (each, per) = (Duration::from_micros(each as u64), Duration::from_micros(drains as u64));
        Ok(Self { limit: burst, per, shape: Shape::Smooth { each } })
    }

    /// How many units fit into a window.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The length of the window.
    pub fn per(&self) -> Duration {
        self.per
    }

    /// How it counts.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The length of one bucket: a microsecond if it is exact, and nothing if it has none.
    pub fn bucket(&self) -> Duration {
        match self.shape {
            Shape::Buckets(buckets) => self.per / buckets,
            Shape::Exact => Duration::from_micros(1),
            Shape::Smooth { .. } => Duration::ZERO,
        }
    }
}

/// The longest window.
const LONGEST: Duration = Duration::from_hours(24 * 366);

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
    /// Each unit of an exact limit is counted by itself.
    #[error("an exact limit of {limit} is not possible; use at most 1000, or a window in buckets")]
    Exact {
        /// The limit asked for.
        limit: u64,
    },
    /// A rate or burst that admits nothing, is too fast to be counted, or takes longer than a year to drain.
    #[error(
        "{rate} per {per:?} with a burst of {burst} is not possible; use at least 1 of each, at most a million a second, and at most 366 days to drain"
    )]
    Smooth {
        /// The rate asked for.
        rate: u64,
        /// Its period.
        per: Duration,
        /// The burst asked for.
        burst: u64,
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
