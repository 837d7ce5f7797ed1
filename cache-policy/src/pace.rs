//! How often to refresh what is kept warm: as often as the budget of its source allows.
//!
//! ```text
//! aggressive ◄── volatile, and enough left ── normal ── above 80 % ──► conservative ── above 90 % ──► minimal
//!                                               ▲                        │        ▲                     │
//!                                               └────── below 40 % ──────┘        └── at most 80 % ─────┘
//! ```
//!
//! What tightens does so at once. What loosens waits until the last change is some time ago, so that a budget near a bound does not
//! make the pace flap. A budget that is nearly used up outweighs any volatility.

use std::fmt;
use std::time::Duration;

/// How much is refreshed of what is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// More often than asked, because the source changes fast.
    Aggressive,
    /// As often as asked.
    Normal,
    /// Less often, because most of the budget is used.
    Conservative,
    /// As little as makes sense, because almost all of it is.
    Minimal,
}

impl Strategy {
    /// All of them, the busiest first.
    pub const ALL: [Self; 4] = [Self::Aggressive, Self::Normal, Self::Conservative, Self::Minimal];

    /// The name in status, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aggressive => "AGGRESSIVE",
            Self::Normal => "NORMAL",
            Self::Conservative => "CONSERVATIVE",
            Self::Minimal => "MINIMAL",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the strategies change, and what they make of an interval.
///
/// ```
/// use std::time::Duration;
/// use cache_policy::{Pacing, Strategy};
/// let pacing = Pacing::default();
/// let minute = Duration::from_secs(60);
/// assert_eq!(pacing.interval(minute, Strategy::Aggressive), minute / 2);
/// assert_eq!(pacing.interval(minute, Strategy::Minimal), minute * 4);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pacing {
    /// Share of the budget above which it is conservative. Default 0.8; volatility counts up to here.
    pub conservative_above: f64,
    /// Share above which it is minimal. Default 0.9.
    pub minimal_above: f64,
    /// Share below which it is normal again. Default 0.4.
    pub normal_below: f64,
    /// After a change it loosens no sooner than this. Default 30 s.
    pub dwell: Duration,
    /// By how much an interval is stretched, as [`Strategy::ALL`] has them. Default 0.5, 1, 2, 4.
    pub stretch: [f64; 4],
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            conservative_above: 0.8,
            minimal_above: 0.9,
            normal_below: 0.4,
            dwell: Duration::from_secs(30),
            stretch: [0.5, 1.0, 2.0, 4.0],
        }
    }
}

impl Pacing {
    /// An interval as this strategy stretches it. What is stretched by no positive number stays as it is.
    pub fn interval(&self, asked: Duration, strategy: Strategy) -> Duration {
        let [aggressive, normal, conservative, minimal] = self.stretch;
        let by = match strategy {
            Strategy::Aggressive => aggressive,
            Strategy::Normal => normal,
            Strategy::Conservative => conservative,
            Strategy::Minimal => minimal,
        };
        if by > 0.0 {
            Duration::try_from_secs_f64(asked.as_secs_f64() * by).unwrap_or(Duration::MAX)
        } else {
            asked
        }
    }
}

/// Decides the strategy from what is used of a budget. Moments are durations since a start of the owner's choice.
///
/// ```
/// use std::time::Duration;
/// use cache_policy::{Pacer, Pacing, Strategy};
/// let mut pacer = Pacer::new(Pacing::default());
/// let minute = Duration::from_secs(60);
/// assert_eq!(pacer.observe(0.81, false, minute), Strategy::Conservative);
/// assert_eq!(pacer.observe(0.41, false, 2 * minute), Strategy::Conservative, "not below 0.4 yet");
/// assert_eq!(pacer.observe(0.39, false, 3 * minute), Strategy::Normal);
/// ```
#[derive(Clone, Debug)]
pub struct Pacer {
    pacing: Pacing,
    /// By use alone.
    by_use: Strategy,
    strategy: Strategy,
    changed: Option<Duration>,
}

impl Pacer {
    /// Begins as normal.
    pub fn new(pacing: Pacing) -> Self {
        Self { pacing, by_use: Strategy::Normal, strategy: Strategy::Normal, changed: None }
    }

    /// The strategy as of the last observation.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Where it changes, and what it makes of an interval.
    pub fn pacing(&self) -> &Pacing {
        &self.pacing
    }

    /// The strategy for this share of the budget in use, and whether the source is volatile. A share that is no number is a full one.
    pub fn observe(&mut self, used: f64, is_volatile: bool, now: Duration) -> Strategy {
        let used = if used.is_nan() { 1.0 } else { used };
        let wanted = self.by_use(used);
        let overlaid =
            if is_volatile && used <= self.pacing.conservative_above { Strategy::Aggressive } else { wanted };
        let loosens = overlaid < self.strategy;
        let has_dwelt = self.changed.is_none_or(|changed| now.saturating_sub(changed) >= self.pacing.dwell);
        if loosens && !has_dwelt {
            return self.strategy;
        }
        self.by_use = wanted;
        if overlaid != self.strategy {
            (self.strategy, self.changed) = (overlaid, Some(now));
        }
        self.strategy
    }

    fn by_use(&self, used: f64) -> Strategy {
        let Pacing { conservative_above, minimal_above, normal_below, .. } = self.pacing;
        match self.by_use {
            _ if used > minimal_above => Strategy::Minimal,
            Strategy::Minimal if used > conservative_above => Strategy::Minimal,
            _ if used > conservative_above => Strategy::Conservative,
            Strategy::Normal | Strategy::Aggressive => Strategy::Normal,
            _ if used < normal_below => Strategy::Normal,
            _ => Strategy::Conservative,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    /// One observation a minute.
    fn course(shares: &[(f64, bool)]) -> String {
        let mut pacer = Pacer::new(Pacing::default());
        let mut now = Duration::ZERO;
        let letter = |(used, is_volatile): &(f64, bool)| {
            now += MINUTE;
            pacer.observe(*used, *is_volatile, now).as_str().chars().next().expect("not empty")
        };
        shares.iter().map(letter).collect()
    }

    #[test]
    fn between_the_bounds_it_stays_what_it_was() {
        let quiet = |shares: &[f64]| course(&shares.iter().map(|used| (*used, false)).collect::<Vec<_>>());
        assert_eq!(quiet(&[0.79, 0.81, 0.79, 0.41, 0.39]), "NCCCN");
        assert_eq!(quiet(&[0.81, 0.91, 0.85, 0.79]), "CMMC");
        assert_eq!(quiet(&[0.80, 0.801, 0.90, 0.901, 0.801, 0.80, 0.40, 0.399]), "NCCMMCCN");
        assert_eq!(quiet(&[0.95, 0.1, 0.5]), "MNN");
    }

    #[test]
    fn a_budget_that_is_nearly_used_outweighs_volatility() {
        assert_eq!(course(&[(0.5, true), (0.85, true), (0.95, true), (0.5, false)]), "ACMC");
        assert_eq!(course(&[(0.8, true), (0.5, false)]), "AN");
        assert_eq!(course(&[(f64::NAN, true), (f64::INFINITY, true), (-1.0, false)]), "MMN");
    }

    #[test]
    fn it_tightens_at_once_and_loosens_at_most_once_in_each_dwell() {
        let pacing = Pacing { dwell: MINUTE, ..Pacing::default() };
        let mut pacer = Pacer::new(pacing);
        let (mut loosened, mut last) = (Vec::new(), Strategy::Normal);
        for second in 0_u64..3600 {
            let now = Duration::from_secs(second);
            let used = if second.is_multiple_of(2) { 0.95 } else { 0.1 };
            let strategy = pacer.observe(used, second.is_multiple_of(3), now);
            if used > 0.9 {
                assert_eq!(strategy, Strategy::Minimal, "at {second}");
            }
            if strategy < last {
                loosened.push(second);
            }
            last = strategy;
        }
        assert!(loosened.len() > 50, "{}", loosened.len());
        assert!(loosened.windows(2).all(|pair| pair[1] - pair[0] >= 60), "{loosened:?}");
    }

    #[test]
    fn intervals_are_stretched_and_never_overflow() {
        let mut pacing = Pacing::default();
        let stretched = Strategy::ALL.map(|strategy| pacing.interval(MINUTE, strategy).as_secs());
        assert_eq!(stretched, [30, 60, 120, 240]);
        assert_eq!(pacing.interval(Duration::MAX, Strategy::Minimal), Duration::MAX);
        pacing.stretch = [0.0, -1.0, f64::NAN, f64::INFINITY];
        let odd = Strategy::ALL.map(|strategy| pacing.interval(MINUTE, strategy));
        assert_eq!(odd, [MINUTE, MINUTE, MINUTE, Duration::MAX]);
    }
}
