//! Groups: by tag, by prefix, by region, and by the names of an earlier system.

use serde_json::json;

use crate::server::Running;

async fn filled() -> Running {
    let server = Running::start("").await;
    for (path, tags) in
        [("user:1", "team:1"), ("user:2", "team:1,team:2"), ("page:1", "team:2"), ("page:2", "")]
    {
        let query = if tags.is_empty() { String::new() } else { format!("?tags={tags}") };
        server.put(&format!("/v1/entries/{path}{query}"), "v").await.expect(201);
    }
    server.put("/v1/regions/token/entries/user:1?tags=team:1", "v").await.expect(201);
    server
}

#[tokio::test]
async fn a_tag_names_its_entries_and_removes_them() {
    let server = filled().await;
    let tagged = server.get("/v1/tags/team:1").await.expect(200).json();
    assert_eq!(tagged, json!({"keys": ["user:1", "user:2"], "count": 2, "truncated": false}));
    assert_eq!(server.delete("/v1/tags/team:1").await.expect(200).json(), json!({"removed": 2}));
    assert_eq!(server.delete("/v1/tags/team:1").await.expect(200).json(), json!({"removed": 0}));
    assert_eq!(server.get("/v1/entries/page:1/exists").await.json(), json!({"exists": true}));
    assert_eq!(server.get("/v1/regions/token/tags/team:1").await.json()["count"], 1);
}

#[tokio::test]
async fn a_pattern_removes_what_is_like_it_and_is_refused_where_it_is_none() {
    let server = filled().await;
    assert_eq!(
        server.delete("/v1/keys?pattern=%3F*%3A%5B2-9%5D").await.expect(200).json(),
        json!({"removed": 2})
    );
    assert_eq!(server.get("/v1/entries/user:1/exists").await.json(), json!({"exists": true}));
    for wrong in ["", "?pattern=", "?pattern=%5B", "?pattern=%5B%5D", "?pattern=a%5C", "?prefix=a"] {
        server.delete(&format!("/v1/keys{wrong}")).await.problem(400);
    }
    assert_eq!(
        server.delete("/v1/regions/token/keys?pattern=user%3A*").await.expect(200).json(),
        json!({"removed": 1})
    );
    assert_eq!(server.get("/v1/regions/default").await.json()["stats"]["entries"], 2);
}

#[tokio::test]
async fn a_prefix_removes_what_begins_so() {
    let server = filled().await;
    assert_eq!(server.delete("/v1/entries?prefix=user%3A").await.expect(200).json(), json!({"removed": 2}));
    for path in ["/v1/entries", "/v1/entries?prefix="] {
        let problem = server.delete(path).await.problem(400);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("clear")), "{problem}");
    }
    assert_eq!(server.get("/v1/regions/default").await.json()["stats"]["entries"], 2);
}

#[tokio::test]
async fn a_region_and_all_regions_can_be_cleared() {
    let server = filled().await;
    let clear = |path: &'static str| server.send("POST", path, &[], "");
    assert_eq!(clear("/v1/regions/token/clear").await.expect(200).json(), json!({"removed": 1}));
    assert_eq!(clear("/v1/clear").await.expect(200).json(), json!({"removed": 4}));
    server.put("/v1/entries/k", "v").await.expect(201);
    server.put("/v1/regions/report/entries/k", "v").await.expect(201);
    assert_eq!(clear("/v1/clear-all").await.expect(200).json(), json!({"removed": 2}));
}

#[tokio::test]
async fn invalidation_takes_keys_tags_and_a_prefix_at_once() {
    let server = filled().await;
    let body = json!({"keys": ["user:1", "none"], "tags": ["team:2"], "prefix": "page:"});
    let counts = server.json("POST", "/cache/invalidate", body).await.expect(200).json();
    assert_eq!(counts, json!({"removed": 4, "by_keys": 1, "by_tags": 2, "by_prefix": 1, "by_all": 0}));
    let body = json!({"tags": ["team:1"], "region": "token"});
    assert_eq!(server.json("POST", "/cache/invalidate", body).await.json()["removed"], 1);

    let server = filled().await;
    let body = json!({"all": true, "region": "token"});
    assert_eq!(server.json("POST", "/cache/invalidate", body).await.json()["removed"], 1);
    assert_eq!(server.json("POST", "/cache/invalidate", json!({"all": true})).await.json()["removed"], 4);
}
