//! The document of the API, as it is asked for.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::body::JSON;
use super::extract::NoParams;
use super::openapi::{self, Description};
use super::route::Input;
use crate::admin::IsAdmin;

/// Made once: what a program serves does not change while it runs.
static DOCUMENT: LazyLock<Bytes> =
    LazyLock::new(|| openapi::document(&super::routes(None)).to_string().into());

/// Of a port on which acts of administrators are not answered.
static DOCUMENT_APART: LazyLock<Bytes> =
    LazyLock::new(|| openapi::document(&super::routes(None).without_admin()).to_string().into());

pub(super) async fn document(IsAdmin(is_admin): IsAdmin, _: NoParams) -> Response {
    let document = if is_admin { &DOCUMENT } else { &DOCUMENT_APART };
    // Another version of the program has another document.
    (
        [(CONTENT_TYPE, JSON), (CACHE_CONTROL, axum::http::HeaderValue::from_static("no-cache"))],
        Bytes::clone(document),
    )
        .into_response()
}

impl Input for IsAdmin {
    fn describe(_: &mut Description<'_>) {}
}

pub(super) fn describe_document(operation: &mut Description<'_>) {
    operation.answers_bytes(200, "an OpenAPI 3.1 document", "application/json");
}
