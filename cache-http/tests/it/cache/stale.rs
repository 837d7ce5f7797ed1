//! Stale responses: while they are refreshed, when the application fails, and for who does not mind. RFC 5861; RFC 9111, 4.2.4.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::site::{Site, is_hit, says};

/// A site that says this, and fails while the switch is on.
async fn failing(said: &'static str) -> (Site, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&fails);
    let site = Site::start(move |_| {
        let mut response = says(&[]);
        if fails.load(SeqCst) {
            *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        } else {
            response.headers_mut().insert("cache-control", said.parse().expect("legal"));
        }
        response
    })
    .await;
    (site, switch)
}

#[tokio::test]
async fn a_stale_one_answers_while_it_is_refreshed_once_behind_the_answer() {
    let (site, _) = failing("max-age=10, stale-while-revalidate=20").await;
    let mut client = site.client().await;
    client.get("/", &[]).await;
    site.wait(15);
    let stale = client.get("/", &[]).await;
    assert_eq!(
        (stale.body.as_str(), stale.field("cache-status"), stale.number("age")),
        ("1", Some("strata; hit; ttl=-5"), 15)
    );
    site.until_asked(2).await;
    while site.layer.cache().stats().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    let fresh = client.get("/", &[]).await;
    assert_eq!((fresh.body.as_str(), is_hit(&fresh), site.times()), ("2", true, 2));
    site.wait(31);
    assert_eq!(client.get("/", &[]).await.body, "3", "the window is over");
}

#[tokio::test]
async fn a_stale_one_stands_in_for_an_application_that_fails_until_its_window_is_over() {
    for said in ["max-age=10, stale-if-error=20", "s-maxage=10, stale-if-error=20"] {
        let (site, fails) = failing(said).await;
        let mut client = site.client().await;
        client.get("/", &[]).await;
        fails.store(true, SeqCst);
        site.wait(15);
        let stood_in = client.get("/", &[]).await;
        assert_eq!((stood_in.status.as_u16(), stood_in.body.as_str()), (200, "1"), "{said}");
        assert_eq!(stood_in.field("cache-status"), Some("strata; hit; ttl=-5; detail=stale-if-error"));
        client.get("/", &[]).await;
        assert_eq!(site.times(), 2, "left alone for a second");
        site.wait(2);
        client.get("/", &[]).await;
        assert_eq!(site.times(), 3);
        site.wait(14);
        assert_eq!(client.get("/", &[]).await.status.as_u16(), 503, "{said}: the window is over");
        fails.store(false, SeqCst);
        site.wait(2);
        assert_eq!(client.get("/", &[]).await.body, "5");
        assert!(is_hit(&client.get("/", &[]).await));
    }
}

#[tokio::test]
async fn a_stale_one_never_stands_in_where_that_is_forbidden() {
    for said in [
        "max-age=10",
        "max-age=10, must-revalidate, stale-if-error=60, stale-while-revalidate=60",
        "max-age=10, proxy-revalidate, stale-if-error=60, stale-while-revalidate=60",
        "max-age=10, no-cache, stale-if-error=60, stale-while-revalidate=60",
    ] {
        let (site, fails) = failing(said).await;
        let mut client = site.client().await;
        client.get("/", &[]).await;
        fails.store(true, SeqCst);
        site.wait(15);
        for _ in 0..2 {
            assert_eq!(client.get("/", &[]).await.status.as_u16(), 503, "{said}");
        }
        fails.store(false, SeqCst);
        let answer = client.get("/", &[]).await;
        assert_eq!((answer.status.as_u16(), is_hit(&answer)), (200, false), "{said}");
    }
}

#[tokio::test]
async fn who_does_not_mind_gets_a_stale_one_where_nothing_forbids_it() {
    for (said, asked, expected) in [
        ("max-age=10", "max-stale", true),
        ("max-age=10", "max-stale=10", true),
        ("max-age=10", "max-stale=4", false),
        ("max-age=10", "max-stale, max-age=14", false),
        ("max-age=10", "max-stale, no-cache", false),
        ("max-age=10, must-revalidate", "max-stale", false),
        ("s-maxage=10", "max-stale", false),
        ("max-age=10, no-cache", "max-stale", false),
    ] {
        // Kept on for its validator.
        let site = Site::start(move |_| says(&[("cache-control", said), ("etag", "\"1\"")])).await;
        let mut client = site.client().await;
        client.get("/", &[]).await;
        site.wait(15);
        let answer = client.get("/", &[("cache-control", asked)]).await;
        assert_eq!(is_hit(&answer), expected, "{said} / {asked}");
    }
}

#[tokio::test]
async fn who_minds_gets_no_stale_one_while_it_is_refreshed() {
    for asked in ["no-cache", "max-age=0", "max-age=12", "min-fresh=1"] {
        let (site, _) = failing("max-age=10, stale-while-revalidate=60").await;
        let mut client = site.client().await;
        client.get("/", &[]).await;
        site.wait(15);
        assert_eq!(client.get("/", &[("cache-control", asked)]).await.body, "2", "{asked}");
    }
}
