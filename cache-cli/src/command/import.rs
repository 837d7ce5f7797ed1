//! Lines of JSON into a region, batch by batch: what is held stays bounded, what was stored is known, and a wrong line is told by its
//! place in the file.

use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::entry;
use super::lines::{Batch, Batches};
use crate::error::Error;
use crate::http::Client;
use crate::output::Out;
use crate::progress;

/// What has become of a batch, and of all of them.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Imported {
    pub(super) lines: u64,
    pub(super) stored: u64,
}

pub(super) fn run(client: &Client, out: &mut Out, file: Option<&Path>) -> Result<(), Error> {
    let (name, sum) = match file.filter(|path| path.as_os_str() != "-") {
        Some(path) => {
            let (file, length) = entry::open(path)?;
            (path, import(client, path, (BufReader::with_capacity(64 << 10, file), length))?)
        }
        None => (
            Path::new("standard input"),
            import(client, Path::new("standard input"), (io::stdin().lock(), None))?,
        ),
    };
    let Imported { lines, stored } = sum;
    if out.is_json {
        return out.json(&json!({"lines": lines, "stored": stored}));
    }
    out.line(format!("{stored} entries stored, of {lines} lines of {}", name.display()))?;
    if stored < lines {
        out.note("the others had ended, or the region has no room for them");
    }
    Ok(())
}

fn import(
    client: &Client,
    name: &Path,
    (lines, length): (impl BufRead, Option<u64>),
) -> Result<Imported, Error> {
    let bar = progress::bar(length, true);
    let mut batches = Batches::new(lines);
    let mut sum = Imported::default();
    while let Some(batch) = batches.next_batch().map_err(Error::file(name))? {
        if !batch.numbers.is_empty() {
            let imported = send(client, &batch).map_err(|error| at(error, &batch, name))?;
            sum.lines += imported.lines;
            sum.stored += imported.stored;
        }
        bar.inc(batch.bytes_read);
    }
    bar.finish_and_clear();
    Ok(sum)
}

pub(super) fn send(client: &Client, batch: &Batch) -> Result<Imported, Error> {
    client.region("POST", "/import").header("content-type", "application/x-ndjson").bytes(&batch.text)?.json()
}

/// The same error, with the place in the file where a batch alone is known.
fn at(error: Error, batch: &Batch, name: &Path) -> Error {
    match error {
        Error::Refused { status, detail } => Error::Refused { status, detail: placed(&detail, batch, name) },
        Error::Unreachable { what, hint } => {
            let first = batch.numbers.first().copied().unwrap_or_default();
            Error::Unreachable {
                what: format!("{what}; what stands before line {first} of {} is stored", name.display()),
                hint,
            }
        }
        other => other,
    }
}

/// `line 3: ...` of the batch is the line of the file that is the third of the batch. A field may be named before it.
fn placed(detail: &str, batch: &Batch, name: &Path) -> String {
    let (field, text) = detail.split_once("line ").unwrap_or_default();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = text.split_at(digits);
    let number = number.parse::<usize>().ok().and_then(|number| batch.numbers.get(number.checked_sub(1)?));
    match number {
        Some(number) if field.is_empty() || field.ends_with(": ") => {
            format!("{field}{}, line {number}{rest}; what stands before it is stored", name.display())
        }
        _ => detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_batch_is_told_as_the_line_of_the_file() {
        let batch = Batch { numbers: vec![11, 14, 15], ..Batch::default() };
        let told = |detail| placed(detail, &batch, Path::new("f"));
        assert_eq!(told("line 2: key: empty"), "f, line 14: key: empty; what stands before it is stored");
        assert_eq!(
            told("line 3 has more than 9 bytes"),
            "f, line 15 has more than 9 bytes; what stands before it is stored"
        );
        assert_eq!(told("ttl: line 1: no"), "ttl: f, line 11: no; what stands before it is stored");
        for other in ["no such region", "line 4: x", "line 0", "the line 2"] {
            assert_eq!(told(other), other);
        }
    }
}
