//! Lingering: an answer that comes before its request has ended still arrives.
//!
//! A connection that is closed while its client is sending takes the answer with it. So what is left of a body that
//! nobody wants is read and forgotten: in the background, and not for long. A body that was waited for in vain is not.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Error;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// Makes a body that is read to its end even if it is dropped before, if that takes no longer than `within`.
pub(crate) fn lingering(body: Body, within: Duration) -> Body {
    if body.is_end_stream() {
        body
    } else {
        Body::new(Lingering { body, ended: false, is_late: false, within })
    }
}

struct Lingering {
    body: Body,
    ended: bool,
    /// Whether it had nothing to give when it was last asked: who drops it then has lost patience.
    is_late: bool,
    within: Duration,
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.is_late = polled.is_pending();
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.ended = true;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.ended || self.is_late || self.body.is_end_stream() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(forget(std::mem::take(&mut self.body), self.within));
        }
    }
}

async fn forget(body: Body, within: Duration) {
    let mut body = pin!(body);
    let to_its_end = async { while let Some(Ok(_)) = body.frame().await {} };
    // Whether it ended or its time did, nobody waits for it.
    let _ = timeout(within, to_its_end).await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;

    use futures_util::FutureExt;
    use futures_util::stream::{self, StreamExt};
    use tokio::sync::oneshot;

    use super::*;

    /// A body of one frame that does not end, and what tells when it is gone.
    fn endless() -> (Body, oneshot::Receiver<()>) {
        let (held, gone) = oneshot::channel::<()>();
        let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"x"))]);
        let never = stream::once(async move {
            let _held = held;
            pending().await
        });
        (lingering(Body::from_stream(first.chain(never)), Duration::from_hours(1)), gone)
    }

    #[tokio::test]
    async fn a_body_that_nobody_wants_lingers_and_one_that_is_late_does_not() {
        let (unwanted, mut gone) = endless();
        drop(unwanted);
        assert!(matches!(gone.try_recv(), Err(oneshot::error::TryRecvError::Empty)));

        let (mut late, mut gone) = endless();
        assert!(late.frame().await.is_some());
        assert!(late.frame().now_or_never().is_none());
        drop(late);
        assert!(matches!(gone.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    }
}
