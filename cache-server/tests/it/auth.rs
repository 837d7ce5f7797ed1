//! The token: needed for everything but the probes, and never shown.

use crate::server::{Running, settings};

const GUARDED: [(&str, &str); 12] = [
    ("GET", "/v1/entries/kept"),
    ("PUT", "/v1/entries/kept"),
    ("DELETE", "/v1/entries/kept"),
    ("POST", "/v1/get-many"),
    ("GET", "/v1/regions"),
    ("DELETE", "/v1/regions/token"),
    ("POST", "/v1/clear-all"),
    ("GET", "/metrics"),
    ("GET", "/cache/health"),
    ("POST", "/cache/invalidate"),
    ("GET", "/nowhere"),
    ("GET", "/health/../metrics"),
];

#[tokio::test]
async fn without_the_right_token_there_is_nothing_but_probes() {
    let server = Running::start("token = \"s3cret-token\"").await;
    let right = ("authorization", "Bearer s3cret-token");
    server.send("PUT", "/v1/entries/kept", &[right], "value").await.expect(201);
    for (method, path) in GUARDED {
        for wrong in
            ["", "s3cret-token", "Basic s3cret-token", "Bearer", "Bearer s3cret-toke", "Bearer s3cret-token2"]
        {
            let headers = [("authorization", wrong)];
            let headers = if wrong.is_empty() { &[][..] } else { &headers[..] };
            let answer = server.send(method, path, headers, "").await;
            answer.problem(401);
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{method} {path} {wrong}");
            assert!(!answer.text().contains("s3cret"), "{}", answer.text());
        }
    }
    for path in ["/health", "/livez", "/readyz"] {
        server.get(path).await.expect(200);
    }
    for scheme in ["Bearer", "bearer", "BEARER "] {
        let header = format!("{scheme} s3cret-token");
        let got = server.send("GET", "/v1/entries/kept", &[("authorization", &header)], "").await.expect(200);
        assert_eq!(got.text(), "value");
    }
    server.send("GET", "/nowhere", &[right], "").await.problem(404);
}

#[test]
fn settings_do_not_show_their_token() {
    let shown = format!("{:?}", settings("token = \"s3cret-token\""));
    assert!(!shown.contains("s3cret") && shown.contains("(hidden)"), "{shown}");
}

#[tokio::test]
async fn who_listens_beyond_loopback_keeps_a_token_whatever_is_read_again() {
    let started = |listen: &str| {
        let settings = settings(&format!("{listen} = \"0.0.0.0:0\"\ntoken = \"s3cret-token\""));
        cache_server::Server::new(settings).expect("legal")
    };
    let server = started("listen");
    for server in [&server, &started("admin_listen")] {
        let error = server.handle().reload(settings("[region.more]"));
        let error = error.expect_err("it still listens there").to_string();
        assert!(error.contains("0.0.0.0:0") && error.contains("token"), "{error}");
    }
    let request = hyper::Request::get("/v1/regions/more").body(axum::body::Body::empty()).expect("legal");
    let answer = tower::ServiceExt::oneshot(server.router(), request).await.expect("infallible");
    assert_eq!(answer.status(), 401);
    server.handle().reload(settings("token = \"another\"")).expect("a token");
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let server = Running::with_entry("").await;
    let before = server.state().await;
    let own = server.address.to_string();
    let foreign = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("origin", "null")];
    for header in foreign {
        server.send("POST", "/v1/clear", &[header], "").await.problem(403);
        server.send("PUT", "/v1/entries/kept", &[header], "x").await.problem(403);
        server.send("GET", "/v1/entries/kept", &[header], "").await.expect(200);
    }
    assert_eq!(server.state().await, before);
    let origin = format!("http://{own}");
    server.send("PUT", "/v1/entries/mine", &[("host", &own), ("origin", &origin)], "x").await.expect(201);
}

#[tokio::test]
async fn a_name_that_someone_else_made_needs_a_token() {
    let open = Running::with_entry("").await;
    for host in ["evil.example", "evil.example:7400", "127.0.0.1.evil.example"] {
        open.send("GET", "/v1/entries/kept", &[("host", host)], "").await.problem(403);
    }
    for host in ["localhost", "LOCALHOST:7400", "127.0.0.1:1", "[::1]:7400"] {
        open.send("GET", "/v1/entries/kept", &[("host", host)], "").await.expect(200);
    }
    let guarded = Running::start("token = \"s3cret-token\"").await;
    let named = [("host", "cache.internal"), ("authorization", "Bearer s3cret-token")];
    guarded.send("GET", "/v1/regions", &named, "").await.expect(200);
}

const ROLES: &str = "
token = \"s3cret-token\"
[tokens.dashboard]
role = \"read\"
sha256 = \"READER\"
[tokens.service]
role = \"write\"
sha256 = \"WRITER\"
[tokens.ops]
role = \"admin\"
sha256 = \"ADMIN\"
";

#[tokio::test]
async fn a_token_is_good_for_its_role_and_no_more() {
    use sha2::{Digest, Sha256};
    let digest = |text: &str| {
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
    };
    let named = [("READER", "reader"), ("WRITER", "writer"), ("ADMIN", "admin")];
    let settings =
        named.iter().fold(ROLES.to_owned(), |text, (name, token)| text.replace(name, &digest(token)));
    let server = Running::start(&settings).await;
    let tokens = ["reader", "writer", "admin", "s3cret-token"];
    // Method, path, and the first of the tokens that is good for it.
    let cases = [
        ("GET", "/v1/regions", 0),
        ("GET", "/v1/entries/none", 0),
        ("POST", "/v1/get-many", 0),
        ("GET", "/metrics", 0),
        ("PUT", "/v1/entries/k", 1),
        ("DELETE", "/v1/tags/t", 1),
        ("DELETE", "/v1/entries?prefix=x", 1),
        ("POST", "/cache/invalidate", 1),
        ("GET", "/v1/export", 2),
        ("POST", "/v1/clear", 2),
        ("POST", "/v1/regions/token/import", 2),
        ("POST", "/api/v1/enhanced-cache/configure", 2),
        ("DELETE", "/v1/regions/report", 2),
    ];
    for (method, path, first) in cases {
        for (at, token) in tokens.iter().enumerate() {
            let header = format!("Bearer {token}");
            let answer = server.send(method, path, &[("authorization", &header)], "").await;
            if at < first {
                let detail = answer.problem(403)["detail"].to_string();
                assert!(detail.contains("for the role"), "{method} {path} {token}: {detail}");
            } else {
                assert!(![401, 403].contains(&answer.status), "{method} {path} {token}: {}", answer.text());
            }
        }
        server.send(method, path, &[("authorization", "Bearer nobody")], "").await.problem(401);
    }
}
