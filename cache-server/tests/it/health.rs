//! Health: what probes and people are told is what was measured.

use serde_json::json;

use crate::server::Running;

#[tokio::test]
async fn a_server_at_rest_is_live_ready_and_healthy() {
    let server = Running::start("").await;
    assert_eq!(server.get("/livez").await.expect(200).text(), "live\n");
    assert_eq!(server.get("/readyz").await.expect(200).text(), "ready\n");
    let health = server.get("/health").await.expect(200).json();
    assert_eq!((&health["status"], &health["reasons"]), (&json!("healthy"), &json!([])));
    assert_eq!((&health["connection_healthy"], &health["fallback_enabled"]), (&json!(true), &json!(false)));
    assert_eq!(health["metrics"]["total_operations"], 2);
    assert_eq!(health["metrics"]["error_rate"], 0.0);
}

#[tokio::test]
async fn figures_are_those_of_the_requests_that_were_made() {
    let server = Running::start("").await;
    server.put("/v1/entries/k", "v").await.expect(201);
    for path in ["/v1/entries/k", "/v1/entries/k", "/v1/entries/k", "/v1/regions/token/entries/none"] {
        server.get(path).await;
    }
    let metrics = server.get("/cache/metrics").await.expect(200).json();
    let expected = json!({
        "hit_rate": 0.75, "error_rate": 0.0, "total_operations": 5, "hits": 3, "misses": 1, "errors": 0,
        // The clock of this server stands still.
        "average_response_time_ms": 0.0,
    });
    assert_eq!(metrics, expected);
    let health = server.get("/cache/health").await.expect(200).json();
    assert_eq!(health["metrics"]["hit_rate"], 0.75);
}

#[tokio::test]
async fn a_server_that_is_nearly_full_of_connections_says_so() {
    let server = Running::start("max_connections = 2").await;
    let mut held = server.raw().await;
    held.write("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    held.answer().await.expect(200);
    let health = server.get("/health").await.expect(200).json();
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["reasons"], json!(["2 of at most 2 connections are open"]));
}
