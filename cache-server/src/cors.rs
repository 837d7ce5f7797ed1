//! Pages of other sites that may use the server (CORS), told to the browser: the layer, if anybody may at all.
//!
//! A browser asks first (preflight), without a token, whether it may send what a page wants it to send; that is answered here, before anybody asks for
//! one. Cookies and the like are never allowed: a page sends its token itself, so nothing is sent that it does not know.

use std::time::Duration;

use axum::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH, LOCATION, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::config::Cors;

/// How long a browser may remember what it was told. Chromium takes two hours at most; a setting that was changed should not take as long.
const REMEMBERED: Duration = Duration::from_mins(10);

const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::PUT, Method::PATCH, Method::POST, Method::DELETE];

/// What a page may send besides what every page may.
const SENT: [HeaderName; 7] = [
    ACCEPT,
    AUTHORIZATION,
    CONTENT_TYPE,
    IF_MATCH,
    IF_NONE_MATCH,
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("prefer"),
];

/// What a page may see of an answer besides what every page may.
const SEEN: [HeaderName; 10] = [
    ETAG,
    LOCATION,
    RETRY_AFTER,
    WWW_AUTHENTICATE,
    HeaderName::from_static("cache-status"),
    HeaderName::from_static("preference-applied"),
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("x-cache"),
    HeaderName::from_static("x-total-count"),
];

pub(crate) fn layer(cors: &Cors) -> CorsLayer {
    let origins = match cors {
        Cors::Everybody => AllowOrigin::any(),
        Cors::Origins(origins) => {
            AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
        }
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods(METHODS)
        .allow_headers(SENT)
        .expose_headers(SEEN)
        .max_age(REMEMBERED)
}
