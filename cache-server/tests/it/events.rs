//! The stream of figures: what is sent, to how many, and when it ends.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use cache_server::Server;
use futures_util::StreamExt;
use hyper::Request;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tower::ServiceExt;

use crate::client::{Answer, soon};
use crate::server::{Running, settings};

#[track_caller]
fn report(event: &[u8]) -> Value {
    let text = std::str::from_utf8(event).expect("text");
    let data = text.strip_prefix("event: stats\ndata: ").and_then(|rest| rest.strip_suffix("\n\n"));
    serde_json::from_str(data.expect("an event")).expect("JSON")
}

async fn event(stream: &mut BodyDataStream) -> Value {
    report(&stream.next().await.expect("an event").expect("infallible"))
}

fn request(path: &str) -> Request<Body> {
    Request::builder().uri(path).body(Body::empty()).expect("legal")
}

#[tokio::test(start_paused = true)]
async fn events_come_at_once_and_then_every_second_with_the_figures_of_now() {
    let server = Server::new(settings("")).expect("legal regions");
    let router = server.router();
    let begun = tokio::time::Instant::now();
    let answer = router.clone().oneshot(request("/v1/events/stats")).await.expect("infallible");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let mut events = answer.into_body().into_data_stream();
    assert_eq!(event(&mut events).await["stats"]["traffic"]["total_operations"], 1);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    event(&mut events).await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn so_many_may_watch_and_a_place_is_free_again_when_one_leaves() {
    let router = Server::new(settings("")).expect("legal regions").router();
    let watch = async || router.clone().oneshot(request("/v1/events/stats")).await.expect("infallible");
    let mut watching = Vec::new();
    for _ in 0..32 {
        let answer = watch().await;
        assert_eq!(answer.status(), 200);
        watching.push(answer);
    }
    let refused = Answer::of(watch().await).await;
    refused.problem(503);
    assert_eq!(refused.header("retry-after"), "5");
    watching.pop();
    assert_eq!(watch().await.status(), 200);
}

#[tokio::test]
async fn a_stream_ends_when_the_server_stops() {
    let mut server = Running::start("drain_timeout = \"1d\"").await;
    let mut watcher = server.raw().await;
    watcher.write("GET /v1/events/stats HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    watcher.answer().await.expect(200);
    let mut begun = Vec::new();
    while !begun.ends_with(b"event: stats") {
        begun.push(soon(watcher.0.read_u8()).await.expect("an event"));
    }
    server.tell_to_stop();
    let rest = watcher.rest().await;
    assert!(rest.ends_with("\r\n0\r\n\r\n"), "{rest}");
    soon(server.stopped()).await;
}
