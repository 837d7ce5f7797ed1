//! One request on its way: what answers it, and what becomes of the load that it may have begun.
//!
//! ```text
//! key of the address ─► kept, for other fields ─► key of those as well ─► ... (a few times at most)
//!        │ for these, or nothing
//!     fresh enough ─► it       else: Strata, which knows what is due, stale or on its way, and loads once for all
//! ```
//!
//! Strata says how old a response is; whether this caller may have it is looked at again, here, for each that is served.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AGE, CONTENT_LENGTH};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use strata::{Hit, LoadError, Options, Source, Stale, Tags};
use tokio::sync::oneshot;
use tower::Service;

use super::asked::{Asked, Use, plain_key, tag};
use super::body::Body;
use super::conditions;
use super::fetch::{Failed, Fetch, Reply, Slot, Turn, take};
use super::layer::Shared;
use super::said::{Said, Why};
use super::stored::Stored;

/// How many times a response may turn out to depend on yet another field, before the application is asked.
const MAX_HOPS: usize = 6;

pub(super) struct Visit<S, R: HttpBody, E> {
    shared: Arc<Shared>,
    asked: Arc<Asked>,
    slot: Slot<S, R, E>,
    heard: oneshot::Receiver<Reply<R, E>>,
    why: Why,
}

/// What memory has of a key.
struct Seen {
    stored: Arc<Stored>,
    is_stale: bool,
}

/// What has come of a look at one key.
enum Step<R: HttpBody, E> {
    Answer(Result<Response<Body<R>>, E>),
    /// What stands there is for other requests.
    Other(Arc<Stored>),
    /// It is too old for this caller.
    Reload,
    /// The application is to be asked by this request alone.
    Around,
}

impl<S, R, E> Visit<S, R, E>
where
    S: Send + 'static,
    R: HttpBody<Data = Bytes> + Unpin + Send + 'static,
    E: Send + 'static,
    R::Error: Send,
{
    pub(super) fn new(shared: Arc<Shared>, asked: Asked, service: S) -> Self {
        let (reply, heard) = oneshot::channel();
        let slot = Arc::new(Mutex::new(Some(Turn { service, reply })));
        Self { shared, asked: Arc::new(asked), slot, heard, why: Why::Miss }
    }

    pub(super) async fn answer<B>(mut self) -> Result<Response<Body<R>>, E>
    where
        S: Service<Request<B>, Response = Response<R>, Error = E>,
        S::Future: Send,
        B: HttpBody + Default + Send + 'static,
    {
        if self.shared.passes.get(&self.asked.pass()).is_some() && !self.asked.is_only_if_cached() {
            return self.around("not-for-caches").await;
        }
        let mut names: Vec<HeaderName> = Vec::new();
        let mut reload = false;
        for _ in 0..MAX_HOPS {
            let key = self.asked.key(&names);
            let step = match self.seen(&key) {
                Some(seen) if !self.asked.selects(&seen.stored) => Step::Other(seen.stored),
                seen => self.look(&key, seen, reload).await,
            };
            match step {
                Step::Answer(answer) => return answer,
                Step::Reload => reload = true,
                Step::Other(stored) => {
                    let before = names.len();
                    names.extend(stored.selection.names().cloned());
                    names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
                    names.dedup();
                    if names.len() == before {
                        break;
                    }
                }
                Step::Around => break,
            }
        }
        if self.asked.is_only_if_cached() {
            return Ok(self.unsatisfiable());
        }
        self.around("not-kept").await
    }

    /// What memory has of a key, of any age.
    fn seen(&self, key: &String) -> Option<Seen> {
        let cache = &self.shared.cache;
        let fresh = cache.peek(key).map(|hit| Seen { stored: hit.into_value(), is_stale: false });
        let stale = |stored| Seen { stored, is_stale: true };
        fresh.or_else(|| cache.memory().peek_with(key, |found| Arc::clone(found.value().value())).map(stale))
    }

    /// Looks at one key, where memory has this, if anything.
    async fn look<B>(&mut self, key: &String, seen: Option<Seen>, reload: bool) -> Step<R, E>
    where
        S: Service<Request<B>, Response = Response<R>, Error = E>,
        S::Future: Send,
        B: HttpBody + Default + Send + 'static,
    {
        let now = self.shared.settings.now();
        if let Some(Seen { stored, is_stale: true }) = &seen
            && self.asked.of_stale(stored, now) == Use::Serve
        {
            let said = Said::Hit { left: Duration::ZERO, stale_for: stored.stale_for(now) };
            return Step::Answer(Ok(self.serve(stored, said)));
        }
        // What may answer others need not be good enough for this one.
        let is_too_old = |Seen { stored, is_stale }: &Seen| {
            let serves = self.asked.of_fresh(stored, now) == Use::Serve;
            if *is_stale { !self.asked.lets_refresh_behind(stored, now) } else { !serves }
        };
        let must_reload = reload || seen.as_ref().is_some_and(is_too_old);
        if let Some(seen) = &seen {
            self.why = if seen.is_stale { Why::Stale } else { Why::Request };
        }
        let is_shy = self.asked.is_head || self.asked.is_only_if_cached() || !self.asked.may_be_kept();
        if is_shy {
            return self.find(key, must_reload).await;
        }
        let pauses = seen.is_some_and(|seen| !seen.stored.terms.if_error.is_zero());
        let pause = if pauses { self.shared.settings.error_pause } else { Duration::ZERO };
        let mut options = Options::new().with_fail_safe_throttle(pause).with_force_refresh(must_reload);
        if *key != plain_key(&self.asked.address)
            && let Ok(tags) = Tags::new([tag(&self.asked.address)])
        {
            // Told before the load, so that no process that removes it in the meantime is missed.
            options = options.with_tags(tags);
        }
        let fetch = Fetch {
            shared: Arc::clone(&self.shared),
            asked: Arc::clone(&self.asked),
            slot: Arc::clone(&self.slot),
            key: key.clone(),
        };
        let shared = Arc::clone(&self.shared);
        let outcome = shared.cache.get_or_refresh(key, move |last| fetch.run(last)).with(options).await;
        self.conclude(outcome, reload).await
    }

    /// Looks for a response without a loader.
    async fn find(&mut self, key: &String, must_reload: bool) -> Step<R, E> {
        if must_reload {
            return Step::Around;
        }
        match self.shared.cache.get(key).await {
            Ok(Some(hit)) if !hit.is_stale() => self.of_hit(hit),
            _ => Step::Around,
        }
    }

    /// What Strata's answer means for this request.
    async fn conclude(
        &mut self,
        outcome: Result<Hit<Stored>, LoadError<Failed>>,
        reload: bool,
    ) -> Step<R, E> {
        let now = self.shared.settings.now();
        match outcome {
            Ok(hit) if hit.is_loaded() => self.hear().await,
            Ok(hit) if hit.is_refused() => Step::Around,
            Ok(hit) if hit.stale().is_none() && reload && hit.source() != Source::Joined => Step::Around,
            Ok(hit) if hit.stale().is_none() => self.of_hit(hit),
            Ok(hit) if !self.asked.selects(&hit) => Step::Other(hit.into_value()),
            Ok(hit) => {
                let stale_for = hit.stale_for(now);
                let is_behind = hit.stale() == Some(Stale::Refreshing);
                let allowed = if is_behind { hit.terms.while_refreshed } else { hit.terms.if_error };
                let may =
                    stale_for <= allowed && !allowed.is_zero() && self.asked.lets_refresh_behind(&hit, now);
                match may {
                    true if is_behind => {
                        Step::Answer(Ok(self.serve(&hit, Said::Hit { left: Duration::ZERO, stale_for })))
                    }
                    true => Step::Answer(Ok(self.serve(&hit, Said::StoodIn { stale_for }))),
                    false => self.hear_or_around().await,
                }
            }
            Err(_) => self.hear_or_around().await,
        }
    }

    /// A response that is fresh, though it may not be for this request.
    fn of_hit(&mut self, hit: Hit<Stored>) -> Step<R, E> {
        let now = self.shared.settings.now();
        if !self.asked.selects(&hit) {
            return Step::Other(hit.into_value());
        }
        let joined = hit.source() == Source::Joined;
        if hit.terms.lifetime.is_zero() {
            // Each use of it is to be asked about, also that by who came while it was loaded.
            return Step::Around;
        }
        match self.asked.of_fresh(&hit, now) {
            Use::Serve if joined => Step::Answer(Ok(self.serve(&hit, Said::Collapsed))),
            Use::Serve => {
                let left = hit.left(now);
                Step::Answer(Ok(self.serve(&hit, Said::Hit { left, stale_for: Duration::ZERO })))
            }
            Use::Reload => {
                self.why = Why::Request;
                Step::Reload
            }
        }
    }

    /// What the application has said to the load that this request has begun.
    async fn hear(&mut self) -> Step<R, E> {
        let Ok(reply) = (&mut self.heard).await else {
            // It has panicked, or its runtime ends.
            let mut response = Response::new(Body::from(Bytes::new()));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return Step::Answer(Ok(response));
        };
        Step::Answer(match reply {
            Reply::Kept(response) => {
                let said = Said::Forwarded { why: self.why, status: response.status(), kept: Ok(()) };
                Ok(self.fitted(response, said))
            }
            Reply::Passed(answer, detail) => answer.map(|mut response| {
                let said = Said::Forwarded { why: self.why, status: response.status(), kept: Err(detail) };
                self.shared.finish(&mut response, said);
                response
            }),
        })
    }

    async fn hear_or_around(&mut self) -> Step<R, E> {
        let is_free = self.slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_some();
        if is_free { Step::Around } else { self.hear().await }
    }

    /// Asks the application by this request alone; nothing is kept of it.
    async fn around<B>(mut self, detail: &'static str) -> Result<Response<Body<R>>, E>
    where
        S: Service<Request<B>, Response = Response<R>, Error = E>,
        B: HttpBody + Default,
    {
        let Some(Turn { mut service, .. }) = take(&self.slot) else {
            return match self.hear().await {
                Step::Answer(answer) => answer,
                _ => Ok(self.unsatisfiable()),
            };
        };
        let parts = self.asked.parts.clone();
        let response = service.call(Request::from_parts(parts, B::default())).await?;
        let mut response = response.map(Body::own);
        let why = if detail == "not-for-caches" { Why::Bypass } else { self.why };
        let said = Said::Forwarded { why, status: response.status(), kept: Err(detail) };
        self.shared.finish(&mut response, said);
        Ok(response)
    }

    /// A kept response as an answer to this request.
    fn serve(&self, stored: &Stored, said: Said) -> Response<Body<R>> {
        let mut response = Response::new(stored.body.clone());
        *response.status_mut() = stored.status;
        *response.headers_mut() = stored.headers.clone();
        let age = stored.age(self.shared.settings.now()).as_secs();
        response.headers_mut().insert(AGE, age.into());
        self.fitted(response, said)
    }

    /// What was kept just now or before, as this request wants it: without the body if it is for a HEAD, or known to the client.
    fn fitted(&self, mut response: Response<Bytes>, said: Said) -> Response<Body<R>> {
        if conditions::is_known(&self.asked.parts.headers, response.status(), response.headers()) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response.headers_mut().remove(CONTENT_LENGTH);
            *response.body_mut() = Bytes::new();
        } else if self.asked.is_head {
            let length = HeaderValue::from(response.body().len());
            response.headers_mut().insert(CONTENT_LENGTH, length);
            *response.body_mut() = Bytes::new();
        }
        self.shared.finish(&mut response, said);
        response.map(Body::from)
    }

    /// Source: RFC 9111, 5.2.1.7.
    fn unsatisfiable(&self) -> Response<Body<R>> {
        let mut response = Response::new(Body::from(Bytes::new()));
        *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
        let said = Said::Forwarded {
            why: Why::Request,
            status: StatusCode::GATEWAY_TIMEOUT,
            kept: Err("only-if-cached"),
        };
        self.shared.finish(&mut response, said);
        response
    }
}
