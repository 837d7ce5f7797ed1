//! Refusals: every wrong request gets a problem that says what would be right, and leaves what is stored as it is.

use serde_json::Value;

use crate::server::Running;

type Case = (&'static str, &'static str, &'static str, &'static str, u16, &'static str);

/// Method, path, content type, body; status, and a part of the detail.
const CASES: &[Case] = &[
    ("GET", "/nowhere", "", "", 404, "no such route"),
    ("GET", "/v1/entries/a/b", "", "", 404, "no such route"),
    ("GET", "/v1/regions/none/entries/k", "", "", 404, "\"none\""),
    ("DELETE", "/v1/regions/none", "", "", 404, "\"none\""),
    ("GET", "/v1/regions/%ff/entries/k", "", "", 400, "UTF-8"),
    ("POST", "/v1/entries/kept", "", "", 405, "Allow"),
    ("PUT", "/v1/clear", "", "", 405, "Allow"),
    ("PUT", "/v1/entries/kept?ttl=soon", "", "v", 400, "or a preset"),
    ("PUT", "/v1/entries/kept?ttl=-1", "", "v", 400, "negative"),
    ("PUT", "/v1/entries/kept?ttl=99999999999999999999", "", "v", 400, "too long"),
    ("PUT", "/v1/entries/kept?tags=", "", "v", 400, "a tag is empty"),
    ("PUT", "/v1/entries/kept?tags=a,,b", "", "v", 400, "a tag is empty"),
    ("PUT", "/v1/entries/kept?tags=%ff", "", "v", 400, "UTF-8"),
    ("PUT", "/v1/entries/kept?priority=urgent", "", "v", 400, "low, normal, high or critical"),
    ("PUT", "/v1/entries/kept?tll=5", "", "v", 400, "unknown field `tll`"),
    ("PUT", "/v1/entries/kept?ttl=5&ttl=6", "", "v", 400, "duplicate field `ttl`"),
    ("PUT", "/v1/entries/kept", "application/json", "{\"secret\": }", 400, "line 1 column 12"),
    ("PUT", "/v1/entries/kept", "Application/JSON; charset=utf-8", "[1,", 400, "not JSON"),
    ("PUT", "/v1/entries/kept", "nonsense", "v", 400, "media type"),
    ("PATCH", "/v1/entries/kept", "application/json", "{}", 400, "missing field `ttl`"),
    ("PATCH", "/v1/entries/kept", "application/json", "{\"ttl\": true}", 400, "expected seconds"),
    ("PATCH", "/v1/entries/kept", "application/json", "{\"ttl\": null}", 400, "expected seconds"),
    ("PATCH", "/v1/entries/kept", "application/json", "{\"ttl\": 1e300}", 400, "forever"),
    ("PATCH", "/v1/entries/kept", "application/json", "{\"ttl\": 1, \"x\": 1}", 400, "unknown field `x`"),
    ("PATCH", "/v1/entries/kept", "application/json", "", 400, "not JSON"),
    ("PATCH", "/v1/entries/kept", "text/plain", "{\"ttl\": 1}", 415, "application/json"),
    ("PATCH", "/v1/entries/kept", "", "{\"ttl\": 1}", 415, "application/json"),
    ("DELETE", "/v1/entries?prefx=k", "", "", 400, "unknown field `prefx`"),
    ("DELETE", "/v1/tags/%0a", "", "", 400, "control character"),
    ("POST", "/v1/get-many", "application/json", "{\"keys\": [1]}", 400, "expected a string"),
    ("POST", "/v1/get-many", "application/json", "{\"keys\": [\"\"]}", 400, "empty"),
    ("POST", "/v1/get-many", "application/json", "{\"keys\":\n [\"a\" \"b\"]}", 400, "line 2"),
    ("POST", "/v1/set-many", "application/json", "[]", 400, "line 1"),
    ("POST", "/v1/set-many", "application/json", "{\"entries\": \"secret\"}", 400, "expected a sequence"),
    ("POST", "/v1/set-many", "application/json", "[[]]", 400, "an object"),
    ("POST", "/v1/set-many", "application/json", "{\"entries\": [[\"kept\", 1]]}", 400, "an object"),
    ("POST", "/cache/invalidate", "application/json", "[[],[],null,null,true]", 400, "an object"),
    ("PATCH", "/v1/entries/kept", "application/json", "[5]", 400, "an object"),
    ("POST", "/v1/clear?prefix=zz", "", "", 400, "no parameters"),
    ("POST", "/v1/clear", "application/json", "{\"prefix\": \"zz\"}", 400, "no body"),
    ("POST", "/v1/clear-all", "text/plain", "x", 400, "no body"),
    ("DELETE", "/v1/entries/kept?region=token", "", "", 400, "no parameters"),
    (
        "POST",
        "/v1/delete-many?region=token",
        "application/json",
        "{\"keys\": [\"kept\"]}",
        400,
        "no parameters",
    ),
    ("POST", "/v1/set-many?ttl=5", "application/json", "{\"entries\": []}", 400, "no parameters"),
    ("PUT", "/v1/entries/", "", "v", 400, "the key is empty"),
    ("PUT", "/v1/regions/a%2Fb", "application/json", "{}", 400, "letters, digits"),
    ("PUT", "/v1/regions/a", "application/json", "{\"max_entries\": 0}", 400, "whole number"),
    ("PUT", "/v1/regions/a", "application/json", "{\"max_bytes\": -1}", 400, "whole number"),
    ("PUT", "/v1/regions/a", "application/json", "{\"policy\": \"mru\"}", 400, "lru or lfu"),
    ("PUT", "/v1/regions/a", "application/json", "{\"ttl\": []}", 400, "expected seconds"),
    ("PUT", "/v1/regions/token", "application/json", "{}", 409, "\"token\""),
    ("DELETE", "/v1/regions/default", "", "", 409, "stays"),
    ("POST", "/cache/invalidate", "application/json", "{}", 400, "keys, tags, prefix or all"),
    ("POST", "/cache/invalidate", "application/json", "{\"prefix\": \"\"}", 400, "at least one character"),
    ("POST", "/cache/invalidate", "application/json", "{\"keys\": [\"kept\"], \"tags\": [\"\"]}", 400, "tag"),
    (
        "POST",
        "/cache/invalidate",
        "application/json",
        "{\"keys\": [\"kept\"], \"region\": \"x\"}",
        404,
        "\"x\"",
    ),
    ("POST", "/cache/invalidate", "application/json", "{\"all\": \"secret\"}", 400, "expected a boolean"),
];

#[tokio::test]
async fn a_wrong_request_is_refused_with_a_reason_and_changes_nothing() {
    let server = Running::with_entry("").await;
    let before = server.state().await;
    for (method, path, content_type, body, status, part) in CASES {
        let headers = [("content-type", *content_type)];
        let headers = if content_type.is_empty() { &[][..] } else { &headers[..] };
        let answer = server.send(method, path, headers, *body).await;
        let problem = answer.problem(*status);
        let detail = problem["detail"].as_str().expect("a text");
        assert!(detail.contains(part), "{method} {path} {body}: {detail}");
        assert!(!answer.text().contains("secret"), "{method} {path}: {detail}");
        assert_eq!(*status == 405, !answer.header("allow").is_empty(), "{method} {path}");
    }
    assert_eq!(server.state().await, before);
}

#[tokio::test]
async fn deep_json_is_refused_wherever_it_stands() {
    let server = Running::with_entry("").await;
    let before = server.state().await;
    let deep = "[".repeat(200_000);
    let json = [("content-type", "application/json")];
    for (method, path, body) in [
        ("PUT", "/v1/entries/kept", deep.clone()),
        ("POST", "/v1/set-many", format!("{{\"entries\":[{{\"key\":\"kept\",\"value\":{deep}")),
        ("POST", "/v1/get-many", deep.clone()),
    ] {
        let problem = server.send(method, path, &json, body).await.problem(400);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("128 levels")), "{problem}");
    }
    assert_eq!(server.state().await, before);
}

#[tokio::test]
async fn an_encoded_body_is_refused_because_its_encoding_would_be_lost() {
    let server = Running::with_entry("").await;
    let before = server.state().await;
    server.send("PUT", "/v1/entries/kept", &[("content-encoding", "gzip")], "v").await.problem(415);
    assert_eq!(server.state().await, before);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_the_limit() {
    let server = Running::with_entry("body_limit_bytes = 1000").await;
    server.put("/v1/entries/full", vec![0; 1000]).await.expect(201);
    let before = server.state().await;
    let problem: Value = server.put("/v1/entries/kept", vec![0; 1001]).await.problem(413);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("1000 bytes")), "{problem}");
    assert_eq!(server.state().await, before);
}
