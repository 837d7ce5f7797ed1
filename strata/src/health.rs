//! How the places are on which a cache relies: for a readiness probe, a page, or a log line.

use std::fmt;

use crate::tiers::TierStats;

/// How the tiers and the bus of a cache are. Whatever is away, the cache answers; it only does so from fewer places.
///
/// Its `Display` names what is wrong, or says that nothing is.
///
/// ```
/// use strata::Cache;
/// let users: Cache<u64, String> = Cache::builder("users").build()?;
/// assert!(users.health().is_whole());
/// assert_eq!(users.health().to_string(), "whole");
/// # Ok::<(), strata::BuildError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Its tiers, in reading order.
    pub tiers: Vec<TierStats>,
    /// Whether no news of other processes may be missing; `None` without a bus.
    pub is_bus_whole: Option<bool>,
}

impl Health {
    /// Tells whether every tier is asked and owed nothing, and no news may be missing.
    pub fn is_whole(&self) -> bool {
        self.tiers.iter().all(is_whole) && self.is_bus_whole != Some(false)
    }
}

fn is_whole(tier: &TierStats) -> bool {
    tier.away_for.is_none() && tier.backlog == 0
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_whole() {
            return f.write_str("whole");
        }
        let mut troubles = Vec::new();
        for TierStats { name, away_for, backlog, .. } in &self.tiers {
            let away = away_for.map(|time| format!("{name} has been away for {:.1} s", time.as_secs_f64()));
            let owed = (*backlog > 0).then(|| format!("{name} has not been told of {backlog} changes yet"));
            troubles.extend(away.into_iter().chain(owed));
        }
        if self.is_bus_whole == Some(false) {
            troubles.push("news of other processes may be missing".to_owned());
        }
        f.write_str(&troubles.join("; "))
    }
}
