//! The scrape: all figures as they are now, in the form of Prometheus, under the names of `cache_core::metric`.
//!
//! Regions come and go, so each scrape is written by a recorder of its own: a region that is gone leaves nothing
//! behind, and nobody can fill the exporter with names. Only timings are kept between scrapes, and those have routes.

mod below;

use std::sync::atomic::Ordering::Relaxed;

use cache_core::metric::{self, Kind, Metric};
use cache_ratelimit::{Audit, AuditStats};
use metrics::{Counter, Gauge, Label};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::app::App;
use crate::insight::{Counts, resident_bytes};
use crate::regions::BlobCache;

/// All figures, as text.
pub(crate) fn render(app: &App) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        metric::ALL.iter().for_each(describe);
        app.regions.all().iter().for_each(|cache| region(app, cache));
        app.regions.all().iter().for_each(below::region);
        below::places(app.regions.places());
        http(app);
        warming(app);
        process(app);
    });
    recorder.handle().render() + &app.figures.render_timings()
}

fn describe(metric: &Metric) {
    match metric.kind {
        Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
        Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
        Kind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
    }
}

fn region(app: &App, cache: &BlobCache) {
    let (stats, counts) = (cache.stats(), Counts::of(&app.regions, cache));
    let of = |metric: &Metric, labels: &[(&'static str, &'static str)]| {
        let region = std::iter::once(Label::new("region", cache.name().to_owned()));
        let labels = labels.iter().map(|(name, value)| Label::from_static_parts(name, value));
        counter(metric, region.chain(labels).collect())
    };
    for (result, count) in [("hit", counts.hits), ("miss", counts.misses)] {
        of(&metric::REQUESTS, &[("result", result)]).absolute(count);
    }
    for (result, count) in
        [("ok", stats.loads_ok), ("error", stats.loads_failed), ("panic", stats.loads_lost)]
    {
        of(&metric::LOADS, &[("result", result)]).absolute(count);
    }
    let causes = [
        ("expired", counts.expired),
        ("evicted", counts.evicted),
        ("replaced", counts.replaced),
        ("removed", counts.removed),
    ];
    for (cause, count) in causes {
        of(&metric::REMOVALS, &[("cause", cause)]).absolute(count);
    }
    of(&metric::WAITERS, &[]).absolute(stats.coalesced);
    of(&metric::INSERTS, &[]).absolute(counts.inserts);
    of(&metric::REJECTED, &[]).absolute(counts.too_large);

    let now = |metric: &Metric, figure: u64| {
        set(&gauge(metric, vec![Label::new("region", cache.name().to_owned())]), figure);
    };
    now(&metric::ENTRIES, counts.entries);
    now(&metric::MEMORY_BYTES, counts.bytes);
    if let Some(limit) = cache.memory().max_bytes() {
        now(&metric::MEMORY_LIMIT_BYTES, limit);
    }
    if let Some(limit) = cache.memory().max_entries() {
        now(&metric::ENTRY_LIMIT, limit);
    }
}

fn http(app: &App) {
    for route in app.figures.routes() {
        for (status, count) in route.answers() {
            let labels = vec![
                Label::new("route", route.template().to_owned()),
                Label::new("status", status.to_string()),
            ];
            counter(&metric::HTTP_REQUESTS, labels).absolute(count);
        }
    }
    let figures = &app.figures;
    for (reason, count) in
        [("limit", &figures.rejected_connections), ("address", &figures.rejected_of_address)]
    {
        counter(&metric::HTTP_REJECTED, vec![Label::new("reason", reason)]).absolute(count.load(Relaxed));
    }
    counter(&metric::HTTP_SHED, Vec::new()).absolute(app.crowd.shed());
    if app.tls().is_some() {
        for (result, count) in figures.handshakes.counts() {
            counter(&metric::TLS_HANDSHAKES, vec![Label::new("result", result)]).absolute(count);
        }
    }
    if let Some(limits) = &app.limits {
        limits.limiter().figures(|metric, values, count| {
            let labels = metric.labels.iter().zip(values);
            let labels = labels.map(|(name, value)| Label::new(*name, (*value).to_owned()));
            counter(metric, labels.collect()).absolute(count);
        });
    }
    if let Some(AuditStats { written, dropped, failed, .. }) = app.audit.as_ref().map(Audit::stats) {
        for (result, count) in [("written", written), ("dropped", dropped), ("failed", failed)] {
            counter(&metric::AUDIT_LINES, vec![Label::new("result", result)]).absolute(count);
        }
    }
}

/// Warmers and what their sources allow.
fn warming(app: &App) {
    let put = |metric: &Metric, values: &[&str], figure: f64| {
        let labels = metric.labels.iter().zip(values);
        let labels = labels.map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
        match metric.kind {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "counts, which came as such"
            )]
            Kind::Counter => counter(metric, labels).absolute(figure as u64),
            _ => gauge(metric, labels).set(figure),
        }
    };
    app.budgets().values().for_each(|budget| budget.figures(put));
    if let Some(warming) = app.warming() {
        warming.status().figures(put);
    }
}

fn process(app: &App) {
    gauge(&metric::UPTIME, Vec::new()).set(app.uptime().as_secs_f64());
    gauge(&metric::BUILD_INFO, vec![Label::new("version", env!("CARGO_PKG_VERSION"))]).set(1.0);
    if let Some(bytes) = resident_bytes() {
        set(&gauge(&metric::RESIDENT, Vec::new()), bytes);
    }
}

fn counter(metric: &Metric, labels: Vec<Label>) -> Counter {
    metrics::counter!(metric.name, labels)
}

fn gauge(metric: &Metric, labels: Vec<Label>) -> Gauge {
    metrics::gauge!(metric.name, labels)
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating point; exact up to 2^53")]
fn set(gauge: &Gauge, figure: u64) {
    gauge.set(figure as f64);
}
