//! An entry in JSON, as it comes in and as it goes out: a value is itself if it is JSON, and base64 if it is anything else.

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cache_core::{Key, Priority, Tags, Time, Ttl};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;
use strata::{Hit, Options, Presets};

use super::answer;
use super::any::{AnyJson, Binary};
use super::body::{self, JSON, OCTETS};
use super::json;
use super::lifetime::{self, Lifetime, MOST_SECONDS, PriorityName};
use super::openapi::TEXT;
use crate::blob::{Blob, Said};
use crate::problem::Problem;
use crate::regions;

/// What base64 looks like, to the last bit.
const BASE64: &str = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";

/// The most bytes of metadata. They are held in memory with the entry, whatever they are for.
const MAX_METADATA_BYTES: usize = 16 << 10;

/// What is to be stored, and under which key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_value_and_one_life)]
#[expect(clippy::option_option, reason = "not there, for ever, or so long")]
pub(super) struct EntryIn {
    /// At most 1,024 bytes of UTF-8 without control characters.
    #[schemars(length(min = 1, max = 1024), regex(pattern = TEXT))]
    key: String,
    /// Any JSON; null is a value like any other.
    #[serde(default, deserialize_with = "present")]
    value: Option<AnyJson>,
    /// Any bytes, in the place of `value`; in `MessagePack`, `bytes` holds them as they are.
    #[schemars(extend("contentEncoding" = "base64", "pattern" = BASE64))]
    base64: Option<String>,
    #[schemars(skip)]
    bytes: Option<Binary>,
    /// Of the value, if it is not that of JSON.
    #[schemars(length(max = 255), regex(pattern = r"^[\t -~]*/[\t -~]*$"))]
    content_type: Option<String>,
    ttl: Option<Lifetime>,
    /// For how long after that it still answers as stale, while somebody makes it again.
    stale: Option<Lifetime>,
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256), regex(pattern = TEXT)))]
    tags: Vec<String>,
    #[schemars(with = "Option<PriorityName>")]
    priority: Option<String>,
    /// Seconds that it takes to make again.
    #[schemars(range(min = 0, max = MOST_SECONDS))]
    cost: Option<f64>,
    /// Any JSON of at most 16 KiB, kept with it.
    metadata: Option<AnyJson>,
    /// What was left of its life when it was exported; `null` if it does not end.
    #[serde(default, deserialize_with = "present_seconds")]
    #[schemars(range(min = 0, max = MOST_SECONDS))]
    ttl_seconds: Option<Option<f64>>,
}

/// Of `value` and `base64` there is one, and of `ttl` and `ttl_seconds` at most one.
fn one_value_and_one_life(schema: &mut Schema) {
    let text = json!({"type": "string"});
    let no_null = json!({"not": {"type": "null"}});
    let values = json!([{"required": ["value"]}, {"required": ["base64"], "properties": {"base64": text}}]);
    schema.insert("oneOf".to_owned(), values);
    let lives = json!({"required": ["ttl", "ttl_seconds"], "properties": {"ttl": no_null}});
    schema.insert("not".to_owned(), lives);
}

#[expect(clippy::option_option, reason = "not there, for ever, or so long")]
fn present_seconds<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Option<f64>>, D::Error> {
    Option::deserialize(input).map(Some)
}

/// `null` is a value like any other.
fn present<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<AnyJson>, D::Error> {
    AnyJson::deserialize(input).map(Some)
}

impl EntryIn {
    /// A value of which nothing else is said.
    pub(super) fn of(key: String, value: AnyJson) -> Self {
        Self {
            key,
            value: Some(value),
            base64: None,
            bytes: None,
            content_type: None,
            ttl: None,
            stale: None,
            tags: Vec::new(),
            priority: None,
            cost: None,
            metadata: None,
            ttl_seconds: None,
        }
    }

    /// What is to be stored; `field` names a field as the client wrote it.
    pub(super) fn check(
        &self,
        presets: &Presets,
        field: &dyn Fn(&str) -> String,
    ) -> Result<(Key, Blob, Options), Problem> {
        let key = Key::new(&self.key).map_err(|error| Problem::field(field("key"), error.to_string()))?;
        let tags = Tags::new(&self.tags).map_err(|error| Problem::field(field("tags"), error.to_string()))?;
        let (bytes, content_type) = self.content(field)?;
        let mut said = Said { cost: self.cost, metadata: self.metadata(field)?, ..Said::default() };
        let tag_bytes = regions::tag_bytes(Some(&tags));
        let mut options = Options::new().with_tags(tags);
        if let Some(ttl) = &self.ttl {
            options = options.with_ttl(ttl.resolve(presets, &field("ttl"))?);
        }
        if let Some(seconds) = self.ttl_seconds {
            if self.ttl.is_some() {
                return Err(Problem::field(field("ttl_seconds"), "say either ttl or ttl_seconds"));
            }
            let seconds =
                seconds.map(|seconds| lifetime::at_most(seconds, &field("ttl_seconds"))).transpose()?;
            let ttl = seconds.map_or(Ok(Ttl::FOREVER), Ttl::try_from_secs_f64);
            let ttl = ttl.map_err(|error| Problem::field(field("ttl_seconds"), error.to_string()))?;
            options = options.with_ttl(ttl);
        }
        if let Some(stale) = &self.stale {
            let window = lifetime::window(stale.resolve(presets, &field("stale"))?);
            said.stale = Some(window).filter(|window| !window.is_zero());
            options = options.with_stale_for(window);
        }
        if let Some(text) = &self.priority {
            said.priority = lifetime::priority(text, &field("priority"))?;
            options = options.with_priority(said.priority);
        }
        if let Some(seconds) = self.cost {
            options = options.with_cost(lifetime::cost(seconds, &field("cost"))?);
        }
        Ok((key, Blob::new(bytes, content_type, tag_bytes).with_said(said), options))
    }

    fn content(&self, field: &dyn Fn(&str) -> String) -> Result<(Bytes, HeaderValue), Problem> {
        let (bytes, default) = match (&self.value, &self.base64, &self.bytes) {
            (Some(json), None, None) => (Bytes::copy_from_slice(json.get().as_bytes()), JSON),
            (None, Some(text), None) => {
                let detail = "not base64 (the standard alphabet, with padding)";
                let bytes = STANDARD.decode(text).map_err(|_| Problem::field(field("base64"), detail))?;
                (Bytes::from(bytes.into_boxed_slice()), OCTETS)
            }
            (None, None, Some(bytes)) => (bytes.0.clone(), OCTETS),
            _ => return Err(Problem::field(field("value"), "an entry needs either value or base64")),
        };
        let named = self.content_type.as_ref().map(|text| body::own(text.as_bytes())).transpose();
        let content_type =
            named.map_err(|problem| problem.with_field(field("content_type")))?.unwrap_or(default);
        if self.value.is_none() && body::is_json(&content_type) {
            json::check(&bytes).map_err(|problem| {
                problem.with_field(field(if self.bytes.is_some() { "bytes" } else { "base64" }))
            })?;
        }
        Ok((bytes, content_type))
    }

    fn metadata(&self, field: &dyn Fn(&str) -> String) -> Result<Option<Box<str>>, Problem> {
        let Some(metadata) = &self.metadata else { return Ok(None) };
        let text = metadata.get();
        if text.len() > MAX_METADATA_BYTES {
            let detail = format!("metadata have at most {MAX_METADATA_BYTES} bytes");
            return Err(Problem::field(field("metadata"), detail));
        }
        // `null` says that there are none.
        Ok((text != "null").then(|| text.into()))
    }
}

/// What is stored.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct EntryOut {
    #[serde(flatten)]
    value: ValueOut,
    content_type: String,
    /// Nothing if the entry does not end by time.
    ttl_seconds: Option<f64>,
    /// Left out while it is fresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    #[serde(flatten)]
    said: SaidOut,
}

/// How old an entry is.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Fresh,
    /// No longer fresh: somebody should make it again.
    Stale,
}

impl State {
    pub(super) fn of(hit: &Hit<Blob>) -> Self {
        if hit.is_stale() { Self::Stale } else { Self::Fresh }
    }
}

/// JSON as itself; anything else in base64, or as it is where the answer can hold bytes.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
enum ValueOut {
    Value(AnyJson),
    Base64(#[schemars(extend("contentEncoding" = "base64"))] String),
    #[schemars(skip)]
    Bytes(Binary),
}

impl ValueOut {
    fn new(blob: &Blob) -> Self {
        let json = body::is_json(&blob.content_type).then(|| AnyJson::read(&blob.bytes)).flatten();
        match json {
            Some(json) => Self::Value(json),
            None if answer::is_msgpack() => Self::Bytes(Binary(blob.bytes.clone())),
            None => Self::Base64(STANDARD.encode(&blob.bytes)),
        }
    }
}

/// What a client has said of an entry; what he has not is left out.
#[derive(Debug, Default, JsonSchema, Serialize)]
pub(super) struct SaidOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<f64>,
    /// Seconds for which it answers as stale after its fresh life.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<AnyJson>,
}

impl EntryOut {
    pub(super) fn new(blob: &Hit<Blob>, now: Time) -> Self {
        let content_type = String::from_utf8_lossy(blob.content_type.as_bytes()).into_owned();
        Self {
            value: ValueOut::new(blob),
            content_type,
            ttl_seconds: lifetime::seconds(blob.remaining(now)),
            state: Some(State::of(blob)).filter(|state| *state == State::Stale),
            said: SaidOut::new(blob),
        }
    }
}

impl SaidOut {
    pub(super) fn new(blob: &Blob) -> Self {
        let Some(said) = blob.said() else { return Self::default() };
        let metadata = said.metadata.as_ref().and_then(|text| AnyJson::read(text.as_bytes()));
        let priority = (said.priority != Priority::default()).then(|| said.priority.as_str());
        let stale = said.stale.and_then(|window| lifetime::seconds(window.into()));
        Self { priority, cost: said.cost, stale, metadata }
    }
}
