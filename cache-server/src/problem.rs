//! Problems: the one form of every error that leaves the server (RFC 9457).
//!
//! A problem says what is wrong, with which field, and what would be right. It never repeats a stored value, a body or
//! a token.

use std::borrow::Cow;

use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An error, as a client sees it.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    field: Option<String>,
    header: Option<(&'static str, HeaderValue)>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), field: None, header: None }
    }

    /// A request that says something wrong.
    pub(crate) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// A request that says something wrong in a field.
    pub(crate) fn field(field: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::bad_request(detail).with_field(field)
    }

    pub(crate) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(crate) fn too_large(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    pub(crate) fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// What is wrong and where, as a line of text.
    pub(crate) fn told(&self) -> String {
        let place = self.field.as_ref().map(|field| format!("{field}: "));
        format!("{}{}", place.unwrap_or_default(), self.detail)
    }

    /// Says where it is, in front of what it is.
    pub(crate) fn at(mut self, place: &str) -> Self {
        self.detail = format!("{place}{}", self.detail).into();
        self
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.header = Some((name, HeaderValue::from_static(value)));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
        };
        let text = serde_json::to_string(&body).unwrap_or_default();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = self.header {
            headers.insert(name, value);
        }
        (self.status, headers, text).into_response()
    }
}

impl From<strata::Error> for Problem {
    /// No tier fails its caller; whatever comes is not the client's fault.
    fn from(error: strata::Error) -> Self {
        tracing::error!(%error, "the cache failed");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the cache cannot do this now; try again")
    }
}

/// Makes a problem of an error that is not one yet, such as the router's own for an unknown path.
pub(crate) fn uniform(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || response.headers().get(CONTENT_TYPE) == Some(&PROBLEM_JSON) {
        return response;
    }
    let detail = match status {
        StatusCode::NOT_FOUND => "there is no such route; the API begins at /v1",
        StatusCode::METHOD_NOT_ALLOWED => "this route does not know this method; see the Allow header",
        _ => "the request cannot be answered",
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.remove(CONTENT_TYPE);
    let (problem, body) = Problem::new(status, detail).into_response().into_parts();
    parts.headers.extend(problem.headers);
    Response::from_parts(parts, body)
}
