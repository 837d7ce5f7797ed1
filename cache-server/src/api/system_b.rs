//! The names that users of an earlier system know: its metrics and its invalidation, over the same regions.

use std::sync::Arc;

use axum::extract::State;
use cache_core::Tag;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::body::Structured;
use super::extract::{NoParams, find_region};
use super::openapi::TEXT;
use super::{entries, groups};
use crate::app::App;
use crate::config::DEFAULT_REGION;
use crate::insight::Traffic;
use crate::problem::Problem;

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Answer<Traffic> {
    Answer(Traffic::of(&app))
}

/// What to remove. Without a region: keys, tags and prefix in the default one, `all` in every one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = something()))]
pub(super) struct InvalidateBody {
    #[serde(default)]
    #[schemars(length(max = 10_000), inner(length(min = 1, max = 1024), regex(pattern = TEXT)))]
    keys: Vec<String>,
    #[serde(default)]
    #[schemars(length(max = 10_000), inner(length(min = 1, max = 256), regex(pattern = TEXT)))]
    tags: Vec<String>,
    #[schemars(length(min = 1))]
    prefix: Option<String>,
    region: Option<String>,
    #[serde(default)]
    all: bool,
}

/// There has to be something to invalidate.
fn something() -> serde_json::Value {
    serde_json::json!([
        {"required": ["keys"], "properties": {"keys": {"minItems": 1}}},
        {"required": ["tags"], "properties": {"tags": {"minItems": 1}}},
        {"required": ["prefix"], "properties": {"prefix": {"type": "string"}}},
        {"required": ["all"], "properties": {"all": {"const": true}}},
    ])
}

/// How many entries went, by what was asked.
#[derive(Debug, Default, JsonSchema, Serialize)]
pub(super) struct InvalidatedBody {
    removed: u64,
    by_keys: u64,
    by_tags: u64,
    by_prefix: u64,
    by_all: u64,
}

pub(super) async fn invalidate(
    State(app): State<Arc<App>>,
    _: NoParams,
    Structured(body): Structured<InvalidateBody>,
) -> Result<Answer<InvalidatedBody>, Problem> {
    if body.keys.is_empty() && body.tags.is_empty() && body.prefix.is_none() && !body.all {
        return Err(Problem::bad_request("say what to invalidate: keys, tags, prefix or all"));
    }
    let keys = entries::keys(&body.keys, "keys")?;
    let tags = tags(&body.tags)?;
    body.prefix.as_deref().map_or(Ok(()), groups::check_prefix)?;
    let cache = find_region(&app, body.region.as_deref().unwrap_or(DEFAULT_REGION))?;

    let mut counts = InvalidatedBody {
        by_keys: app.regions.remove_keys(&cache, &keys).await?,
        ..InvalidatedBody::default()
    };
    for tag in &tags {
        counts.by_tags += app.regions.remove_tag(&cache, tag).await?;
    }
    if let Some(prefix) = &body.prefix {
        counts.by_prefix = app.regions.remove_prefix(&cache, prefix, || {}).await?;
    }
    let cleared = match (body.all, &body.region) {
        (false, _) => Vec::new(),
        (true, Some(_)) => vec![cache],
        (true, None) => app.regions.all(),
    };
    for cache in cleared {
        counts.by_all += app.regions.clear(&cache).await?;
    }
    counts.removed = counts.by_keys + counts.by_tags + counts.by_prefix + counts.by_all;
    Ok(Answer(counts))
}

fn tags(texts: &[String]) -> Result<Vec<Tag>, Problem> {
    if texts.len() > super::MAX_KEYS {
        return Err(entries::too_many("tags", texts.len()));
    }
    let tag = |(at, text): (usize, &String)| {
        Tag::new(text).map_err(|error| Problem::field(format!("tags[{at}]"), error.to_string()))
    };
    texts.iter().enumerate().map(tag).collect()
}
