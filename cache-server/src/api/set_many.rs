//! Many entries in one request: all are checked before the first is stored.

use std::sync::Arc;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::body::Structured;
use super::entries;
use super::entry::EntryIn;
use super::extract::{InRegion, NoParams};
use super::json::Object;
use crate::app::App;
use crate::problem::Problem;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetBody {
    #[schemars(length(max = 10_000))]
    entries: Vec<Object<EntryIn>>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct SetAnswer {
    /// How many were stored; the last ones may have displaced the first.
    stored: u64,
}

pub(super) async fn set_many(
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    _: NoParams,
    Structured(body): Structured<SetBody>,
) -> Result<Answer<SetAnswer>, Problem> {
    if body.entries.len() > super::MAX_KEYS {
        return Err(entries::too_many("entries", body.entries.len()));
    }
    let mut checked = Vec::with_capacity(body.entries.len());
    for (at, entry) in body.entries.iter().enumerate() {
        let entry = entry.0.check(&app.presets(), &|field| format!("entries[{at}].{field}"))?;
        if !app.regions.has_room(&cache, &entry.0, &entry.1) {
            return Err(entries::too_large(&cache).with_field(format!("entries[{at}]")));
        }
        checked.push(entry);
    }
    let stored = app.regions.insert_many(&cache, checked).await?;
    Ok(Answer(SetAnswer { stored }))
}
