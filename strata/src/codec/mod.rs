//! How typed values become bytes for the tiers below memory, and back.
//!
//! ```text
//! write   value ─ encode ─► bytes ─ compress ─► fewer ─ seal ─► secret ─ head, checksum ─► frame
//! read    frame ─ whole? ─► secret ─ ours? ───► fewer ─ expand ─► bytes ─ decode ────────► value
//! ```
//!
//! A [`Framer`] takes these steps for one cache; a [`Codec`] is the first of them. Reading is for bytes that anybody
//! may have written: each step is sure of its input before the next one sees it, nothing is allocated on the word of a
//! length, and whatever fails is a counted [`CodecError`], which a reader treats as a miss.
//!
//! Steps are features, so that nobody compiles what they do not use: `msgpack`, `json`, `lz4`, `zstd`, `seal`. Bytes as
//! they are need none of them.

mod compression;
mod counts;
mod error;
mod framer;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "msgpack")]
mod msgpack;
mod raw;
#[cfg(feature = "seal")]
mod seal;
#[cfg(any(feature = "json", feature = "msgpack"))]
mod strict;
#[cfg(feature = "zstd")]
mod zstd;

use std::error::Error;
use std::fmt;

use bytes::Bytes;

pub use self::compression::Compression;
pub use self::counts::CodecStats;
pub use self::error::{CodecError, Step};
pub use self::framer::{Framed, Framer};
#[cfg(feature = "json")]
pub use self::json::Json;
#[cfg(feature = "msgpack")]
pub use self::msgpack::Msgpack;
pub use self::raw::Raw;
#[cfg(feature = "seal")]
pub use self::seal::{Keyring, SealKey, SealKeyError};

/// Why a codec could not encode or decode, in its own words. They go into logs, so they say nothing of the value.
pub type CodecFailure = Box<dyn Error + Send + Sync>;

/// The deepest nesting that is encoded or decoded: as deep as `serde_json` reads. Source: in a debug build 900 levels overflow a stack of
/// 2 MiB, and these take less than 1 MiB; optimised, less than 512 KiB.
#[cfg(any(feature = "json", feature = "msgpack"))]
pub(crate) const MAX_DEPTH: u8 = 128;

/// How a value becomes bytes and back.
///
/// What `decode` is given passed a checksum, so it is what some `encode` has written under this key; but anybody who may
/// write to a store can make a checksum, so `decode` must take any bytes without a panic and without allocating on the
/// word of a length. It must use all of them.
///
/// ```
/// use strata::codec::{Codec, CodecFailure};
///
/// #[derive(Debug)]
/// struct BigEndian;
///
/// impl Codec<u32> for BigEndian {
///     fn id(&self) -> u8 {
///         200
///     }
///     fn encode(&self, value: &u32) -> Result<bytes::Bytes, CodecFailure> {
///         Ok(bytes::Bytes::copy_from_slice(&value.to_be_bytes()))
///     }
///     fn decode(&self, bytes: &bytes::Bytes) -> Result<u32, CodecFailure> {
///         Ok(u32::from_be_bytes(bytes[..].try_into()?))
///     }
/// }
/// assert_eq!(BigEndian.decode(&BigEndian.encode(&7)?)?, 7);
/// # Ok::<(), CodecFailure>(())
/// ```
pub trait Codec<V>: fmt::Debug + Send + Sync + 'static {
    /// The number by which frames name this codec. 0 to 127 are Strata's, 128 to 255 are yours.
    fn id(&self) -> u8;

    /// Encodes a value.
    ///
    /// # Errors
    /// A value that has no encoding, or that would not come back as it went.
    fn encode(&self, value: &V) -> Result<Bytes, CodecFailure>;

    /// Decodes all of these bytes.
    ///
    /// # Errors
    /// Anything that `encode` would not have written.
    fn decode(&self, bytes: &Bytes) -> Result<V, CodecFailure>;
}
