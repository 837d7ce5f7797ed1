//! Warmers: what came of their last runs, and running them by hand, under the names of an earlier system and our own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use cache_refresh::{WarmError, Warmed, Warming};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::body::MaybeStructured;
use super::extract::NoParams;
use crate::app::App;
use crate::problem::Problem;

/// How long a request waits for what it has begun. What takes longer goes on, and is told by the metrics.
const PATIENCE: Duration = Duration::from_secs(25);

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct WarmingBody {
    /// Whether warmers run by themselves.
    enabled: bool,
    interval_seconds: f64,
    max_concurrent: usize,
    /// By name. A warmer that has not run yet is missing.
    strategies: BTreeMap<String, WarmedBody>,
}

/// The last run, or the one that goes on.
#[derive(Debug, JsonSchema, Serialize)]
struct WarmedBody {
    /// Whether it came to its end.
    success: bool,
    /// Lines that were read.
    items_processed: u64,
    duration_seconds: f64,
    /// At most ten, the one with which it ended last.
    errors: Vec<String>,
    is_running: bool,
    /// How often it has run before.
    runs: u64,
}

impl WarmingBody {
    fn new(app: &App, warmed: Vec<Warmed>) -> Answer<Self> {
        let settings = app.warming_settings();
        let body = |run: Warmed| {
            let body = WarmedBody {
                success: run.success,
                items_processed: run.items_processed,
                duration_seconds: run.duration.as_secs_f64(),
                errors: run.errors,
                is_running: run.is_running,
                runs: run.runs,
            };
            (run.name, body)
        };
        Answer(Self {
            enabled: settings.is_enabled,
            interval_seconds: settings.interval.as_secs_f64(),
            max_concurrent: settings.max_concurrent,
            strategies: warmed.into_iter().map(body).collect(),
        })
    }
}

pub(super) async fn metrics(State(app): State<Arc<App>>, _: NoParams) -> Answer<WarmingBody> {
    let warmed = app.warming().map(Warming::report).unwrap_or_default();
    WarmingBody::new(&app, warmed)
}

/// Which warmers to run: all, if nothing is said.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TriggerBody {
    #[serde(default)]
    #[schemars(length(max = 64))]
    strategies: Vec<String>,
}

pub(super) async fn trigger(
    State(app): State<Arc<App>>,
    _: NoParams,
    MaybeStructured(body): MaybeStructured<TriggerBody>,
) -> Result<Answer<WarmingBody>, Problem> {
    let names: Vec<&str> = body.strategies.iter().map(String::as_str).collect();
    let Some(warming) = app.warming() else {
        let detail = "this server has no warmers; name them in its configuration, [warmer.NAME]";
        return if names.is_empty() {
            Ok(WarmingBody::new(&app, Vec::new()))
        } else {
            Err(Problem::not_found(detail).with_field("strategies"))
        };
    };
    let unknown = |error: WarmError| Problem::not_found(error.to_string()).with_field("strategies");
    let warmed = warming.trigger(&names, PATIENCE).await.map_err(unknown)?;
    Ok(WarmingBody::new(&app, warmed))
}
