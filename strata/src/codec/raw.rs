//! Bytes as they are: for values that somebody else has already encoded.

use bytes::Bytes;

use super::{Codec, CodecFailure};

/// Stores bytes and texts as they are. Its number is 0.
///
/// A decoded [`Bytes`] shares the memory of the frame it was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raw;

const ID: u8 = 0;

impl Codec<Bytes> for Raw {
    fn id(&self) -> u8 {
        ID
    }

    fn encode(&self, value: &Bytes) -> Result<Bytes, CodecFailure> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &Bytes) -> Result<Bytes, CodecFailure> {
        Ok(bytes.clone())
    }
}

impl Codec<Vec<u8>> for Raw {
    fn id(&self) -> u8 {
        ID
    }

    fn encode(&self, value: &Vec<u8>) -> Result<Bytes, CodecFailure> {
        Ok(Bytes::copy_from_slice(value))
    }

    fn decode(&self, bytes: &Bytes) -> Result<Vec<u8>, CodecFailure> {
        Ok(bytes.to_vec())
    }
}

impl Codec<String> for Raw {
    fn id(&self) -> u8 {
        ID
    }

    fn encode(&self, value: &String) -> Result<Bytes, CodecFailure> {
        Ok(Bytes::copy_from_slice(value.as_bytes()))
    }

    fn decode(&self, bytes: &Bytes) -> Result<String, CodecFailure> {
        Ok(str::from_utf8(bytes)?.to_owned())
    }
}
