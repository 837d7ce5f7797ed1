//! The edge: what happens to every request and every answer, whatever is asked.
//!
//! A panic becomes a 500 and costs nobody else anything; an error becomes a problem; every answer is counted, and each error of the server
//! is a line of the log.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use crate::app::App;
use crate::auth::is_probe;
use crate::linger::lingering;
use crate::problem::{self, Problem};

/// Answers a request through the layers below.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = app.figures.route(request.extensions().get::<MatchedPath>().map(MatchedPath::as_str));
    let begun = route.is_to_be_timed().then(|| app.clock.now());
    let request = request.map(|body| lingering(body, app.linger_timeout));
    // Whether the server lives is answered however busy it is.
    let place = if is_probe(request.uri()) { Ok(None) } else { app.crowd.enter() };
    let _place = match place {
        Ok(place) => place,
        Err(problem) => {
            let refusal = problem.into_response();
            route.count(refusal.status(), None);
            return refusal;
        }
    };
    // What a panic leaves behind is caches, which lock nothing across calls, and this request, which ends here.
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let response = problem::uniform(answer.unwrap_or_else(|_| after_panic(route.template())));
    // A probe that hears of a stop has not met an error.
    if response.status().is_server_error() && !app.is_draining() {
        tracing::error!(
            route = route.template(),
            status = response.status().as_u16(),
            "an error of the server"
        );
    }
    route.count(response.status(), begun.map(|begun| app.clock.now().since(begun)));
    response
}

fn after_panic(route: &str) -> Response {
    tracing::error!(route, "a request panicked");
    let detail = "the server failed at this request; others are not concerned";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::Settings;

    async fn planted() -> &'static str {
        std::panic::panic_any("planted")
    }

    #[tokio::test]
    async fn a_panic_is_one_request_lost() {
        let app = App::new(Settings::from_toml("").expect("defaults"), Arc::new(strata::SystemClock::new()));
        let app = Arc::new(app.expect("default regions"));
        let router = Router::new()
            .route("/panic", get(planted))
            .route("/fine", get(|| async { "fine" }))
            .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), guard));
        for (path, expected) in [("/panic", 500), ("/fine", 200), ("/panic", 500), ("/nowhere", 404)] {
            let request = Request::builder().uri(path).body(Body::empty()).expect("legal");
            let response = router.clone().oneshot(request).await.expect("infallible");
            assert_eq!(response.status().as_u16(), expected, "{path}");
            assert_eq!(response.headers()["content-type"] == "application/problem+json", expected >= 400);
        }
        assert_eq!(app.figures.totals().errors, 2);
    }
}
