//! Warmers: what came of their last runs, and running them by hand, under the names of an earlier system and our own.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use cache_ratelimit::Budget;
use cache_refresh::{Status, WarmError, Warmed, Warming};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::interval;

use super::answer::Answer;
use super::body::MaybeStructured;
use super::extract::NoParams;
use super::progress::Progress;
use crate::app::App;
use crate::problem::Problem;

/// How long a request waits for what it has begun. What takes longer goes on, and is told by the metrics.
const PATIENCE: Duration = Duration::from_secs(25);

/// How often a job is told how far they are.
const TOLD_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct WarmingBody {
    /// Whether warmers run by themselves.
    enabled: bool,
    interval_seconds: f64,
    max_concurrent: usize,
    /// By name. A warmer that has not run yet is missing.
    strategies: BTreeMap<String, WarmedBody>,
    /// What runs them; none where there are none.
    scheduler: Option<SchedulerBody>,
    /// What their sources allow, by name.
    budgets: BTreeMap<String, BudgetBody>,
}

/// What is due, and how it is paced.
#[derive(Debug, JsonSchema, Serialize)]
struct SchedulerBody {
    /// `NORMAL`, `CONSERVATIVE`, `MINIMAL` or `AGGRESSIVE`: how much runs of what is scheduled, by the budget that is in use.
    strategy: &'static str,
    /// The share of the fullest budget that is in use, in [0, 1]; none if there are none.
    budget_used: Option<f64>,
    /// Whether no run begins, as the server is stopping.
    is_paused: bool,
    scheduled: usize,
    running: usize,
    /// Due, and waiting for a turn or for a budget.
    queued: usize,
    /// For how long the one of them has waited that has waited longest.
    lateness_seconds: f64,
    done: u64,
    failed: u64,
    /// How often a budget has put a run off.
    postponed: u64,
}

/// What a source allows, and how much of that is in use.
#[derive(Debug, JsonSchema, Serialize)]
struct BudgetBody {
    /// Calls in a window.
    limit: u64,
    window_seconds: f64,
    /// The share of the limit that is in use now, by all servers that count together, in [0, 1].
    in_use: f64,
    /// Calls of this server that were made.
    used: u64,
    /// Calls that were put off.
    blocked: u64,
    /// How often the source has refused a call.
    refused: u64,
    /// The share of the limit that this server goes by: 1 unless the source has refused.
    pace: f64,
}

impl SchedulerBody {
    fn new(status: &Status) -> Self {
        Self {
            strategy: status.strategy.as_str(),
            budget_used: status.budget_used,
            is_paused: status.is_paused,
            scheduled: status.scheduled,
            running: status.running,
            queued: status.queued.iter().sum(),
            lateness_seconds: status.lateness.as_secs_f64(),
            done: status.counts.done,
            failed: status.counts.failed,
            postponed: status.counts.over_budget,
        }
    }
}

impl BudgetBody {
    async fn new(budget: &Budget) -> Self {
        let (stats, global) = (budget.stats(), budget.plan().global);
        Self {
            limit: global.limit(),
            window_seconds: global.per().as_secs_f64(),
            in_use: budget.used().await,
            used: stats.used,
            blocked: stats.blocked,
            refused: stats.refused,
            pace: stats.pace,
        }
    }
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
    async fn new(app: &App, warmed: Vec<Warmed>) -> Answer<Self> {
        let settings = app.warming_settings();
        let mut budgets = BTreeMap::new();
        for (name, budget) in app.budgets() {
            budgets.insert(name.clone(), BudgetBody::new(budget).await);
        }
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
            scheduler: app.warming().map(|warming| SchedulerBody::new(&warming.status())),
            budgets,
        })
    }
}

pub(super) async fn metrics(State(app): State<Arc<App>>, _: NoParams) -> Answer<WarmingBody> {
    let warmed = app.warming().map(Warming::report).unwrap_or_default();
    WarmingBody::new(&app, warmed).await
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
    progress: Progress,
    MaybeStructured(body): MaybeStructured<TriggerBody>,
) -> Result<Answer<WarmingBody>, Problem> {
    let names: Vec<&str> = body.strategies.iter().map(String::as_str).collect();
    let Some(warming) = app.warming() else {
        let detail = "this server has no warmers; name them in its configuration, [warmer.NAME]";
        return if names.is_empty() {
            Ok(WarmingBody::new(&app, Vec::new()).await)
        } else {
            Err(Problem::not_found(detail).with_field("strategies"))
        };
    };
    let unknown = |error: WarmError| Problem::not_found(error.to_string()).with_field("strategies");
    // A job goes on for as long as they do; nobody waits for it.
    let patience = if progress.is_of_job() { Duration::MAX } else { PATIENCE };
    let before: BTreeMap<String, u64> =
        warming.report().into_iter().map(|warmed| (warmed.name, warmed.runs)).collect();
    let mut running = pin!(warming.trigger(&names, patience));
    let mut ticks = interval(TOLD_EVERY);
    let warmed = loop {
        tokio::select! {
            biased;
            warmed = &mut running => break warmed.map_err(unknown)?,
            _ = ticks.tick(), if progress.is_of_job() => {
                let is_meant = |warmed: &Warmed| names.is_empty() || names.contains(&warmed.name.as_str());
                let is_new = |warmed: &Warmed| warmed.is_running || before.get(&warmed.name) != Some(&warmed.runs);
                let report = warming.report().into_iter();
                progress.at(report.filter(|warmed| is_meant(warmed) && is_new(warmed)).map(|warmed| warmed.items_processed).sum());
            }
        }
    };
    progress.at(warmed.iter().map(|warmed| warmed.items_processed).sum());
    Ok(WarmingBody::new(&app, warmed).await)
}
