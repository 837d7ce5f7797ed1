//! Groups of entries: by list, by tag, by prefix, and all of a region.

use axum::Json as Answer;
use serde::{Deserialize, Serialize};

use super::body::Json;
use super::entries::{self, RemovedBody};
use super::extract::{Bare, InRegion, NoParams, OneTag, Params};
use super::get_many::KeysBody;
use crate::problem::Problem;

type Removed = Result<Answer<RemovedBody>, Problem>;

fn answer(removed: u64) -> Answer<RemovedBody> {
    Answer(RemovedBody { removed })
}

pub(super) async fn delete_many(
    InRegion(cache): InRegion,
    _: NoParams,
    Json(body): Json<KeysBody>,
) -> Removed {
    let keys = entries::keys(&body.keys, "keys")?;
    Ok(answer(cache.remove_many(&keys).await?))
}

pub(super) async fn remove_tag(_: Bare, InRegion(cache): InRegion, OneTag(tag): OneTag) -> Removed {
    Ok(answer(cache.remove_tag(tag.as_str()).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrefixParams {
    prefix: Option<String>,
}

pub(super) async fn remove_prefix(
    InRegion(cache): InRegion,
    Params(params): Params<PrefixParams>,
) -> Removed {
    let prefix = params.prefix.unwrap_or_default();
    check_prefix(&prefix)?;
    Ok(answer(cache.remove_prefix(&prefix).await?))
}

/// An empty prefix would remove everything, which is more often a mistake than meant.
pub(super) fn check_prefix(prefix: &str) -> Result<(), Problem> {
    let detail = "a prefix needs at least one character; to remove everything, POST to .../clear";
    (!prefix.is_empty()).then_some(()).ok_or_else(|| Problem::field("prefix", detail))
}

pub(super) async fn clear(_: Bare, InRegion(cache): InRegion) -> Removed {
    Ok(answer(cache.clear().await?))
}

#[derive(Debug, Serialize)]
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
