//! What a request may ask of the cache: RFC 9111, 5.2.1.

use super::site::{Site, is_hit, says};

#[tokio::test]
async fn a_caller_may_ask_for_something_newer() {
    for (name, asked, expected) in [
        ("cache-control", "no-cache", false),
        ("cache-control", "max-age=0", false),
        ("cache-control", "max-age=29", false),
        ("cache-control", "max-age=30", true),
        ("cache-control", "max-age=nonsense", false),
        ("cache-control", "min-fresh=30", true),
        ("cache-control", "min-fresh=31", false),
        ("cache-control", "x-other", true),
        ("pragma", "no-cache", false),
    ] {
        let site = Site::start(|_| says(&[("cache-control", "max-age=60")])).await;
        let mut client = site.client().await;
        client.get("/", &[]).await;
        site.wait(30);
        let answer = client.get("/", &[(name, asked)]).await;
        assert_eq!(is_hit(&answer), expected, "{name}: {asked}");
        assert_eq!(answer.body, if expected { "1" } else { "2" });
        let after = client.get("/", &[]).await;
        assert_eq!((is_hit(&after), after.body == answer.body), (true, true), "what came is kept: {asked}");
    }
}

#[tokio::test]
async fn callers_may_be_told_that_they_may_not() {
    let site =
        Site::with(|_| says(&[("cache-control", "max-age=60")]), |layer| layer.with_requests_obeyed(false))
            .await;
    let mut client = site.client().await;
    client.get("/", &[]).await;
    for asked in ["no-cache", "max-age=0", "no-store", "min-fresh=100"] {
        assert!(is_hit(&client.get("/", &[("cache-control", asked)]).await), "{asked}");
    }
}

#[tokio::test]
async fn only_what_is_there_is_a_504_if_nothing_is() {
    let site = Site::start(|_| says(&[("cache-control", "max-age=60"), ("etag", "\"1\"")])).await;
    let mut client = site.client().await;
    let only = [("cache-control", "only-if-cached")];
    assert_eq!(client.get("/", &only).await.status.as_u16(), 504);
    assert_eq!(site.times(), 0);
    client.get("/", &[]).await;
    let answer = client.get("/", &only).await;
    assert_eq!((answer.status.as_u16(), is_hit(&answer)), (200, true));
    site.wait(61);
    assert_eq!(client.get("/", &only).await.status.as_u16(), 504, "it is stale");
    assert_eq!(client.get("/", &[("cache-control", "only-if-cached, no-cache")]).await.status.as_u16(), 504);
    assert_eq!(site.times(), 1);
}

#[tokio::test]
async fn what_a_caller_does_not_want_kept_is_not() {
    let site = Site::start(|_| says(&[("cache-control", "max-age=60")])).await;
    let mut client = site.client().await;
    let no_store = [("cache-control", "no-store")];
    client.get("/", &no_store).await;
    assert_eq!(site.layer.cache().memory().len(), 0);
    assert_eq!(client.get("/", &[]).await.body, "2");
    assert_eq!(client.get("/", &no_store).await.body, "2", "what is kept may answer it");
}
