//! Many entries in one answer: what was found by key, and what was not.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use cache_core::Key;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strata::Hit;

use super::answer::Answer;
use super::body::Structured;
use super::entries;
use super::entry::EntryOut;
use super::extract::{InRegion, NoParams};
use crate::app::App;
use crate::blob::Blob;
use crate::problem::Problem;

/// The most bytes of values in one answer, before they are encoded.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// The keys that a tier is asked for at once. An answer that grows too large is found out after so many more values at most.
const AT_ONCE: usize = 256;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeysBody {
    #[schemars(length(max = 10_000), inner(length(min = 1, max = 1024), regex(pattern = super::openapi::TEXT)))]
    pub(super) keys: Vec<String>,
}

/// Each key once: among the entries or among the missing, both in order.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct FoundBody {
    entries: BTreeMap<String, EntryOut>,
    missing: Vec<String>,
}

pub(super) async fn get_many(
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    _: NoParams,
    Structured(body): Structured<KeysBody>,
) -> Result<Answer<FoundBody>, Problem> {
    let mut keys = entries::keys(&body.keys, "keys")?;
    keys.sort();
    keys.dedup();
    let mut found: Vec<(Key, Hit<Blob>)> = Vec::new();
    let (mut missing, mut bytes) = (Vec::new(), 0);
    for keys in keys.chunks(AT_ONCE) {
        for (key, hit) in keys.iter().zip(app.regions.get_many(&cache, keys).await?) {
            entries::note(&cache, key.as_str(), hit.is_some());
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
    let now = app.clock.now();
    let entry = |(key, hit): (Key, Hit<Blob>)| (key.as_str().to_owned(), EntryOut::new(&hit, now));
    Ok(Answer(FoundBody { entries: found.into_iter().map(entry).collect(), missing }))
}
