//! Lifetimes, tags and priorities, as queries and bodies carry them.

use std::fmt;
use std::time::Duration;

use cache_core::{Priority, Tags, Ttl};
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

/// Reads a time-to-live: a preset's name, or what `Ttl` reads.
fn ttl(text: &str, presets: &Presets, field: &str) -> Result<Ttl, Problem> {
    const LONGEST: usize = 64;
    if text.len() > LONGEST {
        return Err(Problem::field(field, format!("a time-to-live has at most {LONGEST} characters")));
    }
    let read = presets.get(text).map_or_else(|| text.parse(), Ok);
    read.map_err(|error| Problem::field(field, format!("{error}, or a preset such as short, hot or session")))
}

/// What a query may say of an entry.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PutParams {
    ttl: Option<String>,
    tags: Option<String>,
    priority: Option<String>,
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
        Ok(options)
    }
}

pub(super) fn priority(text: &str, field: &str) -> Result<Priority, Problem> {
    let detail = "not a priority; use low, normal, high or critical";
    text.parse().map_err(|_| Problem::field(field, detail))
}

/// How long a value takes to make again, from seconds.
pub(super) fn cost(seconds: f64, field: &str) -> Result<Duration, Problem> {
    let detail = "a cost is a number of seconds, zero or more";
    Duration::try_from_secs_f64(seconds).map_err(|_| Problem::field(field, detail))
}

/// What is left of a life, in seconds to the millisecond; nothing if it does not end.
#[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years of milliseconds")]
pub(super) fn seconds(ttl: Ttl) -> Option<f64> {
    ttl.finite().map(|left| left.as_millis() as f64 / 1000.0)
}
