//! Stale while it is made again: between the end of its fresh life and that of its window an entry answers, and says so.

use std::time::Duration;

use cache_testkit::redis::Server as Redis;
use serde_json::{Value, json};

use crate::client::{Answer, soon};
use crate::server::Running;

const SECOND: Duration = Duration::from_secs(1);
const MSGPACK: &str = "application/msgpack";

#[tokio::test]
async fn between_its_life_and_the_end_of_its_window_an_entry_answers_as_stale() {
    let server = Running::start("").await;
    server.put("/v1/entries/k?ttl=10s&stale=30s", "value").await.expect(201);
    let fresh = server.get("/v1/entries/k").await.expect(200);
    assert_eq!((fresh.header("x-cache"), fresh.header("cache-status")), ("hit", ""));
    assert_eq!(fresh.header("cache-control"), "max-age=10, stale-while-revalidate=30");
    assert_eq!(server.get("/v1/entries/k/meta").await.json()["state"], "fresh");

    server.clock.advance(10 * SECOND);
    for method in ["GET", "HEAD"] {
        let stale = server.send(method, "/v1/entries/k", &[], "").await.expect(200);
        assert_eq!(stale.header("x-cache"), "stale", "{method}");
        assert_eq!(stale.header("cache-control"), "max-age=0, stale-while-revalidate=30");
        assert_eq!(stale.header("etag"), fresh.header("etag"));
    }
    server.clock.advance(29 * SECOND);
    let stale = server.get("/v1/entries/k").await.expect(200);
    assert_eq!((stale.text(), stale.header("cache-status")), ("value".to_owned(), "strata; hit; ttl=-29"));
    assert_eq!(stale.header("cache-control"), "max-age=0, stale-while-revalidate=1");
    let meta = server.get("/v1/entries/k/meta").await.expect(200).json();
    assert_eq!((&meta["state"], &meta["stale"]), (&json!("stale"), &json!(30.0)));
    assert_eq!(meta["ttl_seconds"], 0.0);
    assert_eq!(server.get("/v1/entries/k/exists").await.json(), json!({"exists": true}));
    // It cannot be given a new life as if it were still right.
    server.json("PATCH", "/v1/entries/k", json!({"ttl": "1h"})).await.problem(404);

    server.clock.advance(SECOND);
    server.get("/v1/entries/k").await.problem(404);
    server.send("HEAD", "/v1/entries/k", &[], "").await.expect(404);
    server.get("/v1/entries/k/meta").await.problem(404);
    assert_eq!(server.get("/v1/entries/k/exists").await.json(), json!({"exists": false}));
}

#[tokio::test]
async fn what_is_removed_or_said_to_have_no_window_is_not_stale_but_gone() {
    let server = Running::start("").await;
    for path in ["/v1/entries/none?ttl=10s", "/v1/entries/zero?ttl=10s&stale=0"] {
        server.put(path, "value").await.expect(201);
    }
    server.put("/v1/entries/removed?ttl=10s&stale=1h", "value").await.expect(201);
    server.put("/v1/entries/tagged?ttl=10s&stale=1h&tags=t", "value").await.expect(201);
    assert_eq!(server.get("/v1/entries/none").await.header("cache-control"), "max-age=10");
    assert_eq!(server.get("/v1/entries/zero").await.header("cache-control"), "max-age=10");
    server.clock.advance(11 * SECOND);
    server.get("/v1/entries/tagged").await.expect(200);
    server.delete("/v1/entries/removed").await.expect(200);
    server.delete("/v1/tags/t").await.expect(200);
    for key in ["none", "zero", "removed", "tagged"] {
        server.get(&format!("/v1/entries/{key}")).await.problem(404);
    }
    assert_eq!(server.put("/v1/entries/k?stale=soon", "value").await.problem(400)["field"], "stale");
}

#[tokio::test]
async fn many_in_json_and_in_message_pack_say_their_windows_and_their_states() {
    let server = Running::start("").await;
    let entries = json!({"entries": [
        {"key": "text", "value": 1, "ttl": 10, "stale": "1m"},
        {"key": "number", "value": 2, "ttl": 10, "stale": 30.5},
        {"key": "null", "value": 3, "ttl": 10, "stale": null},
    ]});
    let packed = rmp_serde::to_vec_named(&entries).expect("small");
    let headers = [("content-type", MSGPACK), ("accept", MSGPACK)];
    server.send("POST", "/v1/set-many", &headers, packed).await.expect(200);
    let keys = json!({"keys": ["text", "number", "null"]});
    let fresh = server.json("POST", "/v1/get-many", keys.clone()).await.expect(200).json();
    assert_eq!(fresh["entries"]["number"]["stale"], 30.5);
    assert_eq!(fresh["entries"]["number"]["state"], Value::Null);

    server.clock.advance(20 * SECOND);
    let stale = server.json("POST", "/v1/get-many", keys.clone()).await.expect(200).json();
    assert_eq!(stale["missing"], json!(["null"]));
    for (key, window) in [("text", 60.0), ("number", 30.5)] {
        let entry = &stale["entries"][key];
        assert_eq!((&entry["state"], &entry["stale"]), (&json!("stale"), &json!(window)), "{key}");
    }
    let packed = rmp_serde::to_vec_named(&keys).expect("small");
    let answer = server.send("POST", "/v1/get-many", &headers, packed).await.expect(200);
    let unpacked: Value = rmp_serde::from_slice(&answer.body).expect("MessagePack");
    assert_eq!(unpacked, stale);
    server.clock.advance(21 * SECOND);
    let gone = server.json("POST", "/v1/get-many", keys).await.expect(200).json();
    assert_eq!(gone["missing"], json!(["null", "number"]));
}

#[tokio::test]
async fn a_window_is_exported_and_imported_and_what_is_stale_is_left_out() {
    let (from, to) = (Running::start("").await, Running::start("").await);
    from.put("/v1/entries/kept?ttl=10s&stale=30s", "value").await.expect(201);
    from.put("/v1/entries/stale?ttl=1s&stale=1h", "value").await.expect(201);
    from.clock.advance(4 * SECOND);
    let exported = from.get("/v1/export").await.expect(200);
    let lines = [("content-type", "application/x-ndjson")];
    let imported = to.send("POST", "/v1/import", &lines, exported.body.clone()).await.expect(200).json();
    assert_eq!(imported, json!({"lines": 1, "stored": 1}), "{}", exported.text());
    let control = to.get("/v1/entries/kept").await.expect(200).header("cache-control").to_owned();
    assert_eq!(control, "max-age=6, stale-while-revalidate=30");
    to.clock.advance(6 * SECOND);
    assert_eq!(to.get("/v1/entries/kept").await.expect(200).header("x-cache"), "stale");
    to.clock.advance(30 * SECOND);
    to.get("/v1/entries/kept").await.problem(404);
}

/// Asks until the entry is stale, while time passes for what memory holds of it.
async fn until_stale(server: &Running, path: &str) -> Answer {
    soon(async {
        loop {
            let answer = server.get(path).await;
            if answer.header("x-cache") == "stale" {
                return answer;
            }
            server.clock.advance(Duration::from_millis(10));
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_goes_with_the_entry_to_other_servers_which_prefer_a_fresh_one() {
    let redis = Redis::start();
    let settings = format!("redis_url = \"redis://{}\"", redis.address());
    let (one, other) = (Running::start(&settings).await, Running::start(&settings).await);
    one.put("/v1/entries/k?ttl=100ms&stale=1h", "old").await.expect(201);
    let stale = until_stale(&other, "/v1/entries/k").await;
    assert_eq!(stale.text(), "old");
    assert!(stale.header("cache-control").starts_with("max-age=0, stale-while-revalidate=3"));
    let many = other.json("POST", "/v1/get-many", json!({"keys": ["k"]})).await.expect(200).json();
    assert_eq!(many["entries"]["k"]["state"], "stale");

    one.put("/v1/entries/k?ttl=1h", "new").await.expect(204);
    soon(async { while other.get("/v1/entries/k").await.text() != "new" {} }).await;
    assert_eq!(other.get("/v1/entries/k").await.header("x-cache"), "hit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_survives_a_restart_in_the_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = format!("dir = {:?}", folder.path().display().to_string());
    let server = Running::start(&settings).await;
    // Its life is over before that of the other one is.
    server.put("/v1/entries/plain?ttl=100ms", "value").await.expect(201);
    server.put("/v1/entries/k?ttl=100ms&stale=1h", "value").await.expect(201);
    server.tell_and_wait().await;

    let server = Running::start(&settings).await;
    let stale = until_stale(&server, "/v1/entries/k").await;
    assert_eq!(stale.text(), "value");
    assert!(stale.header("cache-status").starts_with("strata; hit; ttl=-"));
    server.get("/v1/entries/plain").await.problem(404);
}
