//! The server's own view of itself: all figures at once, or again every second to whoever keeps watching.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cache_core::Time;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::answer::Answer;
use super::extract::NoParams;
use super::openapi::Description;
use crate::app::App;
use crate::insight::Report;
use crate::problem::Problem;

/// How many may watch at once.
const MAX_WATCHERS: usize = 32;

const EVERY: Duration = Duration::from_secs(1);

/// How old figures may be that several watchers share. Less than the interval, so that each of them sees news.
const SHARED_FOR: Duration = Duration::from_millis(500);

pub(super) async fn stats(State(app): State<Arc<App>>, _: NoParams) -> Answer<Report> {
    Answer(Report::of(&app))
}

/// Who watches, and what they were sent last.
#[derive(Debug)]
pub(crate) struct Watchers {
    places: Arc<Semaphore>,
    /// Worked out once for all of them.
    last: Mutex<Option<(Time, Bytes)>>,
}

impl Watchers {
    pub(crate) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_WATCHERS)), last: Mutex::new(None) }
    }

    fn event(&self, app: &App) -> Bytes {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = app.clock.now();
        if let Some((_, event)) = last.as_ref().filter(|(made, _)| now.since(*made) < SHARED_FOR) {
            return event.clone();
        }
        let json = serde_json::to_string(&Report::of(app)).unwrap_or_default();
        let event = Bytes::from(format!("event: stats\ndata: {json}\n\n"));
        *last = Some((now, event.clone()));
        event
    }
}

/// One who watches.
struct Watcher {
    app: Arc<App>,
    ticks: Interval,
    /// Given back when the connection ends, in whichever way.
    _place: OwnedSemaphorePermit,
}

pub(super) fn describe_events(operation: &mut Description<'_>) {
    operation.answers_bytes(200, "server-sent events without an end", "text/event-stream");
}

/// All figures as server-sent events, at once and then every second, until the client leaves or the server stops.
pub(super) async fn events(State(app): State<Arc<App>>, _: NoParams) -> Result<Response, Problem> {
    let full = |_| {
        let detail = format!("{MAX_WATCHERS} watch already; ask /v1/stats instead, or try again later");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header("retry-after", "5")
    };
    let place = Arc::clone(&app.watchers.places).try_acquire_owned().map_err(full)?;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watcher = Watcher { app, ticks, _place: place };
    let body = Body::from_stream(stream::unfold(watcher, next));
    let headers = [
        (CONTENT_TYPE.as_str(), "text/event-stream"),
        (CACHE_CONTROL.as_str(), "no-store"),
        ("x-accel-buffering", "no"),
    ];
    Ok((headers, body).into_response())
}

async fn next(mut watcher: Watcher) -> Option<(Result<Bytes, std::convert::Infallible>, Watcher)> {
    let draining = watcher.app.draining();
    tokio::select! {
        biased;
        () = draining => None,
        _ = watcher.ticks.tick() => {
            let event = watcher.app.watchers.event(&watcher.app);
            Some((Ok(event), watcher))
        }
    }
}
