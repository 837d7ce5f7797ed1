//! Regions: there from the start or made by request, each with its own limits.

use serde_json::json;

use crate::server::Running;

#[tokio::test]
async fn three_regions_exist_from_the_start() {
    let server = Running::start("").await;
    let list = server.get("/v1/regions").await.expect(200).json();
    let figures: Vec<_> = list["regions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|region| {
            json!([
                region["name"],
                region["max_entries"],
                region["ttl_seconds"],
                region["policy"],
                region["stats"]["hit_ratio"]
            ])
        })
        .collect();
    let expected = [
        json!(["default", 1_000_000, null, "adaptive", null]),
        json!(["report", 1000, 3600.0, "adaptive", null]),
        json!(["token", 10_000, 3600.0, "adaptive", null]),
    ];
    assert_eq!(figures, expected);
}

#[tokio::test]
async fn a_region_is_made_used_and_removed() {
    let server = Running::start("").await;
    let body = json!({"max_entries": 2, "max_bytes": 5000, "ttl": "hot", "policy": "sieve"});
    let made = server.json("PUT", "/v1/regions/quotes", body.clone()).await.expect(201).json();
    assert_eq!((&made["max_entries"], &made["policy"]), (&json!(2), &json!("sieve")));
    server.json("PUT", "/v1/regions/quotes", body).await.problem(409);

    for key in ["a", "b", "c"] {
        server.put(&format!("/v1/regions/quotes/entries/{key}"), "v").await.expect(201);
    }
    server.get("/v1/regions/quotes/entries/c").await.expect(200);
    server.get("/v1/regions/quotes/entries/none").await.problem(404);
    let shown = server.get("/v1/regions/quotes").await.expect(200).json();
    assert_eq!(shown["ttl_seconds"], 300.0);
    assert_eq!((&shown["stats"]["entries"], &shown["stats"]["evicted"]), (&json!(2), &json!(1)));
    assert_eq!(shown["stats"]["hit_ratio"], 0.5);

    assert_eq!(server.delete("/v1/regions/quotes").await.expect(200).json(), json!({"removed": 2}));
    let gone = server.get("/v1/regions/quotes/entries/c").await.problem(404);
    assert!(gone["detail"].as_str().is_some_and(|detail| detail.contains("\"quotes\"")), "{gone}");
}

#[tokio::test]
async fn the_number_of_regions_is_bounded_and_the_default_one_stays() {
    let server = Running::start("").await;
    for at in 3..256 {
        server.json("PUT", &format!("/v1/regions/r{at}"), json!({})).await.expect(201);
    }
    let full = server.json("PUT", "/v1/regions/more", json!({})).await.problem(409);
    assert!(full["detail"].as_str().is_some_and(|detail| detail.contains("256 regions")), "{full}");
    server.json("PUT", "/v1/regions/r3", json!({})).await.problem(409);
    server.delete("/v1/regions/r3").await.expect(200);
    server.json("PUT", "/v1/regions/more", json!({})).await.expect(201);
    server.delete("/v1/regions/default").await.problem(409);
    server.put("/v1/entries/k", "v").await.expect(201);
}

#[tokio::test]
async fn tags_count_against_the_limit() {
    let server = Running::start("[region.tagged]\nmax_bytes = 100_000").await;
    let tags = |key: u32| (0..64).map(|tag| format!("{key}-{tag}-{}", "x".repeat(200))).collect::<Vec<_>>();
    let entries: Vec<_> =
        (0..20).map(|key| json!({"key": key.to_string(), "value": 0, "tags": tags(key)})).collect();
    server.json("POST", "/v1/regions/tagged/set-many", json!({"entries": entries})).await.expect(200);
    let stats = server.get("/v1/regions/tagged").await.json()["stats"].clone();
    assert!(stats["entries"].as_u64().expect("a count") <= 3, "{stats}");
    assert!(stats["bytes"].as_u64().expect("a count") <= 100_000, "{stats}");
}

#[tokio::test]
async fn a_name_that_clients_take_for_a_path_is_refused() {
    let server = Running::start("").await;
    server.json("PUT", "/v1/regions/%2e%2e", json!({})).await.problem(400);
}

#[tokio::test]
async fn who_fills_his_region_takes_nothing_of_another() {
    let server = Running::start("[region.a]\nmax_entries = 100\n[region.b]\nmax_entries = 100").await;
    let entries = |from: u64, to: u64| {
        let entry = |at| serde_json::json!({"key": format!("k{at}"), "value": at});
        serde_json::json!({"entries": (from..to).map(entry).collect::<Vec<_>>()})
    };
    server.json("POST", "/v1/regions/b/set-many", entries(0, 100)).await.expect(200);
    for round in 0..20 {
        server
            .json("POST", "/v1/regions/a/set-many", entries(100 * round, 100 * round + 100))
            .await
            .expect(200);
    }
    let keys: Vec<String> = (0..100).map(|at| format!("k{at}")).collect();
    let found =
        server.json("POST", "/v1/regions/b/get-many", serde_json::json!({"keys": keys})).await.expect(200);
    assert_eq!(found.json()["missing"], serde_json::json!([]));
    let of = |name: &'static str| {
        let server = &server;
        async move { server.get(&format!("/v1/regions/{name}")).await.expect(200).json()["stats"].clone() }
    };
    let (a, b) = (of("a").await, of("b").await);
    assert_eq!(
        (&a["entries"], &b["entries"], &b["evicted"]),
        (&100.into(), &100.into(), &0.into()),
        "{a} {b}"
    );
    assert_eq!((&b["hits"], &b["misses"]), (&100.into(), &0.into()), "{b}");
}

#[tokio::test]
async fn what_is_dear_to_make_outlives_what_is_cheap() {
    let server = Running::start("[region.r]\nmax_entries = 400\npolicy = \"hybrid\"").await;
    // As large and as often asked for, in turns; every second one costs a thousand times as much.
    for round in 0..20 {
        let entry = |at: u64| {
            let dear = at.is_multiple_of(2);
            serde_json::json!({"key": format!("{}-{round}-{at}", if dear { "dear" } else { "cheap" }), "value": 1, "cost": if dear { 10.0 } else { 0.01 }})
        };
        let entries: Vec<_> = (0..100).map(entry).collect();
        server
            .json("POST", "/v1/regions/r/set-many", serde_json::json!({"entries": entries}))
            .await
            .expect(200);
        let limit = &server.get("/v1/regions/r").await.expect(200).json()["stats"]["entries"];
        assert!(limit.as_u64() <= Some(400), "{limit}");
    }
    let count = |prefix: &'static str| {
        let server = &server;
        async move {
            let page = server
                .get(&format!("/v1/regions/r/keys?limit=1000&prefix={prefix}"))
                .await
                .expect(200)
                .json();
            page["keys"].as_array().map_or(0, Vec::len)
        }
    };
    let (dear, cheap) = (count("dear").await, count("cheap").await);
    assert!(dear >= 2 * cheap && dear + cheap > 300, "{dear} dear and {cheap} cheap ones are left");
}
