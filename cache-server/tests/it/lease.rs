//! Leases: of many clients that miss a key one makes its value, and what it makes is stored only if it is still right.

use std::sync::Arc;
use std::time::Duration;

use cache_testkit::redis::Server as Redis;
use futures_util::future::{Either, join_all};
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::client::send;
use crate::prefixes::prefixes;
use crate::server::Running;

const CLIENTS: usize = 100;
const MSGPACK: &str = "application/msgpack";

async fn lease(server: &Running, key: &str, body: Value) -> Value {
    server.json("POST", &format!("/v1/entries/{key}/lease"), body).await.expect(200).json()
}

/// The lease that is won for sure.
async fn won(server: &Running, key: &str) -> String {
    let answer = lease(server, key, json!({})).await;
    assert_eq!((&answer["result"], &answer["lease_seconds"]), (&json!("won"), &json!(10.0)), "{answer}");
    answer["lease"].as_str().expect("a lease").to_owned()
}

async fn put(server: &Running, (key, lease): (&str, &str), value: &'static str) -> u16 {
    server.put(&format!("/v1/entries/{key}?lease={lease}&ttl=1h&tags=t"), value).await.status
}

/// So many clients ask for one key, each over a connection of its own, and whoever wins makes the value. What they have in the end.
async fn crowd(servers: &[Arc<Running>], key: &'static str, wait: &'static str) -> Vec<Value> {
    let client = |at: usize| {
        let server = Arc::clone(&servers[at % servers.len()]);
        tokio::spawn(async move {
            let answer = lease(&server, key, json!({"ttl": "30s", "wait": wait})).await;
            if answer["result"] == "won" {
                // Long enough for all others to have asked.
                for _ in 0..1000 {
                    tokio::task::yield_now().await;
                }
                let lease = answer["lease"].as_str().expect("a lease");
                let status = put(&server, (key, lease), "made").await;
                assert!([201, 204].contains(&status), "{status}");
            }
            answer
        })
    };
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    join_all(clients).await.into_iter().map(|client| client.expect("no panic")).collect()
}

/// Over this Redis, however long it takes to answer: after its time a server gives leases by itself.
fn patient(redis: &Redis) -> String {
    let address = redis.address();
    format!("redis_url = \"redis://{address}\"\nredis_timeout = \"10s\"\nredis_pool_timeout = \"10s\"")
}

#[track_caller]
fn count(answers: &[Value], result: &str) -> usize {
    answers.iter().filter(|answer| answer["result"] == result).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_clients_one_makes_the_value_and_the_others_wait_for_it() {
    let server = Arc::new(Running::start("").await);
    let answers = crowd(&[Arc::clone(&server)], "k", "20s").await;
    assert_eq!((count(&answers, "won"), count(&answers, "hit")), (1, CLIENTS - 1));
    // However long it waits, a client is one read, and of the region as of its prefix.
    let reads: u64 = prefixes(&server).await.iter().map(|(_, hits, misses)| hits + misses).sum();
    assert_eq!(reads, CLIENTS as u64);
    for answer in answers.iter().filter(|answer| answer["result"] == "hit") {
        assert_eq!((&answer["base64"], &answer["content_type"]), (&json!("bWFkZQ=="), &json!("text/plain")));
    }
    assert_eq!(server.get("/v1/entries/k").await.expect(200).text(), "made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_clients_that_find_something_stale_one_makes_it_again_and_nobody_waits() {
    let server = Arc::new(Running::start("").await);
    server.put("/v1/entries/k?ttl=10s&stale=1h", "old").await.expect(201);
    server.clock.advance(Duration::from_secs(11));
    let ask = |_| {
        let server = Arc::clone(&server);
        tokio::spawn(async move { lease(&server, "k", json!({"wait": "20s"})).await })
    };
    let answers = join_all((0..CLIENTS).map(ask)).await;
    let answers: Vec<Value> = answers.into_iter().map(|answer| answer.expect("no panic")).collect();
    assert_eq!((count(&answers, "won"), count(&answers, "held")), (1, CLIENTS - 1));
    for answer in &answers {
        assert_eq!((&answer["state"], &answer["base64"]), (&json!("stale"), &json!("b2xk")), "{answer}");
        assert_eq!(answer["result"] == "held", answer["retry_after_seconds"] == 0.1, "{answer}");
        assert_eq!(answer["result"] == "won", answer["lease"].is_string());
    }
    let lease = answers.iter().find_map(|answer| answer["lease"].as_str()).expect("one has won");
    assert_eq!(put(&server, ("k", lease), "new").await, 204);
    assert_eq!(server.get("/v1/entries/k").await.expect(200).header("x-cache"), "hit");
}

#[tokio::test]
async fn what_was_overtaken_is_not_stored_and_the_next_one_wins() {
    let server = Running::start("").await;
    let lease = won(&server, "k").await;
    server.delete("/v1/entries/k").await.expect(200);
    assert_eq!(put(&server, ("k", &lease), "removed since").await, 412);
    server.get("/v1/entries/k").await.problem(404);

    let lease = won(&server, "k").await;
    server.delete("/v1/tags/t").await.expect(200);
    assert_eq!(put(&server, ("k", &lease), "its tag was removed since").await, 412);

    let lease = won(&server, "k").await;
    server.send("POST", "/v1/clear", &[], "").await.expect(200);
    assert_eq!(put(&server, ("k", &lease), "emptied since").await, 412);

    let lease = won(&server, "k").await;
    server.put("/v1/entries/k", "newer").await.expect(201);
    assert_eq!(put(&server, ("k", &lease), "older").await, 412);
    assert_eq!(server.get("/v1/entries/k").await.expect(200).text(), "newer");
    // Whoever asks now has that.
    assert_eq!(self::lease(&server, "k", json!({})).await["result"], "hit");
}

#[tokio::test]
async fn the_removal_of_a_group_refuses_the_leases_of_what_is_in_it_and_no_others() {
    let redis = Redis::start();
    // In memory so many that each stripe of the tags has some of them.
    for (settings, tags) in [(String::new(), 1000), (patient(&redis), 50)] {
        let server = Running::start(&settings).await;
        let mut leases = Vec::new();
        for key in ["a:1", "a:2", "b:1", "b:2"] {
            let answer = lease(&server, key, json!({"ttl": "1m"})).await;
            leases.push((key, answer["lease"].as_str().expect("won").to_owned()));
        }
        server.delete("/v1/keys?pattern=a:*").await.expect(200);
        for at in 0..tags {
            server.delete(&format!("/v1/tags/other{at}")).await.expect(200);
        }
        for (key, lease) in &leases {
            let status = put(&server, (key, lease), "made").await;
            assert_eq!(status, if key.starts_with('a') { 412 } else { 201 }, "{key}");
        }
    }
}

#[tokio::test]
async fn a_lease_ends_by_itself_or_by_being_given_back_and_is_good_for_nothing_then() {
    let server = Running::start("").await;
    let dead = won(&server, "k").await;
    let held = lease(&server, "k", json!({})).await;
    assert_eq!(held, json!({"result": "held", "retry_after_seconds": 0.1}));
    server.clock.advance(Duration::from_secs(11));
    let next = won(&server, "k").await;
    assert_eq!(put(&server, ("k", &dead), "late").await, 412);
    server.get("/v1/entries/k").await.problem(404);
    let release = async |key: &str, lease: &str| {
        let path = format!("/v1/entries/{key}/lease?lease={lease}");
        server.delete(&path).await.expect(200).json()["released"] == true
    };
    assert!(!release("k", &dead).await, "it is another's now");
    assert!(!release("other", &next).await);
    assert!(release("k", &next).await && !release("k", &next).await);
    let last = won(&server, "k").await;
    assert_eq!(put(&server, ("k", &next), "given back").await, 412);
    assert_eq!(put(&server, ("other", &last), "of another key").await, 412);
    assert_eq!(put(&server, ("k", &last), "in time").await, 201);
    assert_eq!(put(&server, ("k", &last), "a second time").await, 412);
    assert_eq!(server.get("/v1/entries/k").await.expect(200).text(), "in time");
}

/// Has a client wait for longer than any test lasts, and comes back when it does.
async fn waits(server: &Running) -> JoinHandle<Value> {
    let before = misses(server).await;
    let request = Request::post("/v1/entries/k/lease").header("content-type", "application/json");
    let request = request.body(Full::from(r#"{"wait": "30s"}"#)).expect("a legal request");
    let asked = send(server.address, request);
    let waits = tokio::spawn(async move { asked.await.expect(200).json() });
    while misses(server).await == before {
        tokio::task::yield_now().await;
    }
    waits
}

async fn misses(server: &Running) -> u64 {
    prefixes(server).await.iter().map(|(_, _, misses)| misses).sum()
}

#[tokio::test]
async fn a_client_that_waits_has_the_value_that_comes_another_way_and_the_lease_that_is_given_back() {
    let server = Running::start("").await;
    let first = won(&server, "k").await;
    let (one, two) = (waits(&server).await, waits(&server).await);
    server.delete(&format!("/v1/entries/k/lease?lease={first}")).await.expect(200);
    let (winner, other) = match futures_util::future::select(one, two).await {
        Either::Left(answers) | Either::Right(answers) => answers,
    };
    assert_eq!(winner.expect("no panic")["result"], "won");
    server.put("/v1/entries/k", "another way").await.expect(201);
    let answer = other.await.expect("no panic");
    assert_eq!((&answer["result"], &answer["base64"]), (&json!("hit"), &json!("YW5vdGhlciB3YXk=")));
    assert_eq!(misses(&server).await, 3, "one for each client");
}

#[tokio::test]
async fn nobody_waits_at_a_server_that_is_about_to_end() {
    let mut server = Running::start("").await;
    won(&server, "k").await;
    let waits = waits(&server).await;
    server.tell_to_stop();
    assert_eq!(waits.await.expect("no panic")["result"], "held");
}

#[tokio::test]
async fn what_is_no_lease_and_what_no_lease_can_be_is_refused() {
    let server = Running::with_entry("").await;
    let before = server.state().await;
    for no_lease in ["", "abc", &"a".repeat(63), &"%2B".repeat(64), &"a".repeat(4097)] {
        let path = format!("/v1/entries/kept?lease={no_lease}");
        assert_eq!(server.put(&path, "x").await.problem(400)["field"], "lease", "{no_lease}");
        let path = format!("/v1/entries/kept/lease?lease={no_lease}");
        assert_eq!(server.delete(&path).await.problem(400)["field"], "lease", "{no_lease}");
    }
    for never_given in ["a".repeat(64), "a".repeat(65), "_".repeat(4096)] {
        assert_eq!(put(&server, ("kept", &never_given), "x").await, 412);
    }
    for (body, field) in [
        (json!({"ttl": 0}), "ttl"),
        (json!({"ttl": "61s"}), "ttl"),
        (json!({"ttl": "forever"}), "ttl"),
        (json!({"wait": "31s"}), "wait"),
        (json!({"wait": -1}), "wait"),
    ] {
        let problem = server.json("POST", "/v1/entries/kept/lease", body).await.problem(400);
        assert_eq!(problem["field"], field);
    }
    assert_eq!(server.state().await, before);
    server.json("POST", "/v1/regions/none/entries/k/lease", json!({})).await.problem(404);
}

#[tokio::test]
async fn a_value_of_any_bytes_comes_with_the_answer() {
    let server = Running::start("").await;
    server.send("PUT", "/v1/entries/k", &[("content-type", "image/png")], vec![0, 255]).await.expect(201);
    let answer = server.send("POST", "/v1/entries/k/lease", &[("accept", MSGPACK)], "").await.expect(200);
    let bytes = [&[0xa5][..], b"bytes", &[0xc4, 2, 0, 255]].concat();
    assert!(answer.body.windows(bytes.len()).any(|window| window == bytes), "{:?}", answer.body);
    let miss = server.send("POST", "/v1/entries/none/lease", &[("accept", MSGPACK)], "").await.expect(200);
    let miss: Value = rmp_serde::from_slice(&miss.body).expect("MessagePack");
    assert_eq!(miss["result"], "won");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_one_redis_one_client_of_all_servers_wins_and_what_another_server_has_removed_stays_so() {
    let redis = Redis::start();
    let settings = patient(&redis);
    let one = Arc::new(Running::start(&settings).await);
    let other = Arc::new(Running::start(&settings).await);
    let answers = crowd(&[Arc::clone(&one), Arc::clone(&other)], "crowd", "20s").await;
    assert_eq!((count(&answers, "won"), count(&answers, "hit")), (1, CLIENTS - 1));

    for round in 0..10 {
        let key = format!("removed-{round}");
        let lease = won(&one, &key).await;
        assert_eq!(self::lease(&other, &key, json!({})).await["result"], "held");
        other.delete(&format!("/v1/entries/{key}")).await.expect(200);
        // It may not have heard of it yet.
        assert_eq!(put(&one, (&key, &lease), "older").await, 412);
        for server in [&one, &other] {
            server.get(&format!("/v1/entries/{key}")).await.problem(404);
        }
        let lease = won(&other, &key).await;
        assert_eq!(put(&one, (&key, &lease), "of another server").await, 412);
        assert_eq!(put(&other, (&key, &lease), "newer").await, 201);
        assert_eq!(one.get(&format!("/v1/entries/{key}")).await.expect(200).text(), "newer");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_winner_dies_with_its_server_the_lease_passes_on_after_its_end() {
    let mut redis = Redis::start();
    let settings = patient(&redis);
    let (one, other) = (Running::start(&settings).await, Running::start(&settings).await);
    assert_eq!(lease(&one, "k", json!({"ttl": "300ms"})).await["result"], "won");
    one.tell_and_wait().await;
    let answer = lease(&other, "k", json!({"wait": "30s"})).await;
    assert_eq!(answer["result"], "won");
    assert_eq!(put(&other, ("k", answer["lease"].as_str().expect("a lease")), "made").await, 201);

    // Without Redis each server gives leases by itself.
    redis.kill();
    let lease = won(&other, "alone").await;
    assert_eq!(self::lease(&other, "alone", json!({})).await["result"], "held");
    assert_eq!(put(&other, ("alone", &lease), "made").await, 201);
}
