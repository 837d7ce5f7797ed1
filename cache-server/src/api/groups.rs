//! Groups of entries: by list, by tag, by prefix, and all of a region.

use std::sync::Arc;

use axum::extract::State;
use cache_core::Pattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::body::Structured;
use super::entries::{self, RemovedBody};
use super::extract::{Bare, InRegion, NoParams, OneTag, Params};
use super::get_many::KeysBody;
use super::progress::Progress;
use crate::app::App;
use crate::problem::Problem;

type Removed = Result<Answer<RemovedBody>, Problem>;

fn answer(removed: u64) -> Answer<RemovedBody> {
    Answer(RemovedBody { removed })
}

pub(super) async fn delete_many(
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    _: NoParams,
    Structured(body): Structured<KeysBody>,
) -> Removed {
    let keys = entries::keys(&body.keys, "keys")?;
    Ok(answer(app.regions.remove_keys(&cache, &keys).await?))
}

pub(super) async fn remove_tag(
    _: Bare,
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    OneTag(tag): OneTag,
) -> Removed {
    Ok(answer(app.regions.remove_tag(&cache, &tag).await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PrefixParams {
    /// What the keys begin with.
    #[schemars(length(min = 1), required)]
    prefix: Option<String>,
}

pub(super) async fn remove_prefix(
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    Params(params): Params<PrefixParams>,
    progress: Progress,
) -> Removed {
    let prefix = params.prefix.unwrap_or_default();
    check_prefix(&prefix)?;
    progress.begin(cache.memory().len());
    let looked_at = progress.clone();
    let removed = app.regions.remove_prefix(&cache, &prefix, move || looked_at.add(1)).await?;
    Ok(answer(removed))
}

/// A glob: see [`Pattern`].
const GLOB: &str =
    r"^([^\[\\]|\\[\s\S]|\[(\^(\\[\s\S]|[^\]\\])+|(\\[\s\S]|[^\]\\^])(\\[\s\S]|[^\]\\])*)\])+$";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatternParams {
    /// What the whole key is like: `*` any number of characters, `?` one, `[a-z]` and `[^a-z]` one of a class, and a backslash before one that means
    /// itself.
    #[schemars(length(min = 1, max = 1024), regex(pattern = GLOB), required)]
    pattern: Option<String>,
}

pub(super) async fn remove_pattern(
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    Params(params): Params<PatternParams>,
    progress: Progress,
) -> Removed {
    let text = params.pattern.unwrap_or_default();
    if text.is_empty() {
        return Err(Problem::field(
            "pattern",
            "a pattern needs at least one character, such as user:*:profile",
        ));
    }
    let pattern = Pattern::new(text).map_err(|error| Problem::field("pattern", error.to_string()))?;
    progress.begin(cache.memory().len());
    let looked_at = progress.clone();
    let removed = app.regions.remove_pattern(&cache, &pattern, move || looked_at.add(1)).await?;
    Ok(answer(removed))
}

/// An empty prefix would remove everything, which is more often a mistake than meant.
pub(super) fn check_prefix(prefix: &str) -> Result<(), Problem> {
    let detail = "a prefix needs at least one character; to remove everything, POST to .../clear";
    (!prefix.is_empty()).then_some(()).ok_or_else(|| Problem::field("prefix", detail))
}

pub(super) async fn clear(
    _: Bare,
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    progress: Progress,
) -> Removed {
    progress.begin(cache.memory().len());
    let removed = app.regions.clear(&cache).await?;
    progress.at(removed);
    Ok(answer(removed))
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct TaggedBody {
    /// In order, at most 10,000.
    keys: Vec<String>,
    /// How many there are.
    count: usize,
    /// Whether `keys` leaves some out.
    truncated: bool,
}

pub(super) async fn keys_with_tag(InRegion(cache): InRegion, OneTag(tag): OneTag) -> Answer<TaggedBody> {
    let (mut keys, mut count) = (Vec::new(), 0);
    cache.memory().for_each(|found| {
        if found.tags().contains(tag.as_str()) {
            count += 1;
            if keys.len() < super::MAX_KEYS {
                keys.push(found.key().as_str().to_owned());
            }
        }
    });
    keys.sort_unstable();
    Answer(TaggedBody { truncated: count > keys.len(), count, keys })
}
