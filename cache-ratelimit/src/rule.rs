//! Rules: how much is allowed in how much time, and what exactly that promises.

use std::time::Duration;

use cache_core::{Quota, QuotaError, Shape};
use thiserror::Error;

use crate::gcra::Gcra;
use crate::log::Log;
use crate::table::{AnyTable, Table};
use crate::window::Window;

/// What each key of a [`LocalLimiter`](crate::LocalLimiter) may do.
///
/// | rule | promises | remembers of a key |
/// |---|---|---|
/// | [`window`](Rule::window) | never more than the limit in any window; keeps 98 % of the rate | 64 bytes; if a bucket ever counts more than 15, 32 more up to a limit of 255, 64 up to 4,095 |
/// | [`exact`](Rule::exact) | the same, and no call is denied that would fit | 40 bytes, and 8 for each unit of the limit |
/// | [`smooth`](Rule::smooth) | never more than the burst at once, and the rate in the long run | 32 bytes |
///
/// To the 64 or 32 bytes come a third to as much again for places that are free, so that keys are found quickly.
///
/// ```
/// use cache_ratelimit::Rule;
/// use std::time::Duration;
/// let minute = Duration::from_secs(60);
/// let rule = Rule::window(60, minute)?.named("anonymous");
/// assert_eq!((rule.limit(), rule.per(), rule.name()), (60, minute, "anonymous"));
/// assert!(Rule::window(60, Duration::ZERO).is_err());
/// assert!(Rule::smooth(0, minute, 10).is_err());
/// # Ok::<(), cache_ratelimit::RuleError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    name: &'static str,
    limit: u64,
    most: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Window(Quota),
    Exact { window: Duration },
    Smooth { rate: u64, per: Duration },
}

impl Rule {
    /// At most `limit` in any interval of length `per`, which slides in 60 buckets. A limit of zero admits nothing.
    ///
    /// # Errors
    /// A window of less than 60 ms or more than 366 days.
    pub fn window(limit: u64, per: Duration) -> Result<Self, RuleError> {
        Ok(Self::from(Quota::new(limit, per)?))
    }

    /// At most `limit` in any interval of length `per`, to the nanosecond. Meant for small limits.
    ///
    /// # Errors
    /// A limit of more than 10,000, or a window of zero or more than 366 days.
    pub fn exact(limit: u64, per: Duration) -> Result<Self, RuleError> {
        if limit > MAX_EXACT {
            return Err(RuleError::Exact { limit });
        }
        check_window(per)?;
        Ok(Self { name: NAME, limit, most: limit, kind: Kind::Exact { window: per } })
    }

    /// `rate` units per `per`, evenly, after at most `burst` at once. In an interval as long as a burst takes to drain,
    /// up to twice the burst can be admitted.
    ///
    /// # Errors
    /// A rate, burst or period of zero, or a burst that takes more than 366 days to drain.
    pub fn smooth(rate: u64, per: Duration, burst: u64) -> Result<Self, RuleError> {
        check_window(per)?;
        if rate == 0 || burst == 0 {
            return Err(RuleError::Smooth { rate, burst });
        }
        let drains = per.as_nanos().div_ceil(u128::from(rate)).saturating_mul(u128::from(burst));
        if drains > LONGEST.as_nanos() {
            return Err(RuleError::Smooth { rate, burst });
        }
        Ok(Self { name: NAME, limit: burst, most: burst, kind: Kind::Smooth { rate, per } })
    }

    /// Gives it the name under which headers and statistics show it. Default: `default`.
    #[must_use]
    pub fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Lets single calls, or a change of the limit, go up to this. Default: the limit. What is remembered of a key
    /// grows with it; in a smooth rule this is the largest burst.
    #[must_use]
    pub fn with_most(mut self, most: u64) -> Self {
        let highest = match self.kind {
            Kind::Window(_) => u64::MAX,
            Kind::Exact { .. } => MAX_EXACT,
            Kind::Smooth { rate, per } => largest_burst(rate, per),
        };
        self.most = most.clamp(self.limit, highest.max(self.limit));
        self
    }

    /// The name under which headers and statistics show it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How much is allowed in a window; of a smooth rule, at once.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The highest limit that a call may ask for.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// The length of the window; of a smooth rule, how long its burst takes to drain.
    pub fn per(&self) -> Duration {
        match self.kind {
            Kind::Window(quota) => quota.per(),
            Kind::Exact { window } => window,
            Kind::Smooth { rate, per } => Duration::from_nanos(each(rate, per).saturating_mul(self.limit)),
        }
    }

    /// A table that counts by this rule.
    pub(crate) fn table(&self, max_keys: usize, shards: usize) -> Box<dyn AnyTable> {
        match self.kind {
            Kind::Window(quota) => {
                let buckets = if let Shape::Buckets(buckets) = quota.shape() { buckets } else { 1 };
                let (window, most) = (nanos(quota.per()), self.most);
                if most <= u32::MAX.into() {
                    Box::new(Table::new(Window::<u32>::new(window, buckets, most), max_keys, shards))
                } else {
                    Box::new(Table::new(Window::<u64>::new(window, buckets, most), max_keys, shards))
                }
            }
            Kind::Exact { window } => {
                let most = usize::try_from(self.most).unwrap_or(usize::MAX);
                Box::new(Table::new(Log::new(nanos(window), most), max_keys, shards))
            }
            Kind::Smooth { rate, per } => Box::new(Table::new(Gcra::new(nanos(per), rate), max_keys, shards)),
        }
    }
}

impl From<Quota> for Rule {
    /// A rule that counts as the quota does: in its buckets, exactly, or smoothly.
    fn from(quota: Quota) -> Self {
        let kind = match quota.shape() {
            Shape::Buckets(_) => Kind::Window(quota),
            Shape::Exact => Kind::Exact { window: quota.per() },
            Shape::Smooth { each } => Kind::Smooth { rate: 1, per: each },
        };
        Self { name: NAME, limit: quota.limit(), most: quota.limit(), kind }
    }
}

/// Why figures are not a rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The window is too short for its buckets, or longer than a year.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// Each unit of an exact limit takes memory of each key.
    #[error("an exact limit of {limit} is not possible; use at most {MAX_EXACT}, or a window in buckets")]
    Exact {
        /// The limit asked for.
        limit: u64,
    },
    /// No time, or more than a year.
    #[error("a window of {window:?} is not possible; use more than zero and at most 366 days")]
    Window {
        /// The window asked for.
        window: Duration,
    },
    /// A rate or burst that admits nothing, or that takes longer than a year to drain.
    #[error(
        "a rate of {rate} with a burst of {burst} is not possible; use at least 1, and at most 366 days to drain"
    )]
    Smooth {
        /// The rate asked for.
        rate: u64,
        /// The burst asked for.
        burst: u64,
    },
    /// A limit above what the rule was made for.
    #[error("a limit of {limit} is not possible here; use at most {most}, or make the rule `with_most`")]
    Most {
        /// The limit asked for.
        limit: u64,
        /// The highest that is possible.
        most: u64,
    },
}

const NAME: &str = "default";
const MAX_EXACT: u64 = 10_000;
const LONGEST: Duration = Duration::from_hours(24 * 366);

fn check_window(window: Duration) -> Result<(), RuleError> {
    let is_possible = !window.is_zero() && window <= LONGEST;
    is_possible.then_some(()).ok_or(RuleError::Window { window })
}

/// How long one unit takes to drain.
fn each(rate: u64, per: Duration) -> u64 {
    nanos(per).div_ceil(rate.max(1))
}

fn largest_burst(rate: u64, per: Duration) -> u64 {
    nanos(LONGEST) / each(rate, per).max(1)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Entry;
    use crate::meter::Meter;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn what_admits_nothing_for_ever_or_never_ends_is_no_rule() {
        for wrong in [
            Rule::window(1, Duration::ZERO),
            Rule::window(1, Duration::MAX),
            Rule::exact(10_001, MINUTE),
            Rule::exact(1, Duration::ZERO),
            Rule::exact(1, Duration::MAX),
            Rule::smooth(0, MINUTE, 1),
            Rule::smooth(1, MINUTE, 0),
            Rule::smooth(1, Duration::ZERO, 1),
            Rule::smooth(1, MINUTE, u64::MAX),
        ] {
            let error = wrong.expect_err("not possible").to_string();
            assert!(error.contains("use "), "{error}");
        }
    }

    #[test]
    fn the_most_is_at_least_the_limit_and_within_reason() -> Result<(), RuleError> {
        assert_eq!(Rule::window(60, MINUTE)?.with_most(10).most(), 60);
        assert_eq!(Rule::exact(60, MINUTE)?.with_most(u64::MAX).most(), MAX_EXACT);
        let smooth = Rule::smooth(60, MINUTE, 5)?.with_most(u64::MAX);
        assert_eq!((smooth.most(), smooth.per()), (366 * 24 * 3600, Duration::from_secs(5)));
        Ok(())
    }

    #[test]
    fn states_have_the_documented_sizes() {
        fn bytes<M: Meter>(meter: &M) -> (usize, usize) {
            (size_of::<Entry<M::State, M::Line>>(), meter.ring_words() * 8)
        }
        for (most, ring) in [(15, 0), (255, 32), (4095, 64), (0xf_ffff, 128), (u32::MAX.into(), 256)] {
            assert_eq!(bytes(&Window::<u32>::new(nanos(MINUTE), 60, most)), (64, ring));
        }
        assert_eq!(bytes(&Window::<u64>::new(nanos(MINUTE), 60, u64::MAX)), (128, 512));
        assert_eq!(bytes(&Log::new(nanos(MINUTE), 20)), (32, 8 + 20 * 8));
        assert_eq!(bytes(&Gcra::new(nanos(MINUTE), 60)), (32, 0));
    }
}
