//! Lifetimes, tags and priorities, as queries and bodies carry them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use cache_core::{Priority, Tags, Ttl};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Visitor};
use strata::{Options, Presets};

use crate::problem::Problem;

/// A time-to-live as JSON has it: seconds, or a text.
#[derive(Clone, Debug)]
pub(super) enum Lifetime {
    Seconds(f64),
    Text(String),
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(LifetimeVisitor)
    }
}

impl JsonSchema for Lifetime {
    fn schema_name() -> Cow<'static, str> {
        "Lifetime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A time-to-live: seconds, or a text with units (`90s`, `1h30m`), `forever`, or the name of a preset.",
            "anyOf": [
                {"type": "number", "minimum": 0, "exclusiveMaximum": TOO_MANY_SECONDS},
                {"type": "string", "pattern": TEXT_FORM, "maxLength": LONGEST},
            ],
        })
    }
}

/// An untagged enum would not say what is expected.
struct LifetimeVisitor;

impl Visitor<'_> for LifetimeVisitor {
    type Value = Lifetime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seconds, or a text such as \"5m\" or \"forever\" or a preset's name")
    }

    fn visit_f64<E>(self, seconds: f64) -> Result<Lifetime, E> {
        Ok(Lifetime::Seconds(seconds))
    }

    fn visit_u64<E>(self, seconds: u64) -> Result<Lifetime, E> {
        Ok(Lifetime::Text(seconds.to_string()))
    }

    fn visit_i64<E>(self, seconds: i64) -> Result<Lifetime, E> {
        Ok(Lifetime::Text(seconds.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Lifetime, E> {
        Ok(Lifetime::Text(text.to_owned()))
    }
}

impl Lifetime {
    /// The time-to-live that is meant; `field` is what the client calls it.
    pub(super) fn resolve(&self, presets: &Presets, field: &str) -> Result<Ttl, Problem> {
        match self {
            Self::Seconds(seconds) => {
                Ttl::try_from_secs_f64(*seconds).map_err(|error| Problem::field(field, error.to_string()))
            }
            Self::Text(text) => ttl(text, presets, field),
        }
    }
}

/// The most characters of a time-to-live.
const LONGEST: usize = 64;

/// What the document promises to take: fewer than are taken, as other texts may be presets.
const TEXT_FORM: &str = r"^(forever|short|medium|long|hot|session|[0-9]{1,9}|[0-9]{1,6}(ms|s|m|h|d))$";
/// Some tags in one text.
pub(super) const TAG_LIST: &str =
    r"^[^,\u0000-\u001f\u007f-\u009f]{1,256}(,[^,\u0000-\u001f\u007f-\u009f]{1,256}){0,63}$";

/// From here on a number of seconds is none: 2^64.
const TOO_MANY_SECONDS: f64 = 18_446_744_073_709_551_616.0;

/// The most seconds that are still told apart, of what is said in seconds alone: 285 million years.
pub(super) const MOST_SECONDS: u64 = 9_000_000_000_000_000;

/// Refuses what is more than [`MOST_SECONDS`].
#[expect(clippy::cast_precision_loss, reason = "less than 2^53")]
pub(super) fn at_most(seconds: f64, field: &str) -> Result<f64, Problem> {
    let detail = || format!("seconds, at most {MOST_SECONDS}");
    (seconds <= MOST_SECONDS as f64).then_some(seconds).ok_or_else(|| Problem::field(field, detail()))
}

/// Reads a time-to-live: a preset's name, or what `Ttl` reads.
fn ttl(text: &str, presets: &Presets, field: &str) -> Result<Ttl, Problem> {
    if text.len() > LONGEST {
        return Err(Problem::field(field, format!("a time-to-live has at most {LONGEST} characters")));
    }
    let read = presets.get(text).map_or_else(|| text.parse(), Ok);
    read.map_err(|error| Problem::field(field, format!("{error}, or a preset such as short, hot or session")))
}

/// The longest window after a fresh life, and what one without an end is taken for: 100 years.
const LONGEST_WINDOW: Duration = Duration::from_hours(100 * 366 * 24);

/// For how long after its fresh life an entry still answers that is said to be stale for so long.
pub(super) fn window(ttl: Ttl) -> Duration {
    ttl.finite().map_or(LONGEST_WINDOW, |window| window.min(LONGEST_WINDOW))
}

/// What a query may say of an entry.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutParams {
    /// Seconds, a text with units (`90s`, `1h30m`), `forever`, or the name of a preset.
    #[schemars(regex(pattern = TEXT_FORM))]
    ttl: Option<String>,
    /// Separated by commas.
    #[schemars(regex(pattern = TAG_LIST))]
    tags: Option<String>,
    #[schemars(with = "Option<PriorityName>")]
    priority: Option<String>,
    /// For how long after that it still answers as stale, while somebody makes it again; as `ttl`.
    #[schemars(regex(pattern = TEXT_FORM))]
    stale: Option<String>,
    /// The lease under which it was made: it is stored only if that is still held, and nothing has happened to the key since.
    #[schemars(regex(pattern = super::lease::TOKEN))]
    pub(super) lease: Option<String>,
}

impl PutParams {
    pub(super) fn options(&self, presets: &Presets) -> Result<Options, Problem> {
        let mut options = Options::new();
        if let Some(text) = &self.ttl {
            options = options.with_ttl(ttl(text, presets, "ttl")?);
        }
        if let Some(list) = &self.tags {
            let tags =
                Tags::new(list.split(',')).map_err(|error| Problem::field("tags", error.to_string()))?;
            options = options.with_tags(tags);
        }
        if let Some(text) = &self.priority {
            options = options.with_priority(priority(text, "priority")?);
        }
        if let Some(text) = &self.stale {
            options = options.with_stale_for(window(ttl(text, presets, "stale")?));
        }
        Ok(options)
    }
}

/// The names of priorities, for the document.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is asked for")]
pub(super) enum PriorityName {
    Low,
    Normal,
    High,
    Critical,
}

pub(super) fn priority(text: &str, field: &str) -> Result<Priority, Problem> {
    let detail = "not a priority; use low, normal, high or critical";
    text.parse().map_err(|_| Problem::field(field, detail))
}

/// How long a value takes to make again, from seconds.
pub(super) fn cost(seconds: f64, field: &str) -> Result<Duration, Problem> {
    let detail = "a cost is a number of seconds, zero or more";
    Duration::try_from_secs_f64(at_most(seconds, field)?).map_err(|_| Problem::field(field, detail))
}

/// What is left of a life, in seconds to the millisecond; nothing if it does not end.
#[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years of milliseconds")]
pub(super) fn seconds(ttl: Ttl) -> Option<f64> {
    ttl.finite().map(|left| left.as_millis() as f64 / 1000.0)
}
