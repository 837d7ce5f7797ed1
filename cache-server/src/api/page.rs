//! The pages, of the figures and of the API: files inside the program, which ask nothing of anybody else.
//!
//! They hold no data, so that they are open to everyone: what they show they ask for with the token of whoever looks. Scripts
//! and styles come from here alone, and none stands in the document, so that a key cannot become one.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};

use super::openapi::Description;
use super::route::{Routes, get};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

pub(super) fn routes() -> Routes {
    let html = include_str!("../page/index.html");
    let (css, js, svg) =
        (include_str!("../page/page.css"), include_str!("../page/page.js"), include_str!("../page/page.svg"));
    let docs = include_str!("../page/docs.html");
    let (docs_css, docs_js) = (include_str!("../page/docs.css"), include_str!("../page/docs.js"));
    Routes::default()
        .route("/", get(move || async move { file(HTML, html) }, "The page").also(describe_html))
        .route(
            "/docs",
            get(move || async move { file(HTML, docs) }, "The API, to read and to try").also(describe_html),
        )
        .route("/page.css", get(move || async move { file(CSS, css) }, "Of both pages").also(describe_css))
        .route(
            "/docs.css",
            get(move || async move { file(CSS, docs_css) }, "Of the page of the API").also(describe_css),
        )
        .route("/page.js", get(move || async move { file(JS, js) }, "Of the page").also(describe_js))
        .route(
            "/docs.js",
            get(move || async move { file(JS, docs_js) }, "Of the page of the API").also(describe_js),
        )
        .route("/page.svg", get(move || async move { file(SVG, svg) }, "Of both pages").also(describe_svg))
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

fn describe_html(operation: &mut Description<'_>) {
    operation.answers_bytes(200, "a page", "text/html");
}

fn describe_css(operation: &mut Description<'_>) {
    operation.answers_bytes(200, "a style sheet", "text/css");
}

fn describe_js(operation: &mut Description<'_>) {
    operation.answers_bytes(200, "a script", "text/javascript");
}

fn describe_svg(operation: &mut Description<'_>) {
    operation.answers_bytes(200, "a picture", SVG);
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
