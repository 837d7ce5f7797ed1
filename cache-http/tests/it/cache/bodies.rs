//! Bodies: whole ones are kept, all others go through as they come.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use cache_http::cache::CacheLayer;
use cache_testkit::clock::ManualClock;
use http::Response;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::site::{Site, is_hit, pages};

const MOST: usize = 1_000;

/// A site whose body of so many bytes comes in pieces.
async fn streaming(bytes: usize, piece: usize, length_is_said: bool) -> Site {
    let clock = ManualClock::new();
    let layer = CacheLayer::new(pages(&clock).build().expect("legal")).with_max_body_bytes(MOST);
    Site::behind(layer, clock, move |_, _| async move {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            for at in (0..bytes).step_by(piece) {
                let piece = Bytes::from(vec![b'x'; piece.min(bytes - at)]);
                if sender.send(Ok::<_, std::io::Error>(Frame::data(piece))).await.is_err() {
                    break;
                }
            }
        });
        let mut response = Response::builder().header("cache-control", "max-age=60");
        if length_is_said {
            response = response.header("content-length", bytes);
        }
        response.body(Body::new(StreamBody::new(stream(receiver)))).expect("legal")
    })
    .await
}

fn stream<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> impl futures_util::Stream<Item = T> {
    futures_util::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
}

#[tokio::test]
async fn a_body_is_kept_up_to_the_limit_and_beyond_it_goes_through_whole() {
    for (bytes, piece) in [(0, 1), (MOST, 100), (MOST + 1, 100), (MOST + 1, MOST + 1), (100 * MOST, 999)] {
        for length_is_said in [false, true] {
            let site = streaming(bytes, piece, length_is_said).await;
            let mut client = site.client().await;
            for round in 0..2 {
                let answer = client.get("/", &[]).await;
                assert_eq!(answer.body, "x".repeat(bytes), "{bytes} in pieces of {piece}");
                assert_eq!(is_hit(&answer), round == 1 && bytes <= MOST, "{bytes} in pieces of {piece}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_has_no_end_is_seen_as_it_comes() {
    let clock = ManualClock::new();
    let layer = CacheLayer::new(pages(&clock).build().expect("legal")).with_max_body_bytes(MOST);
    let (sender, receiver) = mpsc::channel::<Result<Frame<Bytes>, std::io::Error>>(10);
    let receiver = std::sync::Arc::new(std::sync::Mutex::new(Some(receiver)));
    let site = Site::behind(layer, clock, move |_, _| {
        let receiver = receiver.lock().expect("no panic").take().expect("asked once");
        let body = Body::new(StreamBody::new(stream(receiver)));
        std::future::ready(
            Response::builder().header("cache-control", "max-age=60").body(body).expect("legal"),
        )
    })
    .await;
    for _ in 0..2 {
        sender.send(Ok(Frame::data(Bytes::from(vec![b'x'; MOST])))).await.expect("it is read");
    }
    let mut client = site.client().await;
    let mut body = client.begin("GET", "/", &[], "").await.into_body();
    let mut seen = 0;
    while seen < 2 * MOST {
        let frame = timeout(Duration::from_secs(20), body.frame()).await.expect("before the end");
        seen += frame.expect("more").expect("no error").into_data().expect("data").len();
    }
    sender.send(Err(std::io::Error::other("cut"))).await.expect("it is read");
    assert!(body.collect().await.is_err(), "an error on the way stays one");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_kept_for_the_whole() {
    let clock = ManualClock::new();
    let layer = CacheLayer::new(pages(&clock).build().expect("legal"));
    let site = Site::behind(layer, clock, |_, number| {
        let pieces = [Ok(Frame::data(Bytes::from("half"))), Err(std::io::Error::other("cut"))];
        let body = if number == 1 {
            Body::new(StreamBody::new(futures_util::stream::iter(pieces)))
        } else {
            Body::from("half and half")
        };
        std::future::ready(
            Response::builder().header("cache-control", "max-age=60").body(body).expect("legal"),
        )
    })
    .await;
    let address = site.address;
    let reading = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        let mut broken = Vec::new();
        stream.read_to_end(&mut broken).map(|_| broken)
    });
    let broken = reading.await.expect("no panic").expect("it ends");
    assert!(!broken.ends_with(b"0\r\n\r\n"), "no end that looks like one");
    assert_eq!(site.client().await.get("/", &[]).await.body, "half and half");
}
