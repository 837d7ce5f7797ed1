//! All entries of a region as lines of JSON, out and in: for copies, moves and warm starts.
//!
//! ```text
//! {"key": "a", "value": [1], "content_type": "application/json", "ttl_seconds": 59.9, "tags": ["t"], "metadata": {"by": "job 7"}}
//! {"key": "b", "base64": "AP8=", "content_type": "image/png", "ttl_seconds": null, "tags": []}
//! ```
//!
//! Both ways go entry by entry: neither side ever holds more than a few of them, but for the keys that are still to be told.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cache_core::{Key, Ttl};
use futures_util::stream;
use http_body_util::BodyExt;
use schemars::JsonSchema;
use serde::Serialize;
use strata::Options;
use tokio::time::timeout;

use super::answer::Answer;
use super::entry::{EntryIn, EntryOut};
use super::extract::{Bare, InRegion, NoParams};
use super::json::{self, Object};
use super::openapi::Description;
use super::route::Input;
use crate::app::App;
use crate::blob::Blob;
use crate::problem::Problem;
use crate::regions::BlobCache;

/// Lines of JSON, each an object.
pub(super) const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// How many lines there will be, give or take what ends or goes meanwhile, so that a client can show how far it is.
const TOTAL: HeaderName = HeaderName::from_static("x-total-count");

/// The entries that are written at once.
const AT_ONCE: usize = 128;

#[derive(Serialize)]
struct Line<'a> {
    key: &'a str,
    #[serde(flatten)]
    entry: EntryOut,
    tags: Vec<&'a str>,
}

pub(super) fn describe_export(operation: &mut Description<'_>) {
    operation.answers_bytes(200, "lines of JSON", "application/x-ndjson");
    operation.with_header(
        200,
        "X-Total-Count",
        "how many lines there will be, give or take what goes meanwhile",
    );
}

pub(super) fn describe_import(operation: &mut Description<'_>) {
    operation.takes_lines("lines of JSON, as an export has them, in whatever type");
    operation.fails(&[400, 408, 413]);
}

/// The lines are described by [`describe_import`].
impl Input for Request {
    fn describe(_: &mut Description<'_>) {}
}

/// Tells all that memory holds. What is stored, changed or removed meanwhile may be told as it was or as it is, each entry as a whole.
pub(super) async fn export(_: Bare, InRegion(cache): InRegion) -> Response {
    let mut keys = Vec::new();
    cache.memory().for_each(|found| keys.push(found.key().clone()));
    let total = keys.len();
    let lines = stream::unfold((cache, keys), |(cache, mut keys)| async move {
        let mut lines = Vec::new();
        while lines.is_empty() {
            if keys.is_empty() {
                return None;
            }
            for key in keys.split_off(keys.len().saturating_sub(AT_ONCE)) {
                write(&cache, &key, &mut lines);
            }
        }
        // Others are served meanwhile, however fast the client takes them.
        tokio::task::yield_now().await;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(lines)), (cache, keys)))
    });
    let headers = [(CONTENT_TYPE, LINES), (TOTAL, HeaderValue::from(total))];
    (headers, Body::from_stream(lines)).into_response()
}

/// Writes what is fresh under this key: what is stale has no life to be stored with.
fn write(cache: &BlobCache, key: &Key, lines: &mut Vec<u8>) {
    let Some(hit) = cache.peek(key).filter(|hit| !hit.is_stale()) else { return };
    let tags = cache.memory().peek_with(key, |found| found.tags().clone()).unwrap_or_default();
    let entry = EntryOut::new(&hit, cache.memory().clock().now());
    let tags = tags.iter().map(cache_core::Tag::as_str).collect();
    let before = lines.len();
    if serde_json::to_writer(&mut *lines, &Line { key: key.as_str(), entry, tags }).is_ok() {
        lines.push(b'\n');
    } else {
        lines.truncate(before);
    }
}

/// What has become of an import.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ImportedBody {
    /// Lines that were read.
    lines: u64,
    /// Entries that were stored.
    stored: u64,
}

/// Stores line after line, as [`export`] writes them, or as `set-many` takes its entries. The first line that is wrong ends it; what stood
/// before that is stored.
pub(super) async fn import(
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    _: NoParams,
    request: Request,
) -> Result<Answer<ImportedBody>, Problem> {
    read(&app, &cache, request.into_body(), &|_| {}).await.map(Answer)
}

/// Stores the lines of a warmer, and tells how many more there were.
pub(crate) async fn load(
    app: &App,
    cache: &BlobCache,
    lines: Body,
    told: &(dyn Fn(u64) + Sync),
) -> Result<(), String> {
    read(app, cache, lines, told).await.map(drop).map_err(|problem| problem.told())
}

async fn read(
    app: &App,
    cache: &BlobCache,
    mut body: Body,
    told: &(dyn Fn(u64) + Sync),
) -> Result<ImportedBody, Problem> {
    let mut import = Import { app, cache, told, lines: 0, stored: 0, batch: Vec::new() };
    let mut rest = Vec::new();
    loop {
        let late = |_| {
            let detail = format!("nothing has come for {:?}; {:?}", app.body_timeout, import.body());
            Problem::new(StatusCode::REQUEST_TIMEOUT, detail).with_header("connection", "close")
        };
        let Some(frame) = timeout(app.body_timeout, body.frame()).await.map_err(late)? else { break };
        let broken = |_| Problem::bad_request("the body broke off, or its transfer encoding is not right");
        let frame = frame.map_err(broken)?;
        rest.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
        let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else {
            import.check_length(&rest, import.lines + 1)?;
            continue;
        };
        let tail = rest.split_off(end + 1);
        for line in rest.split(|byte| *byte == b'\n') {
            import.take(line).await?;
        }
        // What has come is stored before more is waited for.
        import.store().await?;
        rest = tail;
    }
    import.take(&rest).await?;
    import.store().await?;
    Ok(import.body())
}

/// Lines on their way in: a tier below memory is told in batches, as one call for each would take as long as all of them.
struct Import<'a> {
    app: &'a App,
    cache: &'a BlobCache,
    /// Hears how many more lines are done.
    told: &'a (dyn Fn(u64) + Sync),
    lines: u64,
    stored: u64,
    batch: Vec<(Key, Blob, Options)>,
}

impl Import<'_> {
    fn body(&self) -> ImportedBody {
        ImportedBody { lines: self.lines, stored: self.stored }
    }

    /// Takes a line in. Before a wrong one, what stands in front of it is stored.
    async fn take(&mut self, line: &[u8]) -> Result<(), Problem> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        self.lines += 1;
        match self.entry(line) {
            Ok(Some(entry)) => self.batch.push(entry),
            Ok(None) => (self.told)(1),
            Err(problem) => {
                self.store().await?;
                return Err(problem);
            }
        }
        if self.batch.len() >= AT_ONCE { self.store().await } else { Ok(()) }
    }

    /// The entry that a line says; none if there is no room for it, or it has ended since it was written down, and stays so.
    fn entry(&self, line: &[u8]) -> Result<Option<(Key, Blob, Options)>, Problem> {
        let number = self.lines;
        self.check_length(line, number)?;
        let at = |field: &str| format!("line {number}: {field}");
        let entry = json::read::<Object<EntryIn>>(line).map_err(|problem| problem.at(&at("")))?;
        let (key, blob, options) = entry.0.check(&self.app.presets(), &at)?;
        let is_wanted =
            self.app.regions.has_room(self.cache, &key, &blob) && options.ttl() != Some(Ttl::ZERO);
        Ok(is_wanted.then_some((key, blob, options)))
    }

    async fn store(&mut self) -> Result<(), Problem> {
        let batch = std::mem::take(&mut self.batch);
        let lines = batch.len() as u64;
        self.stored += self.app.regions.insert_many(self.cache, batch).await?;
        (self.told)(lines);
        Ok(())
    }

    fn check_length(&self, line: &[u8], number: u64) -> Result<(), Problem> {
        let limit = self.app.body_limit_bytes;
        let detail = || format!("line {number} has more than {limit} bytes, the limit (body_limit_bytes)");
        if line.len() > limit { Err(Problem::too_large(detail())) } else { Ok(()) }
    }
}
