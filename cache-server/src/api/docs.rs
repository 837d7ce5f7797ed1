//! The document of the API, as it is asked for.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::body::JSON;
use super::extract::NoParams;
use super::openapi::{self, Description};

/// Made once: what a program serves does not change while it runs.
static DOCUMENT: LazyLock<Bytes> =
    LazyLock::new(|| openapi::document(&super::routes(None)).to_string().into());

pub(super) async fn document(_: NoParams) -> Response {
    // Another version of the program has another document.
    (
        [(CONTENT_TYPE, JSON), (CACHE_CONTROL, axum::http::HeaderValue::from_static("no-cache"))],
        DOCUMENT.clone(),
    )
        .into_response()
}

pub(super) fn describe_document(operation: &mut Description<'_>) {
    operation.answers_bytes(200, "an OpenAPI 3.1 document", "application/json");
}
