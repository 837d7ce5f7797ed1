//! What may be kept at all, and for whom: RFC 9111, 3.

use super::site::{Site, is_hit, says};

/// Whether a response with this status and these fields is kept, and answers somebody who asks with the second fields.
async fn is_kept(
    status: u16,
    said: &[(&str, &str)],
    first: &[(&str, &str)],
    second: &[(&str, &str)],
) -> bool {
    let owned: Vec<(String, String)> =
        said.iter().map(|&(name, value)| (name.into(), value.into())).collect();
    let site = Site::start(move |_| {
        let said: Vec<(&str, &str)> = owned.iter().map(|(name, value)| (&**name, &**value)).collect();
        let mut response = says(&said);
        *response.status_mut() = status.try_into().expect("a status");
        response
    })
    .await;
    let mut client = site.client().await;
    let answer = client.get("/", first).await;
    assert_eq!(answer.status.as_u16(), status);
    let again = client.get("/", second).await;
    assert_eq!(again.status.as_u16(), status);
    assert_eq!(is_hit(&again), site.times() == 1);
    is_hit(&again)
}

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

#[tokio::test]
async fn what_says_that_it_may_not_be_kept_is_not() {
    for (said, expected) in [
        ("max-age=60", true),
        ("max-age=60, no-store", false),
        ("max-age=60, NO-STORE", false),
        ("max-age=60, private", false),
        ("max-age=60, private=\"x-a\"", false),
        ("max-age=60, no-cache", false),
        ("max-age=60, no-cache=\"x-a\"", false),
        ("max-age=60, must-understand, no-store", true),
        ("max-age=60, must-revalidate", true),
        ("max-age=60, proxy-revalidate", true),
        ("max-age=60, no-transform, immutable, x-other=\"no-store\"", true),
    ] {
        assert_eq!(is_kept(200, &[("cache-control", said)], &[], &[]).await, expected, "{said}");
    }
    for (name, value, expected) in [
        ("vary", "*", false),
        ("vary", "accept, *", false),
        ("vary", "no name", false),
        ("set-cookie", "id=1", false),
        ("content-type", "text/event-stream; charset=utf-8", false),
        ("pragma", "no-cache", true),
    ] {
        assert_eq!(is_kept(200, &[FRESH, (name, value)], &[], &[]).await, expected, "{name}: {value}");
    }
}

#[tokio::test]
async fn each_status_is_kept_as_its_definition_lets_it() {
    for (status, said, expected) in [
        (203, "max-age=60", true),
        (204, "max-age=60", true),
        (206, "max-age=60", false),
        (301, "max-age=60", true),
        (302, "max-age=60", true),
        (302, "private", false),
        (404, "max-age=60", true),
        (403, "max-age=60", true),
        (403, "x", false),
        (429, "max-age=60", true),
        (599, "max-age=60", true),
        (599, "max-age=60, must-understand", false),
        (599, "max-age=60, must-understand, no-store", false),
        (500, "max-age=60", true),
        (500, "x", false),
    ] {
        assert_eq!(is_kept(status, &[("cache-control", said)], &[], &[]).await, expected, "{status} {said}");
    }
}

#[tokio::test]
async fn what_was_made_for_somebody_is_kept_only_if_it_says_that_it_is_for_all() {
    for who in [("authorization", "Bearer of-ada"), ("cookie", "session=ada")] {
        for (said, expected) in [
            ("max-age=60", false),
            ("max-age=60, public", true),
            ("s-maxage=60", true),
            ("max-age=60, must-revalidate", true),
            ("max-age=60, proxy-revalidate", false),
        ] {
            let fields = [("cache-control", said)];
            assert_eq!(is_kept(200, &fields, &[who], &[]).await, expected, "{who:?} {said}");
            assert_eq!(is_kept(200, &fields, &[], &[who]).await, expected, "nobody, then {who:?} {said}");
            assert_eq!(is_kept(200, &fields, &[who], &[(who.0, "of-bob")]).await, expected, "{who:?}, bob");
        }
    }
}

#[tokio::test]
async fn a_cookie_means_nothing_where_that_is_said() {
    let site = Site::with(|_| says(&[FRESH]), |layer| layer.with_cookies_identifying(false)).await;
    let mut client = site.client().await;
    client.get("/", &[("cookie", "seen-banner=1")]).await;
    assert!(is_hit(&client.get("/", &[("cookie", "seen-banner=2")]).await));
}

#[tokio::test]
async fn nobody_gets_the_cookie_of_another() {
    let site = Site::start(|_| {
        says(&[("cache-control", "public, max-age=60"), ("set-cookie", "session=of-the-first")])
    })
    .await;
    let mut client = site.client().await;
    let first = client.get("/", &[]).await;
    assert_eq!(first.field("set-cookie"), Some("session=of-the-first"));
    let second = client.get("/", &[]).await;
    assert_eq!((is_hit(&second), second.field("set-cookie"), second.body.as_str()), (true, None, "1"));
}

#[tokio::test]
async fn what_belongs_to_a_connection_is_not_kept_and_all_else_is() {
    let said = [
        FRESH,
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("te", "trailers"),
        ("x-end", "1"),
        ("link", "</a>"),
        ("link", "</b>"),
        ("content-language", "de"),
        ("x-odd", "\u{e4}"),
    ];
    let site = Site::start(move |_| says(&said[..said.len() - 1])).await;
    let mut client = site.client().await;
    client.get("/", &[]).await;
    let hit = client.get("/", &[]).await;
    assert!(is_hit(&hit));
    for gone in ["x-hop", "keep-alive", "proxy-authenticate", "te"] {
        assert_eq!(hit.field(gone), None, "{gone}");
    }
    assert_eq!((hit.field("x-end"), hit.field("link")), (Some("1"), Some("</a>, </b>")));
    assert_eq!((hit.field("content-language"), hit.field("content-length")), (Some("de"), Some("1")));
}

#[tokio::test]
async fn what_becomes_of_each_request_is_said_behind_what_was_said_before() {
    let site = Site::start(|asked| match asked.uri.path() {
        "/kept" => says(&[FRESH, ("cache-status", "inner; hit")]),
        _ => says(&[("cache-control", "private")]),
    })
    .await;
    let mut client = site.client().await;
    for (method, path, expected) in [
        ("GET", "/kept", "inner; hit, strata; fwd=miss; fwd-status=200; stored"),
        ("GET", "/kept", "inner; hit, strata; hit; ttl=60"),
        ("GET", "/own", "strata; fwd=miss; fwd-status=200; detail=private"),
        ("GET", "/own", "strata; fwd=bypass; fwd-status=200; detail=not-for-caches"),
        ("PUT", "/own", "strata; fwd=method; fwd-status=200; detail=method"),
    ] {
        let answer = client.send(method, path, &[], "").await;
        assert_eq!(answer.field("cache-status"), Some(expected), "{method} {path}");
    }
    let silent = Site::with(|_| says(&[FRESH]), |layer| layer.with_name(None)).await;
    assert_eq!(silent.client().await.get("/", &[]).await.field("cache-status"), None);
}
