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
use tokio::time::{Timeout, timeout};

use crate::stream::Stream;

/// The most that is gathered. What is larger goes out as it is, uncopied.
const GATHERED_BYTES: usize = 16 << 10;

/// The most that goes out at once. Then it is the others' turn: hundreds who ask for megabytes would keep everybody else waiting for all of them.
const TURN_BYTES: usize = 64 << 10;

/// How many pieces an answer is in, at most: a head and a body, most often.
const PIECES: usize = 8;

/// A stream that gathers what is written, and breaks when the other side takes nothing of it for too long.
pub(crate) struct Socket {
    stream: Stream,
    gathered: BytesMut,
    /// Whether the last read had to wait: then whoever asked has nothing more to ask.
    is_drained: bool,
    /// Whether a whole turn was taken, so that it is the others' now.
    has_had_its_turn: bool,
    patience: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Timeout<Pending<()>>>>>,
}

impl Socket {
    pub(crate) fn new(stream: Stream, patience: Duration) -> Self {
        Self {
            stream,
            gathered: BytesMut::new(),
            is_drained: false,
            has_had_its_turn: false,
            patience,
            waiting: None,
        }
    }

    /// Sends what was gathered.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(cx, &self.gathered);
            let sent = ready!(self.poll_taken(written, cx))?;
            self.gathered.advance(sent);
        }
        // What TCP has taken is on its way. Asked anyway, it would say so while a write waits, whose time would begin anew.
        if matches!(self.stream, Stream::Plain(_)) {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.poll_patience(flushed, cx)
    }

    /// As [`poll_patience`](Self::poll_patience); nothing taken means that nothing will be.
    fn poll_taken(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(self.poll_patience(written, cx))?;
        Poll::Ready(if taken == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(taken) })
    }

    /// Passes on what writing came to, unless it has waited too long.
    fn poll_patience<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(written) => {
                self.waiting = None;
                Poll::Ready(written)
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

/// Takes from the pieces what goes out in one turn.
fn turn<'a>(slices: &'a [IoSlice<'a>], pieces: &mut [IoSlice<'a>; PIECES]) {
    let mut left = TURN_BYTES;
    for (piece, slice) in pieces.iter_mut().zip(slices.iter().filter(|slice| !slice.is_empty())) {
        let length = slice.len().min(left);
        *piece = IoSlice::new(&slice[..length]);
        left -= length;
    }
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
        if std::mem::take(&mut self.has_had_its_turn) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut pieces = [IoSlice::new(&[]); PIECES];
        turn(slices, &mut pieces);
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, &pieces);
        let taken = ready!(self.poll_taken(written, cx))?;
        self.has_had_its_turn = taken >= TURN_BYTES;
        Poll::Ready(Ok(taken))
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
        let closed = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.poll_patience(closed, cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker_ref;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_large_answer_goes_out_in_turns_and_lets_others_in_between() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (_client, (server, _)) = (client.expect("it listens"), accepted.expect("a connection"));
        server.writable().await.expect("it is open");
        let mut socket = Socket::new(Stream::Plain(server), Duration::from_hours(1));
        let mut cx = Context::from_waker(noop_waker_ref());
        let (head, body) = (vec![b'h'; 100], vec![b'b'; 1 << 20]);
        let slices = [IoSlice::new(&head), IoSlice::new(&body)];
        let mut polled = || Pin::new(&mut socket).poll_write_vectored(&mut cx, &slices);
        assert!(matches!(polled(), Poll::Ready(Ok(TURN_BYTES))));
        assert!(polled().is_pending(), "the others' turn");
        assert!(matches!(polled(), Poll::Ready(Ok(taken)) if taken > 0));
        assert!(socket.waiting.is_none(), "nobody has waited for the client");
    }

    #[test]
    fn a_turn_is_of_whole_pieces_as_far_as_they_fit() {
        let (head, body) = (vec![b'h'; 100], vec![b'b'; 1 << 20]);
        let slices = [IoSlice::new(&[]), IoSlice::new(&head), IoSlice::new(&body), IoSlice::new(&head)];
        let mut pieces = [IoSlice::new(&[]); PIECES];
        turn(&slices, &mut pieces);
        let lengths: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
        assert_eq!(lengths, [100, TURN_BYTES - 100, 0, 0, 0, 0, 0, 0]);
    }
}
