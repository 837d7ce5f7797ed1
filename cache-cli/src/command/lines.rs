//! Lines of a file in batches: as many as fit, and at least one, so that what is held stays bounded.

use std::io::{self, BufRead, Read};

/// A batch is sent when it has as many bytes.
const BATCH_BYTES: usize = 512 << 10;

/// The most bytes of a line. The server has a limit of its own, 1 MiB unless it is set.
const MAX_LINE_BYTES: usize = 256 << 20;

/// Some lines that follow each other, without empty ones.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) text: Vec<u8>,
    /// Where each of them stands in the file, counted from 1.
    pub(super) numbers: Vec<u64>,
    /// How much of the file it took.
    pub(super) bytes_read: u64,
}

/// The batches of a file.
pub(super) struct Batches<R> {
    file: R,
    line: u64,
}

impl<R: BufRead> Batches<R> {
    pub(super) fn new(file: R) -> Self {
        Self { file, line: 0 }
    }

    /// The next one; none at the end.
    pub(super) fn next_batch(&mut self) -> io::Result<Option<Batch>> {
        let mut batch = Batch::default();
        while batch.text.len() < BATCH_BYTES {
            let before = batch.text.len();
            let read = (&mut self.file).take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut batch.text)?;
            if read == 0 {
                break;
            }
            self.line += 1;
            batch.bytes_read += read as u64;
            if read == MAX_LINE_BYTES && batch.text.last() != Some(&b'\n') {
                let line = self.line;
                return Err(io::Error::other(format!("line {line} has more than {MAX_LINE_BYTES} bytes")));
            }
            if batch.text[before..].trim_ascii().is_empty() {
                batch.text.truncate(before);
            } else {
                batch.numbers.push(self.line);
            }
        }
        Ok((batch.bytes_read > 0).then_some(batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_numbers_and_empty_ones_are_none() {
        let mut batches = Batches::new(&b"\na\n\r\n b\n\nc"[..]);
        let batch = batches.next_batch().unwrap().unwrap();
        assert_eq!((batch.text.as_slice(), batch.numbers.as_slice()), (&b"a\n b\nc"[..], &[2, 4, 6][..]));
        assert_eq!(batch.bytes_read, 10);
        assert!(batches.next_batch().unwrap().is_none());
    }

    #[test]
    fn a_batch_ends_when_it_has_enough() {
        let text = format!("{}\n", "x".repeat(BATCH_BYTES / 2)).repeat(5);
        let mut batches = Batches::new(text.as_bytes());
        let mut next = || batches.next_batch().unwrap().map(|batch| batch.numbers);
        assert_eq!(
            [next(), next(), next(), next()],
            [Some(vec![1, 2]), Some(vec![3, 4]), Some(vec![5]), None]
        );
    }
}
