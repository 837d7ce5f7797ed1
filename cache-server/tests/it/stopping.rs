//! Stopping: what was begun is finished, who is idle is let go, who is stuck is cut.

use crate::client::Raw;
use crate::server::Running;

/// A request that the server has begun to read and cannot answer yet.
async fn half_a_put(server: &Running, key: &str) -> Raw {
    let mut raw = server.raw().await;
    let expect = "expect: 100-continue\r\ncontent-length: 5";
    raw.write(format!("PUT /v1/entries/{key} HTTP/1.1\r\nhost: localhost\r\n{expect}\r\n\r\n")).await;
    // The server asks for the body once a handler waits for it.
    raw.answer().await.expect(100);
    raw
}

#[tokio::test]
async fn requests_that_were_begun_are_finished_and_probes_hear_of_the_end() {
    let mut server = Running::start("").await;
    let mut begun = Vec::new();
    for at in 0..20 {
        begun.push(half_a_put(&server, &at.to_string()).await);
    }
    let mut idle = server.raw().await;
    idle.write("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    idle.answer().await.expect(200);

    server.tell_to_stop();
    assert_eq!(idle.rest().await, "", "an idle connection is closed");
    server.get("/readyz").await.problem(503);
    let health = server.get("/health").await.expect(200).json();
    assert_eq!(health["status"], "unhealthy");

    for raw in &mut begun {
        raw.write("hello").await;
        let answer = raw.answer().await.expect(201);
        assert_eq!(answer.header("connection"), "close");
        assert_eq!(raw.rest().await, "");
    }
    server.stopped().await;
}

#[tokio::test]
async fn a_server_with_nothing_to_do_stops_at_once() {
    let mut server = Running::start("drain_timeout = \"1d\"").await;
    server.get("/livez").await.expect(200);
    server.tell_to_stop();
    server.stopped().await;
}

#[tokio::test]
async fn who_is_stuck_is_cut_when_the_time_is_over() {
    let mut server = Running::start("drain_timeout = \"100ms\"").await;
    let mut stuck = half_a_put(&server, "k").await;
    server.tell_to_stop();
    server.stopped().await;
    assert_eq!(stuck.rest().await, "");
}
