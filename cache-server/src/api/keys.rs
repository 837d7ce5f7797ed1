//! The keys of a region, page by page in their order.
//!
//! A page is the smallest keys after the cursor, and the cursor is the last key of the page before. So a key that is there from
//! the first page to the last is shown exactly once, no key is shown twice, and nothing is kept between pages: a cursor holds
//! for ever, also after its key is gone. The price is a walk of the region for each page, in slices that let others pass, in
//! memory for one page.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cache_core::{Key, Time, Ttl};
use cache_memory::Found;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strata::Kept;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::answer::Answer;
use super::extract::{InRegion, Params};
use super::lifetime;
use crate::app::App;
use crate::blob::Blob;
use crate::problem::Problem;
use crate::regions::BlobCache;

/// The most keys of a page, and how many it has if nobody says.
const MAX_PAGE: usize = 1000;
const PAGE: usize = 100;

/// What a cursor looks like: URL-safe base64 without padding.
const CURSOR: &str = "^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])?$";

/// How many regions are walked at once; further requests wait for their turn.
const MAX_WALKS: usize = 2;

/// The turns of those who walk a region.
#[derive(Debug)]
pub(crate) struct Walks(Semaphore);

impl Walks {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(MAX_WALKS))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeysParams {
    /// What `next` of the page before says; nothing for the first page.
    #[schemars(regex(pattern = CURSOR))]
    cursor: Option<String>,
    /// The most keys of the page; 100 if it is not said.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// What the keys begin with.
    #[serde(default)]
    prefix: String,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct KeysBody {
    keys: Vec<KeyBody>,
    /// Where the next page begins; nothing if this is the last one.
    next: Option<String>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct KeyBody {
    key: String,
    /// What the entry weighs against its region's limit.
    bytes: u64,
    content_type: String,
    ttl_seconds: Option<f64>,
    tags: Vec<String>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    Params(params): Params<KeysParams>,
) -> Result<Answer<KeysBody>, Problem> {
    let after = params.cursor.as_deref().map(read_cursor).transpose()?;
    let limit = params.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::field("limit", format!("a page has 1 to {MAX_PAGE} keys")));
    }
    let failed = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the keys cannot be listed now; try again");
    let _turn = app.walks.0.acquire().await.map_err(|_| failed())?;
    // A walk of a million keys takes a tenth of a second, for which no other request should wait.
    let walk = spawn_blocking(move || page(&cache, (after.as_deref(), &params.prefix), limit));
    walk.await.map(Answer).map_err(|_| failed())
}

/// The first `limit` keys with the prefix, of those after `after`.
fn page(cache: &BlobCache, (after, prefix): (Option<&[u8]>, &str), limit: usize) -> KeysBody {
    let now = cache.memory().clock().now();
    // The largest is on top, to make way for a smaller one. One more than asked for tells whether there is another page.
    let mut smallest: BinaryHeap<Ordered> = BinaryHeap::with_capacity(limit + 2);
    cache.memory().for_each(|found| {
        let key = found.key().as_str();
        let is_wanted = after.is_none_or(|after| key.as_bytes() > after) && key.starts_with(prefix);
        let has_place =
            || smallest.len() <= limit || smallest.peek().is_some_and(|last| key < last.0.key.as_str());
        if is_wanted && has_place() {
            smallest.push(Ordered(KeyBody::of(&found, now)));
            if smallest.len() > limit + 1 {
                smallest.pop();
            }
        }
    });
    let mut keys: Vec<KeyBody> = smallest.into_sorted_vec().into_iter().map(|Ordered(key)| key).collect();
    // An entry that is replaced while it is walked past may be met again in its new place.
    keys.dedup_by(|one, other| one.key == other.key);
    let has_more = keys.len() > limit;
    keys.truncate(limit);
    let next = keys.last().filter(|_| has_more).map(|last| URL_SAFE_NO_PAD.encode(&last.key));
    KeysBody { keys, next }
}

fn read_cursor(text: &str) -> Result<Vec<u8>, Problem> {
    let key = URL_SAFE_NO_PAD.decode(text).ok();
    let detail = "not a cursor; take it from next of the page before, or leave it out for the first page";
    key.ok_or_else(|| Problem::field("cursor", detail))
}

impl KeyBody {
    fn of(found: &Found<'_, Key, Kept<Blob>>, now: Time) -> Self {
        Self {
            key: found.key().as_str().to_owned(),
            bytes: found.bytes(),
            content_type: found.value().value().content_type.to_str().unwrap_or_default().to_owned(),
            ttl_seconds: lifetime::seconds(Ttl::between(
                now,
                found.value().fresh_until().unwrap_or(found.expires()),
            )),
            tags: found.tags().into_iter().map(|tag| tag.as_str().to_owned()).collect(),
        }
    }
}

/// In the order of its key.
struct Ordered(KeyBody);

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key.cmp(&other.0.key)
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for Ordered {}
