//! Why a file is not a trace: which file, where in it, and what would be right.

use std::{fmt, io};

use thiserror::Error;

/// A trace that cannot be read.
///
/// ```
/// use cache_testkit::trace::Trace;
/// let error = Trace::read("list.txt", &b"1 2 3"[..]).unwrap_err();
/// assert!(error.to_string().starts_with("trace list.txt: byte 0, header: "));
/// ```
#[derive(Debug, Error)]
#[error("trace {name}: byte {offset}, {part}: {fault}")]
pub struct TraceError {
    pub(super) name: Box<str>,
    pub(super) offset: u64,
    pub(super) part: Part,
    pub(super) fault: Box<Fault>,
}

impl TraceError {
    /// How many bytes had been read, counted after decompression.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The part of the file that is wrong.
    pub const fn part(&self) -> Part {
        self.part
    }

    /// What is wrong with it.
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }
}

/// A part of a trace file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The file itself, before its first byte.
    File,
    /// The magic, the counts and the flags.
    Header,
    /// The value of this request, counted from 0, in the column of this name.
    Column(&'static str, u64),
    /// This line of a text, counted from 1.
    Line(u64),
    /// What follows the last column.
    End,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Header => f.write_str("header"),
            Self::Column(name, request) => write!(f, "column {name}, request {request}"),
            Self::Line(line) => write!(f, "line {line}"),
            Self::End => f.write_str("end"),
        }
    }
}

/// What is wrong with a part of a trace file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file cannot be opened or read, or is not zstd.
    #[error("expected a readable file (zstd, if its name ends in .zst): {0}")]
    Unreadable(io::Error),
    /// The bytes end too early.
    #[error("the file ends here, expected {expected}")]
    Truncated {
        /// What should have followed.
        expected: &'static str,
    },
    /// The name of the file does not say what it is.
    #[error(
        "the name does not say the format, expected it to end in one of {}, and in .zst if compressed",
        endings()
    )]
    Format,
    /// A part of a line is not what its place demands.
    #[error("{what} {found:?}, expected {expected}")]
    Text {
        /// Which part.
        what: &'static str,
        /// What stands there, cut if it is long.
        found: Box<str>,
        /// What would be right.
        expected: &'static str,
    },
    /// More different keys than can be numbered.
    #[error("more than {} different keys, expected at most that", u32::MAX)]
    Keys,
    /// It is something else.
    #[error("the first four bytes are {found:?}, expected {:?}", super::MAGIC)]
    Magic {
        /// What stands in place of `CTR1`.
        found: [u8; 4],
    },
    /// Columns that this reader does not know.
    #[error(
        "flags {found:#010b}, expected none beyond {:#010b} (sizes 1, ttls 2, times 4, costs 8)",
        super::KNOWN_FLAGS
    )]
    Flags {
        /// The byte of flags.
        found: u8,
    },
    /// More than the reader was allowed to read.
    #[error("more than {max_bytes} bytes when decompressed, expected at most that (see `ReadOptions`)")]
    TooLong {
        /// The limit.
        max_bytes: u64,
    },
    /// A number that does not fit the format.
    #[error("a varint beyond 64 bits, expected at most ten bytes, the tenth at most 1")]
    Varint,
    /// A value that does not fit its column.
    #[error("the value {value} is out of range, expected 0 to {}", u32::MAX)]
    Range {
        /// The sum of the differences so far.
        value: i128,
    },
    /// A key id that skips one, or that exceeds the declared number of keys.
    #[error("key {key} after {seen} different ones of {unique} declared, expected {}", expected_key(*.seen, *.unique))]
    Key {
        /// The id.
        key: u32,
        /// How many different keys came before it.
        seen: u32,
        /// How many the header declares.
        unique: u32,
    },
    /// Fewer keys than the header declares.
    #[error("{found} different keys, expected the {declared} that the header declares")]
    Unique {
        /// How many occur.
        found: u32,
        /// How many the header declares.
        declared: u32,
    },
    /// Bytes after the last column.
    #[error("bytes after the last column, expected the end of the file")]
    Trailing,
}

fn endings() -> String {
    super::Format::ALL.iter().flat_map(|format| format.endings()).copied().collect::<Vec<_>>().join(", ")
}

fn expected_key(seen: u32, unique: u32) -> String {
    if seen < unique { format!("0 to {seen}") } else { format!("less than {unique}") }
}
