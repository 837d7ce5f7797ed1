//! The layer and its service: what is set up once, and where each request begins.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LOCATION, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri};
use http_body::Body as HttpBody;
use strata::{Cache, Memory, Wall};
use tower::{Layer, Service};

use super::asked::{Asked, address, plain_key, tag};
use super::body::Body;
use super::said::{Said, Why};
use super::settings::Settings;
use super::stored::Stored;
use super::visit::Visit;

/// How many addresses are remembered whose responses may not be kept.
const MAX_PASSES: u64 = 10_000;

/// Puts a cache of responses in front of a service.
///
/// To be put outermost, or at least outside of whatever changes the path: what is asked for is scheme, host, path and query as this
/// layer sees them. Two applications over one cache are told apart by [`with_scope`](Self::with_scope).
///
/// ```
/// use cache_http::cache::{CacheLayer, builder};
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Empty, Full};
/// use std::{convert::Infallible, sync::atomic::{AtomicU32, Ordering::SeqCst}};
/// use tower::{Layer, Service, service_fn};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// static ASKED: AtomicU32 = AtomicU32::new(0);
/// let page = service_fn(async |_: Request<Empty<bytes::Bytes>>| {
///     ASKED.fetch_add(1, SeqCst);
///     let response = Response::builder().header("cache-control", "public, max-age=60");
///     Ok::<_, Infallible>(response.body(Full::new(bytes::Bytes::from("hello"))).expect("legal"))
/// });
/// let mut service = CacheLayer::new(builder("pages", 1 << 20).build()?).layer(page);
/// for _ in 0..2 {
///     let request = Request::get("/").header("host", "example.org").body(Empty::new())?;
///     let response = service.call(request).await?;
///     assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
/// }
/// assert_eq!(ASKED.load(SeqCst), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CacheLayer {
    pub(super) shared: Arc<Shared>,
}

/// What all requests share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) cache: Cache<String, Stored>,
    pub(super) settings: Settings,
    /// Addresses whose responses may not be kept, for a little while: nobody has to wait for another one's there.
    pub(super) passes: Memory<String, ()>,
}

impl CacheLayer {
    /// Keeps responses in this cache, as [`builder`](super::builder) begins one.
    pub fn new(cache: Cache<String, Stored>) -> Self {
        let passes = Memory::new()
            .with_max_entries(MAX_PASSES)
            .with_ttl(Duration::from_secs(10))
            .with_clock(Arc::clone(cache.memory().clock()));
        Self { shared: Arc::new(Shared { cache, settings: Settings::new(), passes }) }
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut shared = Shared::clone(&self.shared);
        change(&mut shared.settings);
        Self { shared: Arc::new(shared) }
    }

    /// The largest body that is kept. A larger one goes through as it comes. Default: 1 MiB.
    #[must_use]
    pub fn with_max_body_bytes(self, bytes: usize) -> Self {
        self.with(|settings| settings.max_body_bytes = bytes)
    }

    /// What stands before each address in the cache, so that applications which share it are told apart. Default: nothing.
    #[must_use]
    pub fn with_scope(self, scope: impl Into<String>) -> Self {
        self.with(|settings| settings.scope = scope.into())
    }

    /// The scheme of requests that do not say theirs, `http` or `https`, as all of HTTP/1.1 do not. Default: `http`.
    #[must_use]
    pub fn with_https(self, is_https: bool) -> Self {
        self.with(|settings| settings.scheme = if is_https { "https" } else { "http" })
    }

    /// Adds fields of requests that are part of the key though no `Vary` names them. The default has those that tell an application
    /// for which host, path or method to take a request, such as `X-Forwarded-Host`.
    ///
    /// Whatever else an application lets a request decide of its responses has to be in their `Vary`, or here: a field that is in neither
    /// lets whoever sends it choose what all others see.
    #[must_use]
    pub fn with_keyed(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.with(|settings| settings.keyed.extend(names))
    }

    /// How long a response is fresh that does not say so: this share of the time between its last change and its making, at most so
    /// long. Default: not at all. The usual share is 0.1 (RFC 9111, 4.2.2).
    #[must_use]
    pub fn with_heuristic(self, share: f64, most: Duration) -> Self {
        self.with(|settings| settings.leeway.heuristic = Some((share, most)))
    }

    /// Whether a cookie says who somebody is, as `Authorization` does: then only what is `public` or has `s-maxage` or
    /// `must-revalidate` answers him, and only that is kept of what he is answered. Default: yes. RFC 9111 does not ask for it.
    #[must_use]
    pub fn with_cookies_identifying(self, identify: bool) -> Self {
        self.with(|settings| settings.leeway.cookies_identify = identify)
    }

    /// Whether callers may ask for something newer, with `Cache-Control: no-cache` and the like. Default: yes. RFC 9111 leaves it
    /// to the cache; where callers are not trusted not to overload the application, say no.
    #[must_use]
    pub fn with_requests_obeyed(self, obeyed: bool) -> Self {
        self.with(|settings| settings.obeys_requests = obeyed)
    }

    /// The fields that count before `Cache-Control` and `Expires`, the first of them first (RFC 9213). Default: `CDN-Cache-Control`,
    /// `Surrogate-Control`. All are passed on, for a cache further out.
    #[must_use]
    pub fn with_targets(self, targets: impl IntoIterator<Item = HeaderName>) -> Self {
        self.with(|settings| settings.leeway.targets = targets.into_iter().collect())
    }

    /// Whether `Surrogate-Control`, `Surrogate-Key`, `CDN-Cache-Control` and `Cache-Tag` are taken off answers: where no other cache
    /// of one's own stands further out. Default: no.
    #[must_use]
    pub fn with_surrogates_hidden(self, hidden: bool) -> Self {
        self.with(|settings| settings.hides_surrogates = hidden)
    }

    /// What the cache calls itself in `Cache-Status`, a token of RFC 9651; `None` leaves that field out. Default: `strata`.
    #[must_use]
    pub fn with_name(self, name: Option<&str>) -> Self {
        let is_token = |name: &&str| {
            name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._".contains(letter))
        };
        self.with(|settings| settings.name = name.filter(is_token).map(ToOwned::to_owned))
    }

    /// How long a response that has a validator is kept after it is stale, to ask whether it is still right. Default: one hour.
    #[must_use]
    pub fn with_keep_for(self, time: Duration) -> Self {
        self.with(|settings| settings.keep_for = time)
    }

    /// For how long an application that has failed is left alone where `stale-if-error` lets a response stand in. Default: 1 s.
    #[must_use]
    pub fn with_error_pause(self, pause: Duration) -> Self {
        self.with(|settings| settings.error_pause = pause)
    }

    /// The wall clock by which ages and dates are told. Default: the system's.
    #[must_use]
    pub fn with_wall_clock(self, wall: impl Fn() -> Wall + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.wall = Arc::new(wall))
    }

    /// The cache. Responses with the surrogate key `k`, of `Surrogate-Key` or `Cache-Tag`, go with `cache().remove_tag("k")`.
    pub fn cache(&self) -> &Cache<String, Stored> {
        &self.shared.cache
    }

    /// Removes all responses of an address: an absolute one, such as `http://example.org/a?b`. Says whether it was one.
    ///
    /// # Cancel safety
    /// A dropped call may have removed some of them; asked again, it removes the rest.
    pub async fn purge(&self, uri: &Uri) -> bool {
        match address(uri, &HeaderMap::new(), &self.shared.settings) {
            Some(address) if uri.authority().is_some() => {
                self.shared.invalidate(&address).await;
                true
            }
            _ => false,
        }
    }
}

impl Shared {
    /// Removes all responses of an address, in all tiers and processes.
    pub(super) async fn invalidate(&self, address: &str) {
        // The cache fails nobody: what a tier cannot be told now it is told when it is back.
        let _ = self.cache.remove(&plain_key(address)).await;
        let _ = self.cache.remove_tag(&tag(address)).await;
    }

    /// What an unsafe method has made wrong. Source: RFC 9111, 4.4.
    pub(super) async fn invalidate_after(&self, parts: &Parts, status: StatusCode, response: &HeaderMap) {
        let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(&parts.method);
        if is_safe || status.is_client_error() || status.is_server_error() {
            return;
        }
        let Some(own) = address(&parts.uri, &parts.headers, &self.settings) else { return };
        self.invalidate(&own).await;
        for name in [LOCATION, CONTENT_LOCATION] {
            let other = response.get(&name).and_then(|value| value.to_str().ok());
            if let Some(other) = other.and_then(|other| self.of_same_host(&own, other)) {
                self.invalidate(&other).await;
            }
        }
    }

    /// The address that a field names, if it is of the same host: nobody invalidates what another host has said.
    fn of_same_host(&self, own: &str, named: &str) -> Option<String> {
        let rest = own.strip_prefix(&self.settings.scope)?;
        let (scheme, rest) = rest.split_once("://")?;
        let (host, _) = rest.split_once('/')?;
        let origin = format!("{scheme}://{host}/");
        let named = named.split('#').next()?;
        let path = match named.strip_prefix('/') {
            Some(path) if !path.starts_with('/') => path,
            _ => named
                .get(..origin.len())
                .filter(|begin| begin.eq_ignore_ascii_case(&origin))
                .map(|_| &named[origin.len()..])?,
        };
        Some(format!("{}{origin}{path}", self.settings.scope))
    }

    /// What an answer is given on its way out.
    pub(super) fn finish<R>(&self, response: &mut Response<R>, said: Said) {
        let headers = response.headers_mut();
        if self.settings.hides_surrogates {
            for name in ["surrogate-control", "surrogate-key", "cdn-cache-control", "cache-tag"] {
                headers.remove(name);
            }
        }
        if let Some(name) = &self.settings.name {
            said.put(name, headers);
        }
    }
}

impl fmt::Debug for CacheLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer")
            .field("cache", &self.shared.cache.name())
            .field("settings", &self.shared.settings)
            .finish()
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = Cached<S>;

    fn layer(&self, inner: S) -> Cached<S> {
        Cached { inner, shared: Arc::clone(&self.shared) }
    }
}

/// A service behind a cache: see [`CacheLayer`].
#[derive(Clone)]
pub struct Cached<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S: fmt::Debug> fmt::Debug for Cached<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cache({:?})", self.inner)
    }
}

/// Whatever its bodies are, if that of a request can be empty.
impl<S, B, R> Service<Request<B>> for Cached<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    B: HttpBody + Default + Send + 'static,
    R: HttpBody<Data = Bytes> + Unpin + Send + 'static,
    R::Error: Unpin + Send + 'static,
{
    type Response = Response<Body<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that has said that it is ready is the one that is called.
        let unready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, unready);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let why = match Asked::address(&parts, !body.is_end_stream(), &shared.settings) {
                Ok(address) => {
                    let asked = Asked::new(parts, address, &shared.settings);
                    return Visit::new(shared, asked, inner).answer().await;
                }
                Err(why) => why,
            };
            let kept = Request::from_parts(parts.clone(), body);
            let (head, body) = inner.call(kept).await?.into_parts();
            let status = head.status;
            shared.invalidate_after(&parts, status, &head.headers).await;
            let mut response = Response::from_parts(head, Body::own(body));
            let kept = Err(if why == Why::Method { "method" } else { "not-for-caches" });
            if status != StatusCode::SWITCHING_PROTOCOLS {
                shared.finish(&mut response, Said::Forwarded { why, status, kept });
            }
            Ok(response)
        })
    }
}
