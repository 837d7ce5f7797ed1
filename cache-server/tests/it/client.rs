//! A client: one request over one connection of its own, and what came back.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing takes this long; it only ends a test that would hang.
const GUARD: Duration = Duration::from_secs(30);

/// Waits for what must happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(GUARD, what).await.expect("it should have happened long ago")
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of<B>(response: Response<B>) -> Self
    where
        B: hyper::body::Body,
        B::Error: std::fmt::Debug,
    {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Self { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The problem that this error must be.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header(CONTENT_TYPE.as_str()), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}

pub(crate) async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    let stream = soon(TcpStream::connect(address)).await.expect("the server listens");
    send_over(stream, address, request).await
}

/// As [`send`]; nothing if the server is gone before it has answered.
pub(crate) async fn try_send(address: SocketAddr, mut request: Request<Full<Bytes>>) -> Option<Answer> {
    let stream = TcpStream::connect(address).await.ok()?;
    request.headers_mut().entry(HOST).or_insert(address.to_string().parse().expect("legal"));
    soon(async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.ok()?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        connection.abort();
        Some(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    })
    .await
}

/// Sends a request over a connection of whatever kind, with the Host header that it needs, and hangs up.
pub(crate) async fn send_over(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    address: SocketAddr,
    mut request: Request<Full<Bytes>>,
) -> Answer {
    let host = address.to_string().parse().expect("legal");
    request.headers_mut().entry(HOST).or_insert(host);
    soon(async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a fresh connection");
        let connection = tokio::spawn(connection);
        let answer = Answer::of(sender.send_request(request).await.expect("an answer")).await;
        drop(sender);
        connection.abort();
        answer
    })
    .await
}

/// A connection on which a test writes what it likes.
pub(crate) struct Raw<S = TcpStream>(pub(crate) S);

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("the server listens"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) async fn write(&mut self, text: impl AsRef<[u8]>) {
        soon(self.0.write_all(text.as_ref())).await.expect("an open connection");
    }

    /// Reads one answer with a declared length.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.answer_or_end().await.expect("a whole answer")
    }

    /// As [`answer`](Self::answer), if the server does not close before.
    pub(crate) async fn answer_or_end(&mut self) -> io::Result<Answer> {
        soon(async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await?);
            }
            let answer = parse_head(&head);
            let length = answer.header("content-length").parse().unwrap_or(0);
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await?;
            Ok(Answer { body: body.into(), ..answer })
        })
        .await
    }

    /// Reads until the server closes, in whichever way.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset is a close as well; what came before it is kept.
        let _ = soon(self.0.read_to_end(&mut rest)).await;
        String::from_utf8_lossy(&rest).into_owned()
    }
}

fn parse_head(head: &[u8]) -> Answer {
    let text = std::str::from_utf8(head).expect("an ASCII header");
    let mut lines = text.trim_end().split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.parse::<hyper::header::HeaderName>().ok()?, value.parse().ok()?))
    });
    Answer { status: status.expect("a status line"), headers: headers.collect(), body: Bytes::new() }
}
