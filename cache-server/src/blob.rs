//! Blobs: what is stored under a key, and how it becomes bytes for the tiers below memory.
//!
//! ```text
//! length of the content type (2) │ bytes of the tags (4) │ content type │ bytes          numbers with the least significant byte first
//! ```

use axum::http::HeaderValue;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use strata::codec::{Codec, CodecFailure};
use thiserror::Error;
use twox_hash::XxHash3_64;

/// Bytes, and what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    /// As they came in. They own their allocation: a slice of a read buffer would keep all of it alive.
    pub(crate) bytes: Bytes,
    pub(crate) content_type: HeaderValue,
    /// What its tags take, so that they count against the limit as well.
    pub(crate) tag_bytes: u64,
    /// What the bytes and their type hash to, so that a client can say which of them it has.
    pub(crate) digest: u64,
}

impl Blob {
    pub(crate) fn new(bytes: Bytes, content_type: HeaderValue, tag_bytes: u64) -> Self {
        let digest =
            XxHash3_64::oneshot(&bytes) ^ XxHash3_64::oneshot(content_type.as_bytes()).rotate_left(1);
        Self { bytes, content_type, tag_bytes, digest }
    }

    /// The entity tag (RFC 9110, 8.8.3): a strong one, as the bytes are the representation.
    pub(crate) fn etag(&self) -> String {
        format!("\"{:016x}\"", self.digest)
    }
}

/// Blobs as bytes. Its number is the first of those that are not the library's.
#[derive(Debug)]
pub(crate) struct BlobCodec;

const ID: u8 = 128;
const HEAD_BYTES: usize = 6;

/// Why bytes from below are no blob.
#[derive(Debug, Error)]
#[error("not a blob: {0}")]
struct NoBlob(&'static str);

impl Codec<Blob> for BlobCodec {
    fn id(&self) -> u8 {
        ID
    }

    fn encode(&self, blob: &Blob) -> Result<Bytes, CodecFailure> {
        let content_type = blob.content_type.as_bytes();
        let length = u16::try_from(content_type.len()).map_err(|_| NoBlob("a content type of 64 KiB"))?;
        let mut out = BytesMut::with_capacity(HEAD_BYTES + content_type.len() + blob.bytes.len());
        out.put_u16_le(length);
        out.put_u32_le(u32::try_from(blob.tag_bytes).unwrap_or(u32::MAX));
        out.put_slice(content_type);
        out.put_slice(&blob.bytes);
        Ok(out.freeze())
    }

    fn decode(&self, bytes: &Bytes) -> Result<Blob, CodecFailure> {
        let mut rest = bytes.clone();
        let length = usize::from(rest.try_get_u16_le()?);
        let tag_bytes = u64::from(rest.try_get_u32_le()?);
        if rest.len() < length {
            return Err(NoBlob("it ends within its content type").into());
        }
        let content_type = HeaderValue::from_bytes(&rest.split_to(length))?;
        Ok(Blob::new(Bytes::copy_from_slice(&rest), content_type, tag_bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_blob_comes_back_as_it_went(bytes: Vec<u8>, content_type in "[ -~]{0,40}", tag_bytes: u32) {
            let content_type = HeaderValue::from_str(&content_type).expect("visible");
            let blob = Blob::new(bytes.into(), content_type, tag_bytes.into());
            let encoded = BlobCodec.encode(&blob).expect("small");
            prop_assert_eq!(BlobCodec.decode(&encoded).expect("its own"), blob);
        }

        #[test]
        fn no_bytes_do_harm(bytes: Vec<u8>) {
            let bytes = Bytes::from(bytes);
            if let Ok(blob) = BlobCodec.decode(&bytes) {
                prop_assert_eq!(BlobCodec.encode(&blob).expect("small"), bytes);
            }
        }
    }

    #[test]
    fn another_type_is_another_entity() {
        let blob =
            |content_type| Blob::new(Bytes::from_static(b"1"), HeaderValue::from_static(content_type), 0);
        assert_ne!(blob("text/plain").etag(), blob("application/json").etag());
        assert_eq!(blob("text/plain").etag(), blob("text/plain").etag());
    }
}
