//! Many entries in one answer: what was found by key, and what was not.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cache_core::Key;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use strata::Hit;

use super::body::{self, Json};
use super::entries;
use super::extract::{InRegion, NoParams};
use super::lifetime;
use crate::app::App;
use crate::blob::Blob;
use crate::problem::Problem;

/// The most bytes of values in one answer, before they are encoded.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// The keys that a tier is asked for at once. An answer that grows too large is found out after so many more values at most.
const AT_ONCE: usize = 256;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeysBody {
    pub(super) keys: Vec<String>,
}

/// Each key once: among the entries or among the missing, both in order.
#[derive(Debug, Serialize)]
pub(super) struct FoundBody {
    entries: BTreeMap<String, EntryBody>,
    missing: Vec<String>,
}

#[derive(Debug, Serialize)]
struct EntryBody {
    #[serde(flatten)]
    value: ValueBody,
    content_type: String,
    /// Nothing if the entry does not end by time.
    ttl_seconds: Option<f64>,
}

/// JSON as itself; anything else in base64.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum ValueBody {
    Value(Box<RawValue>),
    Base64(String),
}

pub(super) async fn get_many(
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    _: NoParams,
    Json(body): Json<KeysBody>,
) -> Result<Answer<FoundBody>, Problem> {
    let mut keys = entries::keys(&body.keys, "keys")?;
    keys.sort();
    keys.dedup();
    let mut found: Vec<(Key, Hit<Blob>)> = Vec::new();
    let (mut missing, mut bytes) = (Vec::new(), 0);
    for keys in keys.chunks(AT_ONCE) {
        for (key, hit) in keys.iter().zip(cache.get_many(keys).await?) {
            match hit {
                None => missing.push(key.as_str().to_owned()),
                Some(hit) => {
                    bytes += hit.bytes.len();
                    found.push((key.clone(), hit));
                }
            }
        }
        if bytes > MAX_ANSWER_BYTES {
            let detail =
                format!("the values exceed {MAX_ANSWER_BYTES} bytes together; ask for fewer keys at once");
            return Err(Problem::too_large(detail).with_field("keys"));
        }
    }
    let entry = |(key, hit): (Key, Hit<Blob>)| {
        let ttl_seconds = lifetime::seconds(hit.remaining(app.clock.now()));
        (key.as_str().to_owned(), EntryBody { ttl_seconds, ..EntryBody::new(&hit) })
    };
    Ok(Answer(FoundBody { entries: found.into_iter().map(entry).collect(), missing }))
}

impl EntryBody {
    fn new(blob: &Blob) -> Self {
        let content_type = String::from_utf8_lossy(blob.content_type.as_bytes()).into_owned();
        let json =
            body::is_json(&blob.content_type).then(|| serde_json::from_slice(&blob.bytes).ok()).flatten();
        let value = json.map_or_else(|| ValueBody::Base64(STANDARD.encode(&blob.bytes)), ValueBody::Value);
        Self { value, content_type, ttl_seconds: None }
    }
}
