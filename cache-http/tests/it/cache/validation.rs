//! Validators, towards the client and towards the application: RFC 9110, 13; RFC 9111, 4.3.

use http::Response;
use http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH};

use super::site::{Site, is_hit, says};

const CHANGED: &str = "Fri, 15 Jan 2027 07:00:00 GMT";

#[tokio::test]
async fn who_has_it_already_is_told_so() {
    let site = Site::start(|_| {
        says(&[("cache-control", "max-age=60"), ("etag", "W/\"a,b\""), ("last-modified", CHANGED)])
    })
    .await;
    let mut client = site.client().await;
    client.get("/", &[]).await;
    for (name, value, expected) in [
        ("if-none-match", "\"a,b\"", 304),
        ("if-none-match", "W/\"a,b\"", 304),
        ("if-none-match", "\"x\", W/\"a,b\" , \"y\"", 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"a\"", 200),
        ("if-none-match", "a,b", 200),
        ("if-modified-since", CHANGED, 304),
        ("if-modified-since", "Fri, 15 Jan 2027 07:00:01 GMT", 304),
        ("if-modified-since", "Fri, 15 Jan 2027 06:59:59 GMT", 200),
        ("if-modified-since", "yesterday", 200),
    ] {
        let answer = client.get("/", &[(name, value)]).await;
        assert_eq!((answer.status.as_u16(), is_hit(&answer)), (expected, true), "{name}: {value}");
        assert_eq!(answer.body.is_empty(), expected == 304);
        assert_eq!(
            (answer.field("etag"), answer.field("cache-control")),
            (Some("W/\"a,b\""), Some("max-age=60"))
        );
    }
    // The tag speaks before the date.
    let both = client.get("/", &[("if-none-match", "\"other\""), ("if-modified-since", CHANGED)]).await;
    assert_eq!((both.status.as_u16(), site.times()), (200, 1));
}

#[tokio::test]
async fn what_a_client_has_is_no_condition_for_what_is_kept() {
    let site = Site::start(|_| says(&[("cache-control", "max-age=60"), ("etag", "\"1\"")])).await;
    let mut client = site.client().await;
    let first = client.get("/", &[("if-none-match", "\"1\"")]).await;
    assert_eq!(first.status.as_u16(), 304, "it has it");
    assert!(!site.asked()[0].headers.contains_key(IF_NONE_MATCH), "the whole was asked for");
    let second = client.get("/", &[]).await;
    assert_eq!((second.status.as_u16(), second.body.as_str(), is_hit(&second)), (200, "1", true));
}

/// A site whose page is at this version; who has that is told so, with a field that is new each time.
async fn versioned(version: &'static str, fields: &'static [(&'static str, &'static str)]) -> Site {
    Site::start(move |asked| {
        let has = asked.headers.get(IF_NONE_MATCH).is_some_and(|tag| tag == version);
        let mut response = says(fields);
        response.headers_mut().insert(ETAG, version.parse().expect("legal"));
        if has {
            *response.status_mut() = http::StatusCode::NOT_MODIFIED;
            response.headers_mut().insert("x-new", "1".parse().expect("legal"));
            response.headers_mut().insert("content-length", "7".parse().expect("legal"));
        }
        response
    })
    .await
}

#[tokio::test]
async fn what_is_stale_is_asked_about_and_kept_on_if_it_is_still_right() {
    let site = versioned("\"1\"", &[("cache-control", "max-age=10"), ("last-modified", CHANGED)]).await;
    let mut client = site.client().await;
    client.get("/", &[]).await;
    for round in 2..5 {
        site.wait(11);
        let asked = client.get("/", &[]).await;
        assert_eq!((asked.status.as_u16(), asked.body.as_str()), (200, "1"), "the body that was kept");
        assert_eq!((asked.field("x-new"), asked.field("content-length")), (Some("1"), Some("1")));
        assert_eq!(asked.field("cache-status"), Some("strata; fwd=stale; fwd-status=200; stored"));
        assert_eq!(site.times(), round);
        let headers = &site.asked()[round - 1].headers;
        assert_eq!(headers[IF_NONE_MATCH], "\"1\"");
        assert_eq!(headers[IF_MODIFIED_SINCE], CHANGED);
        site.wait(9);
        let hit = client.get("/", &[]).await;
        assert_eq!((is_hit(&hit), hit.body.as_str(), hit.number("age")), (true, "1", 9), "fresh again");
    }
    site.wait(11);
    let known = client.get("/", &[("if-none-match", "\"1\"")]).await;
    assert_eq!(known.status.as_u16(), 304);
}

#[tokio::test]
async fn what_may_only_be_used_when_asked_about_is_asked_about_each_time() {
    for said in ["no-cache", "max-age=0", "max-age=0, must-revalidate", "max-age=60, no-cache"] {
        let fields: &'static [(&str, &str)] = Box::leak(Box::new([("cache-control", said)]));
        let site = versioned("\"1\"", fields).await;
        let mut client = site.client().await;
        for round in 1..4 {
            let answer = client.get("/", &[]).await;
            assert_eq!((answer.body.as_str(), site.times()), ("1", round), "{said}");
            site.clock.advance(std::time::Duration::from_millis(1));
        }
        assert!(site.asked()[2].headers.contains_key(IF_NONE_MATCH));
    }
}

#[tokio::test]
async fn a_new_response_takes_the_place_of_the_old_one() {
    let site = Site::start(|_| says(&[("cache-control", "max-age=10"), ("etag", "\"same\"")])).await;
    let mut client = site.client().await;
    client.get("/", &[]).await;
    site.wait(11);
    assert_eq!(client.get("/", &[]).await.body, "2");
    assert_eq!(client.get("/", &[]).await.body, "2");
    assert_eq!(site.times(), 2);
}

#[tokio::test]
async fn not_modified_that_is_about_something_else_is_not_believed() {
    let site = Site::start(|asked| {
        if asked.headers.contains_key(IF_NONE_MATCH) {
            return Response::builder()
                .status(304)
                .header("etag", "\"2\"")
                .body(String::new())
                .expect("legal");
        }
        says(&[("cache-control", "max-age=10"), ("etag", "\"1\"")])
    })
    .await;
    let mut client = site.client().await;
    client.get("/", &[]).await;
    site.wait(11);
    let answer = client.get("/", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str(), site.times()), (200, "3", 3));
}

#[tokio::test]
async fn what_ceases_to_be_for_caches_is_forgotten() {
    let site = Site::start(|asked| {
        if asked.headers.contains_key(IF_NONE_MATCH) {
            return says(&[("cache-control", "no-store")]);
        }
        says(&[
            ("cache-control", "max-age=10, stale-while-revalidate=100, stale-if-error=100"),
            ("etag", "\"1\""),
        ])
    })
    .await;
    let mut client = site.client().await;
    client.get("/", &[]).await;
    site.wait(11);
    assert_eq!(client.get("/", &[]).await.body, "1", "stale, while it is asked about");
    site.until_asked(2).await;
    while site.layer.cache().stats().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(client.get("/", &[]).await.body, "3");
}
