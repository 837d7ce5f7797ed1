//! The page: three files inside the program, which ask nothing of anybody else.
//!
//! They hold no data, so that they are open to everyone: what they show they ask for with the token of whoever looks. Scripts
//! and styles come from here alone, and none stands in the document, so that a key cannot become one.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let html = include_str!("../page/index.html");
    let (css, js, svg) =
        (include_str!("../page/page.css"), include_str!("../page/page.js"), include_str!("../page/page.svg"));
    Router::new()
        .route("/", get(move || async move { file("text/html; charset=utf-8", html) }))
        .route("/page.css", get(move || async move { file("text/css; charset=utf-8", css) }))
        .route("/page.js", get(move || async move { file("text/javascript; charset=utf-8", js) }))
        .route("/page.svg", get(move || async move { file("image/svg+xml", svg) }))
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // Another version of the program has another page.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
