//! The requests of one connection, before any layer sees them: each has to name one host, and knows where it comes from; what the
//! shortcut cannot answer goes through the routes.
//!
//! RFC 9112, section 3.2, has a server refuse what names no host, two, or none that could be one: of two servers that read such a
//! request, each may take it for another one. The HTTP library does not look.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::header::{CONNECTION, HOST};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use futures_util::future::Either;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};

use crate::app::App;
use crate::problem::Problem;
use crate::shortcut::Shortcut;

/// Answers the requests of a connection.
#[derive(Clone)]
pub(crate) struct Requests {
    /// None where requests are counted by client, told to a collector or open to pages of other sites, which layers do.
    shortcut: Option<Shortcut>,
    router: TowerToHyperService<Router>,
    app: Arc<App>,
    /// Where they come from, if anybody asks for it.
    peer: Option<SocketAddr>,
}

impl Requests {
    /// Those of no connection yet.
    pub(crate) fn new(router: Router, app: Arc<App>) -> Self {
        let is_plain = app.limits.is_none() && app.cors().is_none() && cfg!(not(feature = "otel"));
        let shortcut = is_plain.then(|| Shortcut::new(Arc::clone(&app)));
        Self { shortcut, router: TowerToHyperService::new(router), app, peer: None }
    }

    /// Those of a connection from there.
    pub(crate) fn of(&self, peer: SocketAddr) -> Self {
        Self { peer: self.app.asks_for_peers().then_some(peer), ..self.clone() }
    }
}

type Routed = TowerToHyperServiceFuture<Router, Request<Incoming>>;

impl Service<Request<Incoming>> for Requests {
    type Response = Response;
    type Error = Infallible;
    // In a box, so that the answer of the shortcut is not moved about in the place of what is so much larger.
    type Future = Either<Ready<Result<Response, Infallible>>, Pin<Box<Routed>>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if let Some(detail) = objection(request.version(), request.headers()) {
            let mut refusal = Problem::bad_request(detail).into_response();
            refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            self.app.figures.route(None).count(StatusCode::BAD_REQUEST, None);
            return Either::Left(ready(Ok(refusal)));
        }
        if let Some(response) = self.shortcut.as_ref().and_then(|shortcut| shortcut.answer(&request)) {
            return Either::Left(ready(Ok(response)));
        }
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        Either::Right(Box::pin(self.router.call(request)))
    }
}

fn objection(version: Version, headers: &HeaderMap) -> Option<&'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => None,
        (None, _) => Some("a request of HTTP/1.1 needs a Host header"),
        (Some(_), Some(_)) => Some("a request has one Host header"),
        (Some(host), None) if is_host(host.as_bytes()) => None,
        (Some(_), None) => Some("the Host header is not a host, such as cache.internal:7400"),
    }
}

/// Whether all of it may stand in a host and its port (RFC 3986, section 3.2.2).
fn is_host(host: &[u8]) -> bool {
    host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_one_host() {
        let refused = |version, hosts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, HeaderValue::from_static(host));
            }
            objection(version, &headers).is_some()
        };
        for host in ["localhost", "127.0.0.1:7400", "[::1]:7400", "cache-1.example.org", "a_b", ""] {
            assert!(!refused(Version::HTTP_11, &[host]), "{host}");
        }
        for host in ["a b", "evil.example/", "user@host", "a\\b", "http://x", "a\tb", "x?y", "x#y"] {
            assert!(refused(Version::HTTP_11, &[host]) && refused(Version::HTTP_10, &[host]), "{host}");
        }
        assert!(refused(Version::HTTP_11, &[]) && !refused(Version::HTTP_10, &[]));
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert!(refused(version, &["localhost", "localhost"]));
        }
    }
}
