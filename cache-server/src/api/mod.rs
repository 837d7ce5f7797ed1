//! The routes: what can be asked, and who answers.
//!
//! Everything about keys is one router, mounted twice: at `/v1` for the region `default`, and at
//! `/v1/regions/{region}`. Handlers check all of a request before they change anything.

mod aliases;
mod body;
mod conditions;
mod describe;
mod entries;
mod entry;
mod extract;
mod get_many;
mod groups;
mod health;
mod json;
mod keys;
mod lifetime;
mod page;
mod regions;
mod set_many;
mod stats;
mod system_b;
mod system_c;
mod transfer;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, delete, get, post};

use crate::app::App;

pub(crate) use entries::found;
pub(crate) use keys::Walks;
pub(crate) use stats::Watchers;

/// The most keys of one call.
const MAX_KEYS: usize = 10_000;

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .nest("/v1", of_region())
        .nest("/v1/regions/{region}", of_region())
        .route("/v1/regions", get(regions::list))
        .route("/v1/regions/{region}", get(regions::show).put(regions::create).delete(regions::remove))
        .route("/v1/clear-all", post(regions::clear_all))
        .route("/health", get(health::health))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::scrape))
        .route("/cache/health", get(health::health))
        .route("/cache/metrics", get(system_b::metrics))
        .route("/cache/invalidate", post(system_b::invalidate))
        .route("/v1/stats", get(stats::stats))
        .route("/v1/events/stats", get(stats::events))
        .nest("/api/v1/enhanced-cache", of_system_c())
        .merge(aliases::router())
        .merge(page::router())
}

/// What users of an earlier system write and read with.
fn of_system_c() -> Router<Arc<App>> {
    Router::new()
        .route("/set", post(system_c::set))
        .route("/get/{key}", get(system_c::get))
        .route("/delete/{key}", delete(system_c::delete))
        .route("/delete-by-tags", delete(system_c::delete_by_tags))
        .route("/clear", post(system_c::clear))
        .route("/warm-up", post(system_c::warm_up))
        .route("/configure", post(system_c::configure))
        .route("/benchmark", post(system_c::benchmark))
        .route("/export", get(transfer::export))
}

/// What can be done with one region.
fn of_region() -> Router<Arc<App>> {
    let entry =
        get(entries::get).head(entries::head).put(entries::put).patch(entries::touch).delete(entries::remove);
    Router::new()
        .route("/entries", delete(groups::remove_prefix))
        .route("/entries/", any(entries::no_key))
        .route("/entries/{key}", entry)
        .route("/entries/{key}/meta", get(describe::describe))
        .route("/entries/{key}/ttl", get(entries::ttl))
        .route("/entries/{key}/exists", get(entries::exists))
        .route("/get-many", post(get_many::get_many))
        .route("/set-many", post(set_many::set_many))
        .route("/delete-many", post(groups::delete_many))
        .route("/keys", get(keys::list))
        .route("/tags/{tag}", get(groups::keys_with_tag).delete(groups::remove_tag))
        .route("/clear", post(groups::clear))
        .route("/export", get(transfer::export))
        .route("/import", post(transfer::import))
}
