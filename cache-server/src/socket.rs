//! The socket of a connection: it gathers answers that belong together, and loses patience with who does not read.
//!
//! Answers go out when there is nothing more to read: sixteen requests that came in one packet are answered in one.
//! (The HTTP library has such a mode, but in it an answer waits behind half of a next request, and a refusal is lost.)

use std::future::{Pending, pending};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Timeout, timeout};

/// The most that is gathered. What is larger goes out as it is, uncopied.
const GATHERED_BYTES: usize = 16 << 10;

/// A stream that gathers what is written, and breaks when the other side takes nothing of it for too long.
pub(crate) struct Socket {
    stream: TcpStream,
    gathered: BytesMut,
    /// Whether the last read had to wait: then whoever asked has nothing more to ask.
    is_drained: bool,
    patience: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Timeout<Pending<()>>>>>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, patience: Duration) -> Self {
        Self { stream, gathered: BytesMut::new(), is_drained: false, patience, waiting: None }
    }

    /// Sends what was gathered.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(cx, &self.gathered);
            let sent = ready!(self.poll_patience(written, cx))?;
            self.gathered.advance(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Passes on what a write came to, unless it has waited too long.
    fn poll_patience(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(written) => {
                self.waiting = None;
                Poll::Ready(written.and_then(|sent| if sent == 0 { Err(closed()) } else { Ok(sent) }))
            }
            Poll::Pending => {
                let start = || Box::pin(timeout(self.patience, pending()));
                self.waiting
                    .get_or_insert_with(start)
                    .as_mut()
                    .poll(cx)
                    .map(|_| Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

fn closed() -> io::Error {
    io::ErrorKind::WriteZero.into()
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.is_drained = read.is_pending();
        if self.is_drained
            && let Poll::Ready(Err(error)) = self.poll_send(cx)
        {
            return Poll::Ready(Err(error));
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.gathered.len() + length <= GATHERED_BYTES {
            for slice in slices {
                self.gathered.extend_from_slice(slice);
            }
            return Poll::Ready(Ok(length));
        }
        ready!(self.poll_send(cx))?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.poll_patience(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// While there may be more to read, what was gathered stays: it goes out with the next read that has to wait.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_drained { self.poll_send(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
