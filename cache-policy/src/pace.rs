//! How eagerly a budget is spent: a strategy by the share of it that is used, which does not flap.
//!
//! ```text
//! used     0       0.40            0.80     0.90        1
//! up       normal ··················│ conservative │ minimal
//! down     normal │ conservative ···│ minimal ·············
//! ```
//!
//! Where the two differ, what was is kept. A budget that runs out is spared at once; it is spent more freely again only after
//! a while. Volatility makes a schedule aggressive, but never where more than 0.80 is used: the budget comes first.

use std::time::Duration;

/// How eagerly a budget is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strategy {
    /// Only what is most important.
    Minimal,
    /// Less than usual.
    Conservative,
    /// As planned.
    Normal,
    /// More than usual, because things change fast.
    Aggressive,
}

impl Strategy {
    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Conservative => "conservative",
            Self::Normal => "normal",
            Self::Aggressive => "aggressive",
        }
    }
}

/// Follows the use of a budget. Moments are durations since a start of the owner's choice.
///
/// ```
/// use std::time::Duration;
/// use cache_policy::{Pace, Strategy::{Aggressive, Conservative, Normal}};
/// let mut pace = Pace::new(Duration::from_secs(60));
/// let mut at = |secs, used, volatile| pace.follow(used, volatile, Duration::from_secs(secs));
/// assert_eq!([at(0, 0.5, false), at(1, 0.5, true), at(2, 0.81, true)], [Normal, Aggressive, Conservative]);
/// assert_eq!([at(3, 0.1, false), at(62, 0.1, false)], [Conservative, Normal], "only after a minute");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// What the use alone asks for.
    base: Strategy,
    /// When the base has changed last.
    since: Duration,
    dwell: Duration,
}

/// Above this share less is spent.
const CONSERVATIVE_ABOVE: f64 = 0.80;
/// Above this share as little as possible is.
const MINIMAL_ABOVE: f64 = 0.90;
/// Below this share all is as planned again.
const NORMAL_BELOW: f64 = 0.40;

impl Pace {
    /// Begins as planned. After a change nothing becomes freer for this long.
    pub fn new(dwell: Duration) -> Self {
        Self { base: Strategy::Normal, since: Duration::ZERO, dwell }
    }

    /// The strategy for this share of the budget that is used. What is no number counts as all of it.
    pub fn follow(&mut self, used: f64, is_volatile: bool, now: Duration) -> Strategy {
        let used = if used.is_nan() { 1.0 } else { used };
        let wanted = match self.base {
            _ if used > MINIMAL_ABOVE => Strategy::Minimal,
            _ if used < NORMAL_BELOW => Strategy::Normal,
            Strategy::Minimal if used > CONSERVATIVE_ABOVE => Strategy::Minimal,
            Strategy::Minimal => Strategy::Conservative,
            _ if used > CONSERVATIVE_ABOVE => Strategy::Conservative,
            kept => kept,
        };
        let has_dwelt = now >= self.since.saturating_add(self.dwell);
        if wanted < self.base || wanted > self.base && has_dwelt {
            (self.base, self.since) = (wanted, now);
        }
        let may_hurry = is_volatile && used <= CONSERVATIVE_ABOVE && self.base > Strategy::Minimal;
        if may_hurry { Strategy::Aggressive } else { self.base }
    }
}

#[cfg(test)]
mod tests {
    use super::Strategy::{Aggressive, Conservative, Minimal, Normal};
    use super::*;

    #[track_caller]
    fn check(used: &[f64], expected: &[Strategy]) {
        let mut pace = Pace::new(Duration::ZERO);
        let strategies: Vec<_> = used.iter().map(|used| pace.follow(*used, false, Duration::ZERO)).collect();
        assert_eq!(strategies, expected, "{used:?}");
    }

    #[test]
    fn what_was_is_kept_where_up_and_down_differ() {
        check(&[0.79, 0.81, 0.79, 0.41, 0.39], &[Normal, Conservative, Conservative, Conservative, Normal]);
        check(&[0.81, 0.91, 0.85, 0.79], &[Conservative, Minimal, Minimal, Conservative]);
        check(&[0.95, 0.80, 0.40, 0.0], &[Minimal, Conservative, Conservative, Normal]);
        check(&[0.80, 0.90, f64::NAN, 0.0], &[Normal, Conservative, Minimal, Normal]);
    }

    #[test]
    fn the_budget_comes_before_volatility() {
        let mut pace = Pace::new(Duration::ZERO);
        let mut volatile = |used| pace.follow(used, true, Duration::ZERO);
        assert_eq!(
            [0.1, 0.80, 0.85, 0.80, 0.95, 0.85].map(&mut volatile),
            [Aggressive, Aggressive, Conservative, Aggressive, Minimal, Minimal]
        );
        assert_eq!(pace.follow(0.5, false, Duration::ZERO), Conservative, "which volatility has not changed");
    }

    #[test]
    fn it_becomes_freer_at_most_once_in_a_dwell_and_spares_at_once() {
        let mut pace = Pace::new(Duration::from_secs(10));
        let (mut freer, mut last) = (0, Normal);
        for second in 0..1000 {
            let used = if second % 2 == 0 { 0.95 } else { 0.1 };
            let now = pace.follow(used, false, Duration::from_secs(second));
            assert!(used < 0.9 || now == Minimal, "second {second}");
            freer += u32::from(now > last);
            last = now;
        }
        assert!((50..=100).contains(&freer), "{freer} times in a thousand seconds");
    }
}
