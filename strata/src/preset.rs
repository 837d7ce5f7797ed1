//! Time-to-live classes by name: one table, which users extend and the environment overrides.

use std::collections::BTreeMap;

use cache_core::{Ttl, TtlError};
use thiserror::Error;

/// The standard classes: name, seconds, and the environment variable that overrides them.
///
/// The first four are the general ones; then the temperatures; then endpoints by importance; then kinds of data.
const STANDARD: &[(&str, u64, &str)] = &[
    ("short", 300, "CACHE_TTL_SHORT"),
    ("medium", 1800, "CACHE_TTL_MEDIUM"),
    ("long", 3600, "CACHE_TTL_LONG"),
    ("very_long", 86_400, "CACHE_TTL_VERY_LONG"),
    ("hot", 300, "CACHE_TTL_HOT"),
    ("warm", 900, "CACHE_TTL_WARM"),
    ("cold", 3600, "CACHE_TTL_COLD"),
    ("frozen", 21_600, "CACHE_TTL_FROZEN"),
    ("endpoint_critical", 15, "CACHE_TTL_ENDPOINT_CRITICAL"),
    ("endpoint_high", 60, "CACHE_TTL_ENDPOINT_HIGH"),
    ("endpoint_medium", 300, "CACHE_TTL_ENDPOINT_MEDIUM"),
    ("endpoint_low", 1800, "CACHE_TTL_ENDPOINT_LOW"),
    ("price", 5, "CACHE_MARKET_PRICE_TTL"),
    ("order_book", 10, "CACHE_ORDERBOOK_TTL"),
    ("ohlcv", 3600, "CACHE_OHLCV_TTL"),
    ("indicator", 60, "CACHE_INDICATOR_TTL"),
    ("prediction", 30, "CACHE_ML_PREDICTION_TTL"),
    ("session", 86_400, "CACHE_SESSION_TTL"),
    ("token_metadata", 86_400, "CACHE_TOKEN_METADATA_TTL"),
];

/// Time-to-live classes by name.
///
/// ```
/// use strata::{Presets, Ttl};
/// let presets = Presets::standard().with("tick", Ttl::from_millis(500));
/// assert_eq!(presets.get("hot"), Some(Ttl::from_secs(300)));
/// assert_eq!(presets.get("tick"), Some(Ttl::from_millis(500)));
/// assert_eq!(presets.get("tepid"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presets(BTreeMap<String, Ttl>);

impl Presets {
    /// The standard classes.
    pub fn standard() -> Self {
        Self(STANDARD.iter().map(|(name, secs, _)| ((*name).to_owned(), Ttl::from_secs(*secs))).collect())
    }

    /// The standard classes, each overridden by its environment variable where `lookup` finds one.
    ///
    /// # Errors
    /// A variable that is not a time-to-live.
    ///
    /// ```
    /// use strata::{Presets, Ttl};
    /// let presets = Presets::from_env(|name| (name == "CACHE_MARKET_PRICE_TTL").then(|| "2".into()))?;
    /// assert_eq!(presets.get("price"), Some(Ttl::from_secs(2)));
    /// # Ok::<(), strata::PresetError>(())
    /// ```
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, PresetError> {
        let mut presets = Self::standard();
        for (name, _, variable) in STANDARD {
            if let Some(text) = lookup(variable) {
                let ttl: Ttl = text
                    .parse()
                    .map_err(|source| PresetError { variable: (*variable).to_owned(), source })?;
                presets = presets.with(name, ttl);
            }
        }
        Ok(presets)
    }

    /// The standard classes' names, each with the environment variable that overrides it.
    pub fn variables() -> impl Iterator<Item = (&'static str, &'static str)> {
        STANDARD.iter().map(|(name, _, variable)| (*name, *variable))
    }

    /// Adds a class, or changes one.
    #[must_use]
    pub fn with(mut self, name: &str, ttl: impl Into<Ttl>) -> Self {
        self.0.insert(name.to_owned(), ttl.into());
        self
    }

    /// The time-to-live of a class.
    pub fn get(&self, name: &str) -> Option<Ttl> {
        self.0.get(name).copied()
    }

    /// All classes, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Ttl)> {
        self.0.iter().map(|(name, ttl)| (name.as_str(), *ttl))
    }
}

impl Default for Presets {
    fn default() -> Self {
        Self::standard()
    }
}

/// An environment variable that should hold a time-to-live and does not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{variable}: {source}")]
pub struct PresetError {
    variable: String,
    source: TtlError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_variables_are_unique() {
        assert_eq!(Presets::standard().iter().count(), STANDARD.len());
        let variables: std::collections::BTreeSet<_> =
            STANDARD.iter().map(|(_, _, variable)| variable).collect();
        assert_eq!(variables.len(), STANDARD.len());
    }

    #[test]
    fn a_wrong_variable_is_named_with_its_value() {
        let error =
            Presets::from_env(|name| (name == "CACHE_TTL_SHORT").then(|| "-3".into())).expect_err("negative");
        assert!(error.to_string().starts_with("CACHE_TTL_SHORT: \"-3\" is negative"), "{error}");
    }
}
