//! The limiters that take part.

use std::num::NonZeroUsize;
use std::time::Duration;

use cache_ratelimit::{LocalLimiter, Rule, RuleError};

use crate::Outcome;

/// One limiter, keyed by numbers.
pub(super) trait Lane: Sync {
    fn name(&self) -> &'static str;

    /// Decides about all of these, and tells how many were admitted.
    fn decide_all(&self, keys: &mut dyn Iterator<Item = u64>) -> u64;
}

/// What becomes of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mix {
    /// The limit is out of reach.
    Admitted,
    /// Sixty a minute, and far more calls than that for each key if those are few.
    Denied,
}

impl Mix {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Denied => "denied",
        }
    }

    fn limit(self) -> u32 {
        match self {
            Self::Admitted => 100_000_000,
            Self::Denied => 60,
        }
    }
}

pub(super) const MINUTE: Duration = Duration::from_mins(1);
/// Room for every key of the largest race.
const MAX_KEYS: NonZeroUsize = NonZeroUsize::new(1_250_000).unwrap();

pub(super) fn all(mix: Mix) -> Outcome<Vec<Box<dyn Lane>>> {
    let limit = u64::from(mix.limit());
    let mut lanes: Vec<Box<dyn Lane>> = vec![
        Ours::boxed("window", Rule::window(limit, MINUTE))?,
        Ours::boxed("smooth", Rule::smooth(limit, MINUTE, limit))?,
    ];
    #[cfg(feature = "limit")]
    lanes.push(governor::boxed(mix.limit())?);
    lanes.shrink_to_fit();
    Ok(lanes)
}

struct Ours {
    name: &'static str,
    limiter: LocalLimiter,
}

impl Ours {
    fn boxed(name: &'static str, rule: Result<Rule, RuleError>) -> Outcome<Box<dyn Lane>> {
        let limiter = LocalLimiter::new(rule?).with_max_keys(MAX_KEYS);
        Ok(Box::new(Self { name, limiter }))
    }
}

impl Lane for Ours {
    fn name(&self) -> &'static str {
        self.name
    }

    fn decide_all(&self, keys: &mut dyn Iterator<Item = u64>) -> u64 {
        keys.map(|key| u64::from(self.limiter.take(&key).is_admitted())).sum()
    }
}

#[cfg(feature = "limit")]
mod governor {
    use std::num::NonZeroU32;

    use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

    use super::{Lane, Outcome};

    struct Governor(DefaultKeyedRateLimiter<u64>);

    pub(super) fn boxed(limit: u32) -> Outcome<Box<dyn Lane>> {
        let limit = NonZeroU32::new(limit).ok_or("a limit of zero")?;
        Ok(Box::new(Governor(RateLimiter::keyed(Quota::per_minute(limit)))))
    }

    impl Lane for Governor {
        fn name(&self) -> &'static str {
            "governor"
        }

        fn decide_all(&self, keys: &mut dyn Iterator<Item = u64>) -> u64 {
            keys.map(|key| u64::from(self.0.check_key(&key).is_ok())).sum()
        }
    }
}
