//! Limits of callers, as a layer: who calls too often is told when to come again, and everybody what is left.
//!
//! ```text
//! request ─► Identify: who is it? ─► Gate: may he? ── yes ─► the application, then the fields of the answer
//!             │ exempt: passes                      └─ no ─► refusal: 429, or 503 where it is not the caller's doing
//!             └ cannot be told: 503
//! ```
//!
//! The [`Gate`] is a limiter of `cache-ratelimit`: by class or one for all, of this process or of all that share a Redis.
//! Whose request it is the application says, by a function or another [`Identify`]; the address of somebody behind proxies
//! is found by [`Hops`]. What to answer is in [`Fields`] and in the module `answer`, and is decided nowhere else.

mod answer;
mod caller;
mod fields;
mod gate;
mod hops;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use cache_ratelimit::By;
use http::request::Parts;
use http::{Request, Response};
use tower::{Layer, Service};

use self::answer::Outcome;
pub use self::caller::{Caller, Identify};
pub use self::fields::Fields;
pub use self::gate::{Asked, Gate};
pub use self::hops::Hops;

/// Puts a limit in front of a service.
///
/// A denied request does not reach the service. Its answer is 429 with `Retry-After`, or 503 where the caller has done nothing
/// wrong: the counters are away and nothing is let pass, or a table is full of callers who are at their limit. Both
/// come with a body of `application/problem+json`. All other answers say what is left, as [`Fields`] has it.
///
/// A decision costs one allocation for its future, beside what the gate and the function that identifies do.
///
/// ```
/// use cache_http::limit::{Caller, LimitLayer};
/// use cache_ratelimit::{Class, ClassLimiter, Classes, Subject};
/// use http::{Request, Response};
/// use std::{convert::Infallible, sync::Arc};
/// use tower::{Layer, Service, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limiter = Arc::new(ClassLimiter::local(Classes::default())?);
/// let layer = LimitLayer::new(limiter, |request: &http::request::Parts| {
///     // An outer layer has looked at the token, and says here whose it is.
///     match request.extensions.get::<Account>() {
///         Some(Account(name)) => Ok(Caller::new(Class::Authenticated, Subject::named(name)?)),
///         None => Ok(Caller::new(Class::Anonymous, Subject::named("everybody else")?)),
///     }
/// });
/// #[derive(Clone)]
/// struct Account(&'static str);
///
/// let hello = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new("hello".to_owned())));
/// let mut service = layer.layer(hello);
/// let mut request = Request::new(());
/// request.extensions_mut().insert(Account("ada"));
/// let response = service.call(request).await?;
/// assert_eq!(response.headers()["RateLimit-Policy"], r#""authenticated";q=120;w=60"#);
/// assert_eq!(response.headers()["RateLimit"], r#""authenticated";r=119;t=61"#);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LimitLayer {
    rules: Arc<Rules>,
}

#[derive(Clone)]
struct Rules {
    gate: Arc<dyn Gate>,
    identify: Arc<dyn Identify>,
    fields: Fields,
}

/// Who has decided that a request passes: in the extensions of the request for whoever answers it, and in those of every
/// response of the layer for whoever logs and counts them. Where it is missing, the caller was exempt.
///
/// [`By::Open`] and [`By::Share`] mean that the counters of all processes are away, [`By::Closed`] that nothing passes because of
/// that. Callers are not told: an open door is nothing to advertise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided(
    /// Who it was.
    pub By,
);

impl LimitLayer {
    /// Asks this gate about the callers that this function tells apart. Answers have the standard fields.
    pub fn new(gate: Arc<dyn Gate>, identify: impl Identify) -> Self {
        Self { rules: Arc::new(Rules { gate, identify: Arc::new(identify), fields: Fields::Standard }) }
    }

    /// Which fields answers have. Default: [`Fields::Standard`].
    #[must_use]
    pub fn with_fields(self, fields: Fields) -> Self {
        Self { rules: Arc::new(Rules { fields, ..Rules::clone(&self.rules) }) }
    }
}

impl fmt::Debug for LimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitLayer").field("fields", &self.rules.fields).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Limit<S>;

    fn layer(&self, inner: S) -> Limit<S> {
        Limit { inner, rules: Arc::clone(&self.rules) }
    }
}

/// A service behind a limit: see [`LimitLayer`].
#[derive(Clone)]
pub struct Limit<S> {
    inner: S,
    rules: Arc<Rules>,
}

impl<S: fmt::Debug> fmt::Debug for Limit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limit({:?})", self.inner)
    }
}

/// Whatever its bodies are, if that of a response can be made of a text.
impl<S, B, R> Service<Request<B>> for Limit<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that has said that it is ready is the one that is called. If the request is denied it is dropped, and what
        // it holds, such as a place among those that run at the same time, is free again.
        let unready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, unready);
        let rules = Arc::clone(&self.rules);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match rules.decide(&parts).await {
                Outcome::Exempt => inner.call(Request::from_parts(parts, body)).await,
                Outcome::Unknown => Ok(answer::unknown()),
                Outcome::Decided(decision) if decision.is_admitted() => {
                    parts.extensions.insert(Decided(decision.by));
                    let mut response = inner.call(Request::from_parts(parts, body)).await?;
                    rules.fields.put(&decision, response.headers_mut());
                    response.extensions_mut().insert(Decided(decision.by));
                    Ok(response)
                }
                Outcome::Decided(decision) => Ok(answer::refusal(&decision, rules.fields)),
            }
        })
    }
}

impl Rules {
    async fn decide(&self, request: &Parts) -> Outcome {
        match self.identify.caller(request) {
            Err(_) => Outcome::Unknown,
            Ok(Caller::Exempt) => Outcome::Exempt,
            Ok(Caller::Limited { class, subject }) => {
                Outcome::Decided(self.gate.take(Asked { class, subject: &subject, request }).await)
            }
        }
    }
}
