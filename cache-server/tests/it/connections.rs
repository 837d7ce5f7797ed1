//! Connections: how many there may be, and how long one may dawdle.

use tokio::io::AsyncWriteExt;

use crate::client::soon;
use crate::server::Running;

#[tokio::test]
async fn half_a_header_is_closed_and_others_do_not_wait_for_it() {
    let server = Running::start("header_timeout = \"500ms\"").await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut raw = server.raw().await;
        raw.write("GET /livez HTTP/1.1\r\nho").await;
        slow.push(raw);
    }
    server.get("/livez").await.expect(200);
    for mut raw in slow {
        let rest = raw.rest().await;
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408"), "{rest}");
    }
}

/// A hundred each that are slow with their header, with their body, and with reading what they have asked for.
#[tokio::test]
async fn three_hundred_slow_connections_end_in_time_and_a_client_is_served_meanwhile() {
    let server = Running::with_entry("header_timeout = \"500ms\"\nbody_timeout = \"500ms\"").await;
    server.put("/v1/entries/large", vec![b'x'; 1 << 20]).await.expect(201);
    let before = server.get("/v1/entries/kept").await.expect(200);
    let put = "PUT /v1/entries/slow HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nh";
    let get = "GET /v1/entries/large HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(20);
    let mut slow = Vec::new();
    for _ in 0..100 {
        for begun in ["GET /livez HTTP/1.1\r\nho", put, &get] {
            let mut raw = server.raw().await;
            raw.write(begun).await;
            slow.push(raw);
        }
    }
    let meanwhile = server.get("/v1/entries/kept").await.expect(200);
    assert_eq!(meanwhile.body, before.body);
    soon(async {
        while server.get("/v1/stats").await.json()["stats"]["process"]["connections"] != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.get("/v1/entries/slow").await.problem(404);
    drop(slow);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = Running::start("header_timeout = \"500ms\"").await;
    let mut raw = server.raw().await;
    raw.write("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    raw.answer().await.expect(200);
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn a_body_that_trickles_is_ended_and_stores_nothing() {
    let server = Running::with_entry("body_timeout = \"500ms\"").await;
    let before = server.state().await;
    let mut raw = server.raw().await;
    raw.write("PUT /v1/entries/kept HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nh").await;
    let late = raw.answer().await;
    late.problem(408);
    assert_eq!(late.header("connection"), "close");
    assert_eq!(raw.rest().await, "");
    assert_eq!(server.state().await, before);
}

#[tokio::test]
async fn one_connection_too_many_is_refused_and_counted() {
    let server = Running::start("max_connections = 2").await;
    let mut held = [server.raw().await, server.raw().await];
    for raw in &mut held {
        raw.write("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        raw.answer().await.expect(200);
    }
    let mut refused = server.raw().await;
    refused.answer().await.problem(503);
    assert_eq!(refused.rest().await, "");

    held[0].write("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let scrape = held[0].answer().await.expect(200).text();
    assert!(scrape.contains("cache_connections_rejected_total{reason=\"limit\"} 1\n"), "{scrape}");

    drop(held);
    soon(admitted(&server)).await;
}

/// Asks until there is a place.
async fn admitted(server: &Running) {
    loop {
        let mut raw = server.raw().await;
        // A connection that is refused may be closed before this is written.
        let _ = raw.0.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        if raw.rest().await.ends_with("live\n") {
            return;
        }
    }
}

#[tokio::test]
async fn who_asks_and_does_not_read_is_closed() {
    let server = Running::start("body_timeout = \"500ms\"\nmax_connections = 1").await;
    server.put("/v1/entries/k", vec![b'x'; 1 << 20]).await.expect(201);
    let mut greedy = server.raw().await;
    greedy.write("GET /v1/entries/k HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(300)).await;
    soon(admitted(&server)).await;
    assert!(greedy.rest().await.len() < 100 << 20, "only what was under way arrives");
}
