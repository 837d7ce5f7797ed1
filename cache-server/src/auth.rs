//! May you? One bearer token for everything but the probes.
//!
//! What is compared is digests, in constant time: how long it takes tells nothing about the token, not even its length.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::config::Token;
use crate::problem::Problem;

/// What is open to everyone: an orchestrator has no token, the page asks for one, and none of them says anything about what
/// is stored.
const OPEN: [&str; 7] = ["/health", "/livez", "/readyz", "/", "/page.css", "/page.js", "/page.svg"];

/// Tells whether this is one of them.
pub(crate) fn is_open(uri: &Uri) -> bool {
    OPEN.contains(&uri.path())
}

/// Lets a request pass if no token is needed, or the right one is there.
pub(crate) async fn check(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let refused = app.guard.as_ref().filter(|_| !is_open(request.uri()));
    match refused.and_then(|guard| guard.objection(request.headers())) {
        None => next.run(request).await,
        Some(detail) => Problem::new(StatusCode::UNAUTHORIZED, detail)
            .with_header("www-authenticate", "Bearer")
            .into_response(),
    }
}

/// Knows the token by its digest alone.
#[derive(Debug)]
pub(crate) struct Guard([u8; 32]);

impl Guard {
    pub(crate) fn new(token: &Token) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// What is wrong with a request's token; nothing, if it is the right one.
    fn objection(&self, headers: &HeaderMap) -> Option<&'static str> {
        let Some(given) = headers.get(AUTHORIZATION) else {
            return Some("a token is needed: send Authorization: Bearer <token>");
        };
        let Some(token) = bearer(given.as_bytes()) else {
            return Some("the Authorization header is not of the form Bearer <token>");
        };
        let digest: [u8; 32] = Sha256::digest(token).into();
        let same = bool::from(digest.ct_eq(&self.0));
        (!same).then_some("the token is not the right one")
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
