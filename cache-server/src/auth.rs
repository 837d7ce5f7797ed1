//! May you? A bearer token for everything but the probes, and what it is good for.
//!
//! What is compared is digests, in constant time and with all tokens there are: how long it takes tells nothing about any of them, not even
//! its length.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cache_ratelimit::Class;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::audit::{self, Act};
use crate::config::{Access, Settings};
use crate::problem::Problem;
use crate::role::Role;

/// What is open to everyone: an orchestrator has no token, the page asks for one, and none of them says anything about what
/// is stored.
const OPEN: [&str; 11] = [
    "/health",
    "/livez",
    "/readyz",
    "/",
    "/page.css",
    "/page.js",
    "/page.svg",
    "/docs",
    "/docs.css",
    "/docs.js",
    "/v1/openapi.json",
];

/// Those of them that an orchestrator asks.
const PROBES: usize = 3;

/// Tells whether this is asked by an orchestrator, which is answered in any case.
pub(crate) fn is_probe(uri: &Uri) -> bool {
    is_probe_path(uri.path())
}

pub(crate) fn is_probe_path(path: &str) -> bool {
    OPEN[..PROBES].contains(&path)
}

/// Tells whether this is one of them.
pub(crate) fn is_open(uri: &Uri) -> bool {
    is_open_path(uri.path())
}

pub(crate) fn is_open_path(path: &str) -> bool {
    OPEN.contains(&path)
}

/// Lets a request pass if no token is needed, or one that is good for it is there. What an admin does is written down.
pub(crate) async fn check(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    // Not kept: whoever changes the tokens waits for nobody.
    let found =
        app.guard().as_ref().filter(|_| !is_open(request.uri())).map(|guard| guard.find(request.headers()));
    let known = match found {
        None if app.guard().is_none() => return audit::everybody(&app, request, next).await,
        None => return next.run(request).await,
        Some(Ok(known)) => known,
        Some(Err(detail)) => {
            return Problem::new(StatusCode::UNAUTHORIZED, detail)
                .with_header("www-authenticate", "Bearer")
                .into_response();
        }
    };
    let needed = needed(&request);
    let act = (needed >= Role::Admin).then(|| Act::of(&request));
    if known.role < needed {
        let detail =
            format!("this route is for the role {needed}, and the token {:?} has {}", known.name, known.role);
        let denial = Problem::new(StatusCode::FORBIDDEN, detail).into_response();
        if let Some(act) = act {
            act.denied(&app, &known, &denial);
        }
        return denial;
    }
    let response = next.run(request).await;
    if let Some(act) = act {
        act.done(&app, &known.name, known.class, &response);
    }
    response
}

/// Whether a request may read what is stored, for all that tokens say.
pub(crate) fn may_read(app: &App, headers: &HeaderMap) -> bool {
    app.guard().as_ref().is_none_or(|guard| guard.find(headers).is_ok_and(|known| known.role >= Role::Read))
}

/// The token that a request carries, if it is the right one.
pub(crate) fn known(app: &App, headers: &HeaderMap) -> Option<Arc<Access>> {
    app.guard().as_ref()?.find(headers).ok()
}

/// What a request needs.
pub(crate) fn needed(request: &Request) -> Role {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    Role::needed(request.method(), route)
}

/// Knows the tokens by their digests alone.
#[derive(Debug)]
pub(crate) struct Guard(Vec<Arc<Access>>);

impl Guard {
    /// None if no token is needed.
    pub(crate) fn new(settings: &Settings) -> Option<Self> {
        let own = settings.token.as_ref().map(|token| Access {
            name: "token".to_owned(),
            role: Role::Admin,
            class: Class::Admin,
            digest: Sha256::digest(token.as_bytes()).into(),
        });
        let all: Vec<_> = own.into_iter().chain(settings.tokens.iter().cloned()).map(Arc::new).collect();
        (!all.is_empty()).then_some(Self(all))
    }

    /// Whose token a request carries, or what is wrong with it.
    fn find(&self, headers: &HeaderMap) -> Result<Arc<Access>, &'static str> {
        let given = headers.get(AUTHORIZATION);
        let given = given.ok_or("a token is needed: send Authorization: Bearer <token>")?;
        let token =
            bearer(given.as_bytes()).ok_or("the Authorization header is not of the form Bearer <token>")?;
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for access in &self.0 {
            if bool::from(access.digest.ct_eq(&digest)) {
                found = Some(access);
            }
        }
        found.cloned().ok_or("the token is not the right one")
    }
}

fn bearer(header: &[u8]) -> Option<&[u8]> {
    const SCHEME: usize = "Bearer ".len();
    let (scheme, token) = header.split_at_checked(SCHEME)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_header_carries_a_token() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        assert_eq!(bearer(b"Basic abc"), None);
        assert_eq!(bearer(b"Bear"), None);
    }
}
