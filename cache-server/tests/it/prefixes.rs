//! Reads by what their keys begin with: exact, bounded, and together all reads there are.

use std::time::Duration;

use serde_json::{Value, json};

use crate::server::Running;

/// What is said of the region `default`.
async fn region(server: &Running) -> Value {
    let report = server.get("/v1/stats").await.expect(200).json();
    let regions = report["stats"]["regions"].as_array().expect("a list");
    regions.iter().find(|region| region["name"] == "default").expect("the region").clone()
}

/// Prefixes with their hits and misses, in the order in which they are told. Together they are what the region counts, whatever was asked.
pub(crate) async fn prefixes(server: &Running) -> Vec<(Option<String>, u64, u64)> {
    let region = region(server).await;
    let number = |of: &Value, name: &str| of[name].as_u64().expect("a number");
    let rows: Vec<_> = region["prefixes"].as_array().expect("a list").iter().collect();
    for count in ["hits", "misses"] {
        let sum: u64 = rows.iter().map(|row| number(row, count)).sum();
        assert_eq!(sum, number(&region["stats"], count), "{count}: {region}");
    }
    let of = |row: &&Value| {
        (row["prefix"].as_str().map(str::to_owned), number(row, "hits"), number(row, "misses"))
    };
    rows.iter().map(of).collect()
}

fn row(prefix: &str, hits: u64, misses: u64) -> (Option<String>, u64, u64) {
    (Some(prefix.to_owned()), hits, misses)
}

#[tokio::test]
async fn every_way_to_read_is_counted_under_its_prefix_and_together_they_are_all_reads() {
    let server = Running::start("").await;
    assert_eq!(prefixes(&server).await, []);
    for key in ["user:1", "user:2", "order:1", "plain"] {
        server.put(&format!("/v1/entries/{key}"), "v").await.expect(201);
    }
    server.get("/v1/entries/user:1").await.expect(200);
    server.get("/v1/entries/user%3A2").await.expect(200);
    server.get("/v1/regions/default/entries/order:none").await.problem(404);
    server.send("GET", "/v1/entries/plain", &[("if-none-match", "\"other\"")], "").await.expect(200);
    let keys = json!({"keys": ["user:1", "user:none", "order:1", "user:1"]});
    server.json("POST", "/v1/get-many", keys).await.expect(200);
    server.get("/api/v1/enhanced-cache/get/user:2").await.expect(200);
    // None of these is a read.
    server.send("HEAD", "/v1/entries/user:1", &[], "").await.expect(200);
    server.get("/v1/entries/user:1/ttl").await.expect(200);
    server.send("PUT", "/v1/entries/user:1", &[("if-none-match", "*")], "new").await.problem(412);
    server.get("/v1/entries/user:1/exists").await.expect(200);
    server.get("/v1/regions/token/entries/user:1").await.problem(404);
    let expected = [row("user:", 4, 1), row("order:", 1, 1), row("", 1, 0)];
    assert_eq!(prefixes(&server).await, expected);
    assert_eq!(region(&server).await["prefixes"][0]["hit_ratio"], 0.8);
}

#[tokio::test]
async fn of_a_hundred_thousand_prefixes_64_have_counts_of_their_own_and_no_read_is_lost() {
    let server = Running::start("body_limit_bytes = 4_194_304").await;
    let read = async |keys: Vec<String>| {
        server.json("POST", "/v1/get-many", json!({ "keys": keys })).await.expect(200);
    };
    server.put("/v1/entries/0:k", "v").await.expect(201);
    server.put("/v1/entries/99999:k", "v").await.expect(201);
    for chunk in 0..10 {
        read((0..10_000).map(|at| format!("{}:k", chunk * 10_000 + at)).collect()).await;
    }
    let before = prefixes(&server).await;
    assert_eq!(before.len(), 65);
    assert_eq!(before[64], (None, 1, 100_000 - 64 - 1));
    // Who has counts of his own keeps them, and who has none goes on among the others.
    read(vec!["0:k".to_owned(), "99999:k".to_owned(), format!("{}:k", "long".repeat(20))]).await;
    let after = prefixes(&server).await;
    assert_eq!((&after[0], after.len()), (&row("0:", 2, 0), 65));
    assert_eq!(after[64], (None, 2, 100_000 - 64 - 1 + 1));
    for (prefix, hits, misses) in &before {
        let later = after.iter().find(|later| later.0 == *prefix).expect("it stays");
        assert!(later.1 >= *hits && later.2 >= *misses, "{prefix:?}");
    }
}

#[tokio::test]
async fn what_a_tier_below_answers_is_a_miss_of_memory_as_everywhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = format!("dir = {:?}\nprefix_delimiter = \"/\"", folder.path().to_str().expect("text"));
    let server = Running::start(&settings).await;
    for key in ["user/1", "user/2", "user/3", "order/1"] {
        server.put(&format!("/v1/entries/{}", key.replace('/', "%2F")), "v").await.expect(201);
    }
    server.tell_and_wait().await;
    let server = Running::start(&settings).await;
    server.get("/v1/entries/user%2F1").await.expect(200);
    server.get("/v1/entries/user%2F1").await.expect(200);
    // Memory has to ask below, which is a read there.
    server.send("HEAD", "/v1/entries/order%2F1", &[], "").await.expect(200);
    let keys = json!({"keys": ["user/1", "user/2", "order/none"]});
    server.json("POST", "/v1/get-many", keys).await.expect(200);
    server.send("DELETE", "/v1/entries/user%2F3", &[("if-match", "\"other\"")], "").await.problem(412);
    assert_eq!(prefixes(&server).await, [row("user/", 2, 3), row("order/", 0, 2)]);
}

#[tokio::test]
async fn leases_and_stale_answers_are_counted_as_the_region_counts_them() {
    let lease = async |server: &Running, key: &str| {
        let path = format!("/v1/entries/{key}/lease");
        server.json("POST", &path, json!({})).await.expect(200).json()["result"].clone()
    };
    // A stale value answers as a hit where there is nobody else to ask.
    let server = Running::start("").await;
    server.put("/v1/entries/user:1?ttl=10s&stale=1h", "v").await.expect(201);
    server.clock.advance(Duration::from_secs(11));
    assert_eq!(server.get("/v1/entries/user:1").await.expect(200).header("x-cache"), "stale");
    server.json("POST", "/v1/get-many", json!({"keys": ["user:1"]})).await.expect(200);
    for (key, result) in [("user:1", "won"), ("user:1", "held"), ("none:1", "won"), ("none:1", "held")] {
        assert_eq!(lease(&server, key).await, result, "{key}");
    }
    assert_eq!(prefixes(&server).await, [row("user:", 4, 0), row("none:", 0, 2)]);

    // Whoever wins looks for a value once more, which is no second read.
    let folder = tempfile::tempdir().expect("a folder");
    let server = Running::start(&format!("dir = {:?}", folder.path().to_str().expect("text"))).await;
    assert_eq!(lease(&server, "none:1").await, "won");
    assert_eq!(lease(&server, "none:1").await, "held");
    assert_eq!(prefixes(&server).await, [row("none:", 0, 2)]);
}

#[tokio::test]
async fn a_region_that_is_made_anew_begins_with_no_counts() {
    let server = Running::start("").await;
    for _ in 0..2 {
        server.json("PUT", "/v1/regions/brief", json!({})).await.expect(201);
        server.get("/v1/regions/brief/entries/user:1").await.problem(404);
        let report = server.get("/v1/stats").await.expect(200).json();
        let regions = report["stats"]["regions"].as_array().expect("a list");
        let brief = regions.iter().find(|region| region["name"] == "brief").expect("the region");
        let expected = json!([{"prefix": "user:", "hits": 0, "misses": 1, "hit_ratio": 0.0}]);
        assert_eq!(brief["prefixes"], expected);
        server.delete("/v1/regions/brief").await.expect(200);
    }
}
