//! Where does it come from? A web page in a browser on this machine must not use the cache through it.
//!
//! A browser says which page a request is for. What changes something, or opens a WebSocket, is refused if that is a page of another site
//! (cross-site request forgery) which the settings do not name, and without a token everything is refused that was sent to a host by a name other than
//! localhost, which is how a page makes a name of its own point at this machine (DNS rebinding).

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN, UPGRADE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::auth;
use crate::problem::Problem;

/// Lets a request pass that no page of another site has sent.
pub(crate) async fn check(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let objection = foreign_page(&app, request.method(), request.headers()).or_else(|| {
        foreign_name(request.headers()).filter(|_| app.guard().is_none() && !auth::is_open(request.uri()))
    });
    match objection {
        None => next.run(request).await,
        Some(detail) => Problem::new(StatusCode::FORBIDDEN, detail).into_response(),
    }
}

/// Whether a read that carries these headers may pass.
pub(crate) fn may_read(app: &App, headers: &HeaderMap) -> bool {
    app.guard().is_some() || foreign_name(headers).is_none()
}

fn foreign_page(app: &App, method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    // Of a plain read a browser keeps the answer from the page; of a WebSocket it does not.
    if method.is_safe() && !headers.contains_key(UPGRADE) {
        return None;
    }
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let elsewhere = text("sec-fetch-site").is_some_and(|site| !["same-origin", "none"].contains(&site));
    if let (Some(cors), Some(origin)) = (app.cors(), text(ORIGIN.as_str()))
        && cors.allows(origin)
    {
        return None;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let origin =
        text(ORIGIN.as_str()).map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    let foreign = elsewhere || origin.is_some_and(|origin| Some(origin) != host);
    foreign.then_some("a page of another site may not change the cache, or watch it over a WebSocket, unless cors_origins names it")
}

/// Whether a host is by its mere letters what most clients call this machine: told quickly, as every request is asked.
fn is_this_machine(host: &[u8]) -> bool {
    let port = [&b"localhost"[..], b"127.0.0.1", b"[::1]"].iter().find_map(|name| host.strip_prefix(*name));
    port.is_some_and(|port| match port.split_first() {
        None => true,
        Some((colon, port)) => *colon == b':' && port.iter().all(u8::is_ascii_digit),
    })
}

fn foreign_name(headers: &HeaderMap) -> Option<&'static str> {
    if headers.get(HOST).is_some_and(|host| is_this_machine(host.as_bytes())) {
        return None;
    }
    let authority: Option<Authority> = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    let name = authority.as_ref().map(Authority::host).unwrap_or_default();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let known =
        name.is_empty() || name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok();
    let detail = "without a token the Host header must be an address or localhost; \
                  to be reached by another name, set a token";
    (!known).then_some(detail)
}
