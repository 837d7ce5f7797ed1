//! Changes of a region as they happen: as server-sent events, or over a WebSocket.
//!
//! ```text
//! id: 5f0c…-17                            {"id": "5f0c…-17", "event": "remove", "key": "user:7"}
//! event: remove
//! data: {"event":"remove","key":"user:7"}
//! ```
//!
//! Whoever has copies asks for this first and copies afterwards. `lost` says that copies may be old; so does a connection that breaks, unless
//! the next one begins after the last event of this one (`Last-Event-ID`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, UPGRADE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::extract::{InRegion, Params};
use super::openapi::Description;
use super::route::Input;
use crate::app::App;
use crate::news::{Change, MAX_WATCHERS, Watcher};
use crate::problem::Problem;

/// A sign of life where nothing happens, so that a broken connection is noticed on both sides.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The most bytes of what a watcher may say, who has nothing to say.
const MAX_SAID_BYTES: usize = 4 << 10;

/// What is written for a WebSocket before it has to be taken.
const MAX_UNSENT_BYTES: usize = 64 << 10;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchParams {
    /// As the header `Last-Event-ID`, for who cannot send that: only what came after this event.
    after: Option<String>,
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// Whether it is a WebSocket is told by its headers.
impl Input for Upgrade {
    fn describe(_: &mut Description<'_>) {}
}

impl Input for HeaderMap {
    fn describe(_: &mut Description<'_>) {}
}

pub(super) fn describe_watch(operation: &mut Description<'_>) {
    operation.takes_header("Last-Event-ID", "Only what came after this event.");
    operation.answers_bytes(200, "server-sent events without an end", "text/event-stream");
    operation.answers_nothing(101, "the same over a WebSocket, if that is asked for");
    operation.fails(&[426]);
}

pub(super) async fn watch(
    State(app): State<Arc<App>>,
    InRegion(cache): InRegion,
    Params(params): Params<WatchParams>,
    (headers, upgrade): (HeaderMap, Upgrade),
) -> Result<Response, Problem> {
    let upgrade = headers.contains_key(UPGRADE).then_some(upgrade).transpose();
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return Ok(rejection.into_response()),
    };
    let header = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let full = || {
        let detail = format!("{MAX_WATCHERS} watch already; try again later");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header("retry-after", "5")
    };
    let watcher = app.regions.watch(&cache, header.or(params.after.as_deref())).ok_or_else(full)?;
    Ok(match upgrade {
        None => events(app, watcher),
        Some(upgrade) => upgrade
            .max_message_size(MAX_SAID_BYTES)
            .max_frame_size(MAX_SAID_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_UNSENT_BYTES)
            .on_upgrade(|socket| talk(app, watcher, socket)),
    })
}

/// What a watcher is told first: where he stands, so that he can come back even if nothing happens.
const WATCHING: &str = "watching";

fn events(app: Arc<App>, watcher: Watcher) -> Response {
    let first = written(&watcher, WATCHING, &Told { id: None, change: None, event: Some(WATCHING) });
    let rest = stream::unfold((app, watcher), |(app, mut watcher)| async move {
        let draining = app.draining();
        let change = tokio::select! {
            biased;
            () = draining => None,
            change = timeout(HEARTBEAT, watcher.next()) => Some(change),
        };
        let event = match change? {
            Ok(change) => {
                let change = change?;
                written(&watcher, change.name(), &Told { id: None, event: None, change: Some(&change) })
            }
            Err(_) => Bytes::from_static(b":\n\n"),
        };
        Some((Ok::<_, Infallible>(event), (app, watcher)))
    });
    let body = Body::from_stream(futures_util::StreamExt::chain(stream::iter([Ok(first)]), rest));
    let headers = [
        (CONTENT_TYPE.as_str(), "text/event-stream"),
        (CACHE_CONTROL.as_str(), "no-store"),
        ("x-accel-buffering", "no"),
    ];
    (headers, body).into_response()
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    #[serde(flatten)]
    change: Option<&'a Change>,
}

fn written(watcher: &Watcher, event: &str, told: &Told<'_>) -> Bytes {
    let json = serde_json::to_string(told).unwrap_or_default();
    format!("id: {}\nevent: {event}\ndata: {json}\n\n", watcher.last()).into()
}

/// Tells a watcher over his WebSocket, until he leaves or the server stops.
async fn talk(app: Arc<App>, mut watcher: Watcher, mut socket: WebSocket) {
    let text = |watcher: &Watcher, event, change: Option<&Change>| {
        let told = Told { id: Some(watcher.last()), event, change };
        Message::text(serde_json::to_string(&told).unwrap_or_default())
    };
    let mut message = text(&watcher, Some(WATCHING), None);
    let mut draining = std::pin::pin!(app.draining());
    loop {
        // Who takes nothing is cut off by the connection itself.
        if socket.send(message).await.is_err() {
            return;
        }
        message = loop {
            tokio::select! {
                biased;
                () = draining.as_mut() => return goodbye(socket, "the server is stopping").await,
                said = socket.recv() => match said {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                },
                change = timeout(HEARTBEAT, watcher.next()) => match change {
                    Ok(Some(change)) => break text(&watcher, None, Some(&change)),
                    Ok(None) => return goodbye(socket, "the region has gone").await,
                    Err(_) => break Message::Ping(Bytes::new()),
                },
            }
        };
    }
}

async fn goodbye(mut socket: WebSocket, reason: &'static str) {
    let close = CloseFrame { code: close_code::AWAY, reason: reason.into() };
    let _ = socket.send(Message::Close(Some(close))).await;
}
