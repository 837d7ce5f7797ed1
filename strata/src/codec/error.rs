//! What can go wrong between a value and its frame, and at which step.

use std::fmt;

use cache_core::{Error, ErrorKind, FrameError};
use thiserror::Error;

use super::CodecFailure;

/// Where something went wrong. The first is on the way out, the others are on the way in, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Making a frame of a value.
    Encode,
    /// Recognising the frame: beginning, lengths, checksum, head.
    Frame,
    /// Recognising the value: format version, type and codec.
    Kind,
    /// Opening the seal.
    Open,
    /// Undoing the compression.
    Expand,
    /// Making a value of the bytes.
    Decode,
}

impl Step {
    /// All steps, in their order.
    pub const ALL: [Self; 6] =
        [Self::Encode, Self::Frame, Self::Kind, Self::Open, Self::Expand, Self::Decode];

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encode => "encode",
            Self::Frame => "frame",
            Self::Kind => "kind",
            Self::Open => "open",
            Self::Expand => "expand",
            Self::Decode => "decode",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a value has no frame, or a frame no value. Never holds a part of either.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes are no frame of this key.
    #[error("the frame cannot be read")]
    Frame(#[source] FrameError),
    /// The entry does not fit into a frame.
    #[error("the frame cannot be written")]
    Write(#[source] FrameError),
    /// A value of another type.
    #[error("the frame holds the type {found:#010x} and not {expected:#010x}")]
    Type {
        /// Which it holds.
        found: u32,
        /// Which was asked for.
        expected: u32,
    },
    /// A value of another codec.
    #[error("the frame was encoded by codec {found} and not by {expected}")]
    Codec {
        /// By which it was.
        found: u8,
        /// By which it should be.
        expected: u8,
    },
    /// The value has more bytes than a value may have.
    #[error("the value has {bytes} bytes encoded; at most {limit} are allowed")]
    TooLarge {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
    /// The frame declares more bytes than a value may have.
    #[error("the frame declares a value of {bytes} bytes; at most {limit} are read")]
    Declares {
        /// How many it declares.
        bytes: usize,
        /// How many it may declare.
        limit: usize,
    },
    /// Not sealed, although this reader has keys: everybody could have written it.
    #[error("the frame is not sealed, and with keys only sealed frames are read")]
    Unsealed,
    /// Sealed by a key that is not on the ring.
    #[error("the frame is sealed by key {key}, which this reader does not have")]
    UnknownKey {
        /// Its number.
        key: u32,
    },
    /// Sealed by another key than it says, changed, or moved here from another key of the cache.
    #[error("the seal is broken: the frame was changed, or written under another key")]
    Broken,
    /// The operating system gave no random numbers to seal with.
    #[error("there are no random numbers to seal with")]
    NoRandom,
    /// Compressed in a way that this build does not know.
    #[error("the frame is compressed in the way {compression}, which this build does not know")]
    UnknownCompression {
        /// The number of that way.
        compression: u8,
    },
    /// The compressed bytes are damaged, or give another length than the frame says.
    #[error("the compressed bytes do not give the {declared} bytes that the frame declares")]
    Expand {
        /// How many they should give.
        declared: usize,
    },
    /// The codec refused the value.
    #[error("the value cannot be encoded")]
    Encode(#[source] CodecFailure),
    /// The codec refused the bytes.
    #[error("the bytes cannot be decoded")]
    Decode(#[source] CodecFailure),
}

impl CodecError {
    /// The step that failed on the way in; [`Step::Encode`] for all on the way out.
    pub fn step(&self) -> Step {
        match self {
            Self::Write(_) | Self::TooLarge { .. } | Self::NoRandom | Self::Encode(_) => Step::Encode,
            Self::Frame(FrameError::Version { .. }) | Self::Type { .. } | Self::Codec { .. } => Step::Kind,
            Self::Frame(_) => Step::Frame,
            Self::Unsealed | Self::UnknownKey { .. } | Self::Broken => Step::Open,
            Self::Declares { .. } | Self::UnknownCompression { .. } | Self::Expand { .. } => Step::Expand,
            Self::Decode(_) => Step::Decode,
        }
    }
}

impl From<CodecError> for Error {
    /// What was read is corrupt; what could not be written is invalid.
    fn from(error: CodecError) -> Self {
        let step = error.step();
        let kind = if step == Step::Encode { ErrorKind::Invalid } else { ErrorKind::Corrupt };
        Self::new(kind, "codec", step.as_str()).with_source(error)
    }
}
