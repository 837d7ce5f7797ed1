//! A day in figures: who asks for what how often, and what the other side allows.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cache_core::Priority;
use cache_refresh::Pacing;
use serde::Deserialize;

use crate::Outcome;

/// What is used where no file is given.
const MARKET_DAY: &str = include_str!("../../scenarios/market-day.toml");

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    pub(super) name: String,
    hours: f64,
    warm_up_minutes: f64,
    pub(super) symbols: u16,
    pub(super) requests_per_second: f64,
    pub(super) skew: f64,
    volatile_hours: Vec<u64>,
    pub(super) seed: u64,
    pub(super) source: Source,
    pacing: Shares,
    class: BTreeMap<String, Class>,
    endpoints: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) calls_per_minute: u64,
    pub(super) endpoint_calls_per_minute: u64,
    pub(super) retry_after_seconds: u64,
    pub(super) milliseconds: [u64; 2],
    pub(super) fails: f64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shares {
    conservative_above: f64,
    minimal_above: f64,
    normal_below: f64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Class {
    weight: f64,
    ttl: f64,
    interval: f64,
}

/// One endpoint, as it is asked for.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) priority: Priority,
    pub(super) weight: f64,
    pub(super) ttl: Duration,
    pub(super) interval: Duration,
}

impl Scenario {
    pub(super) fn read(path: Option<&Path>) -> Outcome<Self> {
        let (text, name) = match path {
            None => (MARKET_DAY.to_owned(), "the scenario".to_owned()),
            Some(path) => {
                let name = path.display().to_string();
                (std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?, name)
            }
        };
        let scenario: Self = toml::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
        scenario.check().map_err(|fault| format!("{name}: {fault}"))?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), String> {
        let figures = [
            ("hours", self.hours, 0.1, 1000.0),
            ("warm_up_minutes", self.warm_up_minutes, 0.0, self.hours * 60.0),
            ("symbols", f64::from(self.symbols), 1.0, 10_000.0),
            ("requests_per_second", self.requests_per_second, 0.01, 10_000.0),
            ("skew", self.skew, 0.0, 3.0),
            ("source.fails", self.source.fails, 0.0, 1.0),
        ];
        for (field, given, least, most) in figures {
            if !(least..=most).contains(&given) {
                return Err(format!("{field} is {given}; it has to be {least} to {most}"));
            }
        }
        if self.source.milliseconds[0] > self.source.milliseconds[1] {
            return Err(
                "source.milliseconds has to be the shortest and the longest time of a call".to_owned()
            );
        }
        for (class, endpoints) in &self.endpoints {
            class.parse::<Priority>().map_err(|error| format!("endpoints: {error}"))?;
            let figures = self.class.get(class).ok_or_else(|| format!("class.{class} is missing"))?;
            if !(figures.weight > 0.0 && figures.ttl >= 1.0 && figures.interval >= 1.0) {
                return Err(format!(
                    "class.{class}: weight has to be more than 0, ttl and interval at least 1"
                ));
            }
            if endpoints.is_empty() {
                return Err(format!("endpoints.{class} is empty"));
            }
        }
        if self.endpoints.is_empty() { Err("endpoints are missing".to_owned()) } else { Ok(()) }
    }

    pub(super) fn pacing(&self) -> Pacing {
        let mut pacing = Pacing::default();
        let Shares { conservative_above, minimal_above, normal_below } = self.pacing;
        pacing.conservative_above = conservative_above;
        pacing.minimal_above = minimal_above;
        pacing.normal_below = normal_below;
        pacing
    }

    pub(super) fn lasts(&self) -> Duration {
        Duration::from_secs_f64(self.hours * 3600.0)
    }

    /// From when on it counts what the other side has refused.
    pub(super) fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up_minutes * 60.0)
    }

    pub(super) fn is_volatile(&self, now: Duration) -> bool {
        self.volatile_hours.contains(&(now.as_secs() / 3600 % 24))
    }

    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let mut all = Vec::new();
        for (name, endpoints) in &self.endpoints {
            let (Ok(priority), Some(class)) = (name.parse(), self.class.get(name)) else { continue };
            all.extend(endpoints.iter().map(|name| Endpoint {
                name: name.clone(),
                priority,
                weight: class.weight,
                ttl: Duration::from_secs_f64(class.ttl),
                interval: Duration::from_secs_f64(class.interval),
            }));
        }
        all
    }

    /// How much more rarely than its class says the scheduler refreshes a symbol. What is asked for a quarter as often is refreshed half
    /// as often: of all ways to spend so many calls this makes what is read youngest, each read counting the same.
    pub(super) fn rarity(&self, symbol: u16) -> f64 {
        (f64::from(symbol) + 1.0).powf(self.skew / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenario_that_comes_along_has_all_classes_and_17_endpoints() {
        let scenario = Scenario::read(None).expect("legal");
        let endpoints = scenario.endpoints();
        assert_eq!(endpoints.len(), 17);
        for priority in Priority::ALL {
            assert!(endpoints.iter().any(|endpoint| endpoint.priority == priority), "{priority}");
        }
        let rarity = [0, 3, 48].map(|symbol| format!("{:.2}", scenario.rarity(symbol)));
        assert_eq!(rarity, ["1.00", "2.00", "7.00"]);
    }

    #[test]
    fn a_scenario_that_cannot_be_names_the_field_and_what_would_be_right() {
        for (was, is, told) in [
            ("hours = 24.0", "hours = 0.0", "hours is 0; it has to be 0.1 to 1000"),
            ("skew = 1.0", "skew = nan", "skew is NaN"),
            ("[class.low]", "[class.least]", "class.low is missing"),
            ("[20, 60]", "[60, 20]", "source.milliseconds"),
            ("symbols = 50", "symbol = 50", "unknown field `symbol`"),
            ("normal = [", "middling = [", "middling"),
        ] {
            let text = MARKET_DAY.replacen(was, is, 1);
            assert_ne!(text, MARKET_DAY, "{was}");
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), text).expect("written");
            let error = Scenario::read(Some(file.path())).expect_err(is).to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
