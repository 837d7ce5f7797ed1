//! What is looked at: this server, or the caches of another application.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use cache_core::Time;
use strata::Region;

use super::history::History;
use super::latency::Timings;
use super::snapshot::Process;
use crate::app::App;
use crate::figures::{Route, Totals};
use crate::prefixes::Prefix;

/// Where the figures come from. What is worked out of them does not depend on it.
pub(crate) trait Source: Send + Sync {
    fn regions(&self) -> Vec<Arc<dyn Region>>;

    /// How many values were refused for a region before its own count saw them.
    fn too_large(&self, region: &str) -> u64;

    /// How the reads of a region ended, by what their keys begin with; nothing where keys are no texts.
    fn prefixes(&self, region: &str) -> Vec<Prefix>;

    /// What was asked, what of it failed, and how long it took.
    fn totals(&self) -> Totals;

    fn timings(&self) -> Timings;

    fn routes(&self) -> Vec<Arc<Route>>;

    fn process(&self) -> Process;

    fn history(&self) -> &History;

    fn now(&self) -> Time;

    fn uptime(&self) -> Duration;

    /// Who has failed, where some of what was asked has.
    fn who_fails(&self) -> &'static str;

    /// Whether there should be a folder, and it has never been of use.
    fn waits_for_folder(&self) -> bool;
}

#[deny(clippy::missing_trait_methods)]
impl Source for App {
    fn regions(&self) -> Vec<Arc<dyn Region>> {
        self.regions.registry().all()
    }

    fn too_large(&self, region: &str) -> u64 {
        self.regions.too_large(region)
    }

    fn prefixes(&self, region: &str) -> Vec<Prefix> {
        self.regions.prefixes(region)
    }

    fn totals(&self) -> Totals {
        self.figures.totals()
    }

    fn timings(&self) -> Timings {
        self.figures.timings()
    }

    fn routes(&self) -> Vec<Arc<Route>> {
        self.figures.routes()
    }

    fn process(&self) -> Process {
        Process {
            resident_bytes: None,
            connections: self.figures.connections.load(Relaxed),
            max_connections: self.max_connections as u64,
            rejected_connections: self.figures.rejected_connections.load(Relaxed),
            is_stopping: self.is_draining(),
        }
    }

    fn history(&self) -> &History {
        &self.history
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn uptime(&self) -> Duration {
        App::uptime(self)
    }

    fn who_fails(&self) -> &'static str {
        "answers are errors of the server"
    }

    fn waits_for_folder(&self) -> bool {
        self.regions.places().waits_for_folder()
    }
}

/// So that whoever shares one hands it on as it is.
#[deny(clippy::missing_trait_methods)]
impl<S: Source + ?Sized> Source for Arc<S> {
    fn regions(&self) -> Vec<Arc<dyn Region>> {
        S::regions(self)
    }

    fn too_large(&self, region: &str) -> u64 {
        S::too_large(self, region)
    }

    fn prefixes(&self, region: &str) -> Vec<Prefix> {
        S::prefixes(self, region)
    }

    fn totals(&self) -> Totals {
        S::totals(self)
    }

    fn timings(&self) -> Timings {
        S::timings(self)
    }

    fn routes(&self) -> Vec<Arc<Route>> {
        S::routes(self)
    }

    fn process(&self) -> Process {
        S::process(self)
    }

    fn history(&self) -> &History {
        S::history(self)
    }

    fn now(&self) -> Time {
        S::now(self)
    }

    fn uptime(&self) -> Duration {
        S::uptime(self)
    }

    fn who_fails(&self) -> &'static str {
        S::who_fails(self)
    }

    fn waits_for_folder(&self) -> bool {
        S::waits_for_folder(self)
    }
}

/// What is wrong below memory, each trouble once: regions share their tiers.
pub(crate) fn troubles(source: &dyn Source) -> Vec<String> {
    let mut tiers: BTreeMap<&str, (Option<Duration>, u64)> = BTreeMap::new();
    let mut is_bus_whole = true;
    for health in source.regions().iter().map(|region| region.health()) {
        is_bus_whole &= health.is_bus_whole != Some(false);
        for tier in health.tiers {
            let (away_for, owed) = tiers.entry(tier.name).or_default();
            *away_for = tier.away_for.max(*away_for);
            *owed += tier.backlog;
        }
    }
    let mut troubles = Vec::new();
    for (name, (away_for, owed)) in tiers {
        let away = away_for.map(|time| format!("the tier {name} has been away for {} s", time.as_secs()));
        let owed = (owed > 0).then(|| format!("the tier {name} has not been told of {owed} changes yet"));
        troubles.extend(away.into_iter().chain(owed));
    }
    if source.waits_for_folder() {
        troubles.push("the folder cannot be used".to_owned());
    }
    if !is_bus_whole {
        troubles.push("news of other servers may be missing".to_owned());
    }
    troubles
}
