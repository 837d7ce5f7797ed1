//! One entry over HTTP: what is stored comes back as it was, for as long as was said.

use std::time::Duration;

use serde_json::json;

use crate::server::Running;

#[tokio::test]
async fn bytes_come_back_as_they_were_until_their_time_is_over() {
    let server = Running::start("").await;
    let bytes: Vec<u8> = (0..=255).collect();
    let put =
        server.send("PUT", "/v1/entries/k?ttl=90", &[("content-type", "image/x-own")], bytes.clone()).await;
    assert_eq!(put.expect(201).json(), json!({"result": "stored"}));

    server.clock.advance(Duration::from_millis(29_500));
    let got = server.get("/v1/entries/k").await.expect(200);
    assert_eq!(got.body, bytes);
    assert_eq!(got.header("content-type"), "image/x-own");
    assert_eq!(got.header("cache-control"), "max-age=60");
    assert_eq!(got.header("x-cache"), "hit");
    assert_eq!(server.get("/v1/entries/k/ttl").await.expect(200).json(), json!({"ttl_seconds": 60.5}));

    server.clock.advance(Duration::from_millis(60_500));
    let gone = server.get("/v1/entries/k").await;
    gone.problem(404);
    assert_eq!(gone.header("x-cache"), "miss");
}

#[tokio::test]
async fn a_put_says_what_became_of_it() {
    let server = Running::start("").await;
    assert_eq!(server.put("/v1/entries/k", "1").await.expect(201).header("x-cache"), "stored");
    assert_eq!(server.put("/v1/entries/k", "2").await.expect(204).header("x-cache"), "replaced");
    assert_eq!(server.get("/v1/entries/k").await.text(), "2");
    assert_eq!(server.put("/v1/entries/k?ttl=0", "3").await.expect(204).header("x-cache"), "expired");
    server.get("/v1/entries/k").await.problem(404);
}

#[tokio::test]
async fn an_empty_body_and_no_content_type_are_a_value() {
    let server = Running::start("").await;
    server.send("PUT", "/v1/entries/k", &[], "").await.expect(201);
    let got = server.get("/v1/entries/k").await.expect(200);
    assert_eq!((got.text().as_str(), got.header("content-type")), ("", "application/octet-stream"));
}

#[tokio::test]
async fn lifetimes_are_seconds_units_presets_or_for_ever() {
    let server = Running::start("[ttl]\ntick = \"250ms\"").await;
    let cases = [
        ("?ttl=5", json!(5.0)),
        ("?ttl=1h30m", json!(5400.0)),
        ("?ttl=hot", json!(300.0)),
        ("?ttl=tick", json!(0.25)),
        ("?ttl=forever", json!(null)),
        ("", json!(null)),
    ];
    for (query, expected) in cases {
        server.put(&format!("/v1/entries/k{query}"), "v").await;
        let ttl = server.get("/v1/entries/k/ttl").await.expect(200).json();
        assert_eq!(ttl["ttl_seconds"], expected, "{query}");
        let finite = server.get("/v1/entries/k").await.header("cache-control").starts_with("max-age=");
        assert_eq!(finite, !expected.is_null(), "{query}");
    }
}

#[tokio::test]
async fn head_is_get_without_a_body_and_not_counted() {
    let server = Running::start("").await;
    server.put("/v1/entries/k?ttl=60", "12345").await.expect(201);
    let head = server.send("HEAD", "/v1/entries/k", &[], "").await.expect(200);
    let get = server.get("/v1/entries/k").await.expect(200);
    assert_eq!((head.body.len(), get.body.len()), (0, 5));
    for name in ["content-type", "content-length", "cache-control", "x-cache", "x-content-type-options"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    let missing = server.send("HEAD", "/v1/entries/none", &[], "").await.expect(404);
    assert_eq!((missing.header("x-cache"), missing.body.len()), ("miss", 0));
    let stats = server.get("/v1/regions/default").await.json()["stats"].clone();
    assert_eq!((&stats["hits"], &stats["misses"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn a_new_life_a_look_and_an_end() {
    let server = Running::start("").await;
    server.put("/v1/entries/k?ttl=5", "v").await.expect(201);
    server.json("PATCH", "/v1/entries/k", json!({"ttl": "1m"})).await.expect(204);
    server.clock.advance(Duration::from_secs(59));
    assert_eq!(server.get("/v1/entries/k/exists").await.json(), json!({"exists": true}));
    server.json("PATCH", "/v1/entries/k", json!({"ttl": 0.5})).await.expect(204);
    assert_eq!(server.get("/v1/entries/k/ttl").await.json(), json!({"ttl_seconds": 0.5}));

    assert_eq!(server.delete("/v1/entries/k").await.expect(200).json(), json!({"removed": 1}));
    assert_eq!(server.delete("/v1/entries/k").await.expect(200).json(), json!({"removed": 0}));
    assert_eq!(server.get("/v1/entries/k/exists").await.json(), json!({"exists": false}));
    server.get("/v1/entries/k/ttl").await.problem(404);
    server.json("PATCH", "/v1/entries/k", json!({"ttl": 5})).await.problem(404);
}

#[tokio::test]
async fn keys_of_any_text_come_back_and_bytes_that_are_no_text_are_refused() {
    let server = Running::with_entry("").await;
    let kilobyte = "%E6%9D%B1".repeat(341);
    let kept = ["..%2F..%2Fetc%2Fpasswd", "a%2Fb%3Fc%23d%25", "%2e%2e", "user:42", "a%20b", &kilobyte];
    for key in kept {
        let path = format!("/v1/entries/{key}");
        server.put(&path, key.to_owned()).await.expect(201);
        assert_eq!(server.get(&path).await.expect(200).text(), key);
        assert_eq!(server.get(&format!("{path}/exists")).await.json(), json!({"exists": true}));
        server.delete(&path).await.expect(200);
    }
    let before = server.state().await;
    for key in ["%00", "%ff%fe", "a%0Ab", "%1b[31m", &"x".repeat(1025)] {
        let path = format!("/v1/entries/{key}");
        server.put(&path, "v").await.problem(400);
        server.get(&path).await.problem(400);
    }
    assert_eq!(server.state().await, before);
}

#[tokio::test]
async fn a_value_that_is_too_large_for_its_region_changes_nothing() {
    let server = Running::start("[region.small]\nmax_bytes = 1000").await;
    let path = "/v1/regions/small/entries/k";
    server.put(path, "old").await.expect(201);
    let refused = server.put(path, vec![0; 1000]).await.problem(413);
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("1000 bytes")), "{refused}");
    assert_eq!(server.get(path).await.expect(200).text(), "old");
    assert_eq!(server.get("/v1/regions/small").await.json()["stats"]["too_large"], 1);
}

#[tokio::test]
async fn the_routes_of_a_region_are_the_routes_of_the_default_one() {
    let server = Running::start("").await;
    server.put("/v1/regions/token/entries/k", "token").await.expect(201);
    server.put("/v1/entries/k", "default").await.expect(201);
    assert_eq!(server.get("/v1/regions/token/entries/k").await.text(), "token");
    assert_eq!(server.get("/v1/regions/default/entries/k").await.text(), "default");
    assert_eq!(server.get("/v1/regions/token/entries/k/ttl").await.json(), json!({"ttl_seconds": 3600.0}));
    server.delete("/v1/regions/token/entries/k").await.expect(200);
    assert_eq!(server.get("/v1/entries/k").await.text(), "default");
}
