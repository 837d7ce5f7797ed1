//! From a file to a [`Trace`], trusting nothing that the file says about itself.
//!
//! ```text
//! name ──► format, zstd or not      bytes ──► ctr | text ──► Trace
//! ```

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zstd::stream::read::Decoder;

use super::bytes::Unpacked;
use super::{Fault, Format, Part, Trace, TraceError, text};

/// What [`ReadOptions::with_max_bytes`] is unless it is set: 256 MiB, some 25 million requests with every column.
pub const DEFAULT_MAX_BYTES: u64 = 256 << 20;

/// How a trace file is read, and how much it may unfold to.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    max_bytes: u64,
    format: Option<Format>,
}

impl ReadOptions {
    /// The defaults.
    pub const fn new() -> Self {
        Self { max_bytes: DEFAULT_MAX_BYTES, format: None }
    }

    /// Refuses a file beyond this many bytes after decompression.
    ///
    /// Default [`DEFAULT_MAX_BYTES`]. A trace takes at most eight times this in memory while it is read, and four
    /// times afterwards: the shortest value is one byte in the file and four in its column. A line of [`Format::Arc`]
    /// counts as at least one byte for each request that it stands for. The different keys of a text are remembered
    /// besides, while it is read.
    #[must_use]
    pub const fn with_max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Reads the file in this format, whatever its name. Default: what its name says, see [`Format::of`].
    #[must_use]
    pub const fn with_format(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// Reads a file; the trace is named like it, without endings. A name that ends in `.zst` says that it is
    /// compressed.
    ///
    /// # Errors
    /// As [`ReadOptions::read`], [`Fault::Unreadable`] if the file cannot be opened, and [`Fault::Format`] if neither
    /// its name nor these options say what it is.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Trace, TraceError> {
        let path = path.as_ref();
        let located = |mut error: TraceError| {
            error.name = path.display().to_string().into();
            error
        };
        let failed = |what| located(fault("", 0, Part::File, what));
        let format = self.format.or_else(|| Format::of(path)).ok_or_else(|| failed(Fault::Format))?;
        let file = File::open(path).map_err(|error| failed(Fault::Unreadable(error)))?;
        if is_compressed(path) {
            return self.with_format(format).unpack(stem(path), file).map_err(located);
        }
        self.parse(stem(path), format, file).map_err(located)
    }

    /// Reads the bytes of a compressed file; `name` stands in errors and in [`Trace::name`].
    ///
    /// The format is [`Format::Ctr`] unless these options name another.
    ///
    /// # Errors
    /// Every malformed input is an error that says where it is wrong: see [`Fault`]. Trying again does not help.
    pub fn read(self, name: impl Into<String>, from: impl Read) -> Result<Trace, TraceError> {
        self.unpack(name.into(), from)
    }

    /// Reads the bytes of a file that is not compressed; the rest is as in [`ReadOptions::read`].
    ///
    /// ```
    /// use cache_testkit::trace::{Format, ReadOptions};
    ///
    /// let list = ReadOptions::new().with_format(Format::Keys);
    /// assert_eq!(list.read_plain("pets", &b"cat\ndog\ncat\n"[..])?.keys(), [0, 1, 0]);
    /// # Ok::<(), cache_testkit::trace::TraceError>(())
    /// ```
    ///
    /// # Errors
    /// As [`ReadOptions::read`].
    pub fn read_plain(self, name: impl Into<String>, from: impl Read) -> Result<Trace, TraceError> {
        self.parse(name.into(), self.format.unwrap_or(Format::Ctr), from)
    }

    fn unpack(self, name: String, from: impl Read) -> Result<Trace, TraceError> {
        match Decoder::new(from) {
            Ok(decoder) => self.parse(name, self.format.unwrap_or(Format::Ctr), decoder),
            Err(error) => Err(fault(&name, 0, Part::Header, Fault::Unreadable(error))),
        }
    }

    fn parse(self, name: String, format: Format, from: impl Read) -> Result<Trace, TraceError> {
        let mut bytes = Unpacked::new(from, self.max_bytes);
        let mut part = Part::File;
        let trace = match format {
            Format::Ctr => bytes.trace(&mut part),
            Format::Arc => text::arc(&mut bytes, &mut part),
            Format::Keys => text::keys(&mut bytes, &mut part),
            Format::Csv => text::csv(&mut bytes, &mut part),
        };
        match trace {
            Ok(trace) => Ok(Trace { name, ..trace }),
            Err(what) => Err(fault(&name, bytes.offset(), part, what)),
        }
    }
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Trace {
    /// Reads a file with the default [`ReadOptions`].
    ///
    /// # Errors
    /// See [`ReadOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TraceError> {
        ReadOptions::new().open(path)
    }

    /// Reads the bytes of a file with the default [`ReadOptions`].
    ///
    /// # Errors
    /// See [`ReadOptions::read`].
    pub fn read(name: impl Into<String>, from: impl Read) -> Result<Self, TraceError> {
        ReadOptions::new().read(name, from)
    }
}

fn fault(name: &str, offset: u64, part: Part, what: Fault) -> TraceError {
    TraceError { name: name.into(), offset, part, fault: Box::new(what) }
}

/// The file's name up to its first dot: `web07` for `traces/web07.ctr.zst`.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').find(|part| !part.is_empty()).unwrap_or("trace").to_owned()
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zst"))
}
