//! The server's HTTP interface as the load tool uses it: the one file that knows its paths and headers.
//!
//! A [`Connection`] sends one request at a time, connects again when it was cut, and gives up on an answer after
//! five seconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tally::Failure;

/// Where a server listens: `http://host:port`, perhaps with a path before its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    authority: String,
    address: String,
    prefix: String,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected http://host:port, for example http://127.0.0.1:7400".to_owned();
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong());
        };
        let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { authority: authority.to_string(), address, prefix })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.prefix)
    }
}

/// A region of a server, and how to be let in.
#[derive(Clone, Debug)]
pub(super) struct Region {
    pub(super) url: Url,
    pub(super) name: String,
    pub(super) token: Option<String>,
}

impl Region {
    fn path(&self) -> String {
        format!("{}/v1/regions/{}", self.url.prefix, self.name)
    }
}

/// One connection to a [`Region`].
#[derive(Debug)]
pub(super) struct Connection {
    region: Region,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// A connection that is made when it is first used.
    pub(super) const fn new(region: Region) -> Self {
        Self { region, sender: None }
    }

    /// Looks whether the region is there.
    pub(super) async fn find_region(&mut self) -> Result<(), Failure> {
        self.region_request(Method::GET, Bytes::new()).await
    }

    /// Makes the region, with what the JSON object says of it.
    pub(super) async fn make_region(&mut self, settings: &serde_json::Value) -> Result<(), Failure> {
        self.region_request(Method::PUT, settings.to_string().into()).await
    }

    /// Removes the region with all that is in it.
    pub(super) async fn remove_region(&mut self) -> Result<(), Failure> {
        self.region_request(Method::DELETE, Bytes::new()).await
    }

    async fn region_request(&mut self, method: Method, body: Bytes) -> Result<(), Failure> {
        let path = self.region.path();
        self.succeed(method, &path, body).await.map(drop)
    }

    /// The value of a key; `None` if the server has none.
    pub(super) async fn get(&mut self, key: u64) -> Result<Option<Bytes>, Failure> {
        let path = self.entry(key);
        match self.exchange(Method::GET, &path, Bytes::new()).await? {
            (StatusCode::OK, body) => Ok(Some(body)),
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, body) => Err(refused("GET", status, &body)),
        }
    }

    /// Stores a value.
    pub(super) async fn put(&mut self, key: u64, value: Bytes) -> Result<(), Failure> {
        let path = self.entry(key);
        self.succeed(Method::PUT, &path, value).await.map(drop)
    }

    /// Stores a value for so long.
    pub(super) async fn put_for(&mut self, key: u64, value: Bytes, ttl: Duration) -> Result<(), Failure> {
        let path = format!("{}?ttl={}ms", self.entry(key), ttl.as_millis());
        self.succeed(Method::PUT, &path, value).await.map(drop)
    }

    /// Removes a value.
    pub(super) async fn remove(&mut self, key: u64) -> Result<(), Failure> {
        let path = self.entry(key);
        self.succeed(Method::DELETE, &path, Bytes::new()).await.map(drop)
    }

    /// Stores a text under each of these keys, in one request.
    pub(super) async fn put_many(&mut self, keys: &[u64], text: &str) -> Result<(), Failure> {
        let entry = |key: &u64| json!({ "key": key.to_string(), "value": text, "ttl": 3600 });
        let entries: Vec<_> = keys.iter().map(entry).collect();
        let path = format!("{}/set-many", self.region.path());
        self.succeed(Method::POST, &path, json!({ "entries": entries }).to_string().into()).await.map(drop)
    }

    /// How many of these keys have a value, which all come in one answer.
    pub(super) async fn get_many(&mut self, keys: &[u64]) -> Result<usize, Failure> {
        let keys: Vec<_> = keys.iter().map(u64::to_string).collect();
        let path = format!("{}/get-many", self.region.path());
        let body = self.succeed(Method::POST, &path, json!({ "keys": keys }).to_string().into()).await?;
        let found: Value = serde_json::from_slice(&body).map_err(|error| broken(&error))?;
        Ok(found["entries"].as_object().map_or(0, serde_json::Map::len))
    }

    /// The keys of the region that are read most, by the server's word.
    pub(super) async fn top_keys(&mut self) -> Result<Vec<String>, Failure> {
        let path = format!("{}/v1/stats", self.region.url.prefix);
        let body = self.succeed(Method::GET, &path, Bytes::new()).await?;
        let stats: Value = serde_json::from_slice(&body).map_err(|error| broken(&error))?;
        let regions = stats["stats"]["regions"].as_array().into_iter().flatten();
        let here = regions.filter(|region| region["name"] == self.region.name.as_str());
        let keys = here.flat_map(|region| region["top_keys"].as_array().into_iter().flatten());
        Ok(keys.filter_map(|key| key["key"].as_str().map(str::to_owned)).collect())
    }

    async fn succeed(&mut self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        let name = method.to_string();
        match self.exchange(method, path, body).await? {
            (status, body) if status.is_success() => Ok(body),
            (status, body) => Err(refused(&name, status, &body)),
        }
    }

    /// The memory that the server's process holds now, by its own word.
    pub(super) async fn memory(&mut self) -> Option<u64> {
        let path = format!("{}/metrics", self.region.url.prefix);
        let (status, body) = self.exchange(Method::GET, &path, Bytes::new()).await.ok()?;
        status.is_success().then(|| resident(&String::from_utf8_lossy(&body)))?
    }

    fn entry(&self, key: u64) -> String {
        format!("{}/entries/{key}", self.region.path())
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let answer = timeout(PATIENCE, self.send(method, path, body)).await;
        let outcome = answer.unwrap_or_else(|_| {
            Err(Failure {
                kind: "timeout",
                detail: format!("no answer from {} within {PATIENCE:?}", self.region.url.address),
            })
        });
        // After a failure nobody knows what is still on its way: the next request takes a new connection.
        if outcome.is_err() {
            self.sender = None;
        }
        outcome
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let request = self.request(method, path, body)?;
        let sender = self.connected().await?;
        let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_BODY_BYTES);
        let body = body.collect().await.map_err(|error| broken(error.as_ref()))?.to_bytes();
        Ok((status, body))
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request =
            Request::builder().method(method).uri(path).header(HOST, &self.region.url.authority);
        if let Some(token) = &self.region.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if !body.is_empty() {
            let is_entry = path.starts_with(&format!("{}/entries/", self.region.path()));
            let kind = if is_entry { "application/octet-stream" } else { "application/json" };
            request = request.header(CONTENT_TYPE, kind);
        }
        request.body(Full::new(body)).map_err(|error| Failure { kind: "request", detail: error.to_string() })
    }

    async fn connected(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, Failure> {
        if self.sender.as_ref().is_some_and(SendRequest::is_closed) {
            self.sender = None;
        }
        let sender = match self.sender.take() {
            Some(sender) => sender,
            None => connect(&self.region.url).await?,
        };
        let sender = self.sender.insert(sender);
        sender.ready().await.map_err(|error| broken(&error))?;
        Ok(sender)
    }
}

async fn connect(url: &Url) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let failed = |error: &dyn std::error::Error| Failure {
        kind: "connect",
        detail: format!("cannot connect to {}: {error}", url.address),
    };
    let stream = TcpStream::connect(&url.address).await.map_err(|error| failed(&error))?;
    stream.set_nodelay(true).map_err(|error| failed(&error))?;
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    // What goes wrong on the connection is told to whoever waits for an answer.
    tokio::spawn(connection);
    Ok(sender)
}

fn refused(method: &str, status: StatusCode, body: &[u8]) -> Failure {
    let kind = match status.as_u16() {
        401 | 403 => "not let in",
        429 => "too many requests",
        500.. => "server error",
        _ => "refused",
    };
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    Failure { kind, detail: format!("{method} answered {status}: {text}") }
}

fn broken(error: &dyn std::error::Error) -> Failure {
    Failure { kind: "connection", detail: error.to_string() }
}

/// The gauge that Prometheus clients agree on.
fn resident(metrics: &str) -> Option<u64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes"))?;
    let value: f64 = line.split_whitespace().next_back()?.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from float saturates"
    )]
    let bytes = value as u64;
    Some(bytes)
}

const PATIENCE: Duration = Duration::from_secs(5);
const MAX_BODY_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood() {
        #[track_caller]
        fn check(text: &str, address: &str, prefix: &str) {
            let url: Url = text.parse().unwrap();
            assert_eq!((url.address.as_str(), url.prefix.as_str()), (address, prefix));
        }
        check("http://127.0.0.1:7400", "127.0.0.1:7400", "");
        check("http://cache/", "cache:80", "");
        check("http://[::1]:9/base/", "[::1]:9", "/base");
        for wrong in ["127.0.0.1:7400", "https://cache", "http://", "cache", ""] {
            assert!(wrong.parse::<Url>().unwrap_err().starts_with("expected http://"), "{wrong}");
        }
    }

    #[test]
    fn the_memory_gauge_is_found_among_the_metrics() {
        let metrics =
            "# TYPE process_resident_memory_bytes gauge\nup 1\nprocess_resident_memory_bytes 1.5e6\n";
        assert_eq!(resident(metrics), Some(1_500_000));
        assert_eq!(resident("up 1\n"), None);
    }
}
