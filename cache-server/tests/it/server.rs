//! A server in this process, on a port of its own, with a clock that the test moves.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use cache_server::{Handle, Server, Settings};
use cache_testkit::clock::ManualClock;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Answer, Raw, send, soon};
use crate::contract;

/// A running server.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) clock: ManualClock,
    pub(crate) handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts a server with these settings.
    pub(crate) async fn start(toml: &str) -> Self {
        Self::start_with(toml, |server| server).await
    }

    /// As [`start`](Self::start), after something was done to it.
    pub(crate) async fn start_with(toml: &str, prepared: impl FnOnce(Server) -> Server) -> Self {
        let clock = ManualClock::new();
        let server = Server::with_clock(settings(toml), Arc::new(clock.clone())).expect("legal regions");
        let server = prepared(server);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let handle = server.handle();
        let (stop, stopped) = oneshot::channel();
        let stopped = async { stopped.await.unwrap_or(()) };
        let task = tokio::spawn(async move { server.run(listener, stopped).await });
        Self { address, clock, handle, stop: Some(stop), task }
    }

    /// Starts a server that holds one entry, so that a test can see whether it survives.
    pub(crate) async fn with_entry(toml: &str) -> Self {
        let server = Self::start(toml).await;
        server.put("/v1/entries/kept?tags=t&ttl=1h", "value").await.expect(201);
        server
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "").await
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send("PUT", path, &[("content-type", "text/plain")], body).await
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        self.send(method, path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = send(self.address, request.body(Full::new(body.into())).expect("a legal request")).await;
        contract::check(method, path, &answer);
        answer
    }

    pub(crate) async fn raw(&self) -> Raw {
        Raw::connect(self.address).await
    }

    /// What is stored, without what reading changes.
    pub(crate) async fn state(&self) -> Value {
        let mut regions = self.get("/v1/regions").await.expect(200).json();
        for region in regions["regions"].as_array_mut().expect("a list") {
            let stats = region["stats"].as_object_mut().expect("an object");
            for changing in ["hits", "misses", "hit_ratio", "too_large"] {
                stats.remove(changing);
            }
        }
        let kept = self.get("/v1/entries/kept").await;
        json!([regions, kept.text(), kept.header("content-type"), self.get("/v1/tags/t").await.json()])
    }

    /// Tells the server to stop.
    pub(crate) fn tell_to_stop(&mut self) {
        let told = self.stop.take().expect("told once").send(());
        told.expect("the server runs");
    }

    /// Stops it, and waits for that.
    pub(crate) async fn tell_and_wait(mut self) {
        self.tell_to_stop();
        self.stopped().await;
    }

    /// Waits until the server has stopped.
    pub(crate) async fn stopped(self) {
        soon(self.task).await.expect("no panic");
    }
}

pub(crate) fn settings(toml: &str) -> Settings {
    Settings::from_toml(toml).unwrap_or_else(|error| panic!("{error}"))
}
