//! Which values are compressed and how hard; and back, whatever is set now.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;

use super::CodecError;
#[cfg(feature = "lz4")]
use super::lz4;
#[cfg(feature = "zstd")]
use super::zstd;

/// How hard values are compressed. A level is there if its feature is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// LZ4: about half the size of JSON in a fifth of the time of [`Default`](Self::Default).
    #[cfg(feature = "lz4")]
    Fast,
    /// Zstandard at its level 1, which on records in JSON is smaller and faster than 3 and 6.
    #[cfg(feature = "zstd")]
    Default,
    /// Zstandard at its level 9: a little smaller for many times the time, for what is written seldom.
    #[cfg(feature = "zstd")]
    Max,
}

impl Compression {
    /// The levels of this build, the weakest first.
    pub const ALL: &[Self] = &[
        Self::None,
        #[cfg(feature = "lz4")]
        Self::Fast,
        #[cfg(feature = "zstd")]
        Self::Default,
        #[cfg(feature = "zstd")]
        Self::Max,
    ];

    /// The name in configuration and HTTP bodies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            #[cfg(feature = "lz4")]
            Self::Fast => "fast",
            #[cfg(feature = "zstd")]
            Self::Default => "default",
            #[cfg(feature = "zstd")]
            Self::Max => "max",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let same = |level: &&Self| level.as_str().eq_ignore_ascii_case(text);
        let names: Vec<_> = Self::ALL.iter().map(|level| level.as_str()).collect();
        let unknown = || format!("{text:?} is no compression of this build; use {}", names.join(", "));
        Self::ALL.iter().find(same).copied().ok_or_else(unknown)
    }
}

/// Below this many bytes, compressing costs more than it saves. Source: records in JSON, `lz4_flex` 0.14 and zstd 1.5:
/// at 256 bytes they save 15 and 28 %, at 1 KiB 40 and 60 %, at 128 bytes nothing.
pub(super) const DEFAULT_THRESHOLD: usize = 512;

/// Not compressed, as frames say it.
pub(super) const NONE: u8 = 0;

/// What is set now. Each part may change at any time; a write goes by what it finds.
#[derive(Debug)]
pub(super) struct Setting {
    /// Indexes [`Compression::ALL`].
    level: AtomicU8,
    threshold: AtomicUsize,
}

impl Setting {
    pub(super) fn new() -> Self {
        Self { level: AtomicU8::new(0), threshold: AtomicUsize::new(DEFAULT_THRESHOLD) }
    }

    pub(super) fn set(&self, compression: Compression) {
        let at = Compression::ALL.iter().position(|level| *level == compression);
        self.level.store(at.and_then(|at| u8::try_from(at).ok()).unwrap_or_default(), Relaxed);
    }

    pub(super) fn level(&self) -> Compression {
        let at = usize::from(self.level.load(Relaxed));
        Compression::ALL.get(at).copied().unwrap_or_default()
    }

    pub(super) fn set_threshold(&self, bytes: usize) {
        self.threshold.store(bytes, Relaxed);
    }

    pub(super) fn threshold(&self) -> usize {
        self.threshold.load(Relaxed)
    }

    /// The smaller of the bytes and their compressed form, and what that is.
    pub(super) fn compress(&self, raw: Bytes) -> (u8, Bytes) {
        if raw.len() < self.threshold() {
            return (NONE, raw);
        }
        let compressed: Option<(u8, Vec<u8>)> = match self.level() {
            Compression::None => None,
            #[cfg(feature = "lz4")]
            Compression::Fast => lz4::compress(&raw).map(|bytes| (lz4::WAY, bytes)),
            #[cfg(feature = "zstd")]
            Compression::Default => zstd::compress(&raw, 1).map(|bytes| (zstd::WAY, bytes)),
            #[cfg(feature = "zstd")]
            Compression::Max => zstd::compress(&raw, 9).map(|bytes| (zstd::WAY, bytes)),
        };
        // Expanding costs every reader, so the writer must have saved a tenth.
        let worth = |(_, bytes): &(u8, Vec<u8>)| bytes.len() < raw.len() - raw.len() / 10;
        match compressed.filter(worth) {
            Some((way, bytes)) => (way, bytes.into()),
            None => (NONE, raw),
        }
    }
}

/// Undoes the compression: exactly `declared` bytes, or an error.
///
/// Never allocates more than what the payload's own blocks can give, whatever is declared.
pub(super) fn expand(way: u8, payload: Bytes, declared: usize) -> Result<Bytes, CodecError> {
    let expanded: Option<Bytes> = match way {
        NONE => Some(payload),
        #[cfg(feature = "lz4")]
        lz4::WAY => lz4::expand(&payload, declared).map(Bytes::from),
        #[cfg(feature = "zstd")]
        zstd::WAY => zstd::expand(&payload, declared).map(Bytes::from),
        compression => return Err(CodecError::UnknownCompression { compression }),
    };
    expanded.filter(|bytes| bytes.len() == declared).ok_or(CodecError::Expand { declared })
}
