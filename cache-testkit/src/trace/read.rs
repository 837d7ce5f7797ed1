//! From a file to a [`Trace`], trusting nothing that the file says about itself.
//!
//! A count in the header is a promise: columns grow as their bytes arrive, so a lie costs an error and no memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zstd::stream::read::Decoder;

use super::{COSTS, Fault, HEADER_BYTES, KNOWN_FLAGS, MAGIC, Part, SIZES, TIMES, TTLS, Trace, TraceError};

/// What [`ReadOptions::with_max_bytes`] is unless it is set: 256 MiB, some 25 million requests with every column.
pub const DEFAULT_MAX_BYTES: u64 = 256 << 20;

/// How much a trace file may unfold to.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    max_bytes: u64,
}

impl ReadOptions {
    /// The defaults.
    pub const fn new() -> Self {
        Self { max_bytes: DEFAULT_MAX_BYTES }
    }

    /// Refuses a file beyond this many bytes after decompression.
    ///
    /// Default [`DEFAULT_MAX_BYTES`]. A trace takes at most eight times this in memory while it is read, and four
    /// times afterwards: the shortest value is one byte in the file and four in its column.
    #[must_use]
    pub const fn with_max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Reads a file; the trace is named like it, without endings.
    ///
    /// # Errors
    /// As [`ReadOptions::read`], and [`Fault::Unreadable`] if the file cannot be opened.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Trace, TraceError> {
        let path = path.as_ref();
        let located = |mut error: TraceError| {
            error.name = path.display().to_string();
            error
        };
        let file = File::open(path)
            .map_err(|error| fault("", 0, Part::File, Fault::Unreadable(error)))
            .map_err(located)?;
        self.read(stem(path), file).map_err(located)
    }

    /// Reads the bytes of a file; `name` stands in errors and in [`Trace::name`].
    ///
    /// # Errors
    /// Every malformed input is an error that says where it is wrong: see [`Fault`]. Trying again does not help.
    pub fn read(self, name: impl Into<String>, from: impl Read) -> Result<Trace, TraceError> {
        let name = name.into();
        let decoder =
            Decoder::new(from).map_err(|error| fault(&name, 0, Part::Header, Fault::Unreadable(error)))?;
        let mut bytes = Unpacked::new(decoder, self.max_bytes);
        let mut part = Part::File;
        match bytes.trace(&mut part) {
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

/// Decompressed bytes, counted and limited. `part` tells the caller what was being read when a fault is returned.
struct Unpacked<R> {
    from: R,
    buffer: Box<[u8]>,
    next: usize,
    filled: usize,
    /// How many bytes were taken from `from`, those still in `buffer` included.
    taken: u64,
    max_bytes: u64,
}

impl<R: Read> Unpacked<R> {
    fn new(from: R, max_bytes: u64) -> Self {
        Self { from, buffer: vec![0; 64 << 10].into(), next: 0, filled: 0, taken: 0, max_bytes }
    }

    const fn offset(&self) -> u64 {
        self.taken - (self.filled - self.next) as u64
    }

    fn trace(&mut self, part: &mut Part) -> Result<Trace, Fault> {
        *part = Part::Header;
        let header = self.header()?;
        let keys = self.keys(&header, part)?;
        let mut column = |name, flag| {
            (header.flags & flag != 0).then(|| self.column(name, header.requests, part)).transpose()
        };
        let (sizes, ttls) = (column("sizes", SIZES)?, column("ttls", TTLS)?);
        let (times, costs) = (column("times", TIMES)?, column("costs", COSTS)?);
        *part = Part::End;
        if self.byte()?.is_some() {
            return Err(Fault::Trailing);
        }
        Ok(Trace { name: String::new(), unique: header.unique, keys, sizes, ttls, times, costs })
    }

    fn header(&mut self) -> Result<Header, Fault> {
        let mut bytes = [0; HEADER_BYTES];
        for byte in &mut bytes {
            *byte = self.expect("17 bytes of header")?;
        }
        let [m0, m1, m2, m3, u0, u1, u2, u3, requests @ .., flags] = bytes;
        let magic = [m0, m1, m2, m3];
        if magic != MAGIC {
            return Err(Fault::Magic { found: magic });
        }
        if flags & !KNOWN_FLAGS != 0 {
            return Err(Fault::Flags { found: flags });
        }
        let unique = u32::from_le_bytes([u0, u1, u2, u3]);
        Ok(Header { unique, requests: u64::from_le_bytes(requests), flags })
    }

    /// The column of keys, which must be dense and numbered by first occurrence.
    fn keys(&mut self, header: &Header, part: &mut Part) -> Result<Vec<u32>, Fault> {
        let unique = header.unique;
        let mut seen = 0;
        let keys = self.values("keys", header.requests, part, |key| {
            if key > seen || key >= unique {
                return Err(Fault::Key { key, seen, unique });
            }
            seen = seen.max(key.saturating_add(1));
            Ok(())
        })?;
        if seen < unique {
            return Err(Fault::Unique { found: seen, declared: unique });
        }
        Ok(keys)
    }

    fn column(&mut self, name: &'static str, requests: u64, part: &mut Part) -> Result<Vec<u32>, Fault> {
        self.values(name, requests, part, |_| Ok(()))
    }

    fn values(
        &mut self,
        name: &'static str,
        requests: u64,
        part: &mut Part,
        mut check: impl FnMut(u32) -> Result<(), Fault>,
    ) -> Result<Vec<u32>, Fault> {
        let mut values = Vec::new();
        let mut sum = 0_i128;
        for request in 0..requests {
            *part = Part::Column(name, request);
            sum += i128::from(self.difference()?);
            let value = u32::try_from(sum).map_err(|_| Fault::Range { value: sum })?;
            check(value)?;
            values.push(value);
        }
        values.shrink_to_fit();
        Ok(values)
    }

    /// One zigzag LEB128 varint.
    fn difference(&mut self) -> Result<i64, Fault> {
        let mut zigzag = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.expect("one more value")?;
            let bits = u64::from(byte & 0x7F);
            if (bits << shift) >> shift != bits {
                return Err(Fault::Varint);
            }
            zigzag |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed());
            }
        }
        Err(Fault::Varint)
    }

    fn expect(&mut self, expected: &'static str) -> Result<u8, Fault> {
        self.byte()?.ok_or(Fault::Truncated { expected })
    }

    fn byte(&mut self) -> Result<Option<u8>, Fault> {
        if self.next == self.filled && !self.fill()? {
            return Ok(None);
        }
        let byte = self.buffer[self.next];
        self.next += 1;
        Ok(Some(byte))
    }

    /// Whether there was anything left to fill the buffer with.
    fn fill(&mut self) -> Result<bool, Fault> {
        self.next = 0;
        self.filled = 0;
        self.filled = match self.from.read(&mut self.buffer) {
            Ok(filled) => filled,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Fault::Truncated { expected: "the rest of a zstd frame" });
            }
            Err(error) => return Err(Fault::Unreadable(error)),
        };
        self.taken += self.filled as u64;
        if self.taken > self.max_bytes {
            return Err(Fault::TooLong { max_bytes: self.max_bytes });
        }
        Ok(self.filled > 0)
    }
}

struct Header {
    unique: u32,
    requests: u64,
    flags: u8,
}

fn fault(name: &str, offset: u64, part: Part, fault: Fault) -> TraceError {
    TraceError { name: name.to_owned(), offset, part, fault }
}

/// The file's name up to its first dot: `web07` for `traces/web07.ctr.zst`.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').find(|part| !part.is_empty()).unwrap_or("trace").to_owned()
}
