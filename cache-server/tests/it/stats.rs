//! What the server shows of itself: under its own names and under those of earlier systems, always the same figures.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::Running;

/// A server with 3 hits and 1 miss, 2 entries in one region and 1 in another.
async fn busy() -> Running {
    let server = Running::start("[region.token]\nmax_bytes = 1_000_000").await;
    for path in ["/v1/entries/a", "/v1/entries/b", "/v1/regions/token/entries/t"] {
        server.put(path, "v").await.expect(201);
    }
    for path in ["/v1/entries/a", "/v1/entries/a", "/v1/regions/token/entries/t", "/v1/entries/none"] {
        server.get(path).await;
    }
    server
}

#[track_caller]
fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[track_caller]
fn region<'a>(report: &'a Value, name: &str) -> &'a Value {
    let regions = report["stats"]["regions"].as_array().expect("a list");
    regions.iter().find(|region| region["name"] == name).expect("the region")
}

#[tokio::test]
async fn stats_hold_all_that_is_known() {
    let server = busy().await;
    server.clock.advance(Duration::from_secs(10));
    let report = server.get("/v1/stats").await.expect(200).json();
    let stats = &report["stats"];
    assert_eq!(names(&report), ["history", "insights", "recommendations", "stats"].into());
    assert_eq!(stats["health"], json!({"status": "healthy", "reasons": []}));
    assert_eq!((&stats["uptime_seconds"], &stats["recent_seconds"]), (&json!(10.0), &json!(10.0)));
    assert_eq!((&stats["traffic"]["hits"], &stats["traffic"]["hit_rate"]), (&json!(3), &json!(0.75)));
    assert_eq!(stats["traffic"]["total_operations"], 7);
    assert_eq!((&stats["sum"]["stats"]["entries"], &stats["sum"]["efficiency"]), (&json!(3), &json!(75.0)));
    assert_eq!(region(&report, "token")["stats"]["hit_ratio"], 1.0);
    assert_eq!(region(&report, "token")["max_bytes"], 1_000_000);
    assert_eq!(region(&report, "report")["stats"]["hit_ratio"], Value::Null);
    assert_eq!(region(&report, "default")["recent"]["reads"], 3);
    assert_eq!(region(&report, "default")["access_pattern"], "idle");
    assert_eq!(report["history"][0]["seconds"], 10.0);
    assert_eq!(report["history"][0]["reads_per_second"], 0.4);
    assert!(stats["process"]["resident_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{stats}");
    let route = stats["http"]["routes"].as_array().and_then(|routes| routes.first()).expect("a route");
    assert_eq!(route["route"], "/v1/entries/{key}");
    assert_eq!(route["answers"], json!({"200": 2, "201": 2, "404": 1}));
}

#[tokio::test]
async fn what_is_recent_is_forgotten_and_what_is_counted_is_not() {
    let server = busy().await;
    server.clock.advance(Duration::from_secs(10));
    server.get("/v1/stats").await.expect(200);
    server.clock.advance(Duration::from_secs(61));
    server.get("/v1/stats").await.expect(200);
    server.clock.advance(Duration::from_secs(5));
    let report = server.get("/v1/stats").await.expect(200).json();
    assert_eq!(region(&report, "default")["recent"]["reads"], 0);
    assert_eq!(region(&report, "default")["stats"]["hits"], 2);
}

#[tokio::test]
async fn the_keys_that_are_read_most_are_named() {
    let server = busy().await;
    // One hit in 64 is noted, at random: in so many, the one key is noted for certain enough.
    server.put("/v1/entries/user%3A7", "v").await.expect(201);
    let keys = json!({"keys": ["user:7"]});
    for _ in 0..3000 {
        server.json("POST", "/v1/get-many", keys.clone()).await.expect(200);
    }
    let report = server.get("/v1/stats").await.expect(200).json();
    let top = &region(&report, "default")["top_keys"];
    assert_eq!(top[0]["key"], "user:7", "{top}");
    assert_eq!(top[0]["share"], 1.0);
    let kinds: Vec<_> = report["insights"].as_array().expect("a list").iter().map(|it| &it["kind"]).collect();
    assert!(kinds.contains(&&json!("hot_key")) && kinds.contains(&&json!("hit_ratio")), "{kinds:?}");
    let analytics = server.get("/api/v1/enhanced-cache/analytics").await.expect(200).json();
    assert_eq!(
        (&analytics["top_keys"][0]["key"], &analytics["top_keys"][0]["region"]),
        (&json!("user:7"), &json!("default"))
    );
    assert_eq!(analytics["access_patterns"]["default"], "concentrated");
}

#[tokio::test]
async fn the_dashboard_of_system_a_has_metrics_insights_and_recommendations() {
    let server = busy().await;
    server.put("/v1/regions/token/entries/large", vec![0; 1_000_000]).await.problem(413);
    let dashboard = server.get("/api/cache/dashboard").await.expect(200).json();
    assert_eq!(names(&dashboard), ["insights", "metrics", "recommendations"].into());
    let expected = json!([{
        "kind": "too_large", "severity": "warning", "region": "token", "number": 1.0, "unit": "values",
        "text": "1 values were refused because each alone exceeds the limit of token",
        "advice": {"setting": "region.token.max_bytes", "text": "its limit is 976.6 KiB"},
    }]);
    assert_eq!(dashboard["insights"], expected);
    let expected = json!([{
        "kind": "too_large", "severity": "warning", "region": "token", "number": 1.0, "unit": "values",
        "setting": "region.token.max_bytes", "text": "its limit is 976.6 KiB",
    }]);
    assert_eq!(dashboard["recommendations"], expected);
    let metrics = server.get("/api/cache/metrics").await.expect(200).json();
    assert_eq!(metrics["caches"], dashboard["metrics"]["caches"]);
    assert_eq!((&metrics["hits"], &metrics["hit_rate"]), (&json!(3), &json!(0.75)));
    let default = &metrics["caches"]["default"];
    assert_eq!((&default["size"], &default["max_size"]), (&json!(2), &json!(1_000_000)));
    assert_eq!(
        (&default["hits"], &default["misses"], &default["evictions"]),
        (&json!(2), &json!(1), &json!(0))
    );
}

#[tokio::test]
async fn system_a_clears_one_cache_or_all() {
    let server = busy().await;
    let clear = async |cache_type: &str| {
        server.json("POST", "/api/cache/clear", json!({"cache_type": cache_type})).await
    };
    assert_eq!(clear("token").await.expect(200).json(), json!({"cache_type": "token", "removed": 1}));
    assert_eq!(clear("report").await.expect(200).json(), json!({"cache_type": "report", "removed": 0}));
    server.get("/v1/entries/a").await.expect(200);
    let unknown = clear("sessions").await.problem(404);
    assert_eq!(unknown["field"], "cache_type");
    assert_eq!(unknown["detail"], "not a cache; use all, or one of default, report, token");
    assert_eq!(clear("all").await.expect(200).json(), json!({"cache_type": "all", "removed": 2}));
    let foreign = [("origin", "https://evil.example"), ("content-type", "application/json")];
    server.send("POST", "/api/cache/clear", &foreign, "{\"cache_type\": \"all\"}").await.problem(403);
}

#[tokio::test]
async fn system_c_finds_its_fields() {
    let server = busy().await;
    let get =
        async |what: &str| server.get(&format!("/api/v1/enhanced-cache/{what}")).await.expect(200).json();
    let bytes: u64 =
        server.get("/v1/stats").await.json()["stats"]["sum"]["stats"]["bytes"].as_u64().expect("a number");
    let stats = get("stats").await;
    assert_eq!(
        names(&stats),
        ["cache_efficiency_score", "compression_ratio", "hit_rate", "memory_usage_mb"].into()
    );
    assert_eq!((&stats["hit_rate"], &stats["cache_efficiency_score"]), (&json!(0.75), &json!(75.0)));
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let megabytes = bytes as f64 / 1_048_576.0;
    assert_eq!((&stats["memory_usage_mb"], &stats["compression_ratio"]), (&json!(megabytes), &json!(1.0)));
    let analytics = get("analytics").await;
    assert_eq!(
        names(&analytics),
        ["access_patterns", "average_access_time", "top_keys", "total_requests"].into()
    );
    assert_eq!(analytics["total_requests"], 4);
    assert_eq!(analytics["access_patterns"], json!({"default": "idle", "report": "idle", "token": "idle"}));
    let memory = get("memory").await;
    assert_eq!((&memory["total_entries"], &memory["compression_savings_bytes"]), (&json!(3), &json!(0)));
    assert_eq!(memory["memory_usage_bytes"], bytes);
    assert_eq!(memory["memory_limit_bytes"], (256 << 20) * 2 + 1_000_000);
    let percent = memory["memory_utilization_percent"].as_f64().expect("a number");
    assert!(percent > 0.0 && percent < 0.01, "{percent}");
    assert_eq!(get("health").await["status"], "healthy");
}

#[tokio::test]
async fn system_d_finds_its_fields() {
    let server = busy().await;
    let stats = server.get("/api/admin/cache/stats").await.expect(200).json();
    assert_eq!(
        names(&stats),
        ["eviction_rates", "hit_rates", "key_counts", "memory", "recommendations"].into()
    );
    let third = 2.0 / 3.0;
    assert_eq!(stats["hit_rates"], json!({"default": third, "overall": 0.75, "report": 0.0, "token": 1.0}));
    assert_eq!(stats["key_counts"], json!({"default": 2, "overall": 3, "report": 0, "token": 1}));
    assert_eq!(stats["eviction_rates"]["overall"], 0.0);
    assert_eq!(stats["recommendations"], json!([]));
    assert!(stats["memory"]["used_bytes"].as_u64().is_some_and(|bytes| bytes > 800), "{stats}");
}

#[tokio::test]
async fn evictions_are_told_by_the_minute_with_the_setting_that_ends_them() {
    let server = Running::start("[region.small]\nmax_entries = 10").await;
    for at in 0..30 {
        server.put(&format!("/v1/regions/small/entries/{at}"), "v").await.expect(201);
    }
    server.clock.advance(Duration::from_secs(10));
    let stats = server.get("/api/admin/cache/stats").await.expect(200).json();
    assert_eq!(stats["eviction_rates"]["small"], 120.0);
    let settings: Vec<_> = stats["recommendations"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| (&it["kind"], &it["setting"]))
        .collect();
    let entries = json!("region.small.max_entries");
    assert_eq!(settings, [(&json!("evictions"), &entries), (&json!("nearly_full"), &entries)]);
}

#[tokio::test]
async fn health_has_three_states_under_every_name() {
    const NAMES: [&str; 5] = [
        "/health",
        "/cache/health",
        "/api/cache/health",
        "/api/v1/enhanced-cache/health",
        "/api/admin/cache/health",
    ];
    let mut server = Running::start("max_connections = 20\ndrain_timeout = \"1d\"").await;
    for name in NAMES {
        assert_eq!(server.get(name).await.expect(200).json()["status"], "healthy", "{name}");
    }
    let mut held = Vec::new();
    for _ in 0..18 {
        let mut raw = server.raw().await;
        raw.write("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        raw.answer().await.expect(200);
        held.push(raw);
    }
    for name in NAMES {
        let health = server.get(name).await.expect(200).json();
        assert_eq!(health["status"], "degraded", "{name}");
        assert!(
            health["reasons"][0]
                .as_str()
                .is_some_and(|it| it.ends_with("of at most 20 connections are open"))
        );
    }
    let mut begun = server.raw().await;
    begun.write("PUT /v1/entries/k HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n").await;
    begun.answer().await.expect(100);
    server.tell_to_stop();
    for raw in &mut held {
        assert_eq!(raw.rest().await, "");
    }
    for name in NAMES {
        assert_eq!(server.get(name).await.expect(200).json()["status"], "unhealthy", "{name}");
    }
    begun.write("v").await;
    begun.answer().await.expect(201);
    server.stopped().await;
}
