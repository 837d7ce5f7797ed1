//! Requests and answers: the one file that knows the HTTP client.
//!
//! Nothing is redirected, retried or sent through a proxy: what was said goes to the server that was named, once.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::{Method, Response, request};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, SendBody, Timeout};

use crate::error::Error;
use crate::target::Target;

/// Kept as they are in a path. A dot is not: a part of dots alone would be taken for a relative path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// The most bytes of an answer in JSON. The server's largest has 64 MiB of values, in base64.
const MAX_JSON_BYTES: u64 = 256 << 20;

/// From here on a body is sent only when the server says that it takes it.
const ASK_FIRST_BYTES: u64 = 64 << 10;

/// A part of a path, or a value of a query.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Asks one server.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    target: Target,
}

impl Client {
    pub(crate) fn new(target: Target) -> Result<Self, Error> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("strata/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .timeout_connect(Some(target.timeout))
            .timeout_per_read(Some(target.timeout))
            .timeout_per_write(Some(target.timeout));
        if target.url.starts_with("https:") {
            config = config.tls_config(tls(&target)?);
        }
        Ok(Self { agent: config.build().new_agent(), target })
    }

    /// Where requests go.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// A request for a path that belongs to no region.
    pub(crate) fn server(&self, method: &str, path: &str) -> Request<'_> {
        let url = format!("{}{path}", self.target.url);
        let mut parts = request::Builder::new().method(method).uri(url);
        if let Some(token) = &self.target.token {
            parts = parts.header("authorization", token.header());
        }
        Request { client: self, parts, patience: None }
    }

    /// A request for a path of the region.
    pub(crate) fn region(&self, method: &str, path: &str) -> Request<'_> {
        self.server(method, &format!("{}{path}", self.target.base()))
    }

    fn unreachable(&self, error: &ureq::Error) -> Error {
        let (url, time) = (&self.target.url, self.target.timeout);
        let (what, hint) = match error {
            error if is_of_tls(error) => (
                format!("no safe connection to {url}: {error}"),
                "name the certificate of whoever vouches for the server by --ca-file",
            ),
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => (
                format!("nobody listens at {url}"),
                "start the server, or name another one by --server or STRATA_URL",
            ),
            ureq::Error::HostNotFound => (
                format!("there is no host of the name in {url}"),
                "is the name right? --server or STRATA_URL says where the server is",
            ),
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => (
                format!("{url} does not take a connection within {time:?}"),
                "is it the right address, and is the way there open? --timeout gives it longer",
            ),
            ureq::Error::Timeout(_) => (
                format!("{url} has said nothing for {time:?}"),
                "it may still have done what it was asked; --timeout gives it longer",
            ),
            error => (
                format!("the connection to {url} broke: {error}"),
                "the server may have ended, or have hung up on too much; it may have done what it was asked",
            ),
        };
        Error::Unreachable { what, hint }
    }
}

/// Whether no safe connection could be made; some of these come as errors of reading.
fn is_of_tls(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => true,
        ureq::Error::Io(error) => matches!(error.get_ref(), Some(inner) if inner.is::<rustls::Error>()),
        _ => false,
    }
}

fn tls(target: &Target) -> Result<TlsConfig, Error> {
    // An error means that another one was installed before, by this function.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificates: Vec<Certificate<'static>> = if let Some(file) = &target.ca_file {
        let pem = std::fs::read(file).map_err(Error::file(file))?;
        let certificate = |item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        };
        parse_pem(&pem).filter_map(certificate).collect()
    } else {
        let system = rustls_native_certs::load_native_certs().certs;
        system.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
    };
    if certificates.is_empty() {
        let place = target.ca_file.as_ref().map_or("this system".into(), |file| file.display().to_string());
        return Err(Error::Usage(format!(
            "{place} has no certificate to trust; name a file in PEM by --ca-file"
        )));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(certificates))).build())
}

/// A request that is being put together.
pub(crate) struct Request<'a> {
    client: &'a Client,
    parts: request::Builder,
    /// How long the server may say nothing, if not as long as otherwise.
    patience: Option<Duration>,
}

impl Request<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.parts = self.parts.header(name, value);
        self
    }

    /// The server may say nothing for so long, whatever `--timeout` says.
    pub(crate) fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Sends it without a body.
    pub(crate) fn send(mut self) -> Result<Answer, Error> {
        // Otherwise one of unknown length is announced, which turns out to be empty.
        if self.parts.method_ref().is_some_and(|method| method == Method::POST) {
            self.parts = self.parts.header("content-length", 0);
        }
        self.run(SendBody::none())
    }

    pub(crate) fn json(self, body: &serde_json::Value) -> Result<Answer, Error> {
        self.header("content-type", "application/json").bytes(body.to_string().as_bytes())
    }

    pub(crate) fn bytes(self, body: &[u8]) -> Result<Answer, Error> {
        let length = body.len() as u64;
        self.reader(&mut &*body, Some(length))
    }

    /// Sends what can be read, in chunks if nobody knows how much it is.
    pub(crate) fn reader(mut self, body: &mut dyn Read, length: Option<u64>) -> Result<Answer, Error> {
        if let Some(length) = length {
            self.parts = self.parts.header("content-length", length);
        }
        if length.is_none_or(|length| length >= ASK_FIRST_BYTES) {
            self.parts = self.parts.header("expect", "100-continue");
        }
        self.run(SendBody::from_reader(body))
    }

    fn run(self, body: SendBody<'_>) -> Result<Answer, Error> {
        let wrong = |error: ureq::http::Error| Error::Usage(format!("this cannot be asked for: {error}"));
        let request = self.parts.body(body).map_err(wrong)?;
        let (agent, patience) = (&self.client.agent, self.patience.unwrap_or(self.client.target.timeout));
        let request = agent.configure_request(request).timeout_per_read(Some(patience)).build();
        let response = agent.run(request).map_err(|error| self.client.unreachable(&error))?;
        Ok(Answer(response))
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer(Response<Body>);

/// The server's form of errors (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    detail: String,
    field: Option<String>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.0.headers().get(name)?.to_str().ok()
    }

    /// Whether the server says that there is no such entry, and not that there is no such region or route.
    pub(crate) fn is_miss(&self) -> bool {
        self.status() == 404 && self.header("x-cache") == Some("miss")
    }

    /// Itself, unless it is an error.
    pub(crate) fn checked(self) -> Result<Self, Error> {
        if (200..300).contains(&self.status()) { Ok(self) } else { Err(self.refusal()) }
    }

    /// As [`checked`](Self::checked), where a miss is nothing.
    pub(crate) fn found(self) -> Result<Option<Self>, Error> {
        if self.is_miss() { Ok(None) } else { self.checked().map(Some) }
    }

    pub(crate) fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let answer = self.checked()?;
        let text = answer.whole()?;
        serde_json::from_slice(&text).map_err(|error| Error::Unreachable {
            what: format!("the answer is not what a cache-server says: {error}"),
            hint: "is it one, and of this version? `strata health` asks it",
        })
    }

    /// All of it.
    pub(crate) fn whole(mut self) -> Result<Vec<u8>, Error> {
        self.0
            .body_mut()
            .with_config()
            .limit(MAX_JSON_BYTES)
            .read_to_vec()
            .map_err(|error| broke(&error.into_io()))
    }

    /// What comes, as it comes. Its errors are told by [`broke`].
    pub(crate) fn into_reader(self) -> impl Read {
        self.0.into_body().into_with_config().limit(u64::MAX).reader()
    }

    fn refusal(self) -> Error {
        let status = self.status();
        let (reason, text) = (self.0.status().canonical_reason(), self.whole().unwrap_or_default());
        let detail = match serde_json::from_slice::<Problem>(&text) {
            Ok(Problem { detail, field: Some(field) }) => format!("{field}: {detail}"),
            Ok(Problem { detail, field: None }) => detail,
            Err(_) => reason.unwrap_or("no reason is given").to_owned(),
        };
        Error::Refused { status, detail }
    }
}

/// An answer that ended too soon.
pub(crate) fn broke(error: &io::Error) -> Error {
    Error::Unreachable {
        what: format!("the answer broke off: {error}"),
        hint: "what was written of it is not whole; try again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_path_stays_one() {
        assert_eq!(encoded("user:7"), "user%3A7");
        assert_eq!(encoded("../a?b#c ü%"), "%2E%2E%2Fa%3Fb%23c%20%C3%BC%25");
        assert_eq!(encoded("a-b_c~"), "a-b_c~");
    }
}
