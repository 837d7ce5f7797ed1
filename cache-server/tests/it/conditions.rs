//! Conditions: a client says what it has, or what it means to change.

use cache_testkit::redis::Server as Redis;

use crate::server::Running;

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let server = Running::start("").await;
    server.put("/v1/entries/k?ttl=1m", "one").await.expect(201);
    let first = server.get("/v1/entries/k").await.expect(200);
    let etag = first.header("etag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "{etag}");
    for method in ["GET", "HEAD"] {
        let answer = server.send(method, "/v1/entries/k", &[("if-none-match", &etag)], "").await.expect(304);
        assert_eq!((answer.header("etag"), answer.body.len()), (etag.as_str(), 0), "{method}");
        assert_eq!(answer.header("cache-control"), "max-age=60");
    }
    server.put("/v1/entries/k", "two").await.expect(204);
    let second = server.send("GET", "/v1/entries/k", &[("if-none-match", &etag)], "").await.expect(200);
    assert_eq!(second.text(), "two");
    assert_ne!(second.header("etag"), etag);
}

#[tokio::test]
async fn what_has_changed_meanwhile_is_not_overwritten_or_removed() {
    let server = Running::start("").await;
    let put = async |condition: (&str, &str), body: &str| {
        server.send("PUT", "/v1/entries/k", &[condition], body.to_owned()).await
    };
    put(("if-match", "*"), "nothing there").await.problem(412);
    put(("if-none-match", "*"), "one").await.expect(201);
    put(("if-none-match", "*"), "again").await.problem(412);
    let etag = server.get("/v1/entries/k").await.header("etag").to_owned();
    put(("if-match", &etag), "two").await.expect(204);
    put(("if-match", &etag), "three").await.problem(412);
    server.send("DELETE", "/v1/entries/k", &[("if-match", &etag)], "").await.problem(412);
    assert_eq!(server.get("/v1/entries/k").await.text(), "two");
    let etag = server.get("/v1/entries/k").await.header("etag").to_owned();
    server.send("DELETE", "/v1/entries/k", &[("if-match", &etag)], "").await.expect(200);
    server.get("/v1/entries/k").await.problem(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_change_the_same_one_succeeds() {
    let redis = Redis::start();
    let settings = format!("redis_url = \"redis://{}\"", redis.address());
    let (server, other) = (Running::start(&settings).await, Running::start(&settings).await);
    for round in 0..4 {
        let path = format!("/v1/entries/{round}");
        // What another has stored has to be looked for in Redis: between that and the writing, others run.
        other.put(&path, "0").await.expect(201);
        let etag = other.get(&path).await.header("etag").to_owned();
        let put = |body: usize| {
            let (server, path, etag) = (&server, &path, etag.as_str());
            async move { server.send("PUT", path, &[("if-match", etag)], body.to_string()).await.status }
        };
        let statuses = futures_util::future::join_all((1..=16).map(put)).await;
        assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 15, "{statuses:?}");
    }
}
