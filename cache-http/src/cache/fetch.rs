//! Asking the application for what is to be kept: as the load of a key, once for all who wait for it.
//!
//! Who leads the load is told by a channel of his own what the application has said, word for word; all others see what is kept. So
//! nobody gets another one's cookie, and what may not be kept goes to the one who asked for it, as it comes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use strata::{Last, Loaded, Tags, Ttl};
use tokio::sync::oneshot;
use tower::Service;

use super::asked::{Asked, plain_key, tag};
use super::body::{self, Body};
use super::conditions;
use super::control::split;
use super::layer::Shared;
use super::rules::{self, ERRORS, Terms};
use super::stored::Stored;
use super::vary::Selection;

/// The service that is ready for one request, until somebody takes it.
pub(super) struct Turn<S, R: HttpBody, E> {
    pub(super) service: S,
    pub(super) reply: oneshot::Sender<Reply<R, E>>,
}

pub(super) type Slot<S, R, E> = Arc<Mutex<Option<Turn<S, R, E>>>>;

/// What the application has said.
pub(super) enum Reply<R: HttpBody, E> {
    /// And it is kept.
    Kept(Response<Bytes>),
    /// And why it is not.
    Passed(Result<Response<Body<R>>, E>, &'static str),
}

pub(super) fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// The application could not answer. Not why: that goes to who has asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the application has failed")
    }
}

/// One load.
pub(super) struct Fetch<S, R: HttpBody, E> {
    pub(super) shared: Arc<Shared>,
    pub(super) asked: Arc<Asked>,
    pub(super) slot: Slot<S, R, E>,
    pub(super) key: String,
}

/// What has come of a question.
enum Answer<R> {
    /// A response of the application.
    Whole(Response<R>),
    /// What is kept, with a new head.
    Same(Response<Bytes>),
}

/// A decision to keep a response: for which requests, for how long, and in which groups.
type Decision = (Selection, Terms, Tags);

impl<S, R, E> Fetch<S, R, E>
where
    R: HttpBody<Data = Bytes> + Unpin + Send + 'static,
{
    /// Asks, and says what is to be kept.
    pub(super) async fn run<B>(self, last: Option<Last<Stored>>) -> Result<Loaded<Stored>, Failed>
    where
        S: Service<Request<B>, Response = Response<R>, Error = E>,
        B: HttpBody + Default,
    {
        let Some(Turn { mut service, reply }) = take(&self.slot) else { return Err(Failed) };
        let last = last.as_ref().map(Last::value).filter(|last| self.asked.selects(last));
        let replaces = last.is_some();
        let answer = self.ask(&mut service, last).await;
        // What it holds, such as a place among those that run at the same time, is free before a long body is read.
        drop(service);
        match answer {
            Err(error) => {
                let _ = reply.send(Reply::Passed(Err(error), "error"));
                Err(Failed)
            }
            Ok(Answer::Same(response)) => match self.decide(&response) {
                Ok(decision) => Ok(self.keep(response, decision, reply)),
                Err(why) => Ok(self.pass(response.map(Body::from), (why, replaces), reply).await),
            },
            Ok(Answer::Whole(response)) => match self.decide(&response) {
                Ok(decision) => Ok(self.read(response, decision, (replaces, reply)).await),
                Err(why) if ERRORS.contains(&response.status().as_u16()) => {
                    let _ = reply.send(Reply::Passed(Ok(response.map(Body::own)), why));
                    Err(Failed)
                }
                Err(why) => Ok(self.pass(response.map(Body::own), (why, replaces), reply).await),
            },
        }
    }

    /// Asks the application, by what is kept if there is something.
    async fn ask<B>(&self, service: &mut S, last: Option<&Arc<Stored>>) -> Result<Answer<R>, E>
    where
        S: Service<Request<B>, Response = Response<R>, Error = E>,
        B: HttpBody + Default,
    {
        let mut parts = self.asked.to_load();
        let known = last.filter(|last| conditions::ask(&mut parts.headers, last));
        let response = call(service, parts).await?;
        let Some(stored) = known.filter(|_| response.status() == StatusCode::NOT_MODIFIED) else {
            return Ok(Answer::Whole(response));
        };
        if !conditions::is_about(response.headers(), stored) {
            // It is about something that is not here: once more, and without a condition.
            std::future::poll_fn(|context| service.poll_ready(context)).await?;
            return Ok(Answer::Whole(call(service, self.asked.to_load()).await?));
        }
        let mut same = Response::new(stored.body.clone());
        *same.status_mut() = stored.status;
        *same.headers_mut() = stored.freshened(response.headers());
        Ok(Answer::Same(same))
    }

    /// Whether a response may be kept, and is of any use then.
    fn decide<T>(&self, response: &Response<T>) -> Result<Decision, &'static str> {
        let (Shared { settings, .. }, headers) = (&*self.shared, response.headers());
        let identified = self.asked.is_identified;
        let terms = rules::judge((response.status(), headers), identified, &settings.leeway, settings.now())?;
        let selection = Selection::of_response(headers, &self.asked.parts.headers).ok_or("vary")?;
        let is_of_use = terms.lifetime > terms.age
            || !terms.while_refreshed.is_zero()
            || !terms.if_error.is_zero()
            || conditions::has_validator(headers);
        if !is_of_use {
            return Err("not-fresh");
        }
        let mut tags = surrogate_keys(headers);
        if self.key != plain_key(&self.asked.address) {
            tags.push(tag(&self.asked.address));
        }
        // One without all of its tags would stay when it is to go.
        let tags = Tags::new(tags).map_err(|_| "surrogate-key")?;
        Ok((selection, terms, tags))
    }

    /// Reads the body of what may be kept.
    async fn read(
        &self,
        response: Response<R>,
        decision: Decision,
        (replaces, reply): (bool, oneshot::Sender<Reply<R, E>>),
    ) -> Loaded<Stored> {
        let (head, body) = response.into_parts();
        let (body, why) = match body::whole(body, self.shared.settings.max_body_bytes).await {
            Ok(body) if is_whole(&head.headers, &body) => {
                return self.keep(Response::from_parts(head, body), decision, reply);
            }
            Ok(body) => (body.into(), "incomplete"),
            Err(body) => (body, "body"),
        };
        self.pass(Response::from_parts(head, body), (why, replaces), reply).await
    }

    fn keep(
        &self,
        response: Response<Bytes>,
        (selection, terms, tags): Decision,
        reply: oneshot::Sender<Reply<R, E>>,
    ) -> Loaded<Stored> {
        let settings = &self.shared.settings;
        let _ = reply.send(Reply::Kept(copy(&response)));
        let stored = Stored::new(self.asked.address.clone(), response, (selection, terms), settings.now());
        // It may have been stale when it came.
        let over = terms.age.saturating_sub(terms.lifetime);
        let fresh = terms.lifetime.saturating_sub(terms.age).max(Duration::from_nanos(1));
        // The first one under an address says what all of them depend on, also when it is stale.
        let is_useful = conditions::has_validator(&stored.headers) || !stored.selection.0.is_empty();
        let kept_for = terms.if_error.max(if is_useful { settings.keep_for } else { Duration::ZERO });
        Loaded::new(stored)
            .with_ttl(Ttl::from(fresh))
            .with_stale_for(terms.while_refreshed.saturating_sub(over))
            .with_fail_safe_for(kept_for.saturating_sub(over))
            .with_tags(tags)
    }

    /// Hands a response on to who has asked, and lets the others ask for themselves.
    async fn pass(
        &self,
        response: Response<Body<R>>,
        (why, replaces): (&'static str, bool),
        reply: oneshot::Sender<Reply<R, E>>,
    ) -> Loaded<Stored> {
        let is_lasting = ["credentials", "no-store", "private", "set-cookie", "vary"].contains(&why);
        if is_lasting && response.status().is_success() {
            self.shared.passes.insert(self.asked.pass(), ());
        }
        let _ = reply.send(Reply::Passed(Ok(response), why));
        if replaces {
            // What was kept until now is not what the application says any more.
            let _ = self.shared.cache.remove(&self.key).await;
        }
        Loaded::new(Stored::refused()).do_not_store()
    }
}

async fn call<S, B>(service: &mut S, parts: Parts) -> Result<S::Response, S::Error>
where
    S: Service<Request<B>>,
    B: Default,
{
    service.call(Request::from_parts(parts, B::default())).await
}

fn copy(response: &Response<Bytes>) -> Response<Bytes> {
    let mut copy = Response::new(response.body().clone());
    *copy.status_mut() = response.status();
    *copy.version_mut() = response.version();
    *copy.headers_mut() = response.headers().clone();
    *copy.extensions_mut() = response.extensions().clone();
    copy
}

/// Tells whether a body is as long as its head says.
fn is_whole(headers: &HeaderMap, body: &Bytes) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.is_none_or(|length| length.parse() == Ok(body.len()))
}

/// What the application calls the groups of a response: `Surrogate-Key`, separated by white space, and `Cache-Tag`, by commas.
fn surrogate_keys(headers: &HeaderMap) -> Vec<String> {
    let texts = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let keys = texts("surrogate-key").flat_map(str::split_ascii_whitespace);
    let tags = texts("cache-tag").flat_map(|text| split(text, ','));
    keys.chain(tags).map(ToOwned::to_owned).collect()
}
