//! Is it well? For orchestrators, for people and for Prometheus. Every figure is measured.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::Answer;
use super::openapi::Description;
use crate::app::App;
use crate::insight::{Health, Traffic, troubles};
use crate::metrics;
use crate::problem::Problem;

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct HealthBody {
    #[serde(flatten)]
    health: Health,
    /// Whether every tier answers and has been told everything.
    connection_healthy: bool,
    /// Whether memory stands in for a tier that is away: if there is one.
    fallback_enabled: bool,
    metrics: HealthMetrics,
}

#[derive(Debug, JsonSchema, Serialize)]
struct HealthMetrics {
    hit_rate: f64,
    error_rate: f64,
    total_operations: u64,
    average_response_time_ms: f64,
}

pub(super) async fn health(State(app): State<Arc<App>>) -> Answer<HealthBody> {
    let traffic = Traffic::of(&app);
    let metrics = HealthMetrics {
        hit_rate: traffic.hit_rate,
        error_rate: traffic.error_rate,
        total_operations: traffic.total_operations,
        average_response_time_ms: traffic.average_response_time_ms,
    };
    let connection_healthy = troubles(&app).is_empty();
    let fallback_enabled = !app.regions.places().is_memory_alone();
    let health = Health::of(&app, &traffic);
    Answer(HealthBody { health, connection_healthy, fallback_enabled, metrics })
}

/// The process answers.
pub(super) async fn live() -> &'static str {
    "live\n"
}

/// Requests may be sent here.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    let stopping = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping");
    (!app.is_draining()).then_some("ready\n").ok_or_else(stopping)
}

pub(super) fn describe_scrape(operation: &mut Description<'_>) {
    operation.answers_bytes(200, "the text format of Prometheus", "text/plain");
}

/// All figures, for Prometheus.
pub(super) async fn scrape(State(app): State<Arc<App>>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::render(&app)).into_response()
}
