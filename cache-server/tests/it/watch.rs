//! Changes as they happen: in order over both ways, for who is slow, who comes back, and who hears of another server.

use bytes::Bytes;
use cache_testkit::redis::Server as Redis;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::client::{Raw, soon};
use crate::server::Running;

/// A client of server-sent events.
struct Events {
    body: Incoming,
    text: String,
    /// The name of the last event.
    last: String,
    _sender: http1::SendRequest<Empty<Bytes>>,
}

impl Events {
    /// Watches, and waits until it has begun.
    async fn watch(server: &Running, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut events = Self::begin(server, path, headers).await;
        assert_eq!(events.next().await, json!({"event": "watching"}));
        events
    }

    async fn begin(server: &Running, path: &str, headers: &[(&str, &str)]) -> Self {
        let stream = TcpStream::connect(server.address).await.expect("the server listens");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        let mut request = Request::get(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::new()).expect("legal");
        let response = soon(sender.send_request(request)).await.expect("an answer");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"text/event-stream".parse().expect("legal"))
        );
        Self { body: response.into_body(), text: String::new(), last: String::new(), _sender: sender }
    }

    async fn next(&mut self) -> Value {
        soon(self.next_or_end()).await.expect("an event")
    }

    /// The next event, or nothing if there will be none.
    async fn next_or_end(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if event == ":" {
                    continue;
                }
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
                field("id: ").clone_into(&mut self.last);
                let data: Value = serde_json::from_str(field("data: ")).expect("JSON");
                assert_eq!(data["event"], field("event: "));
                return Some(data);
            }
            let frame = self.body.frame().await?.expect("a whole frame");
            self.text += std::str::from_utf8(frame.data_ref().expect("data")).expect("text");
        }
    }
}

#[tokio::test]
async fn what_changes_is_told_in_order_by_each_way_that_changes_it() {
    let server = Running::start("").await;
    let mut events = Events::watch(&server, "/v1/events", &[]).await;
    let mut socket = talk(&server, "/v1/events").await;
    server.put("/v1/regions/token/entries/other", "v").await.expect(201);
    server.put("/v1/entries/a?tags=t", "v").await.expect(201);
    server.json("PATCH", "/v1/entries/a", json!({"ttl": 60})).await.expect(204);
    server.json("PATCH", "/v1/entries/none", json!({"ttl": 60})).await.expect(404);
    server.delete("/v1/entries/a").await.expect(200);
    server.delete("/v1/tags/t").await.expect(200);
    server.delete("/v1/entries?prefix=user:").await.expect(200);
    server.delete("/v1/keys?pattern=user%3A*").await.expect(200);
    server.json("POST", "/v1/set-many", json!({"entries": [{"key": "b", "value": 1}]})).await.expect(200);
    server.json("POST", "/v1/delete-many", json!({"keys": ["b", "c"]})).await.expect(200);
    server.json("POST", "/api/v1/enhanced-cache/set", json!({"key": "d", "value": 1})).await.expect(200);
    server
        .json("POST", "/cache/invalidate", json!({"keys": ["d"], "tags": ["u"], "prefix": "p"}))
        .await
        .expect(200);
    server.send("POST", "/v1/import", &[], "{\"key\": \"e\", \"value\": 1}").await.expect(200);
    server.json("POST", "/api/cache/clear", json!({"cache_type": "default"})).await.expect(200);
    let expected = [
        json!({"event": "set", "key": "a"}),
        json!({"event": "set", "key": "a"}),
        json!({"event": "remove", "key": "a"}),
        json!({"event": "tag", "tag": "t"}),
        json!({"event": "prefix", "prefix": "user:"}),
        json!({"event": "pattern", "pattern": "user:*"}),
        json!({"event": "set", "key": "b"}),
        json!({"event": "remove", "key": "b"}),
        json!({"event": "remove", "key": "c"}),
        json!({"event": "set", "key": "d"}),
        json!({"event": "remove", "key": "d"}),
        json!({"event": "tag", "tag": "u"}),
        json!({"event": "prefix", "prefix": "p"}),
        json!({"event": "set", "key": "e"}),
        json!({"event": "clear"}),
    ];
    for change in expected {
        assert_eq!(events.next().await, change);
        let mut said = said(&mut socket).await;
        let id = said.as_object_mut().and_then(|said| said.remove("id"));
        assert_eq!((said, id), (change, Some(json!(events.last))));
    }
}

#[tokio::test]
async fn who_comes_back_hears_what_he_missed_or_that_it_is_lost() {
    let server = Running::start("").await;
    let events = Events::watch(&server, "/v1/events", &[]).await;
    let last = events.last.clone();
    drop(events);
    server.put("/v1/entries/missed", "v").await.expect(201);
    for (path, headers) in [
        ("/v1/events".to_owned(), vec![("last-event-id", &*last)]),
        (format!("/v1/events?after={last}"), vec![]),
    ] {
        let mut back = Events::watch(&server, &path, &headers).await;
        assert_eq!(back.next().await, json!({"event": "set", "key": "missed"}));
    }
    let mut stranger = Events::watch(&server, "/v1/events", &[("last-event-id", "0000000000000000-7")]).await;
    assert_eq!(stranger.next().await, json!({"event": "lost", "reason": "gap"}));
    // From there on he hears all.
    server.delete("/v1/entries/missed").await.expect(200);
    assert_eq!(stranger.next().await, json!({"event": "remove", "key": "missed"}));
}

#[tokio::test]
async fn who_is_slow_is_told_that_he_has_lost_some_and_costs_the_others_nothing() {
    const ROUNDS: usize = 60;
    const KEYS: usize = 200;
    let server = Running::start("").await;
    let mut slow = Events::watch(&server, "/v1/events", &[]).await;
    let mut slow_socket = talk(&server, "/v1/events").await;
    let mut quick = Events::watch(&server, "/v1/events", &[]).await;
    let long = "k".repeat(900);
    // More than the sockets between them hold, in steps that who reads can follow.
    for round in 0..ROUNDS {
        let keys: Vec<String> = (0..KEYS).map(|key| format!("{long}{round}:{key}")).collect();
        server.json("POST", "/v1/delete-many", json!({"keys": keys})).await.expect(200);
        for key in keys {
            assert_eq!(quick.next().await, json!({"event": "remove", "key": key}));
        }
    }
    let mut heard = 0;
    while slow.next().await["event"] != "lost" {
        heard += 1;
    }
    let mut heard_there = 0;
    while said(&mut slow_socket).await["event"] != "lost" {
        heard_there += 1;
    }
    assert!(
        (1..ROUNDS * KEYS).contains(&heard) && (1..ROUNDS * KEYS).contains(&heard_there),
        "{heard} {heard_there}"
    );
    server.put("/v1/entries/after", "v").await.expect(201);
    for watcher in [&mut slow, &mut quick] {
        assert_eq!(watcher.next().await, json!({"event": "set", "key": "after"}));
    }
    assert_eq!(said(&mut slow_socket).await["key"], "after");
}

#[tokio::test]
async fn a_watch_ends_with_its_region_and_with_the_server_and_needs_a_token() {
    let mut server = Running::start("drain_timeout = \"1d\"").await;
    server.json("PUT", "/v1/regions/r", json!({})).await.expect(201);
    let mut of_region = Events::watch(&server, "/v1/regions/r/events", &[]).await;
    let (mut events, mut socket) =
        (Events::watch(&server, "/v1/events", &[]).await, talk(&server, "/v1/events").await);
    server.get("/v1/regions/none/events").await.problem(404);
    server.get("/v1/events?before=1").await.problem(400);
    server.send("GET", "/v1/events", &[("upgrade", "h2c"), ("connection", "upgrade")], "").await.problem(400);
    server.delete("/v1/regions/r").await.expect(200);
    assert_eq!(of_region.next().await, json!({"event": "clear"}));
    assert_eq!(soon(of_region.next_or_end()).await, None);
    server.tell_to_stop();
    assert_eq!(soon(events.next_or_end()).await, None);
    let Some(Ok(Message::Close(Some(close)))) = soon(socket.next()).await else { panic!("a farewell") };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1001, "the server is stopping"));
    drop(socket);
    soon(server.stopped()).await;

    let guarded = Running::start("token = \"s3cret-token\"").await;
    guarded.get("/v1/events").await.problem(401);
    let mut raw = guarded.raw().await;
    raw.write(ask_to_talk("/v1/events")).await;
    assert_eq!(raw.answer().await.status, 401);
    Events::watch(&guarded, "/v1/events", &[("authorization", "Bearer s3cret-token")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_server_changes_is_told_as_well() {
    let redis = Redis::start();
    let over = format!("redis_url = \"redis://{}\"", redis.address());
    let (here, there) = (Running::start(&over).await, Running::start(&over).await);
    let mut events = Events::watch(&here, "/v1/events", &[]).await;
    // Until the bus of each has heard of the other there may be doubt.
    let mut next = async || loop {
        let event = events.next().await;
        if event["event"] != "lost" {
            return event;
        }
        assert_eq!(event["reason"], "bus");
    };
    soon(async {
        while !here.get("/health").await.json()["reasons"].as_array().is_some_and(Vec::is_empty) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    there.put("/v1/entries/a:b%25?tags=t", "v").await.expect(201);
    assert_eq!(next().await, json!({"event": "set", "key": "a:b%"}));
    there.delete("/v1/entries/a:b%25").await.expect(200);
    assert_eq!(next().await, json!({"event": "remove", "key": "a:b%"}));
    there.delete("/v1/tags/t").await.expect(200);
    assert_eq!(next().await, json!({"event": "tag", "tag": "t"}));
    there.send("POST", "/v1/clear", &[], "").await.expect(200);
    assert_eq!(next().await, json!({"event": "clear"}));
}

fn ask_to_talk(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
}

/// Opens a WebSocket, and waits until it has begun.
async fn talk(server: &Running, path: &str) -> WebSocketStream<TcpStream> {
    let mut raw: Raw = server.raw().await;
    raw.write(ask_to_talk(path)).await;
    let answer = raw.answer().await.expect(101);
    assert_eq!(answer.header("sec-websocket-accept"), "ICX+Yqv66kxgM0FcWaLWlFLwTAI=");
    let mut socket = WebSocketStream::from_raw_socket(raw.0, Role::Client, None).await;
    socket.send(Message::text("what is said is not heard")).await.expect("open");
    assert_eq!(said(&mut socket).await["event"], "watching");
    socket
}

async fn said(socket: &mut WebSocketStream<TcpStream>) -> Value {
    loop {
        match soon(socket.next()).await.expect("open").expect("whole") {
            Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
