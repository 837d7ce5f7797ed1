//! Where acts of administrators are answered: beside everything else, on a port of their own, or nowhere.
//!
//! What such an act is, its route and method tell ([`Role::needed`]), and nothing else: a route that asks for the role `admin` is moved away
//! with all others. The port of administrators answers everything, so that whoever works there, or its page, needs no other.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::auth;
use crate::problem::Problem;
use crate::role::Role;

/// Marks a request that came where acts of administrators are not answered.
#[derive(Clone, Copy)]
struct Apart;

/// Lets a request pass that is no act of an administrator. Who asks is not asked before: there is no such route here, for anybody.
pub(crate) async fn apart(mut request: Request, next: Next) -> Response {
    if auth::needed(&request) >= Role::Admin {
        let detail = "acts of administrators are not answered here: admin_listen says where, if anywhere";
        return Problem::not_found(detail).into_response();
    }
    request.extensions_mut().insert(Apart);
    next.run(request).await
}

/// Whether acts of administrators are answered where a request came.
pub(crate) struct IsAdmin(pub(crate) bool);

impl<S: Sync> FromRequestParts<S> for IsAdmin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<Apart>().is_none()))
    }
}
