//! One entry: read it, look at it, store it, give it a new life, remove it.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use cache_core::{Key, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strata::{Hit, Inserted};

use super::answer::{Answer, NoContent};
use super::body::{self, OCTETS, Structured, Upload};
use super::conditions::Conditions;
use super::extract::{Bare, EntryKey, InRegion, NoParams, Params};
use super::json;
use super::lease;
use super::lifetime::{self, Lifetime, PutParams};
use super::openapi::Description;
use crate::app::App;
use crate::blob::{Blob, Said};
use crate::log::Shown;
use crate::problem::Problem;
use crate::regions::{self, BlobCache};

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The path of an entry without its key.
pub(super) async fn no_key(EntryKey(_): EntryKey) {}

/// How many entries a request removed.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct RemovedBody {
    pub(super) removed: u64,
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    EntryKey(key): EntryKey,
    conditions: Conditions,
) -> Result<Response, Problem> {
    let found = app.regions.get(&cache, &key).await?;
    let mut response = self::found(&app, &cache, key.as_str(), found.as_ref())?;
    if found.is_some_and(|hit| conditions.has(&hit)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
    }
    Ok(response)
}

/// What a read has found, with its bytes.
pub(crate) fn found(
    app: &App,
    cache: &BlobCache,
    key: &str,
    found: Option<&Hit<Blob>>,
) -> Result<Response, Problem> {
    note(cache, key, found.is_some());
    let hit = found.ok_or_else(miss)?;
    let mut response = Response::new(Body::from(hit.bytes.clone()));
    *response.headers_mut() = describe(hit, app.clock.now());
    Ok(response)
}

/// Writes down that a key was found or not, for who looks for what happens to it.
pub(super) fn note(cache: &BlobCache, key: &str, is_hit: bool) {
    let event = if is_hit { "Cache HIT" } else { "Cache MISS" };
    tracing::debug!(region = cache.name(), key = %Shown(key), "{event}");
}

/// As [`get`] without the bytes. Counts neither as a read nor as a use, if memory has the entry.
pub(super) async fn head(
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    EntryKey(key): EntryKey,
    conditions: Conditions,
) -> Result<Response, Problem> {
    let hit = look(&app, &cache, &key).await?.ok_or_else(miss)?;
    let mut headers = describe(&hit, app.clock.now());
    if conditions.has(&hit) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(hit.bytes.len()));
    Ok(headers.into_response())
}

/// What is stored, without using it where memory has it.
pub(super) async fn look(app: &App, cache: &BlobCache, key: &Key) -> Result<Option<Hit<Blob>>, Problem> {
    match cache.peek(key) {
        Some(hit) if !hit.is_stale() => Ok(Some(hit)),
        _ if !app.regions.places().is_memory_alone() => Ok(app.regions.get(cache, key).await?),
        found => Ok(found),
    }
}

pub(super) fn miss() -> Problem {
    Problem::not_found("there is no entry of this key").with_header("x-cache", "miss")
}

fn describe(hit: &Hit<Blob>, now: Time) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, hit.content_type.clone());
    headers.insert(ETAG, header([&hit.etag().text()]));
    headers.insert(X_CACHE, HeaderValue::from_static(if hit.is_stale() { "stale" } else { "hit" }));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(left) = hit.remaining(now).finite() {
        headers.insert(
            CACHE_CONTROL,
            header([b"max-age=", itoa::Buffer::new().format(left.as_secs()).as_bytes()]),
        );
        if let Some(window) = hit.said().and_then(|said| said.stale) {
            describe_window(hit, (left, window), now, &mut headers);
        }
    }
    headers
}

/// Says for how long an entry answers as stale (RFC 5861) and, once it does, for how long it has (RFC 9211).
fn describe_window(
    hit: &Hit<Blob>,
    (left, window): (Duration, Duration),
    now: Time,
    headers: &mut HeaderMap,
) {
    let overdue = hit.overdue(now);
    let (fresh, stale) = (left.as_secs(), window.saturating_sub(overdue).as_secs());
    let control = format!("max-age={fresh}, stale-while-revalidate={stale}");
    headers.insert(CACHE_CONTROL, rare(control));
    if hit.is_stale() {
        let status = format!("strata; hit; ttl=-{}", overdue.as_secs());
        headers.insert(CACHE_STATUS, rare(status));
    }
}

fn rare(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// The longest of the texts that a hit has to write.
const SHORT_BYTES: usize = 32;

/// A short text as a header: put together on the stack, as every hit pays for it. A string would be allocated twice, and formatting costs as
/// much as the look into memory.
fn header<const PARTS: usize>(parts: [&[u8]; PARTS]) -> HeaderValue {
    let mut buffer = [0; SHORT_BYTES];
    let mut rest = &mut buffer[..];
    for part in parts {
        // What is too long is cut; nothing here is.
        let _ = rest.write(part);
    }
    let written = SHORT_BYTES - rest.len();
    HeaderValue::from_bytes(&buffer[..written]).unwrap_or(HeaderValue::from_static(""))
}

#[derive(Debug, JsonSchema, Serialize)]
struct StoredBody {
    result: &'static str,
}

/// Stores a body as it is.
pub(super) async fn put(
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    EntryKey(key): EntryKey,
    (Params(params), conditions): (Params<PutParams>, Conditions),
    upload: Upload,
) -> Result<Response, Problem> {
    let options = params.options(&app.presets())?;
    let content_type = upload.content_type.unwrap_or(OCTETS);
    if body::is_json(&content_type) {
        json::check(&upload.bytes)?;
    }
    let lease = match params.lease.as_deref() {
        Some(text) => Some(lease::read(text)?.ok_or_else(lease::overtaken)?),
        None => None,
    };
    let stale = options.stale_for().filter(|window| !window.is_zero());
    let said = Said { priority: options.priority().unwrap_or_default(), stale, ..Said::default() };
    let blob = Blob::new(upload.bytes, content_type, regions::tag_bytes(options.tags())).with_said(said);
    if !app.regions.has_room(&cache, &key, &blob) {
        return Err(too_large(&cache));
    }
    let _turn = app.regions.turn(&cache, &key).await;
    let existed = if conditions.are_none() {
        cache.contains(&key).await?
    } else {
        let stored = look(&app, &cache, &key).await?;
        conditions.check(stored.as_deref())?;
        stored.is_some()
    };
    let inserted = app.regions.insert_under(&cache, lease.as_ref(), (key, blob), options).await?;
    let (status, result) = match inserted {
        Inserted::Stored if existed => (StatusCode::NO_CONTENT, "replaced"),
        Inserted::Stored => (StatusCode::CREATED, "stored"),
        // A life of zero is legal, and keeps nothing.
        Inserted::Expired => (StatusCode::NO_CONTENT, "expired"),
        Inserted::Refused if lease.is_some() => return Err(lease::overtaken()),
        Inserted::TooLarge | Inserted::NoRoom | Inserted::Refused => return Err(too_large(&cache)),
    };
    let headers = [(X_CACHE, HeaderValue::from_static(result))];
    Ok(match status {
        StatusCode::CREATED => (status, headers, Answer(StoredBody { result })).into_response(),
        _ => (status, headers).into_response(),
    })
}

/// What [`get`] answers with, for the document.
pub(super) fn describe_get(operation: &mut Description<'_>) {
    operation.answers_bytes(200, "the value, of the type that it was stored with", "*/*");
    operation.answers_nothing(304, "what `If-None-Match` names is still what is stored");
    describe_found(operation);
}

/// What [`head`] answers with.
pub(super) fn describe_head(operation: &mut Description<'_>) {
    operation.answers_nothing(200, "what a GET would answer with, without the value");
    operation.answers_nothing(304, "what `If-None-Match` names is still what is stored");
    describe_found(operation);
}

fn describe_found(operation: &mut Description<'_>) {
    for status in [200, 304] {
        operation.with_header(status, "ETag", "what is stored, for conditions");
        operation.with_header(
            status,
            "X-Cache",
            "`hit`, or `stale` in its stale window or while Redis is away",
        );
        let control = "`max-age`: whole seconds left, if it ends by time; `stale-while-revalidate`: seconds after that for which it answers as stale, if it has a window";
        operation.with_header(status, "Cache-Control", control);
        operation.with_header(
            status,
            "Cache-Status",
            "`ttl`: since when it is stale, in seconds below zero, if it is",
        );
    }
    operation.fails(&[404]);
}

/// What [`put`] answers with.
pub(super) fn describe_put(operation: &mut Description<'_>) {
    operation.answers_json::<StoredBody>(201, "stored; there was none");
    operation.answers_nothing(204, "replaced, or of a life of zero");
    for status in [201, 204] {
        operation.with_header(status, "X-Cache", "`stored`, `replaced` or `expired`");
    }
    operation.fails(&[412]);
}

pub(super) fn too_large(cache: &BlobCache) -> Problem {
    let limit = cache.memory().max_bytes().unwrap_or(u64::MAX);
    Problem::too_large(format!(
        "the entry alone exceeds the limit of the region {:?}, which is {limit} bytes",
        cache.name()
    ))
}

/// A new life for an entry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TouchBody {
    ttl: Lifetime,
}

pub(super) async fn touch(
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    EntryKey(key): EntryKey,
    _: NoParams,
    Structured(body): Structured<TouchBody>,
) -> Result<NoContent, Problem> {
    let ttl = body.ttl.resolve(&app.presets(), "ttl")?;
    let found = app.regions.touch(&cache, &key, ttl).await?;
    found.then_some(NoContent).ok_or_else(miss)
}

pub(super) async fn remove(
    _: Bare,
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    EntryKey(key): EntryKey,
    conditions: Conditions,
) -> Result<Answer<RemovedBody>, Problem> {
    let _turn = app.regions.turn(&cache, &key).await;
    if !conditions.are_none() {
        conditions.check(look(&app, &cache, &key).await?.as_deref())?;
    }
    let removed = u64::from(app.regions.remove_key(&cache, &key).await?);
    Ok(Answer(RemovedBody { removed }))
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct TtlBody {
    /// Nothing if the entry does not end by time.
    ttl_seconds: Option<f64>,
}

pub(super) async fn ttl(
    InRegion(cache): InRegion,
    EntryKey(key): EntryKey,
) -> Result<Answer<TtlBody>, Problem> {
    let left = cache.ttl(&key).await?.ok_or_else(miss)?;
    Ok(Answer(TtlBody { ttl_seconds: lifetime::seconds(left) }))
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ExistsBody {
    exists: bool,
}

pub(super) async fn exists(
    InRegion(cache): InRegion,
    EntryKey(key): EntryKey,
) -> Result<Answer<ExistsBody>, Problem> {
    Ok(Answer(ExistsBody { exists: cache.contains(&key).await? }))
}

/// Checks the keys of a body: their number and each of them.
pub(super) fn keys(texts: &[String], field: &str) -> Result<Vec<Key>, Problem> {
    if texts.len() > super::MAX_KEYS {
        return Err(too_many(field, texts.len()));
    }
    let key = |(at, text): (usize, &String)| {
        Key::new(text).map_err(|error| Problem::field(format!("{field}[{at}]"), error.to_string()))
    };
    texts.iter().enumerate().map(key).collect()
}

pub(super) fn too_many(field: &str, given: usize) -> Problem {
    let limit = super::MAX_KEYS;
    Problem::too_large(format!("there are {given} {field}; at most {limit} are allowed in a call"))
        .with_field(field)
}
