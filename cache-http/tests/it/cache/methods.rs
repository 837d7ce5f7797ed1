//! Methods other than GET, and requests that are for nobody but the application: RFC 9111, 3, 4 and 4.4.

use http::Response;

use super::site::{Site, is_hit, says};

#[tokio::test]
async fn a_head_is_answered_from_the_get_and_does_not_make_one() {
    let site = Site::start(|_| {
        let mut response = says(&[("cache-control", "max-age=60"), ("etag", "\"1\"")]);
        *response.body_mut() = "hello".to_owned();
        response
    })
    .await;
    let mut client = site.client().await;
    assert!(!is_hit(&client.send("HEAD", "/", &[], "").await));
    assert!(!is_hit(&client.send("HEAD", "/", &[], "").await), "a HEAD is not kept");
    assert_eq!(client.get("/", &[]).await.body, "hello");
    let head = client.send("HEAD", "/", &[], "").await;
    assert_eq!((is_hit(&head), head.number("content-length"), head.body.as_str()), (true, 5, ""));
    let known = client.send("HEAD", "/", &[("if-none-match", "\"1\"")], "").await;
    assert_eq!((known.status.as_u16(), site.times()), (304, 3));
    let get = client.get("/", &[]).await;
    assert_eq!((is_hit(&get), get.body.as_str()), (true, "hello"));
}

#[tokio::test]
async fn what_changes_something_is_never_kept_and_removes_what_it_has_made_wrong() {
    for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
        for (status, goes) in [(200, true), (204, true), (303, true), (404, false), (500, false)] {
            let site = Site::start(move |asked| {
                let mut response = says(&[("cache-control", "max-age=60"), ("vary", "x-a")]);
                if asked.method != "GET" {
                    *response.status_mut() = http::StatusCode::from_u16(status).expect("legal");
                }
                response
            })
            .await;
            let mut client = site.client().await;
            client.get("/a", &[]).await;
            client.get("/a", &[("x-a", "1")]).await;
            client.get("/b", &[]).await;
            client.send(method, "/a", &[], "x").await;
            assert_eq!(is_hit(&client.get("/a", &[]).await), !goes, "{method} {status}");
            assert_eq!(is_hit(&client.get("/a", &[("x-a", "1")]).await), !goes, "{method} {status}");
            assert!(is_hit(&client.get("/b", &[]).await), "another address");
        }
    }
}

#[tokio::test]
async fn what_is_said_to_have_changed_with_it_goes_too_if_it_is_of_the_same_host() {
    for (name, said, goes) in [
        ("location", "/a", true),
        ("content-location", "/a", true),
        ("location", "http://localhost/a", true),
        ("location", "HTTP://LOCALHOST/a#part", true),
        ("location", "http://other/a", false),
        ("location", "https://localhost/a", false),
        ("location", "//localhost/a", false),
        ("location", "/b", false),
    ] {
        let site = Site::start(move |asked| {
            if asked.method == "POST" {
                says(&[(name, said)])
            } else {
                says(&[("cache-control", "max-age=60")])
            }
        })
        .await;
        let mut client = site.client().await;
        client.get("/a", &[]).await;
        client.send("POST", "/new", &[], "x").await;
        assert_eq!(is_hit(&client.get("/a", &[]).await), !goes, "{name}: {said}");
    }
}

#[tokio::test]
async fn parts_preconditions_and_upgrades_are_the_applications_own() {
    let site = Site::start(|asked| {
        if asked.headers.contains_key("range") {
            return Response::builder()
                .status(206)
                .header("content-range", "bytes 0-1/5")
                .header("cache-control", "max-age=60")
                .body("he".to_owned())
                .expect("legal");
        }
        let mut response = says(&[("cache-control", "max-age=60"), ("etag", "\"1\"")]);
        *response.body_mut() = "hello".to_owned();
        response
    })
    .await;
    let mut client = site.client().await;
    client.get("/", &[]).await;
    for (name, value) in [
        ("range", "bytes=0-1"),
        ("if-match", "\"1\""),
        ("if-unmodified-since", "Fri, 15 Jan 2027 07:00:00 GMT"),
        ("upgrade", "websocket"),
    ] {
        let before = site.times();
        let answer = client.get("/", &[(name, value)]).await;
        assert_eq!((is_hit(&answer), site.times()), (false, before + 1), "{name}");
        assert_eq!(answer.body, if name == "range" { "he" } else { "hello" });
        assert_eq!(site.asked()[before].headers[name], value, "it gets there as it was sent");
    }
    let whole = client.get("/", &[]).await;
    assert_eq!((is_hit(&whole), whole.body.as_str()), (true, "hello"));
}
