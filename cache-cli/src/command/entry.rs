//! One entry: read, stored, given a new life, described. Values are bytes, which go through as they are.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Value, json};

use crate::args::Set;
use crate::error::Error;
use crate::http::{Answer, Client, broke, encoded};
use crate::output::{Out, Style, escaped};
use crate::table;

/// More than this is nothing to look at.
const MAX_SHOWN_BYTES: u64 = 1 << 20;

fn miss(key: &str) -> Error {
    Error::NotFound(format!("there is no entry of the key {}", escaped(key)))
}

fn found(answer: Answer, key: &str) -> Result<Answer, Error> {
    answer.found()?.ok_or_else(|| miss(key))
}

pub(super) fn get(client: &Client, out: &mut Out, keys: &[String]) -> Result<(), Error> {
    if out.is_json {
        let body: Value = client.region("POST", "/get-many").json(&json!({"keys": keys}))?.json()?;
        out.json(&body)?;
        let missing = body["missing"].as_array().and_then(|missing| missing.first()?.as_str());
        return missing.map_or(Ok(()), |key| Err(miss(key)));
    }
    let [key] = keys else {
        return Err(Error::Usage(
            "several values cannot be told apart; ask for one key, or for all of them with --json".to_owned(),
        ));
    };
    let answer = client.region("GET", &format!("/entries/{}", encoded(key))).send()?;
    let value = found(answer, key)?.into_reader();
    if out.is_terminal { show(out, value) } else { copy(out, value) }
}

fn copy(out: &mut Out, mut value: impl Read) -> Result<(), Error> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match value.read(&mut buffer).map_err(|error| broke(&error))? {
            0 => return Ok(()),
            read => out.bytes(&buffer[..read])?,
        }
    }
}

/// Writes a value to a terminal, which must not obey it.
fn show(out: &mut Out, value: impl Read) -> Result<(), Error> {
    let mut bytes = Vec::new();
    value.take(MAX_SHOWN_BYTES + 1).read_to_end(&mut bytes).map_err(|error| broke(&error))?;
    let text = std::str::from_utf8(&bytes).ok().filter(|_| bytes.len() as u64 <= MAX_SHOWN_BYTES);
    let is_shown = |text: &&str| {
        text.lines().all(|line| escaped(&line.replace('\t', "")).len() == line.replace('\t', "").len())
    };
    match text.filter(is_shown) {
        Some(text) => out.line(text.strip_suffix('\n').unwrap_or(text)),
        None => Err(Error::Usage(
            "the value is not text for a terminal; send it to a file: strata get KEY > FILE".to_owned(),
        )),
    }
}

pub(super) fn set(client: &Client, out: &mut Out, set: &Set) -> Result<(), Error> {
    let mut request = client.region("PUT", &path(set)?);
    let is_argument = set.value.as_deref().is_some_and(|value| value != "-");
    let default = if is_argument { "text/plain; charset=utf-8" } else { "application/octet-stream" };
    request = request.header("content-type", set.content_type.as_deref().unwrap_or(default));
    if set.if_absent {
        request = request.header("if-none-match", "*");
    }
    let answer = match (&set.value, &set.file) {
        (Some(value), _) if is_argument => request.bytes(value.as_bytes())?,
        (_, Some(path)) => {
            let (mut file, length) = open(path)?;
            request.reader(&mut file, length)?
        }
        _ => request.reader(&mut io::stdin().lock(), None)?,
    };
    if set.if_absent && answer.status() == 412 {
        let detail = format!("there is an entry of the key {} already, and it stays as it is", set.key);
        return Err(Error::Refused { status: 412, detail });
    }
    let answer = answer.checked()?;
    let result = answer.header("x-cache").unwrap_or("stored").to_owned();
    if out.is_json {
        return out.json(&json!({"key": set.key, "result": result}));
    }
    out.line(out.styled(Style::Good, &result))
}

fn path(set: &Set) -> Result<String, Error> {
    if let Some(tag) = set.tags.iter().find(|tag| tag.contains(',')) {
        return Err(Error::Usage(format!(
            "--tag {tag}: a tag with a comma can only be stored by `strata import`"
        )));
    }
    let tags = (!set.tags.is_empty()).then(|| set.tags.join(","));
    let parameters = [("ttl", &set.ttl), ("stale", &set.stale), ("tags", &tags), ("priority", &set.priority)];
    let query: Vec<String> = parameters
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={}", encoded(value))))
        .collect();
    let mark = if query.is_empty() { "" } else { "?" };
    Ok(format!("/entries/{}{mark}{}", encoded(&set.key), query.join("&")))
}

/// A file to be read, and how long it is if it is one that has an end.
pub(super) fn open(path: &Path) -> Result<(File, Option<u64>), Error> {
    let file = File::open(path).map_err(Error::file(path))?;
    let about = file.metadata().map_err(Error::file(path))?;
    if about.is_dir() {
        return Err(Error::file(path)(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    Ok((file, about.is_file().then_some(about.len())))
}

pub(super) fn ttl(client: &Client, out: &mut Out, key: &str) -> Result<(), Error> {
    let answer = client.region("GET", &format!("/entries/{}/ttl", encoded(key))).send()?;
    let body: Value = found(answer, key)?.json()?;
    let left = body["ttl_seconds"].as_f64();
    if out.is_json {
        return out.json(&json!({"key": key, "ttl_seconds": left}));
    }
    out.line(table::life(left))
}

pub(super) fn touch(client: &Client, out: &mut Out, (key, ttl): (&str, &str)) -> Result<(), Error> {
    let answer = client.region("PATCH", &format!("/entries/{}", encoded(key))).json(&json!({"ttl": ttl}))?;
    found(answer, key)?;
    // A preset's name says nothing of how long it is, and a life of nothing has ended by now.
    self::ttl(client, out, key)
}

pub(super) fn meta(client: &Client, out: &mut Out, key: &str) -> Result<(), Error> {
    let answer = client.region("GET", &format!("/entries/{}/meta", encoded(key))).send()?;
    let body: Value = found(answer, key)?.json()?;
    if out.is_json {
        return out.json(&body);
    }
    for (name, value) in body.as_object().into_iter().flatten() {
        let text = match (name.as_str(), value) {
            ("ttl_seconds", value) => table::life(value.as_f64()),
            (_, Value::String(text)) => text.clone(),
            (_, value) => value.to_string(),
        };
        let name = out.styled(Style::Dim, &format!("{name:<13}"));
        out.line(format!("{name} {}", out.shown(&text)))?;
    }
    Ok(())
}
