//! The shortcut: a plain read of an entry, which is most of what a cache is asked, without the way through all routes and layers.
//!
//! It takes only what the routes would answer the same without asking anybody else, and answers with what their handlers
//! answer with. Whatever is in any way special (a condition, an escaped key, a wrong token, a tier that has to be asked) goes the
//! long way, as if it had never been looked at: nothing is counted here then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use cache_core::MAX_KEY_BYTES;
use hyper::Request;
use hyper::body::Body;

use crate::app::App;
use crate::config::DEFAULT_REGION;
use crate::figures::Route;
use crate::prefixes::Prefixes;
use crate::regions::BlobCache;
use crate::{api, auth, origin};

/// The templates of the two paths of an entry.
const OF_DEFAULT: &str = "/v1/entries/{key}";
const OF_REGION: &str = "/v1/regions/{region}/entries/{key}";

/// Answers plain reads.
#[derive(Clone)]
pub(crate) struct Shortcut {
    app: Arc<App>,
    /// The region `default`, which stays as long as the server does.
    default: Option<(BlobCache, Arc<Prefixes>)>,
    of_default: Arc<Route>,
    of_region: Arc<Route>,
}

impl Shortcut {
    pub(crate) fn new(app: Arc<App>) -> Self {
        let (of_default, of_region) =
            (app.figures.route(Some(OF_DEFAULT)), app.figures.route(Some(OF_REGION)));
        let default = app.regions.find_counted(DEFAULT_REGION);
        Self { app, default, of_default, of_region }
    }

    /// The answer, if it is for sure that of the routes.
    pub(crate) fn answer<B: Body>(&self, request: &Request<B>) -> Option<Response> {
        let is_plain = request.method() == Method::GET
            && request.body().is_end_stream()
            && !has_conditions(request.headers());
        let (region, key) = if is_plain { entry(request.uri().path())? } else { return None };
        // What a panic leaves behind is caches, which lock nothing across calls. The long way will panic too, and tell of it.
        catch_unwind(AssertUnwindSafe(|| self.read(region, key, request.headers()))).ok()?
    }

    fn read(&self, region: Option<&str>, key: &str, headers: &HeaderMap) -> Option<Response> {
        let app = &self.app;
        if !auth::may_read(app, headers) || !origin::may_read(app, headers) {
            return None;
        }
        let found;
        let ((cache, prefixes), route) = match region {
            None => (self.default.as_ref()?, &self.of_default),
            Some(name) => {
                found = app.regions.find_counted(name)?;
                (&found, &self.of_region)
            }
        };
        // A miss is counted where it is answered, so here only if no tier has to be asked.
        if !app.regions.places().is_memory_alone() {
            cache.peek(key).filter(|hit| !hit.is_stale())?;
        }
        let begun = route.is_to_be_timed().then(|| app.clock.now());
        let response = match prefixes.get_local(cache, key) {
            None if !app.regions.places().is_memory_alone() => return None,
            // It has just become so, and a tier may have a fresh one.
            Some(hit) if hit.is_stale() && !app.regions.places().is_memory_alone() => return None,
            found => api::found(app, cache, key, found.as_ref()),
        };
        let response = response.unwrap_or_else(IntoResponse::into_response);
        route.count(response.status(), begun.map(|begun| app.clock.now().since(begun)));
        Some(response)
    }
}

fn has_conditions(headers: &HeaderMap) -> bool {
    headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MATCH)
}

/// The region and the key of the path of an entry, if both stand there as they are.
fn entry(path: &str) -> Option<(Option<&str>, &str)> {
    let rest = path.strip_prefix("/v1/")?;
    let (region, key) = if let Some(key) = rest.strip_prefix("entries/") {
        (None, key)
    } else {
        let rest = rest.strip_prefix("regions/")?;
        // A region has no slash in its name, and a search for more than a byte costs more than all else here.
        let (region, rest) = rest.split_at(rest.bytes().position(|byte| byte == b'/')?);
        (Some(region), rest.strip_prefix("/entries/")?)
    };
    let is_plain =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'%'));
    let is_key = !key.is_empty() && key.len() <= MAX_KEY_BYTES;
    (is_key && is_plain(key) && region.is_none_or(is_plain)).then_some((region, key))
}
