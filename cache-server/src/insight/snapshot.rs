//! All figures at one moment.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::health::Health;
use super::history::Moment;
use super::latency::Percentiles;
use super::region::{Counts, Recent, Region};
use super::source::{Source, troubles};
use super::traffic::Traffic;
use super::{ratio, share};
use crate::figures;

/// All figures at one moment: the one thing that every view shows a part of.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) version: &'static str,
    pub(crate) uptime_seconds: f64,
    pub(crate) health: Health,
    pub(crate) traffic: Traffic,
    /// All regions together.
    pub(crate) sum: Sum,
    pub(crate) regions: Vec<Region>,
    pub(crate) http: Http,
    pub(crate) process: Process,
    /// How long `recent` is.
    pub(crate) recent_seconds: f64,
}

/// All regions together.
#[derive(Clone, Copy, Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Sum {
    pub(crate) stats: Counts,
    pub(crate) recent: Recent,
    /// The regions' limits together; nothing if one of them has none.
    pub(crate) max_bytes: Option<u64>,
    /// Bytes held, of the limits together.
    pub(crate) utilization: Option<f64>,
    /// Reads that the sources were spared, in percent.
    pub(crate) efficiency: Option<f64>,
}

/// Answers.
#[derive(Clone, Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Http {
    /// How long the answers of the recent stretch took, of those that were timed.
    pub(crate) latency: Percentiles,
    pub(crate) routes: Vec<Route>,
}

/// The answers of one route.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Route {
    #[serde(rename = "route")]
    pub(crate) template: String,
    /// How many, by status.
    pub(crate) answers: BTreeMap<String, u64>,
    pub(crate) average_ms: f64,
}

/// The process and its connections.
#[derive(Clone, Copy, Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Process {
    /// Nothing where the system does not say.
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) connections: u64,
    pub(crate) max_connections: u64,
    /// Turned away because there were too many.
    pub(crate) rejected_connections: u64,
    pub(crate) is_stopping: bool,
}

impl Snapshot {
    /// Gathers everything. Locks each shard of each region for some moments, one after the other.
    pub(crate) fn of(app: &dyn Source) -> Self {
        app.history().note(app);
        Self::at(app, &Moment::now(app))
    }

    pub(super) fn at(app: &dyn Source, now: &Moment) -> Self {
        let earlier = app.history().recent(now.at);
        let stretch = now.at.since(earlier.at);
        let caches = app.regions();
        let of = |cache: &std::sync::Arc<dyn strata::Region>| {
            let stats = now.regions.get(cache.name()).copied()?;
            let before = earlier.regions.get(cache.name()).copied().unwrap_or_default();
            let recent = stats.since(&before, stretch);
            Some(Region::of(&**cache, (stats, recent), app.prefixes(cache.name())))
        };
        let regions: Vec<Region> = caches.iter().filter_map(of).collect();
        let sum = Sum::of(&regions);
        let traffic = Traffic::new((sum.stats.hits, sum.stats.misses), app);
        let process = Process { resident_bytes: now.resident_bytes, ..app.process() };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: app.uptime().as_secs_f64(),
            health: Health::judge(&traffic, &process, app.who_fails(), troubles(app)),
            traffic,
            sum,
            regions,
            http: Http {
                latency: now.timings.since(&earlier.timings).percentiles(),
                routes: Route::all(app),
            },
            process,
            recent_seconds: stretch.as_secs_f64(),
        }
    }
}

impl Sum {
    fn of(regions: &[Region]) -> Self {
        let mut sum = Self { max_bytes: Some(0), ..Self::default() };
        let (mut hits, mut saved) = (0, 0);
        for region in regions {
            sum.stats.add(&region.stats);
            sum.recent.reads += region.recent.reads;
            sum.recent.inserts += region.recent.inserts;
            sum.recent.evicted += region.recent.evicted;
            sum.recent.expired += region.recent.expired;
            sum.recent.evicted_per_minute += region.recent.evicted_per_minute;
            hits += region.recent.hits;
            sum.max_bytes = sum.max_bytes.zip(region.max_bytes).map(|(sum, more)| sum.saturating_add(more));
            saved += region.calls_saved;
        }
        sum.recent.hits = hits;
        sum.recent.hit_ratio = share(hits, sum.recent.reads);
        sum.utilization = sum.max_bytes.and_then(|limit| share(sum.stats.bytes, limit));
        sum.efficiency = share(saved, sum.stats.hits + sum.stats.misses).map(|share| 100.0 * share);
        sum
    }
}

impl Route {
    fn all(app: &dyn Source) -> Vec<Self> {
        let of = |route: &figures::Route| Self {
            template: route.template().to_owned(),
            answers: route.answers().map(|(status, count)| (status.to_string(), count)).collect(),
            average_ms: ratio(route.timed_nanos(), route.timed()) / 1e6,
        };
        let mut routes: Vec<Self> = app.routes().iter().map(|route| of(route)).collect();
        routes.sort_unstable_by(|one, other| one.template.cmp(&other.template));
        routes
    }
}

impl Process {
    /// Whether nine of ten connections are taken.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.connections.saturating_mul(10) >= self.max_connections.saturating_mul(9)
    }
}

impl Health {
    /// How the server is now, without what a probe does not ask for.
    pub(crate) fn of(app: &dyn Source, traffic: &Traffic) -> Self {
        Self::judge(traffic, &app.process(), app.who_fails(), troubles(app))
    }
}

/// What the system says this process holds in memory; nothing where it does not say so in Linux's way.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
