//! From a [`Trace`] to a file: the exact opposite of reading.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::{COSTS, MAGIC, SIZES, TIMES, TTLS, Trace};

/// The highest level that needs no more memory to read than the default one.
const LEVEL: i32 = 19;

impl Trace {
    /// Writes the bytes of a trace file. The name is not part of it.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        // Compressed as a whole, since a known size keeps the tables of the high level small.
        to.write_all(&zstd::bulk::compress(&self.plain(), LEVEL)?)?;
        to.flush()
    }

    /// Writes a trace file, replacing what is there.
    ///
    /// # Errors
    /// Those of creating and writing the file.
    pub fn save(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.write(File::create(path)?)
    }

    fn plain(&self) -> Vec<u8> {
        let columns = [(SIZES, &self.sizes), (TTLS, &self.ttls), (TIMES, &self.times), (COSTS, &self.costs)];
        let present = columns.into_iter().filter_map(|(flag, column)| Some((flag, column.as_deref()?)));

        let mut bytes = Vec::new();
        bytes.extend(MAGIC);
        bytes.extend(self.unique.to_le_bytes());
        bytes.extend((self.len() as u64).to_le_bytes());
        bytes.push(present.clone().fold(0, |flags, (flag, _)| flags | flag));
        push_column(&mut bytes, &self.keys);
        for (_, column) in present {
            push_column(&mut bytes, column);
        }
        bytes
    }
}

fn push_column(bytes: &mut Vec<u8>, values: &[u32]) {
    let mut before = 0;
    for value in values.iter().copied().map(i64::from) {
        let difference = value - before;
        push_varint(bytes, ((difference << 1) ^ (difference >> 63)).cast_unsigned());
        before = value;
    }
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}
