//! Any JSON, and any bytes, inside structured bodies of either form.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// Any JSON, as a text: in JSON it goes through as it is, to the last digit. In `MessagePack` it is what JSON can say as well.
#[derive(Clone, Debug)]
pub(super) struct AnyJson(Box<RawValue>);

impl AnyJson {
    /// Nothing if these bytes are not JSON.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().map(Self)
    }

    pub(super) fn get(&self) -> &str {
        self.0.get()
    }
}

impl<'de> Deserialize<'de> for AnyJson {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        if input.is_human_readable() {
            return Box::deserialize(input).map(Self);
        }
        to_raw_value(&Value::deserialize(input)?).map(Self).map_err(D::Error::custom)
    }
}

impl Serialize for AnyJson {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        if output.is_human_readable() {
            return self.0.serialize(output);
        }
        serde_json::from_str::<Value>(self.get()).map_err(serde::ser::Error::custom)?.serialize(output)
    }
}

impl JsonSchema for AnyJson {
    fn schema_name() -> Cow<'static, str> {
        "AnyJson".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

/// Bytes as they are, which JSON cannot hold.
#[derive(Debug)]
pub(super) struct Binary(pub(super) Bytes);

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(BinaryVisitor)
    }
}

struct BinaryVisitor;

impl Visitor<'_> for BinaryVisitor {
    type Value = Binary;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes of MessagePack (in JSON, use base64)")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Binary, E> {
        Ok(Binary(Bytes::copy_from_slice(bytes)))
    }
}
