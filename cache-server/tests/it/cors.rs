//! Pages of other sites: nobody's unless it is said, and then those of exact origins, with a token that they send themselves.

use crate::client::Answer;
use crate::server::{Running, settings};

const NAMED: &str = "cors_origins = [\"https://app.example\", \"http://localhost:3000\"]";
const ORIGIN: (&str, &str) = ("origin", "https://app.example");
const ALLOWED: &str = "access-control-allow-origin";
const TOKEN: (&str, &str) = ("authorization", "Bearer s3cret-token");

/// What a browser asks before it sends what a page wants to send.
async fn preflight(server: &Running, path: &str, origin: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "authorization,content-type,if-match"),
    ];
    let mut request = hyper::Request::options(path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    crate::client::send(server.address, request.body(http_body_util::Full::default()).expect("legal")).await
}

#[tokio::test]
async fn nobody_is_told_that_he_may_unless_it_is_said() {
    let server = Running::with_entry("").await;
    let answers = [
        server.send("GET", "/v1/entries/kept", &[ORIGIN], "").await.expect(200),
        preflight(&server, "/v1/entries/kept", ORIGIN.1).await.expect(405),
    ];
    for answer in answers {
        assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{answer:?}");
    }
}

#[tokio::test]
async fn a_page_of_an_origin_that_is_named_may_and_no_other() {
    let server = Running::start(&format!("{NAMED}\ntoken = \"s3cret-token\"")).await;
    server.send("PUT", "/v1/entries/kept", &[TOKEN], "value").await.expect(201);
    // Without a token, as a browser asks.
    let asked = preflight(&server, "/v1/entries/kept", ORIGIN.1).await.expect(200);
    assert_eq!(asked.header(ALLOWED), ORIGIN.1);
    for (list, parts) in [
        ("access-control-allow-methods", &["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"][..]),
        (
            "access-control-allow-headers",
            &["authorization", "content-type", "if-match", "if-none-match", "prefer"],
        ),
    ] {
        let said: Vec<&str> = asked.header(list).split(',').map(str::trim).collect();
        assert!(parts.iter().all(|part| said.contains(part)), "{list}: {said:?}");
    }
    assert_eq!(asked.header("access-control-max-age"), "600");

    let read = server.send("GET", "/v1/entries/kept", &[ORIGIN, TOKEN], "").await.expect(200);
    assert_eq!((read.header(ALLOWED), read.text().as_str()), (ORIGIN.1, "value"));
    assert!(read.header("vary").contains("origin"), "a cache in between may not mix pages");
    for seen in ["etag", "x-cache", "location", "retry-after", "ratelimit"] {
        assert!(read.header("access-control-expose-headers").split(',').any(|name| name == seen), "{seen}");
    }
    let from_there = [ORIGIN, TOKEN, ("sec-fetch-site", "cross-site")];
    server.send("PUT", "/v1/entries/kept", &from_there, "other").await.expect(204);
    // A page may see what was wrong.
    let refused = server.send("GET", "/v1/entries/kept", &[ORIGIN], "").await;
    refused.problem(401);
    assert_eq!(refused.header(ALLOWED), ORIGIN.1);

    for origin in [
        "https://evil.example",
        "http://app.example",
        "https://app.example:444",
        "https://app.example.evil.example",
        "null",
    ] {
        assert_eq!(preflight(&server, "/v1/entries/kept", origin).await.header(ALLOWED), "", "{origin}");
        let read = server.send("GET", "/v1/entries/kept", &[("origin", origin), TOKEN], "").await.expect(200);
        assert_eq!(read.header(ALLOWED), "", "{origin}");
        server.send("PUT", "/v1/entries/kept", &[("origin", origin), TOKEN], "x").await.problem(403);
    }
    // Nothing that a browser would add of its own is ever allowed.
    for answer in [asked, read] {
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    }
    let kept = server.send("GET", "/v1/entries/kept", &[TOKEN], "").await;
    assert_eq!(kept.text(), "other");
}

#[tokio::test]
async fn everybody_may_with_a_token_alone() {
    let open =
        cache_server::Settings::from_toml("cors_origins = \"*\"").expect_err("open to the web").to_string();
    assert!(open.contains("settings:1: cors_origins") && open.contains("set a token"), "{open}");
    let guarded = "cors_origins = \"*\"\ntoken = \"s3cret-token\"";
    let server = Running::start(guarded).await;
    assert_eq!(preflight(&server, "/v1/entries/k", "https://any.example").await.header(ALLOWED), "*");
    let from = [("origin", "https://any.example"), ("sec-fetch-site", "cross-site")];
    server.send("PUT", "/v1/entries/k", &from, "v").await.problem(401);
    let put = server.send("PUT", "/v1/entries/k", &[from[0], from[1], TOKEN], "v").await.expect(201);
    assert_eq!((put.header(ALLOWED), put.header("access-control-allow-credentials")), ("*", ""));
    // The token cannot be taken away from under it, though pages are as they were at the start.
    let refused = server.handle.reload(settings("")).expect_err("open to the web").to_string();
    assert!(refused.contains("cors_origins"), "{refused}");
    server.send("GET", "/v1/entries/k", &[], "").await.problem(401);
    let restarts = server.handle.reload(settings("token = \"s3cret-token\"")).expect("a token");
    assert_eq!(restarts, ["cors_origins"]);
}

#[tokio::test]
async fn a_preflight_is_counted_as_nobodys_request() {
    let server = Running::start(&format!("{NAMED}\nlimit = \"local\"\nlimit_anonymous = 1")).await;
    for _ in 0..3 {
        preflight(&server, "/v1/entries/k", ORIGIN.1).await.expect(200);
    }
    server.send("GET", "/v1/regions", &[ORIGIN], "").await.expect(200);
    let denied = server.send("GET", "/v1/regions", &[ORIGIN], "").await.expect(429);
    assert_eq!(denied.header(ALLOWED), ORIGIN.1, "a page is told why");
}

#[tokio::test]
async fn a_page_of_another_site_watches_nothing_over_a_websocket() {
    let upgrade = |origin| {
        [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("origin", origin),
        ]
    };
    let server = Running::start(NAMED).await;
    server.send("GET", "/v1/events", &upgrade("https://evil.example"), "").await.problem(403);
    server.send("GET", "/v1/events", &upgrade("null"), "").await.problem(403);
    let own = format!("http://{}", server.address);
    for origin in [ORIGIN.1, own.as_str()] {
        server.send("GET", "/v1/events", &upgrade(origin), "").await.expect(101);
    }
}
