//! Request bodies: bounded in size and in time, and copied out of the connection's buffer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::answer::MSGPACK_NAMES;
use super::json::{self, Object};
use super::msgpack;
use super::openapi::Description;
use super::route::Input;
use crate::app::App;
use crate::problem::Problem;

pub(super) const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How much room a declared length is given before anything has arrived.
const PROMISED_BYTES: usize = 16 << 10;

/// The longest content type that is kept.
const MAX_CONTENT_TYPE_BYTES: usize = 255;

/// A whole body, and what it says it is.
pub(super) struct Upload {
    pub(super) bytes: Bytes,
    pub(super) content_type: Option<HeaderValue>,
}

impl FromRequest<Arc<App>> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        refuse_encoded(&parts.headers)?;
        let content_type = parts.headers.get(CONTENT_TYPE).map(|value| own(value.as_bytes())).transpose()?;
        let declared =
            parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let bytes = read(app, body, declared).await?;
        Ok(Self { bytes, content_type })
    }
}

/// A structured body, JSON or `MessagePack`, checked as a whole before anything is done with it.
pub(super) struct Structured<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Structured<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let upload = Upload::from_request(request, app).await?;
        let read = match &upload.content_type {
            Some(named) if is_json(named) => json::read(&upload.bytes),
            Some(named) if is_msgpack(named) => msgpack::read(&upload.bytes),
            _ => {
                let detail = "this route takes application/json or application/msgpack; say which in the Content-Type header";
                return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
            }
        };
        read.map(|Object(body)| Self(body))
    }
}

/// A structured body that may be left out: then nothing is said in it.
pub(super) struct MaybeStructured<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<Arc<App>> for MaybeStructured<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        if request.body().is_end_stream() && !request.headers().contains_key(CONTENT_TYPE) {
            return Ok(Self(T::default()));
        }
        Structured::from_request(request, app).await.map(|Structured(body)| Self(body))
    }
}

impl<T: JsonSchema> Input for MaybeStructured<T> {
    fn describe(operation: &mut Description<'_>) {
        Structured::<T>::describe(operation);
        operation.may_be_without_body();
    }
}

/// Tells whether a content type is that of JSON, whatever its parameters.
pub(super) fn is_json(content_type: &HeaderValue) -> bool {
    essence(content_type).eq_ignore_ascii_case(JSON.as_bytes())
}

fn is_msgpack(content_type: &HeaderValue) -> bool {
    MSGPACK_NAMES.iter().any(|name| essence(content_type).eq_ignore_ascii_case(name.as_bytes()))
}

/// A media type without its parameters.
fn essence(content_type: &HeaderValue) -> &[u8] {
    content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// Makes a content type of a text. It owns its bytes: a slice of the connection's buffer would keep all of it alive.
pub(super) fn own(text: &[u8]) -> Result<HeaderValue, Problem> {
    let known = [OCTETS, JSON].into_iter().find(|known| known.as_bytes() == text);
    let legal = text.len() <= MAX_CONTENT_TYPE_BYTES && text.contains(&b'/') && text.is_ascii();
    let value = known.or_else(|| HeaderValue::from_bytes(text).ok().filter(|_| legal));
    let detail = "not a media type such as application/json, of at most 255 visible ASCII characters";
    value.ok_or_else(|| Problem::field("content_type", detail))
}

impl<T: JsonSchema> Input for Structured<T> {
    fn describe(operation: &mut Description<'_>) {
        operation.takes_body::<T>();
        operation.fails(&[400, 408, 413, 415]);
    }
}

impl Input for Upload {
    fn describe(operation: &mut Description<'_>) {
        operation.takes_bytes("*/*", "kept as it is, with its type");
        operation.fails(&[400, 408, 413, 415]);
    }
}

fn refuse_encoded(headers: &HeaderMap) -> Result<(), Problem> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let detail = "a body is stored as it is, without its Content-Encoding; send it unencoded";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    Ok(())
}

/// A body as it comes, within the limits of size and time.
pub(super) async fn read(app: &App, body: Body, declared: Option<usize>) -> Result<Bytes, Problem> {
    let limit = app.body_limit_bytes;
    if declared.is_some_and(|declared| declared > limit) {
        return Err(too_large(limit));
    }
    let late = |_| {
        let detail = format!("the body did not arrive within {:?}", app.body_timeout);
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail).with_header("connection", "close")
    };
    timeout(app.body_timeout, collect(body, declared.unwrap_or_default(), limit)).await.map_err(late)?
}

async fn collect(mut body: Body, expected: usize, limit: usize) -> Result<Bytes, Problem> {
    // A length is only a promise: room is made for what has arrived, and for little more.
    let mut collected = Vec::with_capacity(expected.min(PROMISED_BYTES));
    while let Some(frame) = body.frame().await {
        let broken = |_| Problem::bad_request("the body broke off, or its transfer encoding is not right");
        let frame = frame.map_err(broken)?;
        let Some(data) = frame.data_ref() else { continue };
        if collected.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        collected.extend_from_slice(data);
    }
    Ok(Bytes::from(collected.into_boxed_slice()))
}

fn too_large(limit: usize) -> Problem {
    Problem::too_large(format!("the body has more than {limit} bytes, which is the limit (body_limit_bytes)"))
}
