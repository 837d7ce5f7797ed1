//! A million entries out of one server and into another one, over one pair of connections, and both compared entry by entry.
//!
//! What the first server writes is what the second one reads: this process holds a few frames of it at most.

use std::cell::Cell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use cache_core::{Clock, SystemClock};
use futures_util::future::{Either, select};
use futures_util::stream;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::rest;
use crate::Outcome;
use crate::child::Server;
use crate::figures::{Asked, Figures};

/// Fills one server, lets it tell another one all it has, and compares them. Gives the first one.
pub(super) async fn measure(entries: u64, figures: &mut Figures) -> Outcome<Server> {
    let (from, to) = (Server::strata(&[], None)?, Server::strata(&[], None)?);
    for server in [&from, &to] {
        make_region(server.address(), entries).await?;
    }
    let clock = SystemClock::new();
    let begun = clock.now();
    let stored = import(from.address(), lines(entries)).await?;
    figures.told(format!("import of {entries} entries"), rate(stored, clock.now().since(begun)), "a second");

    let (begun, before) = (clock.now(), from.resident()?);
    let exported = ask(from.address(), (Method::GET, "export"), Empty::<Bytes>::new()).await?.into_body();
    let most = Cell::new(before);
    let stored_again = match select(pin!(import(to.address(), exported)), pin!(watch(&from, &most))).await {
        Either::Left((stored, _)) => stored?,
        Either::Right((failed, _)) => match failed? {},
    };
    let took = clock.now().since(begun);
    figures.told("export into the import of another server", rate(stored_again, took), "a second");
    let what = "growth of the server that exports";
    figures.asked(what, mebibytes(most.get() - before), "MiB", Asked::AtMost(50.0));

    let (one, other) = (Copy::of(from.address()).await?, Copy::of(to.address()).await?);
    let tolerance = clock.now().since(begun).as_secs_f64();
    let all = count(usize::try_from(stored)?);
    figures.asked("entries that were stored", count(one.0.len()), "", Asked::AtLeast(all));
    let missing = one.0.keys().filter(|key| !other.0.contains_key(*key)).count();
    figures.asked("entries that the other has not", count(missing), "", Asked::AtMost(0.0));
    let differ = one
        .0
        .iter()
        .filter(|(key, entry)| other.0.get(*key).is_some_and(|other| !entry.is_like(other, tolerance)));
    figures.asked("entries that differ in anything", count(differ.count()), "", Asked::AtMost(0.0));
    Ok(from)
}

/// Notes the most memory that a server holds, for as long as it is polled.
async fn watch(server: &Server, most: &Cell<u64>) -> Outcome<Infallible> {
    loop {
        most.set(most.get().max(server.resident()?));
        rest(Duration::from_millis(10)).await;
    }
}

/// What a server holds: of each key a hash of all that is said of it, and what is left of its life.
struct Copy(HashMap<String, Entry>);

struct Entry {
    hash: u64,
    ttl_seconds: Option<f64>,
}

impl Entry {
    /// Lives go on while they are compared, so they may differ by as much as that takes.
    fn is_like(&self, other: &Self, tolerance: f64) -> bool {
        let is_alike = match (self.ttl_seconds, other.ttl_seconds) {
            (Some(one), Some(other)) => (one - other).abs() <= tolerance,
            (None, None) => true,
            _ => false,
        };
        is_alike && self.hash == other.hash
    }
}

impl Copy {
    async fn of(server: SocketAddr) -> Outcome<Self> {
        let mut body = ask(server, (Method::GET, "export"), Empty::<Bytes>::new()).await?.into_body();
        let (mut entries, mut rest) = (HashMap::new(), Vec::new());
        while let Some(frame) = body.frame().await {
            rest.extend_from_slice(frame?.data_ref().map(AsRef::as_ref).unwrap_or_default());
            let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { continue };
            let tail = rest.split_off(end + 1);
            for line in rest.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let (key, entry) = read(line)?;
                if entries.insert(key.clone(), entry).is_some() {
                    return Err(format!("{key} was exported twice").into());
                }
            }
            rest = tail;
        }
        Ok(Self(entries))
    }
}

fn read(line: &[u8]) -> Outcome<(String, Entry)> {
    let mut entry: Value = serde_json::from_slice(line)?;
    let ttl_seconds = entry["ttl_seconds"].take().as_f64();
    let key = entry["key"].as_str().ok_or("an entry has a key")?.to_owned();
    let mut hasher = DefaultHasher::new();
    entry.to_string().hash(&mut hasher);
    Ok((key, Entry { hash: hasher.finish(), ttl_seconds }))
}

/// Entries of every kind: text and bytes, with and without a life, tags, a priority, a cost and metadata.
fn lines(entries: u64) -> impl Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static {
    let chunk = move |from: u64| {
        let lines = (from..(from + CHUNK).min(entries)).map(|number| line(number) + "\n");
        Ok(Frame::data(Bytes::from(lines.collect::<String>())))
    };
    let froms = (0..entries).step_by(usize::try_from(CHUNK).unwrap_or(1));
    StreamBody::new(stream::iter(froms.map(chunk)))
}

fn line(number: u64) -> String {
    let mut entry = json!({ "key": format!("entry:{number:07}") });
    match number % 2 {
        0 => entry["value"] = json!({ "id": number, "name": "größe \"x\"", "list": [1, null, 2.5] }),
        _ => entry["base64"] = "AAECAwQFBgcICQr/".repeat(4).into(),
    }
    if number.is_multiple_of(3) {
        entry["ttl_seconds"] = json!(3600.0 + f64::from(u32::try_from(number % 1000).unwrap_or_default()));
    }
    if number.is_multiple_of(5) {
        entry["tags"] = json!([format!("group:{}", number % 100), "all"]);
    }
    if number.is_multiple_of(7) {
        entry["priority"] = "high".into();
        entry["cost"] = 0.25.into();
    }
    if number.is_multiple_of(11) {
        entry["metadata"] = json!({ "by": "transfer" });
    }
    entry.to_string()
}

async fn make_region(server: SocketAddr, entries: u64) -> Outcome {
    let settings = json!({ "max_entries": 2 * entries, "max_bytes": 4_u64 << 30 });
    let body = http_body_util::Full::new(Bytes::from(settings.to_string()));
    ask(server, (Method::PUT, ""), body).await.map(drop)
}

async fn import<B>(server: SocketAddr, body: B) -> Outcome<u64>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let answer = ask(server, (Method::POST, "import"), body).await?.into_body().collect().await?.to_bytes();
    let imported: Value = serde_json::from_slice(&answer)?;
    Ok(imported["stored"].as_u64().ok_or_else(|| format!("not what an import answers: {imported}"))?)
}

/// Asks a server for something of the region, on a connection of its own.
async fn ask<B>(server: SocketAddr, (method, what): (Method, &str), body: B) -> Outcome<Response<Incoming>>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(TcpStream::connect(server).await?)).await?;
    tokio::spawn(connection);
    let path = format!("/v1/regions/transfer/{what}");
    let request = Request::builder()
        .method(method)
        .uri(path.trim_end_matches('/'))
        .header("host", server.to_string())
        .header("content-type", if what == "import" { "application/x-ndjson" } else { "application/json" })
        .body(body)?;
    let answer = sender.send_request(request).await?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let (status, body) = (answer.status(), answer.into_body().collect().await?.to_bytes());
    Err(format!("{what} answered {status}: {}", String::from_utf8_lossy(&body)).into())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn rate(entries: u64, took: Duration) -> f64 {
    entries as f64 / took.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn count(entries: usize) -> f64 {
    entries as f64
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(super) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// How many lines are made at once.
const CHUNK: u64 = 500;
