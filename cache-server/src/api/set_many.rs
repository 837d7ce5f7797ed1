//! Many entries in one request: all are checked before the first is stored.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cache_core::{Key, Tags};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use strata::{Options, Presets};

use super::body::{self, JSON, Json, OCTETS};
use super::entries;
use super::extract::{InRegion, NoParams};
use super::json::{self, Object};
use super::lifetime::{self, Lifetime};
use crate::app::App;
use crate::blob::Blob;
use crate::problem::Problem;
use crate::regions;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetBody {
    entries: Vec<Object<SetEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetEntry {
    key: String,
    #[serde(default, deserialize_with = "present")]
    value: Option<Box<RawValue>>,
    base64: Option<String>,
    content_type: Option<String>,
    ttl: Option<Lifetime>,
    #[serde(default)]
    tags: Vec<String>,
    priority: Option<String>,
    /// Seconds.
    cost: Option<f64>,
}

/// `null` is a value like any other.
fn present<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(input).map(Some)
}

#[derive(Debug, Serialize)]
pub(super) struct SetAnswer {
    /// How many were stored; the last ones may have displaced the first.
    stored: u64,
}

pub(super) async fn set_many(
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    _: NoParams,
    Json(body): Json<SetBody>,
) -> Result<Answer<SetAnswer>, Problem> {
    if body.entries.len() > super::MAX_KEYS {
        return Err(entries::too_many("entries", body.entries.len()));
    }
    let mut checked = Vec::with_capacity(body.entries.len());
    for (at, entry) in body.entries.iter().enumerate() {
        let entry = entry.0.check(&app.presets, &|field| format!("entries[{at}].{field}"))?;
        if !app.regions.has_room(&cache, &entry.0, &entry.1) {
            return Err(entries::too_large(&cache).with_field(format!("entries[{at}]")));
        }
        checked.push(entry);
    }
    let mut stored = 0;
    for (key, blob, options) in checked {
        stored += u64::from(app.regions.insert(&cache, key, blob, options).await?.is_stored());
    }
    Ok(Answer(SetAnswer { stored }))
}

impl SetEntry {
    /// What is to be stored; `field` names a field as the client wrote it.
    fn check(
        &self,
        presets: &Presets,
        field: &dyn Fn(&str) -> String,
    ) -> Result<(Key, Blob, Options), Problem> {
        let key = Key::new(&self.key).map_err(|error| Problem::field(field("key"), error.to_string()))?;
        let tags = Tags::new(&self.tags).map_err(|error| Problem::field(field("tags"), error.to_string()))?;
        let (bytes, content_type) = self.content(field)?;
        let blob = Blob::new(bytes, content_type, regions::tag_bytes(Some(&tags)));
        let mut options = Options::new().with_tags(tags);
        if let Some(ttl) = &self.ttl {
            options = options.with_ttl(ttl.resolve(presets, &field("ttl"))?);
        }
        if let Some(text) = &self.priority {
            options = options.with_priority(lifetime::priority(text, &field("priority"))?);
        }
        if let Some(seconds) = self.cost {
            options = options.with_cost(lifetime::cost(seconds, &field("cost"))?);
        }
        Ok((key, blob, options))
    }

    fn content(&self, field: &dyn Fn(&str) -> String) -> Result<(Bytes, HeaderValue), Problem> {
        let (bytes, default) = match (&self.value, &self.base64) {
            (Some(json), None) => (Bytes::copy_from_slice(json.get().as_bytes()), JSON),
            (None, Some(text)) => {
                let detail = "not base64 (the standard alphabet, with padding)";
                let bytes = STANDARD.decode(text).map_err(|_| Problem::field(field("base64"), detail))?;
                (Bytes::from(bytes.into_boxed_slice()), OCTETS)
            }
            _ => return Err(Problem::field(field("value"), "an entry needs either value or base64")),
        };
        let named = self.content_type.as_ref().map(|text| body::own(text.as_bytes())).transpose();
        let content_type =
            named.map_err(|problem| problem.with_field(field("content_type")))?.unwrap_or(default);
        if self.base64.is_some() && body::is_json(&content_type) {
            json::check(&bytes).map_err(|problem| problem.with_field(field("base64")))?;
        }
        Ok((bytes, content_type))
    }
}
