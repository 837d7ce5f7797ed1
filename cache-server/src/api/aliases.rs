//! The names by which users of earlier systems know what the server shows: one table, and each answer a view of the one
//! [`Snapshot`] or [`Report`]. Nothing is worked out here but units: megabytes of 2^20 bytes, percent, milliseconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strata::codec::Framer;

use super::answer::Answer;
use super::body::Structured;
use super::extract::NoParams;
use super::route::{Routes, get, post};
use crate::app::App;
use crate::insight::{Finding, Health, Recommendation, Region, Report, Snapshot, Source, Traffic, ratio};
use crate::problem::Problem;

pub(super) fn routes() -> Routes {
    Routes::default()
        .route("/api/cache/metrics", get(caches, "Totals, and the figures of each region"))
        .route("/api/cache/health", get(health, "Healthy, degraded or unhealthy, and why"))
        .route("/api/cache/dashboard", get(dashboard, "Metrics, insights and recommendations"))
        .route("/api/cache/clear", post(clear, "Empties a region, or all").also(super::may_miss))
        .route("/api/v1/enhanced-cache/stats", get(stats, "Hit rate, memory and efficiency"))
        .route(
            "/api/v1/enhanced-cache/analytics",
            get(analytics, "Requests, access time, top keys and patterns"),
        )
        .route("/api/v1/enhanced-cache/memory", get(memory, "Entries, savings and utilization"))
        .route("/api/v1/enhanced-cache/health", get(health, "Healthy, degraded or unhealthy, and why"))
        .route(
            "/api/admin/cache/stats",
            get(admin_stats, "Hit rates, key counts, eviction rates and recommendations"),
        )
        .route("/api/admin/cache/health", get(health, "Healthy, degraded or unhealthy, and why"))
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct HealthBody {
    #[serde(flatten)]
    health: Health,
    uptime_seconds: f64,
    metrics: Traffic,
}

/// Whether it is healthy, degraded or unhealthy, why, and the figures behind it.
async fn health(State(app): State<Arc<App>>, _: NoParams) -> Answer<HealthBody> {
    Answer(HealthBody::of(&app))
}

impl HealthBody {
    pub(crate) fn of(source: &dyn Source) -> Self {
        let metrics = Traffic::of(source);
        let health = Health::of(source, &metrics);
        Self { health, uptime_seconds: source.uptime().as_secs_f64(), metrics }
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct CachesBody {
    #[serde(flatten)]
    traffic: Traffic,
    memory_usage_mb: f64,
    /// By region.
    caches: BTreeMap<String, CacheBody>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct CacheBody {
    hits: u64,
    misses: u64,
    hit_rate: f64,
    size: u64,
    max_size: Option<u64>,
    memory_usage_mb: f64,
    evictions: u64,
    expirations: u64,
}

impl CachesBody {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let of = |Region { stats, max_entries, .. }: &Region| CacheBody {
            hits: stats.hits,
            misses: stats.misses,
            hit_rate: stats.hit_ratio.unwrap_or_default(),
            size: stats.entries,
            max_size: *max_entries,
            memory_usage_mb: megabytes(stats.bytes),
            evictions: stats.evicted,
            expirations: stats.expired,
        };
        Self {
            traffic: snapshot.traffic,
            memory_usage_mb: megabytes(snapshot.sum.stats.bytes),
            caches: by_region(snapshot, of),
        }
    }
}

async fn caches(State(app): State<Arc<App>>, _: NoParams) -> Answer<CachesBody> {
    Answer(CachesBody::of(&Snapshot::of(&app)))
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct DashboardBody {
    metrics: CachesBody,
    insights: Vec<Finding>,
    recommendations: Vec<Recommendation>,
}

async fn dashboard(State(app): State<Arc<App>>, _: NoParams) -> Answer<DashboardBody> {
    Answer(DashboardBody::of(&app))
}

impl DashboardBody {
    pub(crate) fn of(source: &dyn Source) -> Self {
        let Report { stats, insights, recommendations, .. } = Report::of(source);
        Self { metrics: CachesBody::of(&stats), insights, recommendations }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClearBody {
    /// The name of a region, or `all`.
    pub(crate) cache_type: String,
}

impl ClearBody {
    /// Those of all that are meant, by their names.
    pub(crate) fn chosen<T>(&self, all: Vec<T>, name: impl Fn(&T) -> &str) -> Result<Vec<T>, Problem> {
        let is_meant = |cache: &T| self.cache_type == "all" || name(cache) == self.cache_type;
        if self.cache_type != "all" && !all.iter().any(is_meant) {
            let names: Vec<_> = all.iter().map(name).collect();
            let detail = format!("not a cache; use all, or one of {}", names.join(", "));
            return Err(Problem::not_found(detail).with_field("cache_type"));
        }
        Ok(all.into_iter().filter(is_meant).collect())
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct ClearedBody {
    pub(crate) cache_type: String,
    pub(crate) removed: u64,
}

async fn clear(
    State(app): State<Arc<App>>,
    _: NoParams,
    Structured(body): Structured<ClearBody>,
) -> Result<Answer<ClearedBody>, Problem> {
    let mut removed = 0;
    for cache in body.chosen(app.regions.all(), |cache| cache.name())? {
        removed += app.regions.clear(&cache).await?;
    }
    Ok(Answer(ClearedBody { cache_type: body.cache_type, removed }))
}

#[derive(Debug, JsonSchema, Serialize)]
struct StatsBody {
    hit_rate: f64,
    memory_usage_mb: f64,
    /// Bytes as they are stored below memory by bytes as they came, of what was written there since the start: 0.25 is a quarter. In memory values
    /// are held as they came.
    compression_ratio: f64,
    /// Reads that needed no call of the source, in percent.
    cache_efficiency_score: f64,
}

async fn stats(State(app): State<Arc<App>>, _: NoParams) -> Answer<StatsBody> {
    let snapshot = Snapshot::of(&app);
    Answer(StatsBody {
        hit_rate: snapshot.traffic.hit_rate,
        memory_usage_mb: megabytes(snapshot.sum.stats.bytes),
        compression_ratio: compression(&app).0,
        cache_efficiency_score: snapshot.sum.efficiency.unwrap_or_default(),
    })
}

/// Stored by raw bytes of what was written below memory, and how many fewer they are.
fn compression(app: &App) -> (f64, u64) {
    let (mut raw, mut stored) = (0, 0);
    for cache in app.regions.all() {
        if let Some(stats) = cache.framer().map(Framer::stats) {
            raw += stats.raw_bytes;
            stored += stats.stored_bytes;
        }
    }
    (if raw == 0 { 1.0 } else { ratio(stored, raw) }, raw.saturating_sub(stored))
}

#[derive(Debug, JsonSchema, Serialize)]
struct AnalyticsBody {
    /// Reads.
    total_requests: u64,
    /// Milliseconds, of the answers that were timed.
    average_access_time: f64,
    /// Of all regions, the most read first.
    top_keys: Vec<TopKeyBody>,
    /// What kind of traffic it is, by region.
    access_patterns: BTreeMap<String, &'static str>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct TopKeyBody {
    key: String,
    region: String,
    hits: u64,
}

async fn analytics(State(app): State<Arc<App>>, _: NoParams) -> Answer<AnalyticsBody> {
    let snapshot = Snapshot::of(&app);
    let of = |region: &Region| {
        let name = region.name.clone();
        let body = move |top: &crate::insight::TopKey| TopKeyBody {
            key: top.key.clone(),
            region: name.clone(),
            hits: top.hits,
        };
        region.top_keys.iter().map(body).collect::<Vec<_>>()
    };
    let mut top_keys: Vec<TopKeyBody> = snapshot.regions.iter().flat_map(of).collect();
    top_keys.sort_by_key(|top| std::cmp::Reverse(top.hits));
    top_keys.truncate(10);
    Answer(AnalyticsBody {
        total_requests: snapshot.traffic.hits + snapshot.traffic.misses,
        average_access_time: snapshot.traffic.average_response_time_ms,
        top_keys,
        access_patterns: by_region(&snapshot, |region| region.access_pattern),
    })
}

#[derive(Debug, JsonSchema, Serialize)]
struct MemoryBody {
    total_entries: u64,
    /// What compression has saved of what was written below memory since the start.
    compression_savings_bytes: u64,
    memory_utilization_percent: f64,
    memory_usage_bytes: u64,
    memory_limit_bytes: Option<u64>,
    /// What the system says the process holds.
    resident_bytes: Option<u64>,
}

async fn memory(State(app): State<Arc<App>>, _: NoParams) -> Answer<MemoryBody> {
    let Snapshot { sum, process, .. } = Snapshot::of(&app);
    Answer(MemoryBody {
        total_entries: sum.stats.entries,
        compression_savings_bytes: compression(&app).1,
        memory_utilization_percent: 100.0 * sum.utilization.unwrap_or_default(),
        memory_usage_bytes: sum.stats.bytes,
        memory_limit_bytes: sum.max_bytes,
        resident_bytes: process.resident_bytes,
    })
}

#[derive(Debug, JsonSchema, Serialize)]
struct AdminBody {
    hit_rates: BTreeMap<String, f64>,
    memory: AdminMemoryBody,
    key_counts: BTreeMap<String, u64>,
    /// Entries a minute, lately.
    eviction_rates: BTreeMap<String, f64>,
    recommendations: Vec<Recommendation>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct AdminMemoryBody {
    used_bytes: u64,
    limit_bytes: Option<u64>,
    utilization_percent: f64,
    resident_bytes: Option<u64>,
}

/// Maps by region hold `overall` beside the regions.
async fn admin_stats(State(app): State<Arc<App>>, _: NoParams) -> Answer<AdminBody> {
    let Report { stats, recommendations, .. } = Report::of(&app);
    let with = |overall: f64, mut map: BTreeMap<String, f64>| {
        map.insert("overall".to_owned(), overall);
        map
    };
    let mut key_counts = by_region(&stats, |region| region.stats.entries);
    key_counts.insert("overall".to_owned(), stats.sum.stats.entries);
    Answer(AdminBody {
        hit_rates: with(
            stats.traffic.hit_rate,
            by_region(&stats, |region| region.stats.hit_ratio.unwrap_or_default()),
        ),
        memory: AdminMemoryBody {
            used_bytes: stats.sum.stats.bytes,
            limit_bytes: stats.sum.max_bytes,
            utilization_percent: 100.0 * stats.sum.utilization.unwrap_or_default(),
            resident_bytes: stats.process.resident_bytes,
        },
        key_counts,
        eviction_rates: with(
            stats.sum.recent.evicted_per_minute,
            by_region(&stats, |region| region.recent.evicted_per_minute),
        ),
        recommendations,
    })
}

fn by_region<T>(snapshot: &Snapshot, of: impl Fn(&Region) -> T) -> BTreeMap<String, T> {
    snapshot.regions.iter().map(|region| (region.name.clone(), of(region))).collect()
}

fn megabytes(bytes: u64) -> f64 {
    ratio(bytes, 1 << 20)
}
