//! A site behind the cache: it answers as a test says, remembers what it was asked, and lives by a clock that the test moves.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use cache_core::{Clock, Time, Wall};
use cache_http::cache::{CacheLayer, Stored, builder, memory};
use cache_testkit::clock::ManualClock;
use http::request::Parts;
use http::{Request, Response};
use strata::Builder;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::app::{Answer, Client};

/// 15 January 2027, 08:00:00 GMT.
pub(super) const START_MS: u64 = 1_800_000_000_000;

pub(super) struct Site {
    pub(super) clock: ManualClock,
    pub(super) layer: CacheLayer,
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<Parts>>>,
    server: AbortHandle,
}

/// A clock on the wall that goes with this one.
pub(super) fn wall(clock: &ManualClock) -> impl Fn() -> Wall + Send + Sync + 'static {
    let clock = clock.clone();
    move || {
        let since = u64::try_from(clock.now().since(Time::ZERO).as_millis()).expect("a short test");
        Wall::from_unix_millis(START_MS + since)
    }
}

/// The beginning of a cache that lives by this clock.
pub(super) fn pages(clock: &ManualClock) -> Builder<String, Stored> {
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    builder("pages", 1 << 20).memory(memory(16 << 20).with_clock(shared)).wall_clock(wall(clock))
}

/// A response with these fields, whose body is the number of times that the site has been asked.
pub(super) fn says(fields: &[(&str, &str)]) -> Response<String> {
    let response = fields.iter().fold(Response::builder(), |all, (name, value)| all.header(*name, *value));
    response.body(String::new()).expect("legal fields")
}

impl Site {
    /// A site that answers like this. An empty body becomes the number of times that it has been asked.
    pub(super) async fn start(
        answer: impl Fn(&Parts) -> Response<String> + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::with(answer, |layer| layer).await
    }

    /// As [`start`](Self::start), with a layer that is set up like this.
    pub(super) async fn with(
        answer: impl Fn(&Parts) -> Response<String> + Clone + Send + Sync + 'static,
        set_up: impl FnOnce(CacheLayer) -> CacheLayer,
    ) -> Self {
        let clock = ManualClock::new();
        let layer =
            set_up(CacheLayer::new(pages(&clock).build().expect("legal")).with_wall_clock(wall(&clock)));
        Self::behind(layer, clock, move |parts, number| {
            let answer = answer(&parts);
            let has_body =
                !answer.status().is_informational() && ![204, 304].contains(&answer.status().as_u16());
            let body = |own: String| if own.is_empty() && has_body { number.to_string() } else { own };
            std::future::ready(answer.map(|own| Body::from(body(own))))
        })
        .await
    }

    /// An application behind this layer, which is given each request and its number.
    pub(super) async fn behind<F, Fut>(layer: CacheLayer, clock: ManualClock, answer: F) -> Self
    where
        F: Fn(Parts, usize) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<Body>> + Send + 'static,
    {
        let asked: Arc<Mutex<Vec<Parts>>> = Arc::default();
        let noted = Arc::clone(&asked);
        let handler = move |request: Request<Body>| {
            let (parts, _) = request.into_parts();
            let number = {
                let mut noted = noted.lock().expect("no panic");
                noted.push(parts.clone());
                noted.len()
            };
            answer(parts, number)
        };
        let router = Router::new().fallback(handler).layer(layer.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Self { clock, layer, address, asked, server: server.abort_handle() }
    }

    pub(super) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// What the site was asked so far.
    pub(super) fn asked(&self) -> Vec<Parts> {
        self.asked.lock().expect("no panic").clone()
    }

    pub(super) fn times(&self) -> usize {
        self.asked().len()
    }

    /// Lets so many seconds pass.
    pub(super) fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Until the site has been asked so many times; whoever waits in vain is ended by the test's own limit.
    pub(super) async fn until_asked(&self, times: usize) {
        while self.times() < times {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Tells whether an answer came from the cache without a question to the site.
#[track_caller]
pub(super) fn is_hit(answer: &Answer) -> bool {
    let status = answer.field("cache-status").expect("it says what became of a request");
    status.contains("; hit")
}
