//! All entries of a region, as lines of JSON, to a file or on. Neither side ever holds more than a few of them.
//!
//! A file appears under its name when it is whole: an export that breaks off leaves what was there before.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::Error;
use crate::http::{Client, broke};
use crate::output::Out;
use crate::progress;
use crate::table;

pub(super) fn run(client: &Client, out: &mut Out, (file, force): (Option<&Path>, bool)) -> Result<(), Error> {
    let Some(path) = file.filter(|path| path.as_os_str() != "-") else {
        let (entries, bytes) = copy(client, |part| out.bytes(part))?;
        out.flush()?;
        out.note(&told(out, entries, bytes));
        return Ok(());
    };
    if path.exists() && !force {
        let exists =
            io::Error::new(io::ErrorKind::AlreadyExists, "there is such a file; --force replaces it");
        return Err(Error::file(path)(exists));
    }
    let mut part = Part::create(path)?;
    let (entries, bytes) = copy(client, |piece| part.file.write_all(piece).map_err(Error::file(path)))?;
    part.finish(path)?;
    let told = told(out, entries, bytes);
    out.line(told)
}

fn told(out: &Out, entries: u64, bytes: u64) -> String {
    if out.is_json {
        return json!({"entries": entries, "bytes": bytes}).to_string();
    }
    format!("{entries} entries, {}", table::bytes(bytes))
}

/// Hands over the export in pieces. Returns how many entries and bytes it had.
fn copy(client: &Client, mut take: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(u64, u64), Error> {
    let answer = client.region("GET", "/export").send()?.checked()?;
    let total: Option<u64> = answer.header("x-total-count").and_then(|total| total.parse().ok());
    let mut lines = BufReader::with_capacity(64 << 10, answer.into_reader());
    // Of how many entries, if the server says so; else how many bytes.
    let bar = progress::bar(total, total.is_none());
    let (mut entries, mut bytes) = (0, 0);
    loop {
        let piece = lines.fill_buf().map_err(|error| broke(&error))?;
        // Up to the end of a line, or all there is of one that goes on.
        let length = piece.iter().position(|byte| *byte == b'\n').map_or(piece.len(), |end| end + 1);
        if length == 0 {
            bar.finish_and_clear();
            return Ok((entries, bytes));
        }
        take(&piece[..length])?;
        let is_line = u64::from(piece[length - 1] == b'\n');
        entries += is_line;
        lines.consume(length);
        bytes += length as u64;
        bar.inc(if total.is_some() { is_line } else { length as u64 });
    }
}

/// A file that is not whole yet, and goes unless it becomes so.
struct Part {
    path: PathBuf,
    file: BufWriter<File>,
    is_whole: bool,
}

impl Part {
    fn create(whole: &Path) -> Result<Self, Error> {
        let mut name = whole.as_os_str().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let path = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        // What is cached may be nobody else's business.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(Error::file(&path))?;
        Ok(Self { path, file: BufWriter::new(file), is_whole: false })
    }

    fn finish(&mut self, whole: &Path) -> Result<(), Error> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        written.map_err(Error::file(whole))?;
        std::fs::rename(&self.path, whole).map_err(Error::file(whole))?;
        self.is_whole = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_whole {
            // If it cannot be removed, its name says what it is.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
