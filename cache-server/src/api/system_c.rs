//! The names that users of an earlier system know: how it stores, reads, removes and is changed, over the region `default`.
//!
//! Its bodies are those of the project's own routes where they are alike, and say `success` beside.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use cache_core::{Clock, Key, SystemClock, Tag};
use cache_memory::Policy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::any::AnyJson;
use super::body::Structured;
use super::entries;
use super::entry::{EntryIn, EntryOut};
use super::extract::{Bare, EntryKey, NoParams, Params, find_region};
use super::json;
use super::lifetime::Lifetime;
use super::progress::Progress;
use super::regions;
use crate::app::App;
use crate::blob::Blob;
use crate::config::DEFAULT_REGION;
use crate::problem::Problem;
use crate::regions::{BlobCache, RegionChange, Regions};

/// The most rounds of a benchmark: enough to tell, few enough to disturb nobody.
const MAX_ITERATIONS: u32 = 100_000;

/// After how many rounds it says how far it is: seldom enough not to be measured.
const TOLD_EVERY: usize = 1000;

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct DoneBody {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<u64>,
}

impl DoneBody {
    fn removed(removed: u64) -> Answer<Self> {
        Answer(Self { success: true, key: None, removed: Some(removed), stored: None })
    }

    fn stored(stored: u64) -> Answer<Self> {
        Answer(Self { success: true, key: None, removed: None, stored: Some(stored) })
    }
}

fn default(app: &App) -> Result<BlobCache, Problem> {
    find_region(app, DEFAULT_REGION)
}

pub(super) async fn set(
    State(app): State<Arc<App>>,
    _: NoParams,
    Structured(entry): Structured<EntryIn>,
) -> Result<Answer<DoneBody>, Problem> {
    let cache = default(&app)?;
    let (key, blob, options) = entry.check(&app.presets(), &str::to_owned)?;
    if !app.regions.has_room(&cache, &key, &blob) {
        return Err(entries::too_large(&cache));
    }
    let name = key.as_str().to_owned();
    let _turn = app.regions.turn(&cache, &key).await;
    let stored = app.regions.insert(&cache, key, blob, options).await?.is_stored();
    Ok(Answer(DoneBody { success: true, key: Some(name), removed: None, stored: Some(stored.into()) }))
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct FoundBody {
    success: bool,
    key: String,
    #[serde(flatten)]
    entry: EntryOut,
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    EntryKey(key): EntryKey,
    _: NoParams,
) -> Result<Answer<FoundBody>, Problem> {
    let cache = default(&app)?;
    let found = app.regions.get(&cache, &key).await?;
    entries::note(&cache, key.as_str(), found.is_some());
    let hit = found.ok_or_else(entries::miss)?;
    let entry = EntryOut::new(&hit, app.clock.now());
    Ok(Answer(FoundBody { success: true, key: key.as_str().to_owned(), entry }))
}

pub(super) async fn delete(
    _: Bare,
    State(app): State<Arc<App>>,
    EntryKey(key): EntryKey,
) -> Result<Answer<DoneBody>, Problem> {
    let cache = default(&app)?;
    let _turn = app.regions.turn(&cache, &key).await;
    Ok(DoneBody::removed(app.regions.remove_key(&cache, &key).await?.into()))
}

/// The tags, in the query: `?tags=a,b`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TagsParams {
    /// Separated by commas.
    #[schemars(regex(pattern = super::lifetime::TAG_LIST))]
    tags: String,
}

pub(super) async fn delete_by_tags(
    State(app): State<Arc<App>>,
    Params(params): Params<TagsParams>,
) -> Result<Answer<DoneBody>, Problem> {
    let cache = default(&app)?;
    let tag = |text| Tag::new(text).map_err(|error| Problem::field("tags", error.to_string()));
    let tags = params.tags.split(',').map(tag).collect::<Result<Vec<Tag>, _>>()?;
    let mut removed = 0;
    for tag in tags {
        removed += app.regions.remove_tag(&cache, &tag).await?;
    }
    Ok(DoneBody::removed(removed))
}

pub(super) async fn clear(_: Bare, State(app): State<Arc<App>>) -> Result<Answer<DoneBody>, Problem> {
    Ok(DoneBody::removed(app.regions.clear(&default(&app)?).await?))
}

/// What a key looks like.
fn key_form() -> serde_json::Value {
    serde_json::json!({"minLength": 1, "maxLength": 1024, "pattern": super::openapi::TEXT})
}

/// Entries to begin with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WarmUpBody {
    /// By key; each may be any JSON, and lives as long as its region says.
    #[schemars(extend("propertyNames" = key_form()))]
    data: std::collections::BTreeMap<String, AnyJson>,
    ttl: Option<Lifetime>,
}

pub(super) async fn warm_up(
    State(app): State<Arc<App>>,
    _: NoParams,
    progress: Progress,
    Structured(body): Structured<WarmUpBody>,
) -> Result<Answer<DoneBody>, Problem> {
    if body.data.len() > super::MAX_KEYS {
        return Err(entries::too_many("data", body.data.len()));
    }
    let cache = default(&app)?;
    let ttl = body.ttl.map(|ttl| ttl.resolve(&app.presets(), "ttl")).transpose()?;
    let mut checked = Vec::with_capacity(body.data.len());
    for (key, value) in body.data {
        let field = |_: &str| format!("data.{}", crate::log::Shown(&key));
        let (key, blob, mut options) = EntryIn::of(key.clone(), value).check(&app.presets(), &field)?;
        if !app.regions.has_room(&cache, &key, &blob) {
            return Err(entries::too_large(&cache).with_field("data"));
        }
        if let Some(ttl) = ttl {
            options = options.with_ttl(ttl);
        }
        checked.push((key, blob, options));
    }
    progress.begin(checked.len() as u64);
    let mut stored = 0;
    for (key, blob, options) in checked {
        stored += u64::from(app.regions.insert(&cache, key, blob, options).await?.is_stored());
        progress.add(1);
    }
    Ok(DoneBody::stored(stored))
}

/// What to change of a running region; what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigureBody {
    #[serde(default, deserialize_with = "json::whole")]
    max_entries: Option<std::num::NonZeroU64>,
    #[serde(default, deserialize_with = "json::whole")]
    max_bytes: Option<std::num::NonZeroU64>,
    #[schemars(with = "Option<super::regions::PolicyName>")]
    policy: Option<String>,
    ttl: Option<Lifetime>,
    region: Option<String>,
}

pub(super) async fn configure(
    State(app): State<Arc<App>>,
    _: NoParams,
    Structured(body): Structured<ConfigureBody>,
) -> Result<Answer<regions::RegionBody>, Problem> {
    let cache = find_region(&app, body.region.as_deref().unwrap_or(DEFAULT_REGION))?;
    let policy = body.policy.map(|text| regions::policy(&text)).transpose()?;
    let ttl = body.ttl.map(|ttl| ttl.resolve(&app.presets(), "ttl")).transpose()?;
    let change = RegionChange { max_entries: body.max_entries, max_bytes: body.max_bytes, policy, ttl };
    Regions::change(&cache, &change).map_err(|error| Problem::bad_request(error.to_string()))?;
    tracing::info!(region = cache.name(), "a region was changed");
    Ok(Answer(regions::describe(&app, &cache)))
}

/// How many rounds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BenchmarkBody {
    #[schemars(with = "u32", range(min = 1, max = MAX_ITERATIONS))]
    #[serde(deserialize_with = "json::whole")]
    iterations: Option<u32>,
}

/// What writing and reading small values in this process has taken, one after the other.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct BenchmarkAnswer {
    iterations: u32,
    set_operations: PaceBody,
    get_operations: PaceBody,
}

#[derive(Debug, JsonSchema, Serialize)]
struct PaceBody {
    average_time_ms: f64,
    operations_per_second: f64,
}

impl PaceBody {
    fn new(iterations: u32, took: Duration) -> Self {
        let each = took.as_secs_f64().max(f64::EPSILON) / f64::from(iterations);
        Self { average_time_ms: each * 1e3, operations_per_second: each.recip() }
    }
}

/// Measures a cache of its own, so that nothing that is stored is touched.
pub(super) async fn benchmark(
    _: NoParams,
    progress: Progress,
    Structured(body): Structured<BenchmarkBody>,
) -> Result<Answer<BenchmarkAnswer>, Problem> {
    let iterations = body.iterations.unwrap_or_default();
    if !(1..=MAX_ITERATIONS).contains(&iterations) {
        let detail = format!("{iterations} is not a number of rounds; use 1 to {MAX_ITERATIONS}");
        return Err(Problem::field("iterations", detail));
    }
    let measured = tokio::task::spawn_blocking(move || {
        let cache =
            strata::Memory::new().with_max_entries(u64::from(iterations)).with_policy(Policy::default());
        let cache: BlobMemory = cache;
        let keys: Vec<Key> =
            (0..iterations).filter_map(|at| Key::new(format!("benchmark:{at}")).ok()).collect();
        let blob = Blob::new(bytes::Bytes::from_static(b"{\"benchmark\":true}"), super::body::JSON, 0);
        progress.begin(2 * u64::from(iterations));
        // That of the machine, whatever entries live by.
        let clock = SystemClock::new();
        let began = clock.now();
        for keys in keys.chunks(TOLD_EVERY) {
            for key in keys {
                cache.insert(key.clone(), blob.clone());
            }
            progress.add(keys.len() as u64);
        }
        let (set, began) = (clock.now().since(began), clock.now());
        let mut found = 0;
        for keys in keys.chunks(TOLD_EVERY) {
            found += keys.iter().filter(|key| cache.get(*key).is_some()).count();
            progress.add(keys.len() as u64);
        }
        (set, clock.now().since(began), found)
    });
    let failed = |_| Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "the benchmark broke off");
    let (set, get, found) = measured.await.map_err(failed)?;
    if found != iterations as usize {
        let detail = format!("the benchmark has read {found} of {iterations} entries that it had stored");
        return Err(Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, detail));
    }
    Ok(Answer(BenchmarkAnswer {
        iterations,
        set_operations: PaceBody::new(iterations, set),
        get_operations: PaceBody::new(iterations, get),
    }))
}

type BlobMemory = strata::Memory<Key, Blob>;
