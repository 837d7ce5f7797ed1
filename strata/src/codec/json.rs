//! JSON, for values that other programs read, or that people look at.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::{Deserializer, Serializer};

use super::strict::{Doubles, read, write};
use super::{Codec, CodecFailure};

/// Encodes with serde as JSON. Its number is 2.
///
/// Numbers that JSON does not have, infinities and NaN, are refused instead of becoming `null`. Nesting is limited to
/// 128 levels on both ways, all bytes must be used, and an `Option` in an `Option` comes back as it went, as an array of
/// none or one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json;

impl<V: Serialize + DeserializeOwned> Codec<V> for Json {
    fn id(&self) -> u8 {
        2
    }

    fn encode(&self, value: &V) -> Result<Bytes, CodecFailure> {
        let doubles = Doubles::default();
        let mut out = Vec::new();
        write(value, &mut Serializer::new(&mut out), &doubles)?;
        if doubles.any() {
            doubles.compare(|again| decode::<V>(&out, again).map(drop))?;
        }
        Ok(out.into())
    }

    fn decode(&self, bytes: &Bytes) -> Result<V, CodecFailure> {
        decode(bytes, &Doubles::default())
    }
}

fn decode<V: DeserializeOwned>(bytes: &[u8], doubles: &Doubles) -> Result<V, CodecFailure> {
    let mut deserializer = Deserializer::from_slice(bytes);
    let value = read(&mut deserializer, doubles, say)?;
    deserializer.end().map_err(|error| say(&error))?;
    Ok(value)
}

/// What is wrong and where, without what stands there.
fn say(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        Category::Data => "the JSON is of another shape than its type",
        Category::Eof => "the JSON ends early",
        Category::Io | Category::Syntax => "this is no JSON",
    };
    format!("{what}, at line {} column {}", error.line(), error.column())
}
