//! Is it well? For orchestrators, for people and for Prometheus. Every figure is measured.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::system_b::{self, Traffic};
use crate::app::App;
use crate::metrics;
use crate::problem::Problem;

/// The share of failed answers from which the server is not well any more, and from which it is of no use.
const DEGRADED_ERROR_RATE: f64 = 0.01;
const UNHEALTHY_ERROR_RATE: f64 = 0.5;

/// Fewer answers than this say nothing about a rate.
const MEANINGFUL_ANSWERS: u64 = 100;

#[derive(Debug, Serialize)]
pub(super) struct HealthBody {
    status: &'static str,
    /// Why the status is not `healthy`.
    reasons: Vec<String>,
    /// Whether every tier answers and has been told everything.
    connection_healthy: bool,
    /// Whether memory stands in for a tier that is away: if there is one.
    fallback_enabled: bool,
    metrics: HealthMetrics,
}

#[derive(Debug, Serialize)]
struct HealthMetrics {
    hit_rate: f64,
    error_rate: f64,
    total_operations: u64,
    average_response_time_ms: f64,
}

pub(super) async fn health(State(app): State<Arc<App>>) -> Answer<HealthBody> {
    let traffic = system_b::traffic(&app);
    let troubles = app.regions.troubles();
    let connection_healthy = troubles.is_empty();
    let (status, reasons) = judge(&app, &traffic, troubles);
    let metrics = HealthMetrics {
        hit_rate: traffic.hit_rate,
        error_rate: traffic.error_rate,
        total_operations: traffic.total_operations,
        average_response_time_ms: traffic.average_response_time_ms,
    };
    let fallback_enabled = !app.regions.places().is_memory_alone();
    Answer(HealthBody { status, reasons, connection_healthy, fallback_enabled, metrics })
}

fn judge(app: &App, traffic: &Traffic, troubles: Vec<String>) -> (&'static str, Vec<String>) {
    let mut reasons = troubles;
    let judged = traffic.total_operations >= MEANINGFUL_ANSWERS;
    if judged && traffic.error_rate >= DEGRADED_ERROR_RATE {
        reasons.push(format!("{:.1} % of the answers are errors of the server", traffic.error_rate * 100.0));
    }
    let (open, limit) = (app.figures.connections.load(Relaxed), app.max_connections as u64);
    if open.saturating_mul(10) >= limit.saturating_mul(9) {
        reasons.push(format!("{open} of at most {limit} connections are open"));
    }
    if app.is_draining() {
        reasons.push("the server is stopping".to_owned());
    }
    let status = match reasons.is_empty() {
        true => "healthy",
        false if app.is_draining() || judged && traffic.error_rate >= UNHEALTHY_ERROR_RATE => "unhealthy",
        false => "degraded",
    };
    (status, reasons)
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

/// All figures, for Prometheus.
pub(super) async fn scrape(State(app): State<Arc<App>>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::render(&app)).into_response()
}
