//! Keys, page by page: in order, each once, whatever changes meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::Running;

async fn filled(count: u32) -> Running {
    let server = Running::start("").await;
    let entries: Vec<_> = (0..count).map(|at| json!({"key": format!("k{at:04}"), "value": at})).collect();
    server.json("POST", "/v1/set-many", json!({"entries": entries})).await.expect(200);
    server
}

#[track_caller]
fn names(page: &Value) -> Vec<String> {
    let keys = page["keys"].as_array().expect("a list");
    keys.iter().map(|key| key["key"].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test]
async fn pages_show_each_key_once_in_order_while_others_come_and_go() {
    let server = filled(250).await;
    let (mut seen, mut path) = (Vec::new(), "/v1/keys?limit=20".to_owned());
    for round in 0.. {
        let page = server.get(&path).await.expect(200).json();
        seen.extend(names(&page));
        // The key at the cursor goes, keys before and after it come, and all others are stored anew.
        server.delete(&format!("/v1/entries/{}", seen.last().expect("a page"))).await.expect(200);
        for new in [format!("a{round}"), format!("z{round:03}")] {
            server.put(&format!("/v1/entries/{new}"), "v").await.expect(201);
        }
        server.put("/v1/entries/k0249", vec![0; 100 * round]).await;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/keys?limit=20&cursor={next}");
    }
    let distinct: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(distinct.len(), seen.len(), "a key was shown twice");
    assert!(seen.is_sorted(), "{seen:?}");
    let lasting = (0..250).map(|at| format!("k{at:04}")).filter(|key| !distinct.contains(key));
    assert_eq!(lasting.collect::<Vec<_>>(), [""; 0], "keys that were there all the time");
}

#[tokio::test]
async fn a_key_comes_with_what_is_known_of_it() {
    let server = Running::start("").await;
    let headers = [("content-type", "image/png")];
    server.send("PUT", "/v1/entries/user%3A7%2F?ttl=60&tags=a,b", &headers, "v").await.expect(201);
    server.clock.advance(Duration::from_millis(1500));
    server.put("/v1/entries/%3Cscript%3E", "v").await.expect(201);
    let page = server.get("/v1/keys").await.expect(200).json();
    let weight = |key: &str, kind: &str, tags: usize| 288 + key.len() + kind.len() + 1 + 201 * tags;
    let expected = json!({"next": null, "keys": [
        {"key": "<script>", "bytes": weight("<script>", "text/plain", 0), "content_type": "text/plain",
         "ttl_seconds": null, "tags": []},
        {"key": "user:7/", "bytes": weight("user:7/", "image/png", 2), "content_type": "image/png",
         "ttl_seconds": 58.5, "tags": ["a", "b"]},
    ]});
    assert_eq!(page, expected);
    let own = server.get("/v1/regions/default/keys?prefix=user:").await.expect(200).json();
    assert_eq!(names(&own), ["user:7/"]);
    assert_eq!(
        server.get("/v1/regions/token/keys").await.expect(200).json(),
        json!({"keys": [], "next": null})
    );
}

#[tokio::test]
async fn the_last_page_says_so_and_a_page_has_its_limit() {
    let server = filled(100).await;
    let whole = server.get("/v1/keys").await.expect(200).json();
    assert_eq!((names(&whole).len(), &whole["next"]), (100, &Value::Null));
    let part = server.get("/v1/keys?limit=99").await.expect(200).json();
    let rest =
        server.get(&format!("/v1/keys?cursor={}", part["next"].as_str().expect("a cursor"))).await.json();
    assert_eq!((names(&rest), &rest["next"]), (vec!["k0099".to_owned()], &Value::Null));
}

#[tokio::test]
async fn what_is_no_cursor_limit_or_parameter_is_refused_by_name() {
    let server = filled(1).await;
    let cases = [
        ("cursor=%21", "cursor"),
        ("cursor=_x", "cursor"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.5", "limit"),
        ("limit=", "limit"),
        ("limit=99999999999999999999", "limit"),
    ];
    for (query, field) in cases {
        let problem = server.get(&format!("/v1/keys?{query}")).await.problem(400);
        assert!(problem.to_string().contains(field), "{query}: {problem}");
    }
    server.get("/v1/keys?page=2").await.problem(400);
    server.get("/v1/regions/none/keys").await.problem(404);
}
