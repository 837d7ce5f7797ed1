//! The routes: what can be asked, and who answers.
//!
//! Everything about keys is one router, mounted twice: at `/v1` for the region `default`, and at
//! `/v1/regions/{region}`. Handlers check all of a request before they change anything.

pub(crate) mod aliases;
mod answer;
mod any;
mod body;
mod conditions;
mod describe;
mod docs;
mod entries;
mod entry;
mod extract;
mod get_many;
mod groups;
mod health;
mod jobs;
mod json;
mod keys;
mod lease;
mod lifetime;
mod msgpack;
mod openapi;
mod page;
mod progress;
mod regions;
mod route;
mod set_many;
mod stats;
mod system_b;
mod system_c;
mod transfer;
mod warming;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::routing::any;

use crate::app::App;

use route::{Routes, delete, get, post};

pub(crate) use entries::found;
pub(crate) use jobs::Jobs;
pub(crate) use keys::Walks;
pub(crate) use stats::Watchers;
pub(crate) use transfer::load;

/// The most keys of one call.
const MAX_KEYS: usize = 10_000;

/// All routes, as axum serves them.
pub(crate) fn router(app: &Arc<App>) -> Router<Arc<App>> {
    routes(Some(app)).router
}

/// All routes, as they are served and as they are documented.
fn routes(app: Option<&Arc<App>>) -> Routes {
    let region = get(regions::show, "Shows a region")
        .put(regions::create, "Makes a region")
        .also(|operation| operation.fails(&[409]))
        .delete(regions::remove, "Removes a region and all that is in it")
        .also(|operation| operation.fails(&[409]));
    Routes::of(app)
        .nest("/v1", of_region(app))
        .nest("/v1/regions/{region}", of_region(app))
        .route("/v1/regions", get(regions::list, "Lists the regions"))
        .route("/v1/regions/{region}", region)
        .route("/v1/clear-all", post(regions::clear_all, "Empties all regions").or_later())
        .route("/v1/jobs", get(jobs::list, "Lists the jobs"))
        .route(
            "/v1/jobs/{id}",
            get(jobs::show, "Shows a job")
                .also(may_miss)
                .delete(jobs::cancel, "Ends a job, or forgets it")
                .also(may_miss),
        )
        .route("/v1/openapi.json", get(docs::document, "This document").also(docs::describe_document))
        .route("/health", get(health::health, "Healthy, degraded or unhealthy, and why"))
        .route("/livez", get(health::live, "The process answers"))
        .route("/readyz", get(health::ready, "Requests may be sent here"))
        .route("/metrics", get(health::scrape, "All figures, for Prometheus").also(health::describe_scrape))
        .route("/cache/health", get(health::health, "Healthy, degraded or unhealthy, and why"))
        .route("/cache/metrics", get(system_b::metrics, "Hits, misses, errors and their rates"))
        .route(
            "/cache/invalidate",
            post(system_b::invalidate, "Removes by keys, tags, prefix or all").also(may_miss),
        )
        .route("/v1/warming", get(warming::metrics, "What came of the last run of each warmer"))
        .route("/v1/warming/trigger", post(warming::trigger, "Runs warmers now").also(may_miss).or_later())
        .route("/cache/warming/metrics", get(warming::metrics, "What came of the last run of each warmer"))
        .route("/cache/warming/trigger", post(warming::trigger, "Runs warmers now").also(may_miss))
        .route("/v1/stats", get(stats::stats, "All figures, insights and recommendations"))
        .route(
            "/v1/events/stats",
            get(stats::events, "All figures, every second").also(stats::describe_events),
        )
        .nest("/api/v1/enhanced-cache", of_system_c(app))
        .merge(aliases::routes())
        .merge(page::routes())
}

/// What is asked for may not be there.
fn may_miss(operation: &mut openapi::Description<'_>) {
    operation.fails(&[404]);
}

/// What users of an earlier system write and read with.
fn of_system_c(app: Option<&Arc<App>>) -> Routes {
    Routes::of(app)
        .route("/set", post(system_c::set, "Stores an entry"))
        .route("/get/{key}", get(system_c::get, "Reads an entry").also(may_miss))
        .route("/delete/{key}", delete(system_c::delete, "Removes an entry"))
        .route("/delete-by-tags", delete(system_c::delete_by_tags, "Removes what has one of these tags"))
        .route("/clear", post(system_c::clear, "Empties the region"))
        .route("/warm-up", post(system_c::warm_up, "Stores entries to begin with").or_later())
        .route("/configure", post(system_c::configure, "Changes a running region").also(may_miss))
        .route(
            "/benchmark",
            post(system_c::benchmark, "Measures a cache of its own in this process").or_later(),
        )
        .route(
            "/export",
            get(transfer::export, "All entries, a line of JSON each").also(transfer::describe_export),
        )
}

/// What can be done with one region.
fn of_region(app: Option<&Arc<App>>) -> Routes {
    let entry = get(entries::get, "Reads a value")
        .also(entries::describe_get)
        .head(entries::head, "Looks at an entry")
        .also(entries::describe_head)
        .put(entries::put, "Stores a value")
        .also(entries::describe_put)
        .patch(entries::touch, "Gives an entry a new life")
        .also(may_miss)
        .delete(entries::remove, "Removes an entry")
        .also(|operation| operation.fails(&[412]));
    let tag = get(groups::keys_with_tag, "Lists the keys with a tag")
        .delete(groups::remove_tag, "Removes what has a tag");
    Routes::of(app)
        .route("/entries", delete(groups::remove_prefix, "Removes what begins with a prefix").or_later())
        .refuse("/entries/", any(entries::no_key))
        .route("/entries/{key}", entry)
        .route(
            "/entries/{key}/meta",
            get(describe::describe, "Tells all of an entry but its value").also(may_miss),
        )
        .route("/entries/{key}/ttl", get(entries::ttl, "Tells what is left of a life").also(may_miss))
        .route(
            "/entries/{key}/lease",
            post(lease::lease, "Reads a value, or wins the right to make it")
                .also(|operation| operation.fails(&[503]))
                .delete(lease::release, "Gives a lease back"),
        )
        .route("/entries/{key}/exists", get(entries::exists, "Tells whether there is an entry"))
        .route("/get-many", post(get_many::get_many, "Reads many entries"))
        .route("/set-many", post(set_many::set_many, "Stores many entries"))
        .route("/delete-many", post(groups::delete_many, "Removes many entries"))
        .route("/events", get(watch::watch, "All changes, as they happen").also(watch::describe_watch))
        .route(
            "/keys",
            delete(groups::remove_pattern, "Removes what is like a pattern")
                .or_later()
                .get(keys::list, "Lists keys, page by page"),
        )
        .route("/tags/{tag}", tag)
        .route("/clear", post(groups::clear, "Empties the region").or_later())
        .route(
            "/export",
            get(transfer::export, "All entries, a line of JSON each").also(transfer::describe_export),
        )
        .route(
            "/import",
            post(transfer::import, "Stores the lines of an export").also(transfer::describe_import),
        )
}
