//! The names of an earlier system: what its clients write and read, as they know it.

use serde_json::{Value, json};

use crate::server::Running;

const BASE: &str = "/api/v1/enhanced-cache";

async fn post(server: &Running, route: &str, body: Value) -> crate::client::Answer {
    server.json("POST", &format!("{BASE}/{route}"), body).await
}

#[tokio::test]
async fn what_is_set_is_got_with_all_that_was_said_of_it() {
    let server = Running::start("").await;
    let entry = json!({
        "key": "user:1", "value": {"name": "Ada"}, "ttl": 60, "tags": ["team:1", "users"], "priority": "high",
        "cost": 0.5, "metadata": {"source": "crm"},
    });
    let answer = post(&server, "set", entry).await.expect(200).json();
    assert_eq!(answer, json!({"success": true, "key": "user:1", "stored": 1}));
    let found = server.get(&format!("{BASE}/get/user:1")).await.expect(200).json();
    let expected = json!({
        "success": true, "key": "user:1", "value": {"name": "Ada"}, "content_type": "application/json",
        "ttl_seconds": 60.0, "priority": "high", "cost": 0.5, "metadata": {"source": "crm"},
    });
    assert_eq!(found, expected);
    // It is an entry like any other.
    assert_eq!(server.get("/v1/entries/user:1").await.expect(200).text(), r#"{"name":"Ada"}"#);
    let meta = server.get("/v1/entries/user:1/meta").await.expect(200).json();
    assert_eq!((&meta["tags"], &meta["bytes"]), (&json!(["team:1", "users"]), &json!(14)));
    assert_eq!((&meta["metadata"], &meta["priority"]), (&json!({"source": "crm"}), &json!("high")));
    assert_eq!(meta["etag"], server.get("/v1/entries/user:1").await.header("etag"));

    assert_eq!(server.delete(&format!("{BASE}/delete/user:1")).await.json()["removed"], 1);
    server.get(&format!("{BASE}/get/user:1")).await.problem(404);
    server.get("/v1/entries/user:1/meta").await.problem(404);
}

#[tokio::test]
async fn groups_are_removed_by_tags_or_all_at_once() {
    let server = Running::start("").await;
    let data = json!({"a": 1, "b": [2], "c": null});
    assert_eq!(
        post(&server, "warm-up", json!({"data": data, "ttl": "1h"})).await.expect(200).json()["stored"],
        3
    );
    assert_eq!(server.get("/v1/entries/c").await.expect(200).text(), "null");
    for (key, tag) in [("x", "one"), ("y", "two"), ("z", "three")] {
        post(&server, "set", json!({"key": key, "value": 1, "tags": [tag]})).await.expect(200);
    }
    let removed = server.delete(&format!("{BASE}/delete-by-tags?tags=one,two")).await.expect(200).json();
    assert_eq!(removed, json!({"success": true, "removed": 2}));
    let cleared = server.send("POST", &format!("{BASE}/clear"), &[], "").await.expect(200).json();
    assert_eq!(cleared["removed"], 4);
}

#[tokio::test]
async fn a_running_region_is_changed_and_keeps_what_still_fits() {
    let server = Running::start("").await;
    for key in 0..10 {
        server.put(&format!("/v1/entries/{key}"), "v").await.expect(201);
    }
    let change = json!({"max_entries": 5, "policy": "lru", "ttl": "30s"});
    let region = post(&server, "configure", change).await.expect(200).json();
    assert_eq!((&region["max_entries"], &region["policy"]), (&json!(5), &json!("lru")));
    assert_eq!(region["stats"]["entries"], 5);
    server.put("/v1/entries/new", "v").await;
    assert_eq!(server.get("/v1/entries/new/ttl").await.json()["ttl_seconds"], 30.0);
}

#[tokio::test]
async fn a_benchmark_tells_its_pace_and_touches_nothing() {
    let server = Running::with_entry("").await;
    let before = server.state().await;
    let answer = post(&server, "benchmark", json!({"iterations": 1000})).await.expect(200).json();
    assert_eq!(answer["iterations"], 1000);
    for operation in ["set_operations", "get_operations"] {
        for figure in ["average_time_ms", "operations_per_second"] {
            assert!(answer[operation][figure].is_f64(), "{answer}");
            // Nothing that has happened takes less than ten picoseconds; what has not takes none.
            let pace = answer[operation]["operations_per_second"].as_f64().expect("a figure");
            assert!(pace > 1.0 && pace < 1e11, "{answer}");
        }
    }
    assert_eq!(server.state().await, before);
    for wrong in [0, 100_001] {
        let problem = post(&server, "benchmark", json!({"iterations": wrong})).await.problem(400);
        assert_eq!(problem["field"], "iterations");
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_and_changes_nothing() {
    let server = Running::with_entry("").await;
    let before = server.state().await;
    let large = "m".repeat(20_000);
    let cases = [
        ("set", json!({"key": "", "value": 1}), "key"),
        ("set", json!({"key": "kept"}), "value"),
        ("set", json!({"key": "kept", "value": 1, "ttl": "soon"}), "ttl"),
        ("set", json!({"key": "kept", "value": 1, "ttl": 5, "ttl_seconds": 5}), "ttl_seconds"),
        ("set", json!({"key": "kept", "value": 1, "priority": "urgent"}), "priority"),
        ("set", json!({"key": "kept", "value": 1, "cost": -1}), "cost"),
        ("set", json!({"key": "kept", "value": 1, "metadata": large}), "metadata"),
        ("set", json!({"key": "kept", "value": 1, "extra": 1}), "extra"),
        ("warm-up", json!({"data": {"": 1}}), "data."),
        ("configure", json!({"policy": "mru"}), "policy"),
        ("configure", json!({"region": "none"}), "region"),
    ];
    for (route, body, field) in cases {
        let answer = post(&server, route, body).await;
        assert!((400..500).contains(&answer.status), "{}", answer.text());
        assert_eq!(answer.json()["field"], field, "{route}: {}", answer.text());
    }
    server.delete(&format!("{BASE}/delete-by-tags")).await.problem(400);
    server.delete(&format!("{BASE}/delete-by-tags?tags=")).await.problem(400);
    assert_eq!(server.state().await, before);
}
