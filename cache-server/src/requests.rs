//! The requests of one connection: what the shortcut answers, and what goes through the routes.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;

use axum::Router;
use axum::response::Response;
use futures_util::future::Either;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};

use crate::shortcut::Shortcut;

/// Answers the requests of a connection.
#[derive(Clone)]
pub(crate) struct Requests {
    shortcut: Shortcut,
    router: TowerToHyperService<Router>,
}

impl Requests {
    pub(crate) fn new(shortcut: Shortcut, router: Router) -> Self {
        Self { shortcut, router: TowerToHyperService::new(router) }
    }
}

type Routed = TowerToHyperServiceFuture<Router, Request<Incoming>>;

impl Service<Request<Incoming>> for Requests {
    type Response = Response;
    type Error = Infallible;
    // In a box, so that the answer of the shortcut is not moved about in the place of what is so much larger.
    type Future = Either<Ready<Result<Response, Infallible>>, Pin<Box<Routed>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        match self.shortcut.answer(&request) {
            Some(response) => Either::Left(ready(Ok(response))),
            None => Either::Right(Box::pin(self.router.call(request))),
        }
    }
}
