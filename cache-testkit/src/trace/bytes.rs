//! The bytes of a trace file as they arrive: counted, limited, and taken one by one or line by line.
//!
//! Nothing here knows a format. Memory is bounded by the buffer and, for a line, by the limit.

use std::io::{self, Read};

use super::Fault;

/// Decompressed bytes, counted and limited.
pub(super) struct Unpacked<R> {
    from: R,
    buffer: Box<[u8]>,
    next: usize,
    filled: usize,
    /// How many bytes were taken from `from`, those still in `buffer` included.
    taken: u64,
    max_bytes: u64,
}

impl<R: Read> Unpacked<R> {
    pub(super) fn new(from: R, max_bytes: u64) -> Self {
        Self { from, buffer: vec![0; 64 << 10].into(), next: 0, filled: 0, taken: 0, max_bytes }
    }

    /// The most bytes that it may hold.
    pub(super) const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// How many bytes were taken out of it.
    pub(super) const fn offset(&self) -> u64 {
        self.taken - (self.filled - self.next) as u64
    }

    /// The next byte, which must be there.
    pub(super) fn expect(&mut self, expected: &'static str) -> Result<u8, Fault> {
        self.byte()?.ok_or(Fault::Truncated { expected })
    }

    /// The next byte; `None` at the end.
    pub(super) fn byte(&mut self) -> Result<Option<u8>, Fault> {
        if self.next == self.filled && !self.fill()? {
            return Ok(None);
        }
        let byte = self.buffer[self.next];
        self.next += 1;
        Ok(Some(byte))
    }

    /// The next line, without its end; `None` where there is no further one.
    ///
    /// A last line needs no line feed. A carriage return before the line feed belongs to the end of the line.
    pub(super) fn line<'a>(&mut self, line: &'a mut Vec<u8>) -> Result<Option<&'a [u8]>, Fault> {
        line.clear();
        loop {
            if self.next == self.filled && !self.fill()? {
                return Ok((!line.is_empty()).then(|| without_return(line)));
            }
            let rest = &self.buffer[self.next..self.filled];
            let end = rest.iter().position(|&byte| byte == b'\n');
            line.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
            self.next += end.map_or(rest.len(), |end| end + 1);
            if end.is_some() {
                return Ok(Some(without_return(line)));
            }
        }
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

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
