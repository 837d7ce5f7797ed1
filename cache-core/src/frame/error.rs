//! Why bytes are not a frame, or an entry cannot become one.

use thiserror::Error;

use super::FRAME_VERSION;

/// Why bytes are not a frame of this key, or an entry cannot become one. A reader treats each as a miss.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The first bytes are not those of a frame: somebody else wrote them.
    #[error("the bytes do not begin as a frame does")]
    Foreign,
    /// A newer release, or damage, wrote this version.
    #[error("the frame has version {version}; this release reads version {FRAME_VERSION} and older ones")]
    Version {
        /// Which it is.
        version: u8,
    },
    /// It ends before its lengths are told.
    #[error("the frame ends after {bytes} bytes, in the middle of its head")]
    Short {
        /// How many bytes there are.
        bytes: usize,
    },
    /// It is longer or shorter than it says.
    #[error("the frame should have {declared} bytes and has {found}")]
    Length {
        /// What its head announces.
        declared: u64,
        /// How many there are.
        found: u64,
    },
    /// Damaged, or written under another key.
    #[error("the checksum is wrong: the frame was damaged, or written under another key")]
    Checksum,
    /// Whole, but with a head that no release has written.
    #[error("the head has no valid {field}")]
    Field {
        /// Which part of the head.
        field: &'static str,
    },
    /// It cannot be written.
    #[error("the {part} needs {bytes}; at most {limit} are allowed")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// How many bytes, or labels, it needs.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
}
