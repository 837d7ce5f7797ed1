//! Regions: which there are, what they hold and how they do, and making and removing them.

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use cache_memory::Policy;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Created};
use super::body::Structured;
use super::entries::RemovedBody;
use super::extract::{Bare, InRegion, NoParams, RegionName};
use super::json;
use super::lifetime::{self, Lifetime};
use super::progress::Progress;
use crate::app::App;
use crate::config::{DEFAULT_REGION, RegionSettings};
use crate::insight::Counts;
use crate::problem::Problem;
use crate::regions::{BlobCache, CreateError, default_ttl};

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ListBody {
    regions: Vec<RegionBody>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct RegionBody {
    name: String,
    max_entries: Option<u64>,
    max_bytes: Option<u64>,
    /// Nothing if entries live for ever unless they say otherwise.
    ttl_seconds: Option<f64>,
    policy: &'static str,
    stats: Counts,
}

pub(super) async fn list(State(app): State<Arc<App>>) -> Answer<ListBody> {
    let regions = app.regions.all().iter().map(|cache| describe(&app, cache)).collect();
    Answer(ListBody { regions })
}

pub(super) async fn show(State(app): State<Arc<App>>, InRegion(cache): InRegion) -> Answer<RegionBody> {
    Answer(describe(&app, &cache))
}

pub(super) fn describe(app: &App, cache: &BlobCache) -> RegionBody {
    let memory = cache.memory();
    RegionBody {
        name: cache.name().to_owned(),
        max_entries: memory.max_entries(),
        max_bytes: memory.max_bytes(),
        ttl_seconds: lifetime::seconds(default_ttl(cache)),
        policy: memory.policy().as_str(),
        stats: Counts::of(&app.regions, cache),
    }
}

/// What to make; what is left out is the default.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    #[serde(default, deserialize_with = "json::whole")]
    max_entries: Option<NonZeroU64>,
    #[serde(default, deserialize_with = "json::whole")]
    max_bytes: Option<NonZeroU64>,
    ttl: Option<Lifetime>,
    /// Who is evicted first.
    #[schemars(with = "Option<PolicyName>")]
    policy: Option<String>,
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    RegionName(name): RegionName,
    _: NoParams,
    Structured(body): Structured<CreateBody>,
) -> Result<Created<RegionBody>, Problem> {
    if name.bytes().all(|byte| byte == b'.') {
        let detail = "a name of dots alone cannot be addressed: clients take it for a relative path";
        return Err(Problem::field("region", detail));
    }
    let default = RegionSettings::default();
    let ttl = body.ttl.map(|ttl| ttl.resolve(&app.presets(), "ttl")).transpose()?;
    let policy = body.policy.map(|text| policy(&text)).transpose()?;
    let settings = RegionSettings {
        max_entries: body.max_entries.unwrap_or(default.max_entries),
        max_bytes: body.max_bytes.unwrap_or(default.max_bytes),
        ttl: ttl.unwrap_or(default.ttl),
        policy: policy.unwrap_or(default.policy),
    };
    let cache = app.regions.create(&name, &settings)?;
    Ok(Created(describe(&app, &cache)))
}

/// The names of policies, for the document.
pub(super) struct PolicyName;

impl JsonSchema for PolicyName {
    fn schema_name() -> Cow<'static, str> {
        "Policy".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "enum": Policy::ALL.map(Policy::as_str)})
    }
}

pub(super) fn policy(text: &str) -> Result<Policy, Problem> {
    let names = Policy::ALL.map(Policy::as_str).join(" or ");
    text.parse().map_err(|_| Problem::field("policy", format!("not a policy; use {names}")))
}

impl From<CreateError> for Problem {
    fn from(error: CreateError) -> Self {
        let status = match error {
            CreateError::Name(_) => StatusCode::BAD_REQUEST,
            CreateError::Taken(_) | CreateError::Full => StatusCode::CONFLICT,
        };
        Self::new(status, error.to_string()).with_field("region")
    }
}

pub(super) async fn remove(
    _: Bare,
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
) -> Result<Answer<RemovedBody>, Problem> {
    if cache.name() == DEFAULT_REGION {
        let detail = "the region \"default\" stays, because requests without a region go to it; to empty it, POST to /v1/clear";
        return Err(Problem::new(StatusCode::CONFLICT, detail).with_field("region"));
    }
    app.regions.remove(cache.name());
    Ok(Answer(RemovedBody { removed: app.regions.clear(&cache).await? }))
}

pub(super) async fn clear_all(
    _: Bare,
    State(app): State<Arc<App>>,
    progress: Progress,
) -> Result<Answer<RemovedBody>, Problem> {
    let (regions, mut removed) = (app.regions.all(), 0);
    progress.begin(regions.iter().map(|cache| cache.memory().len()).sum());
    for cache in regions {
        removed += app.regions.clear(&cache).await?;
        progress.at(removed);
    }
    Ok(Answer(RemovedBody { removed }))
}
