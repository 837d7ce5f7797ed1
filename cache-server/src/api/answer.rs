//! Structured answers: JSON, or `MessagePack` for who asks for it.
//!
//! A route whose handler answers with [`Answer`] is wrapped in [`negotiate`], which reads `Accept` before anything is done; the answer is then
//! written in what was agreed on. All other routes, such as those of raw values, never pass here.

use std::cmp::Ordering;

use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::body::JSON;
use crate::problem::Problem;

/// What is sent as `MessagePack` is called so.
const MSGPACK: HeaderValue = HeaderValue::from_static("application/msgpack");

/// What it is called by those who ask: the usual name, an older one, and the registered one.
pub(super) const MSGPACK_NAMES: [&str; 3] =
    ["application/msgpack", "application/x-msgpack", "application/vnd.msgpack"];

tokio::task_local! {
    /// Set where `MessagePack` was agreed on, and nowhere else: the usual answer pays nothing for it.
    static AS_MSGPACK: ();
}

/// Whether the answer that is being made goes out as `MessagePack`.
pub(super) fn is_msgpack() -> bool {
    AS_MSGPACK.try_with(|()| ()).is_ok()
}

/// An answer of this structure, with the status 200.
#[derive(Debug)]
pub(super) struct Answer<T>(pub(super) T);

/// The same with the status 201.
#[derive(Debug)]
pub(super) struct Created<T>(pub(super) T);

/// Done, and nothing to be said about it: the status 204.
#[derive(Debug)]
pub(super) struct NoContent;

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let (content_type, written) = if is_msgpack() {
            (MSGPACK, rmp_serde::to_vec_named(&self.0).map_err(|error| error.to_string()))
        } else {
            (JSON, serde_json::to_vec(&self.0).map_err(|error| error.to_string()))
        };
        match written {
            Ok(bytes) => ([(CONTENT_TYPE, content_type)], bytes).into_response(),
            Err(error) => {
                tracing::error!(error, "an answer cannot be written");
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written")
                    .into_response()
            }
        }
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Answer(self.0)).into_response()
    }
}

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// Settles on a form for the answer, or refuses before anything has changed.
pub(super) async fn negotiate(request: Request, next: Next) -> Response {
    let mut response = match Form::wanted(request.headers()) {
        Some(Form::Json) => next.run(request).await,
        Some(Form::Msgpack) => AS_MSGPACK.scope((), next.run(request)).await,
        None => {
            let detail = "this route answers in application/json or application/msgpack; the Accept header allows neither";
            Problem::new(StatusCode::NOT_ACCEPTABLE, detail).into_response()
        }
    };
    response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
    response
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Msgpack,
}

impl Form {
    /// What the client likes best (RFC 9110, 12.5.1); JSON if he likes both as well, or says nothing.
    fn wanted(headers: &HeaderMap) -> Option<Self> {
        let mut ranges = headers.get_all(ACCEPT).iter().peekable();
        if ranges.peek().is_none() {
            return Some(Self::Json);
        }
        let ranges: Vec<Range<'_>> = ranges
            .flat_map(|value| value.to_str().unwrap_or_default().split(','))
            .filter(|range| !range.trim().is_empty())
            .map(Range::read)
            .collect();
        let weight = |names: &[&str]| names.iter().map(|name| weight(&ranges, name)).fold(0.0, f32::max);
        let (json, msgpack) = (weight(&["application/json"]), weight(&MSGPACK_NAMES));
        match json.partial_cmp(&msgpack) {
            _ if ranges.is_empty() => Some(Self::Json),
            Some(Ordering::Less) => Some(Self::Msgpack),
            _ => (json > 0.0).then_some(Self::Json),
        }
    }
}

/// One of the media ranges that a client takes, and how gladly.
struct Range<'a> {
    name: &'a str,
    weight: f32,
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Self { name, weight: weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)) }
    }

    /// How closely it names this type; nothing if it does not.
    fn closeness(&self, name: &str) -> Option<u8> {
        match self.name {
            "*/*" => Some(0),
            "application/*" => Some(1),
            named => named.eq_ignore_ascii_case(name).then_some(2),
        }
    }
}

/// The weight of the range that names this type most closely.
fn weight(ranges: &[Range<'_>], name: &str) -> f32 {
    let named = ranges.iter().filter_map(|range| Some((range.closeness(name)?, range.weight)));
    named.max_by_key(|(closeness, _)| *closeness).map_or(0.0, |(_, weight)| weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, expected: Option<Form>) {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_str(accept).expect("visible"))]);
        assert_eq!(Form::wanted(&headers), expected, "{accept}");
    }

    #[test]
    fn the_client_gets_what_he_likes_best_of_what_there_is() {
        assert_eq!(Form::wanted(&HeaderMap::new()), Some(Form::Json));
        check("", Some(Form::Json));
        check("*/*", Some(Form::Json));
        check("text/html, application/*;q=0.5", Some(Form::Json));
        check("application/json, application/msgpack", Some(Form::Json));
        check("application/json;q=0.5, application/msgpack", Some(Form::Msgpack));
        check("APPLICATION/x-msgpack", Some(Form::Msgpack));
        check("application/msgpack;q=0, */*", Some(Form::Json));
        check("application/json;q=0, */*", Some(Form::Msgpack));
        check("text/html", None);
        check("application/json;q=0", None);
        check("application/json;q=much", None);
    }
}
