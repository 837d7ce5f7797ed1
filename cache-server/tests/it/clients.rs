//! What each client may: how often, by its class, and how much at once; and what is written of administrators.

use std::time::Duration;

use cache_testkit::redis::Server as Redis;
use sha2::{Digest, Sha256};

use crate::client::{Answer, Raw, soon};
use crate::server::{Running, settings};

fn digest(token: &str) -> String {
    Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// Tokens of each class, with limits that a test reaches.
fn limited(counting: &str) -> String {
    let tokens = [("reader", "read", ""), ("payer", "write", "class = \"premium\""), ("ops", "admin", "")];
    let tokens = tokens.map(|(name, role, class)| {
        format!("[tokens.{name}]\nrole = \"{role}\"\nsha256 = \"{}\"\n{class}\n", digest(name))
    });
    let numbers = "limit_anonymous = 3\nlimit_authenticated = 5\nlimit_premium = 7\nlimit_admin = 9\n";
    format!("limit = \"{counting}\"\n{numbers}{}", tokens.concat())
}

async fn by(server: &Running, token: &str, method: &str, path: &str) -> Answer {
    server.send(method, path, &[("authorization", &format!("Bearer {token}"))], "").await
}

/// How many of so many requests are let pass.
async fn admitted(server: &Running, token: &str, times: usize) -> usize {
    let mut admitted = 0;
    for _ in 0..times {
        admitted += usize::from(by(server, token, "GET", "/v1/regions").await.status != 429);
    }
    admitted
}

#[tokio::test]
async fn each_class_may_so_much_in_a_window_and_is_told_what_is_left() {
    let server = Running::start(&limited("local")).await;
    for (token, class, limit) in
        [("reader", "authenticated", 5), ("payer", "premium", 7), ("ops", "admin", 9)]
    {
        let first = by(&server, token, "GET", "/v1/regions").await.expect(200);
        assert_eq!(first.header("ratelimit-policy"), format!("\"{class}\";q={limit};w=60"));
        assert!(first.header("ratelimit").starts_with(&format!("\"{class}\";r={};t=", limit - 1)));
        assert_eq!(admitted(&server, token, 20).await, limit - 1, "{token}");
        let denied = by(&server, token, "GET", "/v1/regions").await;
        assert_eq!((denied.status, denied.header("content-type")), (429, "application/problem+json"));
        assert_eq!(denied.json()["violated-policies"][0], class);
        let wait: u64 = denied.header("retry-after").parse().expect("seconds");
        assert!((1..=61).contains(&wait), "{wait}");
        server.clock.advance(Duration::from_secs(wait));
        assert!(admitted(&server, token, 1).await == 1, "after what was said");
    }
    let scrape = by(&server, "ops", "GET", "/metrics").await.expect(200).text();
    for line in [
        "cache_limit_decisions_total{class=\"premium\",result=\"admitted\"} 8\n",
        "cache_limit_decisions_total{class=\"premium\",result=\"denied\"} 15\n",
    ] {
        assert!(scrape.contains(line), "{line}{scrape}");
    }
}

#[tokio::test]
async fn who_guesses_tokens_is_counted_by_his_address_and_probes_are_not() {
    let server = Running::start(&limited("local")).await;
    for at in 0..3 {
        by(&server, &format!("guess-{at}"), "GET", "/v1/regions").await.problem(401);
    }
    assert_eq!(by(&server, "guess", "GET", "/v1/regions").await.status, 429);
    assert_eq!(server.get("/nowhere").await.status, 429);
    // Whoever has a token is not held up by who guesses from the same address, and neither is an orchestrator.
    by(&server, "reader", "GET", "/v1/regions").await.expect(200);
    for _ in 0..20 {
        server.get("/livez").await.expect(200);
        server.get("/health").await.expect(200);
    }
}

#[tokio::test]
async fn an_address_is_the_one_that_the_trusted_proxies_tell() {
    let from = async |server: &Running, says: &str| {
        server.send("GET", "/v1/regions", &[("x-forwarded-for", says)], "").await.status
    };
    let open = "limit = \"local\"\nlimit_anonymous = 2\n";
    let none = Running::start(open).await;
    let one = Running::start(&format!("{open}trusted_hops = 1")).await;
    for at in 0..5 {
        // What a client writes himself stands left of what the proxy says, and is believed by nobody.
        let spoofed = format!("198.51.100.{at}, 203.0.113.7");
        assert_eq!(from(&none, &spoofed).await == 429, at >= 2, "{at}");
        assert_eq!(from(&one, &spoofed).await == 429, at >= 2, "{at}");
    }
    assert_eq!(from(&one, "203.0.113.8").await, 200);
    let network = ["2001:db8::1", "2001:db8::2", "2001:db8::3:4"];
    for (at, address) in network.into_iter().enumerate() {
        assert_eq!(from(&one, address).await == 429, at >= 2, "{address}");
    }
}

#[tokio::test]
async fn nobody_is_limited_unless_it_is_said_and_limits_change_while_the_server_runs() {
    let open = Running::start("").await;
    for _ in 0..70 {
        let answer = open.get("/v1/regions").await.expect(200);
        assert!(!answer.headers.contains_key("ratelimit"));
    }
    let server = Running::start(&limited("local")).await;
    assert_eq!(admitted(&server, "reader", 10).await, 5);
    let more = limited("local").replace("limit_authenticated = 5", "limit_authenticated = 8");
    assert!(server.handle.reload(settings(&more)).expect("legal").is_empty());
    assert_eq!(admitted(&server, "reader", 10).await, 3, "five of eight are used");
    // Read again unchanged, nothing is forgotten; nor where a limit is above all that there were.
    assert!(server.handle.reload(settings(&more)).expect("legal").is_empty());
    assert_eq!(admitted(&server, "reader", 10).await, 0);
    let most = limited("local").replace("limit_authenticated = 5", "limit_authenticated = 12");
    assert!(server.handle.reload(settings(&most)).expect("legal").is_empty());
    assert_eq!(admitted(&server, "reader", 20).await, 4, "eight of twelve are used");
    let off = more.replace("limit = \"local\"", "limit = \"off\"\ntrusted_hops = 2");
    assert_eq!(server.handle.reload(settings(&off)).expect("legal"), ["limit", "trusted_hops"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_over_one_redis_count_together_and_go_on_without_it() {
    let mut redis = Redis::start();
    let shared = format!("redis_url = \"redis://{}\"\n{}", redis.address(), limited("shared"));
    let (one, other) = (Running::start(&shared).await, Running::start(&shared).await);
    // Until it is connected, each server counts by itself.
    soon(async {
        while !one.get("/health").await.json()["connection_healthy"].as_bool().expect("a truth")
            || !other.get("/health").await.json()["connection_healthy"].as_bool().expect("a truth")
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let both = admitted(&one, "payer", 4).await + admitted(&other, "payer", 10).await;
    assert_eq!(both, 7);
    redis.kill();
    assert!((1..=5).contains(&admitted(&one, "reader", 10).await), "its own count stands in");
    let error = cache_server::Settings::from_toml("limit = \"shared\"").expect_err("no Redis").to_string();
    assert!(error.contains("there is none: set redis_url"), "{error}");
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_one_more_is_refused_and_counted() {
    let server = Running::start("max_connections_per_address = 2").await;
    let mut held = [server.raw().await, server.raw().await];
    for raw in &mut held {
        raw.write("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        raw.answer().await.expect(200);
    }
    let mut refused = server.raw().await;
    refused.answer().await.problem(503);
    assert_eq!(refused.rest().await, "");
    // Somebody at another address has places of his own.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.2:0".parse().expect("an address")).expect("an address of this machine");
    let mut other = Raw(soon(socket.connect(server.address)).await.expect("it listens"));
    other.write("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let scrape = other.answer().await.expect(200).text();
    assert!(scrape.contains("cache_connections_rejected_total{reason=\"address\"} 1\n"), "{scrape}");
    assert!(scrape.contains("cache_connections_rejected_total{reason=\"limit\"} 0\n"), "{scrape}");

    drop(held);
    soon(async {
        loop {
            let mut raw = server.raw().await;
            // A connection that is refused may be closed before this is written.
            let ask = "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.0, ask.as_bytes()).await;
            if raw.rest().await.ends_with("live\n") {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn one_request_too_many_is_turned_away_at_once_and_probes_are_answered() {
    let server = Running::start("max_requests = 3").await;
    let mut busy = Vec::new();
    for at in 0..3 {
        let mut raw = server.raw().await;
        let head = format!("PUT /v1/entries/{at} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n");
        raw.write(head + "content-length: 5\r\n\r\n").await;
        // It is asked for its body, so it is being answered.
        raw.answer().await.expect(100);
        busy.push(raw);
    }
    let shed = server.put("/v1/entries/more", "value").await;
    assert_eq!(shed.header("retry-after"), "1");
    assert!(shed.problem(503)["detail"].to_string().contains("too many requests"));
    server.get("/livez").await.expect(200);
    for raw in &mut busy {
        raw.write("hello").await;
        raw.answer().await.expect(201);
    }
    server.get("/v1/entries/more").await.problem(404);
    let scrape = server.get("/metrics").await.expect(200).text();
    assert!(scrape.contains("cache_http_requests_shed_total 1\n"), "{scrape}");
    assert!(scrape.contains("cache_http_requests_total{route=\"/v1/entries/{key}\",status=\"503\"} 1\n"));
}

#[tokio::test]
async fn what_administrators_do_and_are_denied_is_written_down_without_secrets() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("audit.log");
    let log = format!("audit_log = {:?}\n", path.to_str().expect("text"));
    let mut server = Running::start(&(log.clone() + &limited("local"))).await;
    by(&server, "ops", "POST", "/v1/clear").await.expect(200);
    by(&server, "ops", "DELETE", "/v1/regions/none?why=s3cret").await;
    by(&server, "ops", "GET", "/v1/entries/k").await.problem(404);
    by(&server, "payer", "POST", "/v1/clear-all").await.problem(403);
    by(&server, "guess", "POST", "/v1/clear-all").await.problem(401);
    admitted(&server, "ops", 6).await;
    assert_eq!(by(&server, "ops", "POST", "/v1/clear").await.status, 429);
    server.tell_to_stop();
    server.stopped().await;
    let mut open = Running::start(&log).await;
    open.json("PUT", "/v1/regions/brief", serde_json::json!({})).await.expect(201);
    open.put("/v1/entries/k", "value").await.expect(201);
    open.tell_to_stop();
    open.stopped().await;

    let text = std::fs::read_to_string(&path).expect("a log");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("an object per line")).collect();
    let shown = |line: &serde_json::Value| {
        let word = |name: &str| line[name].as_str().expect("text").to_owned();
        let status = line["status"].as_u64().unwrap_or(0);
        format!(
            "{} {} as {}: {} by {} {status}",
            word("who"),
            word("what"),
            word("class"),
            word("decision"),
            word("by")
        )
    };
    assert_eq!(
        lines.iter().map(shown).collect::<Vec<_>>(),
        [
            "ops POST /v1/clear as admin: allowed by role 200",
            "ops DELETE /v1/regions/none as admin: allowed by role 400",
            "payer POST /v1/clear-all as premium: denied by role 403",
            "ops POST /v1/clear as admin: wait by local 0",
            "127.0.0.1 PUT /v1/regions/brief as anonymous: allowed by no token is set 201",
        ]
    );
    assert!(lines.iter().all(|line| line["at_ms"].as_u64() > Some(0)) && !text.contains("s3cret"), "{text}");

    let nowhere = folder.path().join("none").join("audit.log");
    let wrong = settings(&format!("audit_log = {:?}", nowhere.to_str().expect("text")));
    let error = cache_server::Server::new(wrong).expect_err("no such folder").to_string();
    assert!(error.starts_with("audit_log = ") && error.contains("cannot be written"), "{error}");
}
