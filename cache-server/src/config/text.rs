//! Text files, however they were named: regular and of bounded size, so that a wrong path neither hangs the start nor
//! fills the memory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Reads a file of at most so many bytes, or says why that cannot be.
pub(crate) fn read(path: &Path, at_most: u64) -> Result<String, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    // To open a pipe would wait until somebody writes to it.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(at_most + 1).read_to_end(&mut bytes));
    if read.map_err(unreadable)? as u64 > at_most {
        return Err(format!("is too large: expected at most {at_most} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| format!("is not UTF-8: {error}"))
}
