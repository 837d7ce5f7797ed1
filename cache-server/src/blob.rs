//! Blobs: what is stored under a key, and how it becomes bytes for the tiers below memory.
//!
//! ```text
//! length of the content type (2) │ bytes of the tags (4) │ length of what was said (4) │ content type │ what was said │ bytes
//! what was said: priority (1) │ cost in seconds (8, not a number if there is none) │ window in ms (8, if there is one) │ metadata
//! ```
//! Numbers have the least significant byte first. Where there is a window the highest bit of the priority is set.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use cache_core::Priority;
use strata::codec::{Codec, CodecFailure};
use thiserror::Error;
use twox_hash::XxHash3_64;

/// Bytes, and what they are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Blob {
    /// As they came in. They own their allocation: a slice of a read buffer would keep all of it alive.
    pub(crate) bytes: Bytes,
    pub(crate) content_type: HeaderValue,
    /// What its tags take, so that they count against the limit as well.
    pub(crate) tag_bytes: u64,
    /// What the bytes and their type hash to, so that a client can say which of them it has.
    digest: u64,
    /// Nothing for most entries.
    said: Option<Arc<Said>>,
}

/// What a client has said of an entry, to be told again.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Said {
    pub(crate) priority: Priority,
    /// In seconds.
    pub(crate) cost: Option<f64>,
    /// For how long after its fresh life it still answers.
    pub(crate) stale: Option<Duration>,
    /// JSON.
    pub(crate) metadata: Option<Box<str>>,
}

impl Blob {
    pub(crate) fn new(bytes: Bytes, content_type: HeaderValue, tag_bytes: u64) -> Self {
        let of_type = XxHash3_64::oneshot(content_type.as_bytes()).rotate_left(1);
        let digest = XxHash3_64::oneshot(&bytes) ^ of_type;
        Self { bytes, content_type, tag_bytes, digest, said: None }
    }

    pub(crate) fn with_said(mut self, said: Said) -> Self {
        self.said = (said != Said::default()).then(|| Arc::new(said));
        self
    }

    pub(crate) fn said(&self) -> Option<&Said> {
        self.said.as_deref()
    }

    /// The entity tag (RFC 9110, 8.8.3): a strong one, as the bytes are the representation.
    pub(crate) fn etag(&self) -> ETag {
        ETag(self.digest)
    }

    /// What it takes besides its place, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let metadata = |said: &Said| size_of::<Said>() + said.metadata.as_ref().map_or(0, |text| text.len());
        self.bytes.len() + self.content_type.len() + self.said().map_or(0, metadata)
    }
}

/// What names an entity, as it stands in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ETag(u64);

/// Quotes and 16 digits.
const ETAG_BYTES: usize = 18;

impl ETag {
    /// As it stands in a header. Each hit writes one, and the machinery of formats would take some 300 instructions more.
    pub(crate) fn text(self) -> [u8; ETAG_BYTES] {
        let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        let mut text = [b'"'; ETAG_BYTES];
        for (two, byte) in text[1..].as_chunks_mut().0.iter_mut().zip(self.0.to_be_bytes()) {
            *two = [digit(byte >> 4), digit(byte & 0xF)];
        }
        text
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{:016x}\"", self.0)
    }
}

/// Blobs as bytes. Its number is the first of those that are not the library's.
#[derive(Debug)]
pub(crate) struct BlobCodec;

const ID: u8 = 128;
const HEAD_BYTES: usize = 10;
const SAID_HEAD_BYTES: usize = 9;
const WINDOW_BYTES: usize = 8;
/// In the byte of the priority.
const HAS_WINDOW: u8 = 1 << 7;

/// Why bytes from below are no blob, or a blob cannot be bytes.
#[derive(Debug, Error)]
#[error("not a blob: {0}")]
struct NoBlob(&'static str);

impl Codec<Blob> for BlobCodec {
    fn id(&self) -> u8 {
        ID
    }

    fn encode(&self, blob: &Blob) -> Result<Bytes, CodecFailure> {
        let content_type = blob.content_type.as_bytes();
        let metadata = |said: &Said| said.metadata.as_ref().map_or(0, |text| text.len());
        let window = |said: &Said| said.stale.map_or(0, |_| WINDOW_BYTES);
        let said_bytes = blob.said().map_or(0, |said| SAID_HEAD_BYTES + window(said) + metadata(said));
        let mut out =
            BytesMut::with_capacity(HEAD_BYTES + content_type.len() + said_bytes + blob.bytes.len());
        out.put_u16_le(u16::try_from(content_type.len()).map_err(|_| NoBlob("its content type has 64 KiB"))?);
        out.put_u32_le(u32::try_from(blob.tag_bytes).unwrap_or(u32::MAX));
        out.put_u32_le(u32::try_from(said_bytes).map_err(|_| NoBlob("its metadata have 4 GiB"))?);
        out.put_slice(content_type);
        if let Some(Said { priority, cost, stale, metadata }) = blob.said() {
            out.put_u8(*priority as u8 | stale.map_or(0, |_| HAS_WINDOW));
            out.put_f64_le(cost.unwrap_or(f64::NAN));
            if let Some(window) = stale {
                out.put_u64_le(u64::try_from(window.as_millis()).unwrap_or(u64::MAX));
            }
            out.put_slice(metadata.as_deref().unwrap_or_default().as_bytes());
        }
        out.put_slice(&blob.bytes);
        Ok(out.freeze())
    }

    fn decode(&self, bytes: &Bytes) -> Result<Blob, CodecFailure> {
        let mut rest = bytes.clone();
        let of_type = usize::from(rest.try_get_u16_le()?);
        let tag_bytes = u64::from(rest.try_get_u32_le()?);
        let said_bytes = usize::try_from(rest.try_get_u32_le()?)?;
        if rest.len().checked_sub(of_type).is_none_or(|rest| rest < said_bytes) {
            return Err(NoBlob("it ends within its head").into());
        }
        let content_type = HeaderValue::from_bytes(&rest.split_to(of_type))?;
        let said = decode_said(rest.split_to(said_bytes))?;
        Ok(Blob::new(Bytes::copy_from_slice(&rest), content_type, tag_bytes).with_said(said))
    }
}

fn decode_said(mut bytes: Bytes) -> Result<Said, CodecFailure> {
    if bytes.is_empty() {
        return Ok(Said::default());
    }
    let first = bytes.try_get_u8()?;
    let priority = PRIORITIES
        .get(usize::from(first & !HAS_WINDOW))
        .copied()
        .ok_or(NoBlob("there is no such priority"))?;
    let cost = Some(bytes.try_get_f64_le()?).filter(|cost| !cost.is_nan());
    let window = if first & HAS_WINDOW == 0 { None } else { Some(bytes.try_get_u64_le()?) };
    let stale = window.map(Duration::from_millis);
    let metadata = if bytes.is_empty() { None } else { Some(std::str::from_utf8(&bytes)?.into()) };
    Ok(Said { priority, cost, stale, metadata })
}

/// By their numbers.
const PRIORITIES: [Priority; 4] = [Priority::Low, Priority::Normal, Priority::High, Priority::Critical];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_blob_comes_back_as_it_went(
            bytes: Vec<u8>,
            content_type in "[ -~]{0,40}",
            tag_bytes: u32,
            (priority, cost, stale, metadata) in
                (0..4_usize, any::<Option<u16>>(), any::<Option<u32>>(), any::<Option<String>>()),
        ) {
            let content_type = HeaderValue::from_str(&content_type).expect("visible");
            let metadata = metadata.filter(|metadata| !metadata.is_empty()).map(Into::into);
            let stale = stale.map(|window| Duration::from_millis(window.into()));
            let said = Said { priority: PRIORITIES[priority], cost: cost.map(f64::from), stale, metadata };
            let blob = Blob::new(bytes.into(), content_type, tag_bytes.into()).with_said(said);
            let encoded = BlobCodec.encode(&blob).expect("small");
            prop_assert_eq!(BlobCodec.decode(&encoded).expect("its own"), blob);
        }

        #[test]
        fn no_bytes_do_harm(bytes: Vec<u8>) {
            if let Ok(blob) = BlobCodec.decode(&bytes.into()) {
                let again = BlobCodec.encode(&blob).expect("small");
                prop_assert_eq!(BlobCodec.decode(&again).expect("its own"), blob);
            }
        }
    }

    #[test]
    fn priorities_have_the_numbers_of_their_order() {
        assert!(PRIORITIES.iter().enumerate().all(|(at, priority)| *priority as usize == at));
    }

    #[test]
    fn another_type_is_another_entity() {
        let blob =
            |content_type| Blob::new(Bytes::from_static(b"1"), HeaderValue::from_static(content_type), 0);
        assert_ne!(blob("text/plain").etag(), blob("application/json").etag());
        assert_eq!(blob("text/plain").etag(), blob("text/plain").etag());
    }

    #[test]
    fn an_entity_tag_is_one_text_in_a_header_and_elsewhere() {
        for digest in [0, 1, 0x9abc_def0_1234_5678, 0xf, 0xa000_0000_0000_0009, u64::MAX] {
            assert_eq!(ETag(digest).text(), ETag(digest).to_string().as_bytes(), "{digest:x}");
        }
    }
}
