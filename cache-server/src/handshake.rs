//! The handshake: how a connection begins where TLS is spoken, in how much time, and what becomes of who speaks something else.
//!
//! ```text
//! first byte ─► not TLS: told so in plain HTTP, and closed
//!     │ TLS
//! handshake ──► ok: served │ failed: an alert, and closed │ late: closed
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::stream::Stream;

/// What has become of those that were begun.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    ok: AtomicU64,
    plain: AtomicU64,
    failed: AtomicU64,
    late: AtomicU64,
}

impl Handshakes {
    /// The counts, by the result.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 4] {
        [("ok", &self.ok), ("plain", &self.plain), ("failed", &self.failed), ("late", &self.late)]
            .map(|(result, count)| (result, count.load(Relaxed)))
    }

    /// Seals a connection, unless it takes longer than `within`. Whoever speaks no TLS is told so.
    pub(crate) async fn seal(
        &self,
        stream: TcpStream,
        tls: Arc<ServerConfig>,
        within: Duration,
    ) -> Option<Stream> {
        let count = |count: &AtomicU64| count.fetch_add(1, Relaxed);
        let shaken = timeout(within, async {
            match begins_with_tls(&stream).await {
                // Whoever only looks whether somebody listens has begun nothing.
                None => None,
                Some(false) => {
                    count(&self.plain);
                    tell_and_close(stream).await;
                    None
                }
                Some(true) => Some(TlsAcceptor::from(tls).accept(stream).await),
            }
        });
        match shaken.await {
            Ok(Some(Ok(stream))) => {
                count(&self.ok);
                return Some(Stream::Sealed(Box::new(stream)));
            }
            Ok(Some(Err(error))) => {
                count(&self.failed);
                tracing::debug!(%error, "a TLS handshake failed");
            }
            Ok(None) => {}
            Err(_) => {
                count(&self.late);
            }
        }
        None
    }
}

/// Whether the first byte is that of a handshake. None if there is no first byte.
async fn begins_with_tls(stream: &TcpStream) -> Option<bool> {
    /// The type of the record that a client begins with.
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    let read = stream.peek(&mut first).await.ok()?;
    (read > 0).then(|| first == [HANDSHAKE])
}

/// Answers, and reads what the client has sent until it hangs up: closed before, the connection would take the answer with it.
async fn tell_and_close(mut stream: TcpStream) {
    if stream.write_all(NOT_PLAIN).await.is_err() || stream.shutdown().await.is_err() {
        return;
    }
    let mut unwanted = [0; 1024];
    while matches!(stream.read(&mut unwanted).await, Ok(read) if read > 0) {}
}

const NOT_PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: application/problem+json\r\n\
    connection: close\r\n\
    content-length: 103\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\
    \"detail\":\"this port speaks TLS; use https://\"}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_a_whole_answer() {
        let text = std::str::from_utf8(NOT_PLAIN).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a header and a body");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        let problem: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(problem["status"], 400);
    }
}
