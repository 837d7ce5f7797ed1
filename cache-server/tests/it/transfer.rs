//! Export and import: all entries of a region as lines, out and in.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::client::Answer;
use crate::server::Running;

const LINES: [(&str, &str); 1] = [("content-type", "application/x-ndjson")];

fn entries(exported: &Answer) -> BTreeMap<String, Value> {
    let text = exported.text();
    let entry = |line: &str| {
        let entry: Value = serde_json::from_str(line).expect("a line of JSON");
        (entry["key"].as_str().expect("a key").to_owned(), entry)
    };
    text.lines().map(entry).collect()
}

#[tokio::test]
async fn what_is_exported_and_imported_elsewhere_is_the_same_cache() {
    let (from, to) = (Running::start("").await, Running::start("").await);
    let set = json!({"entries": [
        {"key": "json", "value": {"a": [1, null]}, "ttl": 60, "tags": ["t", "u"], "priority": "critical", "cost": 2.5},
        {"key": "bytes", "base64": "AP8=", "content_type": "image/png", "metadata": {"by": "job"}},
        {"key": "newline\u{2028}\"", "value": "a\nb", "ttl": "forever"},
        {"key": "ends", "value": 1, "ttl": 5},
    ]});
    from.json("POST", "/v1/set-many", set).await.expect(200);
    from.clock.advance(std::time::Duration::from_secs(10));
    let exported = from.get("/v1/export").await.expect(200);
    assert_eq!(
        (exported.header("content-type"), exported.header("x-total-count")),
        ("application/x-ndjson", "3")
    );
    let told = entries(&exported);
    assert_eq!(told.len(), 3, "what has ended is not told: {told:?}");
    assert_eq!((&told["json"]["ttl_seconds"], &told["json"]["tags"]), (&json!(50.0), &json!(["t", "u"])));

    let imported = to.send("POST", "/v1/import", &LINES, exported.body.clone()).await.expect(200).json();
    assert_eq!(imported, json!({"lines": 3, "stored": 3}));
    assert_eq!(entries(&to.get("/v1/export").await), told);
    assert_eq!(to.delete("/v1/tags/u").await.json()["removed"], 1);
    assert_eq!(to.get("/v1/entries/bytes").await.expect(200).body.as_ref(), [0, 255]);
}

#[tokio::test]
async fn many_entries_come_in_and_go_out_whatever_their_packets() {
    let server = Running::start("body_limit_bytes = 1000").await;
    let lines: String = (0..5000)
        .map(|at| format!("{{\"key\": \"k{at}\", \"value\": {at}}}\r\n\n"))
        .collect::<Vec<_>>()
        .concat();
    assert!(lines.len() > 100_000, "far more than the limit of one line");
    let imported = server.send("POST", "/v1/regions/report/import", &LINES, lines).await.expect(200).json();
    assert_eq!(imported, json!({"lines": 5000, "stored": 5000}));
    let told = entries(&server.get("/v1/regions/report/export").await.expect(200));
    // The region holds a thousand.
    assert_eq!(told.len(), 1000);
    assert!(told.iter().all(|(key, entry)| *key == format!("k{}", entry["value"])));
}

#[tokio::test]
async fn the_first_line_that_is_wrong_is_named_and_what_stood_before_it_is_stored() {
    let server = Running::start("body_limit_bytes = 1000").await;
    let long = format!("{{\"key\": \"k\", \"value\": \"{}\"}}", "x".repeat(2000));
    for (wrong, says) in [
        ("{\"key\": \"\", \"value\": 1}", "key"),
        ("{\"key\": \"k\"}", "line 3: value"),
        ("[1]", "line 3"),
        ("{\"key\"", "line 3"),
        (&long, "line 3 has more than 1000 bytes"),
    ] {
        let body = format!("{{\"key\": \"a\", \"value\": 1}}\n\n{{\"key\": \"b\", \"value\": 2}}\n{wrong}");
        let answer = server.send("POST", "/v1/import", &LINES, body).await;
        assert!([400, 413].contains(&answer.status), "{}", answer.text());
        assert!(answer.text().contains(says), "{says}: {}", answer.text());
        assert_eq!(server.send("POST", "/v1/clear", &[], "").await.json()["removed"], 2);
    }
}

#[tokio::test]
async fn an_empty_region_is_no_line() {
    let server = Running::start("").await;
    assert_eq!(server.get("/v1/export").await.expect(200).text(), "");
    assert_eq!(server.send("POST", "/v1/import", &LINES, "").await.expect(200).json()["lines"], 0);
    assert_eq!(server.get("/api/v1/enhanced-cache/export").await.expect(200).text(), "");
}
