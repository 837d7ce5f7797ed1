//! Many entries in one call: one fixed shape, and all or nothing.

use serde_json::{Value, json};

use crate::server::Running;

#[tokio::test]
async fn what_was_set_together_is_got_together() {
    let server = Running::start("").await;
    let entries = json!({"entries": [
        {"key": "json", "value": {"price": 1.50, "list": [1, null]}, "ttl": 60, "tags": ["a", "b,c"]},
        {"key": "null", "value": null},
        {"key": "bytes", "base64": "AP8=", "content_type": "image/png", "priority": "high", "cost": 0.25},
        {"key": "gone", "value": 1, "ttl": 0},
    ]});
    assert_eq!(server.json("POST", "/v1/set-many", entries).await.expect(200).json(), json!({"stored": 3}));
    server.put("/v1/entries/text", "plain").await.expect(201);

    let keys = json!({"keys": ["json", "bytes", "gone", "null", "text", "json", "none"]});
    let got = server.json("POST", "/v1/get-many", keys).await.expect(200);
    assert!(got.text().contains(r#""price":1.5"#), "{}", got.text());
    let expected = json!({
        "entries": {
            "bytes": {
                "base64": "AP8=", "content_type": "image/png", "ttl_seconds": null, "priority": "high", "cost": 0.25,
            },
            "json": {"value": {"price": 1.5, "list": [1, null]}, "content_type": "application/json", "ttl_seconds": 60.0},
            "null": {"value": null, "content_type": "application/json", "ttl_seconds": null},
            "text": {"base64": "cGxhaW4=", "content_type": "text/plain", "ttl_seconds": null},
        },
        "missing": ["gone", "none"],
    });
    assert_eq!(got.json(), expected);
    assert_eq!(server.delete("/v1/tags/b,c").await.expect(200).json(), json!({"removed": 1}));

    let keys = json!({"keys": ["bytes", "none", "bytes"]});
    assert_eq!(server.json("POST", "/v1/delete-many", keys).await.expect(200).json(), json!({"removed": 1}));
}

#[tokio::test]
async fn nothing_is_stored_if_one_entry_is_wrong() {
    let server = Running::with_entry("[region.default]\nmax_bytes = 10000").await;
    let before = server.state().await;
    let cases = [
        (json!({"key": ""}), 400, "entries[1].key"),
        (json!({"key": "k"}), 400, "entries[1].value"),
        (json!({"key": "k", "value": 1, "base64": "AA=="}), 400, "entries[1].value"),
        (json!({"key": "k", "base64": "!"}), 400, "entries[1].base64"),
        (json!({"key": "k", "base64": "eA==", "content_type": "application/json"}), 400, "entries[1].base64"),
        (json!({"key": "k", "value": 1, "content_type": "no\nsuch"}), 400, "entries[1].content_type"),
        (json!({"key": "k", "value": 1, "ttl": "soon"}), 400, "entries[1].ttl"),
        (json!({"key": "k", "value": 1, "ttl": -1}), 400, "entries[1].ttl"),
        (json!({"key": "k", "value": 1, "tags": [""]}), 400, "entries[1].tags"),
        (json!({"key": "k", "value": 1, "priority": "urgent"}), 400, "entries[1].priority"),
        (json!({"key": "k", "value": 1, "cost": -1}), 400, "entries[1].cost"),
        (json!({"key": "k", "value": "x".repeat(10_000)}), 413, "entries[1]"),
        (json!({"key": "k", "value": 1, "colour": 1}), 400, "colour"),
    ];
    for (wrong, status, field) in cases {
        let body = json!({"entries": [{"key": "kept", "value": "changed"}, wrong]});
        let problem = server.json("POST", "/v1/set-many", body).await.problem(status);
        assert_eq!(problem["field"], field, "{problem}");
        assert_eq!(server.state().await, before, "{problem}");
    }
}

#[tokio::test]
async fn a_call_has_at_most_ten_thousand_keys() {
    let server = Running::with_entry("").await;
    let before = server.state().await;
    let keys = |count: usize| (0..count).map(|at| json!(at.to_string())).collect::<Vec<Value>>();
    let entries: Vec<Value> = (0..10_001).map(|at| json!({"key": at.to_string(), "value": 1})).collect();
    for (path, body) in [
        ("/v1/get-many", json!({"keys": keys(10_001)})),
        ("/v1/delete-many", json!({"keys": keys(10_001)})),
        ("/v1/set-many", json!({"entries": entries})),
        ("/cache/invalidate", json!({"keys": keys(10_001)})),
        ("/cache/invalidate", json!({"tags": keys(10_001)})),
    ] {
        let problem = server.json("POST", path, body).await.problem(413);
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.contains("at most 10000")),
            "{problem}"
        );
    }
    assert_eq!(server.state().await, before);
    let all = server.json("POST", "/v1/get-many", json!({"keys": keys(10_000)})).await.expect(200);
    assert_eq!(all.json()["missing"].as_array().map(Vec::len), Some(10_000));
}
