//! The monitoring that an application mounts for its own caches: the same figures as the server has, and the same refusals.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use strata::{Cache, Memory, Registry};
use tower::ServiceExt as _;

async fn ask(router: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = router.clone().oneshot(request).await.expect("it answers");
    let status = response.status();
    let body = response.into_body().collect().await.expect("whole").to_bytes();
    (status, serde_json::from_slice(&body).expect("JSON"))
}

async fn get(router: &Router, path: &str) -> Value {
    let (status, body) = ask(router, Request::get(path).body(Body::empty()).expect("legal")).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    body
}

async fn clear(router: &Router, body: &str) -> (StatusCode, Value) {
    let request = Request::post("/api/cache/clear").header("content-type", "application/json");
    ask(router, request.body(Body::from(body.to_owned())).expect("legal")).await
}

fn failing(what: &'static str) -> impl Future<Output = Result<u64, std::io::Error>> {
    std::future::ready(Err(std::io::Error::other(what)))
}

#[tokio::test]
async fn an_application_sees_its_own_caches_whatever_their_types() {
    let tokens: Cache<String, u64> =
        Cache::builder("token").memory(Memory::new().with_max_entries(100)).build().expect("legal");
    let reports: Cache<(u32, u32), Vec<u8>> = Cache::builder("report").build().expect("legal");
    let caches = Registry::new();
    caches.add(&tokens).expect("new");
    let router: Router = cache_server::monitor(caches.clone());
    caches.add(&reports).expect("new");
    for number in 0..10 {
        tokens.insert(number.to_string(), number).await.expect("memory");
    }
    reports.insert((1, 2), vec![0; 10]).await.expect("memory");
    for key in ["1", "2", "x"] {
        tokens.get(key).await.expect("memory");
    }

    let metrics = get(&router, "/api/cache/metrics").await;
    assert_eq!(
        (&metrics["hits"], &metrics["misses"], &metrics["total_operations"]),
        (&json!(2), &json!(1), &json!(3))
    );
    assert_eq!(metrics["caches"]["token"]["size"], 10);
    assert_eq!(
        (&metrics["caches"]["token"]["max_size"], &metrics["caches"]["report"]["size"]),
        (&json!(100), &json!(1))
    );
    let dashboard = get(&router, "/api/cache/dashboard").await;
    assert_eq!(dashboard["metrics"]["caches"], metrics["caches"]);
    assert!(dashboard["insights"].is_array() && dashboard["recommendations"].is_array());
    assert_eq!(get(&router, "/api/cache/health").await["status"], "healthy");

    let (status, cleared) = clear(&router, r#"{"cache_type": "token"}"#).await;
    assert_eq!((status, cleared), (StatusCode::OK, json!({"cache_type": "token", "removed": 10})));
    assert_eq!((tokens.memory().len(), reports.memory().len()), (0, 1));
    let (_, cleared) = clear(&router, r#"{"cache_type": "all"}"#).await;
    assert_eq!((&cleared["removed"], reports.memory().len()), (&json!(1), 0));
}

#[tokio::test]
async fn loads_that_fail_are_its_errors() {
    let tokens: Cache<String, u64> = Cache::builder("token").build().expect("legal");
    let caches = Registry::new();
    caches.add(&tokens).expect("new");
    let router: Router = cache_server::monitor(caches);
    for number in 0..200 {
        assert!(tokens.get_or_load(&number.to_string(), || failing("down")).await.is_err());
    }
    let health = get(&router, "/api/cache/health").await;
    assert_eq!((&health["status"], &health["metrics"]["errors"]), (&json!("unhealthy"), &json!(200)));
    assert_eq!(health["reasons"], json!(["100.0 % of the reads could not be loaded"]));
}

#[tokio::test]
async fn what_is_no_request_to_clear_clears_nothing() {
    let tokens: Cache<String, u64> = Cache::builder("token").build().expect("legal");
    tokens.insert("a".to_owned(), 1).await.expect("memory");
    let caches = Registry::new();
    caches.add(&tokens).expect("new");
    let router: Router = cache_server::monitor(caches);
    for (body, expected) in [
        (r#"{"cache_type": "tokens"}"#, "use all, or one of token"),
        ("{}", "cache_type"),
        (r#"{"cache_type": "all", "x": 1}"#, "x"),
        ("nonsense", ""),
    ] {
        let (status, problem) = clear(&router, body).await;
        assert!(status.is_client_error(), "{body}");
        assert!(problem["detail"].as_str().expect("a detail").contains(expected), "{problem}");
    }
    let form = Request::post("/api/cache/clear").header("content-type", "text/plain");
    let (status, _) = ask(&router, form.body(Body::from(r#"{"cache_type": "all"}"#)).expect("legal")).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "what a form of another site could send");
    assert_eq!(tokens.memory().len(), 1);
}
