//! `MessagePack`, the codec to take unless something speaks for another: small, quick, and it keeps the types apart.

use bytes::Bytes;
use rmp_serde::decode::Error;
use rmp_serde::{Deserializer, Serializer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::strict::{Doubles, read, write};
use super::{Codec, CodecFailure, MAX_DEPTH};

/// Encodes with serde as `MessagePack`. Its number is 1.
///
/// Fields of structs are stored by name, so that a release which orders, adds or leaves out fields reads what an older
/// one has written, or refuses it; by position it would read one number for another. Bytes are stored as bytes where
/// serde knows them as such (a field with `serde_bytes`); a `Vec<u8>` it takes for a list of numbers.
///
/// Nesting is limited to 128 levels on both ways, all bytes must be used, and an `Option` in an `Option` comes back as
/// it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Msgpack;

impl<V: Serialize + DeserializeOwned> Codec<V> for Msgpack {
    fn id(&self) -> u8 {
        1
    }

    fn encode(&self, value: &V) -> Result<Bytes, CodecFailure> {
        let doubles = Doubles::default();
        let mut out = Vec::new();
        let mut serializer = Serializer::new(&mut out).with_struct_map();
        write(value, &mut serializer, &doubles)?;
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
    let mut rest = bytes;
    let mut deserializer = Deserializer::new(&mut rest);
    deserializer.set_max_depth(MAX_DEPTH.into());
    let value = read(&mut deserializer, doubles, say)?;
    match rest.len() {
        0 => Ok(value),
        more => Err(format!("{more} bytes follow the value").into()),
    }
}

/// What is wrong, without what stands there.
fn say(error: &Error) -> String {
    let what = match error {
        Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => "the MessagePack ends early",
        Error::DepthLimitExceeded => "the MessagePack nests too deeply",
        Error::Utf8Error(_) => "the MessagePack holds a text that is not UTF-8",
        _ => "the MessagePack is of another shape than its type",
    };
    what.to_owned()
}
