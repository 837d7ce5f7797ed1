//! Monitoring of an application's own caches, as a router for it to mount: metrics, health, insights and recommendations, and
//! clearing by name. The views are those of the server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use cache_core::{Clock, SystemClock, Time};
use strata::{Region, Registry};

use crate::api::aliases::{CachesBody, ClearBody, ClearedBody, DashboardBody, HealthBody};
use crate::figures::{Route, Totals};
use crate::insight::{History, Process, Snapshot, Source, Timings};
use crate::prefixes::Prefix;
use crate::problem::Problem;

/// Routes that show and clear the caches of a registry, for an application of your own:
///
/// | route | what |
/// |---|---|
/// | `GET /api/cache/metrics` | hits, misses, memory and evictions, of all caches together and of each |
/// | `GET /api/cache/health` | `healthy`, `degraded` (a tier is away, or 1 % of what was asked failed) or `unhealthy`, and why |
/// | `GET /api/cache/dashboard` | the metrics, what they mean in plain words, and what can be done |
/// | `POST /api/cache/clear` | `{"cache_type": "all"}`, or the name of a cache |
///
/// An operation is a read, an error a load that failed, and the response time what a read took on average, hits included. Settings
/// in recommendations are named as the server has them: in a program each is the option of that name of the cache's builder. Caches
/// that are added to the registry later are seen too.
///
/// The routes ask nobody who he is: put a layer of your own around them, as around everything that clears. A page of another site
/// cannot use them, as bodies have to be `application/json`.
///
/// ```
/// use axum::Router;
/// use strata::{Cache, Registry};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tokens: Cache<String, u64> = Cache::builder("token").build()?;
/// let caches = Registry::new();
/// caches.add(&tokens)?;
/// let app: Router = Router::new().merge(cache_server::monitor(caches));
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
pub fn monitor<S: Clone + Send + Sync + 'static>(caches: Registry) -> Router<S> {
    Router::new()
        .route("/api/cache/metrics", get(metrics))
        .route("/api/cache/health", get(health))
        .route("/api/cache/dashboard", get(dashboard))
        .route("/api/cache/clear", post(clear))
        .with_state(Arc::new(Watched::new(caches)))
}

/// The caches of an application, as what is looked at.
struct Watched {
    caches: Registry,
    clock: SystemClock,
    history: History,
    started: Time,
}

impl Watched {
    fn new(caches: Registry) -> Self {
        let clock = SystemClock::new();
        let started = clock.now();
        Self { caches, history: History::new(started), started, clock }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("caches", &self.caches).finish_non_exhaustive()
    }
}

#[deny(clippy::missing_trait_methods)]
impl Source for Watched {
    fn regions(&self) -> Vec<Arc<dyn Region>> {
        self.caches.all()
    }

    fn too_large(&self, _: &str) -> u64 {
        0
    }

    /// Keys of an application are of any type, and a cache is of one kind of them: its own hit ratio is that of its kind.
    fn prefixes(&self, _: &str) -> Vec<Prefix> {
        Vec::new()
    }

    /// Reads, loads that failed, and the time that loads took, which is what reads have waited for.
    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for stats in self.regions().iter().map(|region| region.stats()) {
            let reads = stats.memory.hits + stats.memory.misses;
            totals.answers += reads;
            totals.errors += stats.loads_failed + stats.loads_lost;
            totals.timed += reads;
            let waited = u64::try_from(stats.load_time.as_nanos()).unwrap_or(u64::MAX);
            totals.timed_nanos = totals.timed_nanos.saturating_add(waited);
        }
        totals
    }

    fn timings(&self) -> Timings {
        Timings::default()
    }

    fn routes(&self) -> Vec<Arc<Route>> {
        Vec::new()
    }

    fn process(&self) -> Process {
        // Connections are the application's own affair.
        Process { max_connections: u64::MAX, ..Process::default() }
    }

    fn history(&self) -> &History {
        &self.history
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn uptime(&self) -> Duration {
        self.now().since(self.started)
    }

    fn who_fails(&self) -> &'static str {
        "reads could not be loaded"
    }

    fn waits_for_folder(&self) -> bool {
        // Whose caches these are looks after their folders.
        false
    }
}

async fn metrics(State(watched): State<Arc<Watched>>) -> Json<CachesBody> {
    Json(CachesBody::of(&Snapshot::of(&*watched)))
}

async fn health(State(watched): State<Arc<Watched>>) -> Json<HealthBody> {
    Json(HealthBody::of(&*watched))
}

async fn dashboard(State(watched): State<Arc<Watched>>) -> Json<DashboardBody> {
    Json(DashboardBody::of(&*watched))
}

async fn clear(
    State(watched): State<Arc<Watched>>,
    body: Result<Json<ClearBody>, axum::extract::rejection::JsonRejection>,
) -> Result<Json<ClearedBody>, Problem> {
    let Json(body) = body.map_err(|refusal| Problem::new(refusal.status(), refusal.body_text()))?;
    let mut removed = 0;
    for cache in body.chosen(watched.regions(), |cache| cache.name())? {
        removed += cache.clear().await?;
    }
    Ok(Json(ClearedBody { cache_type: body.cache_type, removed }))
}
