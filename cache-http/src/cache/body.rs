//! The body of a response that went through the layer: kept bytes, the application's own, or one that turned out to be too large on the way.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};

/// The body of a response behind a [`CacheLayer`](super::CacheLayer).
pub struct Body<R: HttpBody>(Kind<R>);

enum Kind<R: HttpBody> {
    Bytes(Bytes),
    Own(R),
    /// What was read before it was known that it is not kept, and the rest.
    Begun(VecDeque<Result<Frame<Bytes>, R::Error>>, R),
}

impl<R: HttpBody> Body<R> {
    /// The application's own.
    pub(super) fn own(body: R) -> Self {
        Self(Kind::Own(body))
    }

    fn begun(frames: VecDeque<Result<Frame<Bytes>, R::Error>>, rest: R) -> Self {
        Self(Kind::Begun(frames, rest))
    }
}

impl<R: HttpBody> fmt::Debug for Body<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Bytes(_) => "Body(kept)",
            Kind::Own(_) => "Body(own)",
            Kind::Begun(..) => "Body(begun)",
        })
    }
}

impl<R: HttpBody> From<Bytes> for Body<R> {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Bytes(bytes))
    }
}

/// So that a limit, and others who answer by themselves, can stand around the layer.
impl<R: HttpBody> From<String> for Body<R> {
    fn from(text: String) -> Self {
        Self(Kind::Bytes(text.into()))
    }
}

impl<R> HttpBody for Body<R>
where
    R: HttpBody<Data = Bytes> + Unpin,
    R::Error: Unpin,
{
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        match &mut self.0 {
            Kind::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Own(body) => Pin::new(body).poll_frame(context),
            Kind::Begun(frames, rest) => match frames.pop_front() {
                Some(frame) => Poll::Ready(Some(frame)),
                None => Pin::new(rest).poll_frame(context),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Bytes(bytes) => bytes.is_empty(),
            Kind::Own(body) => body.is_end_stream(),
            Kind::Begun(frames, rest) => frames.is_empty() && rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Own(body) => body.size_hint(),
            Kind::Begun(frames, rest) => {
                let data = frames.iter().flatten().filter_map(Frame::data_ref);
                let begun = data.map(|data| data.remaining() as u64).sum::<u64>();
                let hint = rest.size_hint();
                let mut whole = SizeHint::new();
                whole.set_lower(hint.lower().saturating_add(begun));
                if let Some(upper) = hint.upper() {
                    whole.set_upper(upper.saturating_add(begun));
                }
                whole
            }
        }
    }
}

/// Reads a body to its end, if it has no more than so many bytes and nothing but bytes; else gives it back as it was.
pub(super) async fn whole<R>(mut body: R, most: usize) -> Result<Bytes, Body<R>>
where
    R: HttpBody<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > most as u64 {
        return Err(Body::own(body));
    }
    let mut frames = VecDeque::new();
    let mut length = 0_usize;
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let Some(frame) = frame else { break };
        let data = frame.as_ref().ok().and_then(Frame::data_ref).map(Bytes::len);
        frames.push_back(frame);
        length = length.saturating_add(data.unwrap_or(0));
        if data.is_none() || length > most {
            return Err(Body::begun(frames, body));
        }
    }
    let mut data: VecDeque<Bytes> =
        frames.into_iter().filter_map(|frame| frame.ok()?.into_data().ok()).collect();
    if data.len() <= 1 {
        return Ok(data.pop_front().unwrap_or_default());
    }
    let mut all = BytesMut::with_capacity(length);
    for data in data {
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}
