//! Tiers below memory: servers that share a Redis, and a folder that survives them.

use std::net::SocketAddr;

use cache_testkit::redis::{Server as Redis, Setup};
use serde_json::json;

use crate::client::soon;
use crate::server::Running;

fn over(address: SocketAddr) -> String {
    format!("redis_url = \"redis://{address}\"")
}

/// Asks until the answer is what it has to become.
async fn until(server: &Running, path: &str, is_so: impl Fn(&crate::client::Answer) -> bool) {
    soon(async {
        while !is_so(&server.get(path).await) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_over_one_redis_are_one_cache() {
    let redis = Redis::start();
    let (one, other) =
        (Running::start(&over(redis.address())).await, Running::start(&over(redis.address())).await);
    let body = json!({"name": "Ada"}).to_string();
    let json = [("content-type", "application/json")];
    one.send("PUT", "/v1/entries/user:7?tags=team&ttl=1h", &json, body.clone()).await.expect(201);
    let found = other.get("/v1/entries/user:7").await.expect(200);
    assert_eq!((found.text(), found.header("content-type")), (body, "application/json"));
    assert_eq!(found.header("etag"), one.get("/v1/entries/user:7").await.header("etag"));

    // It is in the memory of both now: what one changes, the other hears of.
    one.put("/v1/entries/user:7?tags=team", "new").await.expect(204);
    until(&other, "/v1/entries/user:7", |answer| answer.text() == "new").await;
    other.delete("/v1/tags/team").await.expect(200);
    until(&one, "/v1/entries/user:7", |answer| answer.status == 404).await;

    one.put("/v1/regions/token/entries/t", "secret").await.expect(201);
    other.send("HEAD", "/v1/regions/token/entries/t", &[], "").await.expect(200);
    let many = other.json("POST", "/v1/regions/token/get-many", json!({"keys": ["t", "none"]})).await;
    assert_eq!(many.json()["missing"], json!(["none"]));
    other.get("/v1/regions/report/entries/t").await.problem(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_with_one_secret_hear_each_other_and_nobody_else() {
    let redis = Redis::start();
    let settings = format!("{}\nbus_secret = {:?}", over(redis.address()), "5e".repeat(32));
    let (one, other) = (Running::start(&settings).await, Running::start(&settings).await);
    one.put("/v1/entries/k", "old").await.expect(201);
    assert_eq!(other.get("/v1/entries/k").await.expect(200).text(), "old");
    one.put("/v1/entries/k", "new").await.expect(204);
    until(&other, "/v1/entries/k", |answer| answer.text() == "new").await;

    let figure = |scrape: String, result: &str| {
        let series = format!("cache_bus_messages_total{{result=\"{result}\"}} ");
        scrape
            .lines()
            .find_map(|line| line.strip_prefix(&series))
            .expect("it is there")
            .parse::<u64>()
            .expect("a number")
    };
    assert_eq!(figure(other.get("/metrics").await.text(), "forged"), 0);
    let whole = "cache_bus_doubts_total{why=\"unreadable\"} 0";
    let stranger = Running::start(&over(redis.address())).await;
    stranger.put("/v1/entries/mine", "x").await.expect(201);
    until(&other, "/metrics", |answer| figure(answer.text(), "forged") > 1).await;
    assert!(other.get("/metrics").await.text().contains(whole), "a stranger is no doubt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_away_is_no_error_and_is_told_when_it_is_back() {
    let mut redis = Redis::start();
    let server = Running::start(&over(redis.address())).await;
    server.put("/v1/entries/kept", "value").await.expect(201);
    let health = server.get("/health").await.expect(200).json();
    assert_eq!(
        (&health["status"], &health["fallback_enabled"]),
        (&json!("healthy"), &json!(true)),
        "{health}"
    );

    redis.kill();
    server.put("/v1/entries/written", "meanwhile").await.expect(201);
    until(&server, "/v1/entries/kept", |answer| answer.header("x-cache") == "stale").await;
    let kept = server.get("/v1/entries/kept").await.expect(200);
    assert_eq!((kept.text(), kept.header("cache-control")), ("value".to_owned(), "max-age=0"));
    server.get("/v1/entries/none").await.problem(404);
    until(&server, "/health", |answer| {
        let health = answer.json();
        let reasons = health["reasons"].to_string();
        health["status"] == "degraded" && health["connection_healthy"] == false && reasons.contains("redis")
    })
    .await;
    server.get("/readyz").await.expect(200);

    // The breaker opens after some failures, and a tier that is owed something is noticed before that.
    until(&server, "/metrics", |answer| {
        let scrape = answer.text();
        let figure =
            |series: &str| scrape.lines().find_map(|line| line.strip_prefix(series)).map(str::to_owned);
        let breaker = figure("cache_breaker_state{region=\"default\",tier=\"redis\"} ");
        let failed = figure("cache_redis_connections_total{result=\"failed\"} ");
        [breaker, failed].iter().all(|figure| figure.as_ref().is_some_and(|figure| figure != "0"))
    })
    .await;

    redis.restart();
    until(&server, "/health", |answer| answer.json()["status"] == "healthy").await;
    server.put("/v1/entries/after", "back").await.expect(201);
    let other = Running::start(&over(redis.address())).await;
    assert_eq!(other.get("/v1/entries/after").await.expect(200).text(), "back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_starts_and_serves_without_its_redis() {
    let mut redis = Redis::start();
    let address = redis.address();
    redis.kill();
    let server = Running::start(&over(address)).await;
    server.put("/v1/entries/k", "v").await.expect(201);
    assert_eq!(server.get("/v1/entries/k").await.expect(200).text(), "v");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_folder_survives_the_server() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = format!("dir = {:?}\nenable_compression = true", folder.path().display().to_string());
    let mut server = Running::start(&settings).await;
    let text = "again and again ".repeat(1000);
    server.put("/v1/entries/k?ttl=1h&tags=t", text.clone()).await.expect(201);
    server.put("/v1/entries/removed", "x").await.expect(201);
    server.delete("/v1/entries/removed").await.expect(200);
    server.tell_to_stop();
    server.stopped().await;

    let server = Running::start(&settings).await;
    assert_eq!(server.get("/v1/entries/k").await.expect(200).text(), text);
    server.get("/v1/entries/removed").await.problem(404);
    assert_eq!(server.delete("/v1/tags/t").await.expect(200).json()["removed"], 1);
    server.get("/v1/entries/k").await.problem(404);
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_told_before_anything_is_written_and_used_when_it_can() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("file").join("below");
    std::fs::write(folder.path().join("file"), "in its way").expect("room");
    let server = Running::start(&format!("dir = {:?}", path.display().to_string())).await;
    let health = server.get("/health").await.expect(200).json();
    assert_eq!(
        (&health["status"], &health["reasons"][0]),
        (&json!("degraded"), &json!("the folder cannot be used"))
    );
    std::fs::remove_file(folder.path().join("file")).expect("it is there");
    server.put("/v1/entries/k", "v").await.expect(201);
    soon(async {
        while server.get("/health").await.json()["status"] != "healthy" {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_folder_that_another_server_has_is_refused_with_its_path() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let toml = format!("dir = {:?}", folder.path().display().to_string());
    let _first = Running::start(&toml).await;
    let second = cache_server::Server::new(crate::server::settings(&toml));
    let error = second.expect_err("one folder, one server").to_string();
    assert!(error.contains(&folder.path().display().to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_with_tls_is_used_if_somebody_vouches_for_it_and_not_otherwise() {
    let redis = Redis::with(&Setup::new().with_tls());
    let authority = redis.authority().expect("it has TLS");
    let url = format!("redis_url = \"rediss://localhost:{}\"\n", redis.tls_port().expect("it has TLS"));
    let trusting =
        |authority: &std::path::Path| format!("{url}redis_ca_file = {:?}", authority.to_str().expect("text"));
    let (sealed, plain) =
        (Running::start(&trusting(&authority)).await, Running::start(&over(redis.address())).await);
    until(&sealed, "/health", |answer| answer.json()["connection_healthy"] == true).await;
    sealed.put("/v1/entries/k", "value").await.expect(201);
    until(&plain, "/v1/entries/k", |answer| answer.text() == "value").await;

    // Somebody else vouches for nobody here: what is written stays in memory.
    let others = cache_testkit::tls::Certificates::new();
    let wary = Running::start(&trusting(&others.authority())).await;
    wary.put("/v1/entries/own", "value").await.expect(201);
    until(&wary, "/health", |answer| answer.json()["connection_healthy"] == false).await;
    wary.get("/v1/entries/k").await.problem(404);
    plain.get("/v1/entries/own").await.problem(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_are_stored_in_their_order_where_they_share_a_key() {
    let redis = Redis::start();
    let (one, other) =
        (Running::start(&over(redis.address())).await, Running::start(&over(redis.address())).await);
    for round in 0..10 {
        let entry = |at: u32| json!({"key": format!("key:{round}:{}", at % 50), "value": at, "ttl": 600});
        let entries: Vec<_> = (0..300).map(entry).collect();
        let answer = one.json("POST", "/v1/set-many", json!({ "entries": entries })).await.expect(200);
        assert_eq!(answer.json(), json!({"stored": 300}));
        for at in 0..50_u32 {
            let path = format!("/v1/entries/key:{round}:{at}");
            assert_eq!(other.get(&path).await.expect(200).text(), (250 + at).to_string(), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_compression_saves_is_told_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = format!("dir = {:?}", folder.path().display().to_string());
    let figures = async |server: &Running| {
        let stats = server.get("/api/v1/enhanced-cache/stats").await.expect(200).json();
        let memory = server.get("/api/v1/enhanced-cache/memory").await.expect(200).json();
        (
            stats["compression_ratio"].as_f64().expect("a ratio"),
            memory["compression_savings_bytes"].as_u64().expect("bytes"),
        )
    };
    let server = Running::start(&format!("{dir}\nenable_compression = true")).await;
    let nothing_yet = figures(&server).await;
    assert!((nothing_yet.0 - 1.0).abs() < 1e-9 && nothing_yet.1 == 0, "{nothing_yet:?}");
    let text = "the same words again and again. ".repeat(1000);
    server.put("/v1/entries/a", text.clone()).await.expect(201);
    server.put("/v1/regions/token/entries/b", text.clone()).await.expect(201);
    let (ratio, saved) = figures(&server).await;
    let raw = 2 * text.len() as u64;
    assert!(ratio < 0.05 && saved > raw * 9 / 10 && saved < raw + 200, "{ratio} {saved} of {raw}");
    server.tell_and_wait().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_while_it_stops_is_in_every_tier_after_a_stop() {
    // Writes that are answered while the server is told to stop: each that was acknowledged is there after a restart.
    let folder = tempfile::tempdir().expect("a folder");
    let settings = format!("dir = {:?}", folder.path().display().to_string());
    let mut server = Running::start(&settings).await;
    let address = server.address;
    let writers = (0..4).map(|writer| {
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0..500 {
                let key = format!("{writer}-{number}");
                let request = hyper::Request::put(format!("/v1/entries/{key}"));
                let request = request.body(http_body_util::Full::from(key.clone())).expect("legal");
                // Whoever comes too late is refused, or finds nobody.
                let Some(answer) = crate::client::try_send(address, request).await else { break };
                if answer.status == 201 {
                    acknowledged.push(key);
                }
            }
            acknowledged
        })
    });
    let writers: Vec<_> = writers.collect();
    until(&server, "/v1/entries/0-20", |answer| answer.status == 200).await;
    server.tell_to_stop();
    server.stopped().await;
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.expect("no panic"));
    }
    let again = Running::start(&settings).await;
    for key in &acknowledged {
        assert_eq!(again.get(&format!("/v1/entries/{key}")).await.expect(200).text(), *key);
    }
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
}
