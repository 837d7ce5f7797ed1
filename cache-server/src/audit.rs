//! What administrators do: a line of the log each, under the target `audit`, and one of a file of its own where that is set.
//!
//! The file is that of `cache-ratelimit`: rotated, for its owner alone, written behind the request, and what is lost is counted. Who has no right
//! token is not in it, or anybody could fill it.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use cache_ratelimit::{Class, Record};

use crate::app::App;
use crate::auth;
use crate::config::Access;
use crate::limits;
use crate::log::Shown;
use crate::role::Role;

/// What was asked: kept until it is known what became of it.
pub(crate) struct Act {
    what: String,
}

impl Act {
    pub(crate) fn of(request: &Request) -> Self {
        Self { what: format!("{} {}", request.method(), request.uri().path()) }
    }

    /// Writes down that it was allowed, and what was answered.
    pub(crate) fn done(&self, app: &App, who: &str, class: Class, response: &Response) {
        self.write(app, (who, class), ("allowed", "role"), response);
    }

    /// Writes down that a token had not the role for it.
    pub(crate) fn denied(&self, app: &App, by: &Access, response: &Response) {
        self.write(app, (&by.name, by.class), ("denied", "role"), response);
    }

    fn write(
        &self,
        app: &App,
        (who, class): (&str, Class),
        (decision, by): (&str, &str),
        response: &Response,
    ) {
        let (what, status) = (self.what.as_str(), response.status().as_u16());
        tracing::info!(target: "audit", who, what = %Shown(what), decision, status, "an admin's act");
        if let Some(audit) = &app.audit {
            audit.record(&Record { who, what, class, decision, by, status: Some(status) });
        }
    }
}

/// Answers where no token is set. Everybody is an administrator then, known by address alone, and the file has what they do.
pub(crate) async fn everybody(app: &App, request: Request, next: Next) -> Response {
    if app.audit.is_none() || auth::needed(&request) < Role::Admin {
        return next.run(request).await;
    }
    let (act, hops) = (Act::of(&request), app.hops());
    let (parts, body) = request.into_parts();
    let who = limits::address(hops, &parts).map_or_else(|| "?".to_owned(), |address| address.to_string());
    let response = next.run(Request::from_parts(parts, body)).await;
    act.write(app, (&who, Class::Anonymous), ("allowed", "no token is set"), &response);
    response
}
