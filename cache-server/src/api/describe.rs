//! What is known of one entry besides its value.

use std::sync::Arc;

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::Answer;
use super::entries;
use super::entry::{SaidOut, State as Age};
use super::extract::{EntryKey, InRegion, NoParams};
use super::lifetime;
use crate::app::App;
use crate::problem::Problem;

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct DescriptionBody {
    content_type: String,
    etag: String,
    /// Of the value.
    bytes: usize,
    /// What it counts for against the limit of its region.
    weight_bytes: Option<u64>,
    /// Nothing if the entry does not end by time.
    ttl_seconds: Option<f64>,
    state: Age,
    tags: Vec<String>,
    #[serde(flatten)]
    said: SaidOut,
}

/// Counts neither as a read nor as a use, if memory has the entry.
pub(super) async fn describe(
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    EntryKey(key): EntryKey,
    _: NoParams,
) -> Result<Answer<DescriptionBody>, Problem> {
    let hit = entries::look(&app, &cache, &key).await?.ok_or_else(entries::miss)?;
    let held = cache.memory().peek_with(&key, |found| (found.tags().clone(), found.bytes()));
    let (tags, weight_bytes) = held.unzip();
    let tags = tags.iter().flatten().map(|tag| tag.as_str().to_owned()).collect();
    Ok(Answer(DescriptionBody {
        content_type: String::from_utf8_lossy(hit.content_type.as_bytes()).into_owned(),
        etag: hit.etag().to_string(),
        bytes: hit.bytes.len(),
        weight_bytes,
        ttl_seconds: lifetime::seconds(hit.remaining(app.clock.now())),
        state: Age::of(&hit),
        tags,
        said: SaidOut::new(&hit),
    }))
}
