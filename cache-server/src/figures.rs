//! Figures of the HTTP side: answers by route and status, and how long they took.
//!
//! An answer costs one atomic; one answer in 16 of each route is timed. Routes are the router's own templates, so that
//! no client can add a label.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::StatusCode;
use cache_core::metric;
use metrics::Histogram;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::handshake::Handshakes;
use crate::insight::{Latency, Timings};

/// One answer in so many of each route is timed; the first one is.
const TIMED_ONE_IN: u64 = 16;

/// In seconds: from a hit on an idle machine to an answer that someone should look at.
const BUCKETS: [f64; 12] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// What is counted at the edge.
pub(crate) struct Figures {
    routes: RwLock<HashMap<Box<str>, Arc<Route>>>,
    recorder: PrometheusRecorder,
    timings: PrometheusHandle,
    /// Connections over the limit of all.
    pub(crate) rejected_connections: AtomicU64,
    /// Connections over the limit of one address.
    pub(crate) rejected_of_address: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) handshakes: Handshakes,
}

/// Sums over all routes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) answers: u64,
    /// Answers with a status of 500 or more.
    pub(crate) errors: u64,
    pub(crate) timed: u64,
    pub(crate) timed_nanos: u64,
}

impl Figures {
    pub(crate) fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS)?.build_recorder();
        let timings = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            metrics::describe_histogram!(metric::HTTP_SECONDS.name, metric::HTTP_SECONDS.help);
        });
        Ok(Self {
            routes: RwLock::default(),
            recorder,
            timings,
            rejected_connections: AtomicU64::new(0),
            rejected_of_address: AtomicU64::new(0),
            handshakes: Handshakes::default(),
            connections: AtomicU64::new(0),
        })
    }

    /// The figures of a route, by its template; of everything that is no route, together.
    pub(crate) fn route(&self, template: Option<&str>) -> Arc<Route> {
        let template = template.unwrap_or("unmatched");
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(template).cloned();
        known.unwrap_or_else(|| self.add(template))
    }

    pub(crate) fn routes(&self) -> Vec<Arc<Route>> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for route in self.routes() {
            for (status, count) in route.answers() {
                totals.answers += count;
                totals.errors += if status >= 500 { count } else { 0 };
            }
            totals.timed += route.timed();
            totals.timed_nanos += route.timed_nanos();
        }
        totals
    }

    /// How long the timed answers of all routes took.
    pub(crate) fn timings(&self) -> Timings {
        let mut timings = Timings::default();
        self.routes().iter().for_each(|route| timings.add(&route.latency.timings()));
        timings
    }

    /// The timings in the form of a scrape.
    pub(crate) fn render_timings(&self) -> String {
        self.timings.render()
    }

    /// Folds the timings that nobody has scraped into their buckets; without it they pile up.
    pub(crate) fn upkeep(&self) {
        self.timings.run_upkeep();
    }

    fn add(&self, template: &str) -> Arc<Route> {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let route = routes.entry(template.into()).or_insert_with(|| {
            let label = template.to_owned();
            let seconds = metrics::with_local_recorder(
                &self.recorder,
                || metrics::histogram!(metric::HTTP_SECONDS.name, "route" => label),
            );
            Arc::new(Route::new(template, seconds))
        });
        Arc::clone(route)
    }
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Figures").field("totals", &self.totals()).finish_non_exhaustive()
    }
}

/// The figures of one route.
pub(crate) struct Route {
    template: Box<str>,
    /// Answers by status, from 100 on.
    answers: Box<[AtomicU64]>,
    begun: AtomicU64,
    timed: AtomicU64,
    timed_nanos: AtomicU64,
    latency: Latency,
    seconds: Histogram,
}

const FIRST_STATUS: u16 = 100;
const STATUSES: u16 = 500;

impl Route {
    fn new(template: &str, seconds: Histogram) -> Self {
        Self {
            template: template.into(),
            answers: (0..STATUSES).map(|_| AtomicU64::new(0)).collect(),
            begun: AtomicU64::new(0),
            timed: AtomicU64::new(0),
            timed_nanos: AtomicU64::new(0),
            latency: Latency::new(),
            seconds,
        }
    }

    pub(crate) fn template(&self) -> &str {
        &self.template
    }

    pub(crate) fn is_to_be_timed(&self) -> bool {
        self.begun.fetch_add(1, Relaxed).is_multiple_of(TIMED_ONE_IN)
    }

    pub(crate) fn count(&self, status: StatusCode, took: Option<Duration>) {
        if let Some(count) = self.answers.get(usize::from(status.as_u16() - FIRST_STATUS)) {
            count.fetch_add(1, Relaxed);
        }
        if let Some(took) = took {
            self.timed.fetch_add(1, Relaxed);
            self.timed_nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
            self.latency.record(took);
            self.seconds.record(took.as_secs_f64());
        }
    }

    /// How many answers were timed.
    pub(crate) fn timed(&self) -> u64 {
        self.timed.load(Relaxed)
    }

    /// How long those took together.
    pub(crate) fn timed_nanos(&self) -> u64 {
        self.timed_nanos.load(Relaxed)
    }

    /// The statuses that were answered with, and how often.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (u16, u64)> {
        let counts = (FIRST_STATUS..).zip(&self.answers).map(|(status, count)| (status, count.load(Relaxed)));
        counts.filter(|(_, count)| *count > 0)
    }
}
