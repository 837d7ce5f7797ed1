//! Leases: of all clients that miss a key, one makes its value, and the others wait for it or take a stale one.
//!
//! A client that finds nothing, or something stale, asks for the lease. Whoever wins stores the value with a PUT that names the lease;
//! what has been removed or replaced meanwhile is not brought back by that. As of memcache ("Scaling Memcache at Facebook", NSDI 2013).

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cache_core::{ErrorKind, Ttl};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use strata::{LeaseToken, Leased, Presets};

use super::answer::Answer;
use super::body::MaybeStructured;
use super::entries;
use super::entry::EntryOut;
use super::extract::{EntryKey, InRegion, NoParams, Params};
use super::lifetime::Lifetime;
use crate::app::App;
use crate::problem::Problem;

/// How long a lease is held where nothing else is said: as long as memcache at Facebook gives no other one.
const HOLD: Duration = Duration::from_secs(10);
/// The longest, as Redis remembers for so long what it knew of a key.
const LONGEST_HOLD: Duration = Duration::from_mins(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// When to ask again, for who does not wait.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What a lease looks like: URL-safe base64 without padding.
pub(super) const TOKEN: &str = "^[A-Za-z0-9_-]{64,4096}$";
const LENGTHS: RangeInclusive<usize> = 64..=4096;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LeaseBody {
    /// How long the lease is held at most, more than nothing and up to a minute; 10 seconds if it is not said.
    #[serde(default)]
    #[schemars(schema_with = "hold_form")]
    ttl: Option<Lifetime>,
    /// How long to wait for a value or the lease at most, up to 30 seconds; no time if it is not said.
    #[serde(default)]
    #[schemars(schema_with = "wait_form")]
    wait: Option<Lifetime>,
}

/// What the document promises to take: fewer than are taken, as other texts may be presets.
fn hold_form(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [
        {"type": "number", "minimum": 0.001, "maximum": LONGEST_HOLD.as_secs()},
        {"type": "string", "pattern": "^([1-9][0-9]{0,3}ms|[1-9]s?|[1-5][0-9]s?|60s?)$"},
        {"type": "null"},
    ]})
}

fn wait_form(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [
        {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT.as_secs()},
        {"type": "string", "pattern": "^([0-9]{1,4}ms|[0-9]s?|[12][0-9]s?|30s?)$"},
        {"type": "null"},
    ]})
}

/// What has come of it.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// There is a fresh value.
    Hit,
    /// The client is to make the value, and to store it with the lease.
    Won,
    /// Another client makes the value.
    Held,
}

/// What has come of it, and the value: a fresh one, or a stale one if there is one.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct LeaseAnswer {
    result: Outcome,
    /// For the PUT, if it was won.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<String>,
    /// How long it is held at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_seconds: Option<f64>,
    /// When to ask again, if another client has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<f64>,
    #[serde(flatten)]
    entry: Option<EntryOut>,
}

pub(super) async fn lease(
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    EntryKey(key): EntryKey,
    _: NoParams,
    MaybeStructured(body): MaybeStructured<LeaseBody>,
) -> Result<Answer<LeaseAnswer>, Problem> {
    let (hold, wait) = (body.hold(&app.presets())?, body.wait(&app.presets())?);
    let wait = if app.is_draining() { Duration::ZERO } else { wait };
    let leased = tokio::select! {
        biased;
        leased = app.regions.get_or_lease(&cache, &key, (hold, wait)) => leased.map_err(failed)?,
        // Nobody waits at a server that is about to end.
        () = app.draining(), if !wait.is_zero() => Leased::Held { stale: None },
    };
    let (result, token, found) = match leased {
        Leased::Hit(hit) => (Outcome::Hit, None, Some(hit)),
        Leased::Won { token, stale } => (Outcome::Won, Some(token), stale),
        Leased::Held { stale } => (Outcome::Held, None, stale),
    };
    entries::note(&cache, key.as_str(), found.is_some());
    Ok(Answer(LeaseAnswer {
        result,
        lease_seconds: token.as_ref().map(|_| hold.as_secs_f64()),
        lease: token.map(|token| URL_SAFE_NO_PAD.encode(token.to_bytes())),
        retry_after_seconds: matches!(result, Outcome::Held).then(|| RETRY_AFTER.as_secs_f64()),
        entry: found.map(|hit| EntryOut::new(&hit, app.clock.now())),
    }))
}

impl LeaseBody {
    fn hold(&self, presets: &Presets) -> Result<Duration, Problem> {
        let asked = self.ttl.as_ref().map(|ttl| ttl.resolve(presets, "ttl")).transpose()?;
        let hold = asked.map_or(Some(HOLD), Ttl::finite);
        let is_right = |hold: &Duration| *hold >= Duration::from_millis(1) && *hold <= LONGEST_HOLD;
        let detail = format!("a lease is held for 1ms to {}s", LONGEST_HOLD.as_secs());
        hold.filter(is_right).ok_or_else(|| Problem::field("ttl", detail))
    }

    fn wait(&self, presets: &Presets) -> Result<Duration, Problem> {
        let asked = self.wait.as_ref().map(|wait| wait.resolve(presets, "wait")).transpose()?;
        let wait = asked.unwrap_or(Ttl::ZERO).finite().filter(|wait| *wait <= LONGEST_WAIT);
        let detail = format!("a client waits for at most {}s", LONGEST_WAIT.as_secs());
        wait.ok_or_else(|| Problem::field("wait", detail))
    }
}

fn failed(error: strata::Error) -> Problem {
    if error.kind() != ErrorKind::Refused {
        return error.into();
    }
    let detail = "too many keys of this region are leased now; try again, or make the value without a lease";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header("retry-after", "1")
}

/// The lease that a text stands for, be it held or not; none if no server has ever given this one.
pub(super) fn read(text: &str) -> Result<Option<LeaseToken>, Problem> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !LENGTHS.contains(&text.len()) || !text.bytes().all(is_letter) {
        let detail = "not a lease; take it from the answer to POST .../entries/{key}/lease";
        return Err(Problem::field("lease", detail));
    }
    Ok(URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| LeaseToken::from_bytes(&bytes)))
}

/// What was made under a lease came too late.
pub(super) fn overtaken() -> Problem {
    let detail = "the lease is over, or was of another key or server, or the key has changed since; what is stored stays as it is";
    Problem::new(StatusCode::PRECONDITION_FAILED, detail).with_field("lease")
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReleaseParams {
    /// The lease that was won.
    #[schemars(regex(pattern = TOKEN))]
    lease: String,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ReleasedBody {
    /// Whether it was still held.
    released: bool,
}

pub(super) async fn release(
    InRegion(cache): InRegion,
    EntryKey(key): EntryKey,
    Params(params): Params<ReleaseParams>,
) -> Result<Answer<ReleasedBody>, Problem> {
    let released = match read(&params.lease)? {
        Some(token) => cache.release(&token, &key).await?,
        None => false,
    };
    Ok(Answer(ReleasedBody { released }))
}
