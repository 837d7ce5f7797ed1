//! JSON from outside: bounded in depth, refused with line and column, and never repeated in an error.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::log::Shown;
use crate::problem::Problem;

/// The deepest nesting that is accepted.
pub(super) const MAX_DEPTH: usize = 128;

/// Reads a body.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    check_depth(bytes)?;
    serde_json::from_slice(bytes).map_err(|error| translate(&error))
}

/// A value that was written as an object. Alone, serde takes an array of a struct's fields for the struct as well, and then
/// no field has a name that could be unknown.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<T: JsonSchema> JsonSchema for Object<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(FromMap(PhantomData))
    }
}

/// A whole number, and in JSON `5.0` is one as well.
pub(super) fn whole<'de, D: Deserializer<'de>, N: TryFrom<u64>>(input: D) -> Result<Option<N>, D::Error> {
    input.deserialize_option(Whole(PhantomData))
}

struct Whole<N>(PhantomData<N>);

impl<'de, N: TryFrom<u64>> Visitor<'de> for Whole<N> {
    type Value = Option<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of a legal size")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_any(self)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        let wrong = |_| E::invalid_value(Unexpected::Unsigned(number), &self);
        N::try_from(number).map(Some).map_err(wrong)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked before")]
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        // From here on not every whole number is one of these.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if (0.0..=EXACT).contains(&number) && number.fract() <= 0.0 {
            self.visit_u64(number as u64)
        } else {
            Err(E::invalid_value(Unexpected::Float(number), &self))
        }
    }
}

struct FromMap<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FromMap<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Object<T>, M::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// Checks that a value that claims to be JSON is.
pub(super) fn check(bytes: &[u8]) -> Result<(), Problem> {
    read::<Box<RawValue>>(bytes).map(|_| ())
}

/// Says what is wrong with a text that serde could not read, without repeating its values.
pub(super) fn problem(what: &str, message: &str) -> Problem {
    for about in ["unknown field", "missing field", "duplicate field"] {
        if let Some(name) = message.strip_prefix(about).and_then(in_backticks) {
            let expected = message.rsplit_once(", expected ").map(|(_, names)| format!("; expected {names}"));
            let detail = format!("{what}: {about} `{}`{}", Shown(name), expected.unwrap_or_default());
            return Problem::bad_request(detail).with_field(Shown(name).to_string());
        }
    }
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => Problem::bad_request(format!("{what}: expected {expected}")),
        None => Problem::bad_request(format!("{what} cannot be read")),
    }
}

fn translate(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    let place = format!("the body at line {line} column {column}");
    let text = error.to_string();
    let message = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
    match error.classify() {
        Category::Data => problem(&place, message),
        // The messages of syntax errors are fixed texts.
        _ => Problem::bad_request(format!("{place} is not JSON: {message}")),
    }
}

fn in_backticks(text: &str) -> Option<&str> {
    let (_, name) = text.split_once('`')?;
    // The name is the client's own and may hold backticks; what follows it is known.
    let end = name.find("`, ").or_else(|| name.rfind('`'))?;
    name.get(..end)
}

/// The parser descends as deep as the text does only for values it looks into; others could be of any depth.
fn check_depth(bytes: &[u8]) -> Result<(), Problem> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
    }
    Ok(())
}

pub(super) fn too_deep() -> Problem {
    Problem::bad_request(format!("the body is nested more than {MAX_DEPTH} levels deep"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, part: &str) {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wanted {
            #[expect(dead_code, reason = "only read")]
            number: u64,
        }
        let problem = read::<Wanted>(text.as_bytes()).expect_err("refused");
        let shown = format!("{problem:?}");
        assert!(shown.contains(part), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn errors_name_the_place_and_never_the_value() {
        refused("{", "line 1 column 1 is not JSON: EOF while parsing an object");
        refused("{\"number\":\n secret}", "line 2 column");
        refused("{\"number\": \"secret\"}", "expected u64");
        refused("{\"number\": \"secret, expected money\"}", "expected u64");
        refused("{}", "missing field `number`");
        refused("{\"numbr\": 1}", "unknown field `numbr`; expected `number`");
        refused("{\"a`, b\\n\": 1}", "unknown field");
        refused("{\"number\": 1} x", "trailing characters");
    }

    #[test]
    fn depth_is_bounded_and_brackets_in_texts_do_not_count() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(check(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(check(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(check("[".repeat(200_000).as_bytes()).is_err());
        assert!(check(format!("{:?}", "[\"".repeat(1000)).as_bytes()).is_ok());
        assert!(check(b"\"\xff\"").is_err());
        assert!(check(b"").is_err());
    }
}
