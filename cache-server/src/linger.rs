//! Lingering: an answer that comes before its request has ended still arrives.
//!
//! A connection that is closed while its client is sending takes the answer with it. So what is left of a body that
//! nobody wants is read and forgotten: in the background, and no longer than any body may take.

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

/// Makes a body that is read to its end even if it is dropped before.
pub(crate) fn lingering(body: Body, within: Duration) -> Body {
    if body.is_end_stream() { body } else { Body::new(Lingering { body, ended: false, within }) }
}

struct Lingering {
    body: Body,
    ended: bool,
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
        if self.ended || self.body.is_end_stream() {
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
