//! What is read of the server's report on itself (`GET /v1/stats`). What an older server leaves out is nothing.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    pub(crate) stats: Stats,
    pub(crate) insights: Vec<Finding>,
    pub(crate) recommendations: Vec<Finding>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Stats {
    pub(crate) version: String,
    pub(crate) uptime_seconds: f64,
    pub(crate) health: Health,
    pub(crate) traffic: Traffic,
    pub(crate) sum: Sum,
    pub(crate) regions: Vec<Region>,
    pub(crate) http: Http,
    pub(crate) process: Process,
    pub(crate) recent_seconds: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Health {
    pub(crate) status: String,
    pub(crate) reasons: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Traffic {
    pub(crate) total_operations: u64,
    pub(crate) errors: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Sum {
    pub(crate) stats: Counts,
    pub(crate) max_bytes: Option<u64>,
}

/// What a region has counted, and what it holds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) hit_ratio: Option<f64>,
    pub(crate) inserts: u64,
    pub(crate) expired: u64,
    pub(crate) evicted: u64,
}

impl Counts {
    pub(crate) fn reads(&self) -> u64 {
        self.hits.saturating_add(self.misses)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Region {
    pub(crate) name: String,
    pub(crate) max_entries: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) ttl_seconds: Option<f64>,
    pub(crate) policy: String,
    pub(crate) stats: Counts,
    pub(crate) recent: Recent,
    pub(crate) utilization: Option<f64>,
    pub(crate) top_keys: Vec<TopKey>,
    pub(crate) tiers: Vec<Tier>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Recent {
    pub(crate) reads: u64,
    pub(crate) hit_ratio: Option<f64>,
    pub(crate) evicted_per_minute: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TopKey {
    pub(crate) key: String,
    pub(crate) hits: u64,
    pub(crate) share: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Tier {
    pub(crate) name: String,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) errors: u64,
    pub(crate) backlog: u64,
    pub(crate) away_seconds: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Http {
    pub(crate) latency: Latency,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Latency {
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Process {
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) connections: u64,
    pub(crate) max_connections: u64,
}

/// Something that the figures tell, or what can be done about it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Finding {
    pub(crate) severity: String,
    pub(crate) text: String,
    pub(crate) setting: String,
}
