//! Nobody chooses what others see. The attacks: Kettle, "Practical Web Cache Poisoning" (2018) and "Web Cache Entanglement" (2020);
//! Nguyen et al., "Your Cache Has Fallen" (CCS 2019).

use super::site::{Site, is_hit, says};

/// A site that shows what it believes of a request: what the attacks make use of.
async fn reflecting() -> Site {
    Site::start(|asked| {
        let mut response = says(&[("cache-control", "public, max-age=60")]);
        *response.body_mut() = format!("{} {:?}", asked.uri, asked.headers);
        response
    })
    .await
}

#[tokio::test]
async fn fields_that_move_a_request_elsewhere_are_part_of_its_key() {
    for (name, value) in [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-scheme", "nothttps"),
        ("x-forwarded-proto", "nothttps"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-prefix", "/evil"),
        ("x-original-url", "/evil"),
        ("x-rewrite-url", "/evil"),
        ("x-host", "evil.example"),
        ("x-http-method-override", "POST"),
        ("forwarded", "for=1.2.3.4;host=evil.example"),
        ("forwarded", "for=1.2.3.4, for=2.3.4.5;Proto=evil.example"),
    ] {
        let site = reflecting().await;
        let mut client = site.client().await;
        client.get("/", &[(name, value)]).await;
        let victim = client.get("/", &[]).await;
        assert!(!is_hit(&victim) && !victim.body.contains("evil"), "{name}: {}", victim.body);
        assert!(is_hit(&client.get("/", &[]).await));
        assert!(is_hit(&client.get("/", &[(name, value)]).await), "his own, for him");
    }
}

#[tokio::test]
async fn who_is_called_for_whom_is_no_part_of_a_key_and_more_can_be() {
    let site = reflecting().await;
    let mut client = site.client().await;
    client.get("/", &[("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=1.2.3.4")]).await;
    assert!(is_hit(&client.get("/", &[("x-forwarded-for", "5.6.7.8"), ("forwarded", "for=5.6.7.8")]).await));
    let own = [http::HeaderName::from_static("x-tenant")];
    let site = Site::with(|_| says(&[("cache-control", "max-age=60")]), |layer| layer.with_keyed(own)).await;
    let mut client = site.client().await;
    client.get("/", &[("x-tenant", "a")]).await;
    assert!(!is_hit(&client.get("/", &[("x-tenant", "b")]).await));
    assert!(is_hit(&client.get("/", &[("x-tenant", "a")]).await));
}

#[tokio::test]
async fn host_path_and_query_are_compared_as_they_are() {
    let site = reflecting().await;
    let mut client = site.client().await;
    let long = format!("/{}?a", "x".repeat(2_000));
    let longer = format!("/{}?b", "x".repeat(2_000));
    let mut seen = Vec::new();
    for (host, path) in [
        ("localhost", "/a"),
        ("evil.example", "/a"),
        ("localhost:81", "/a"),
        ("localhost", "/A"),
        ("localhost", "/a?"),
        ("localhost", "/a?x=1&y=2"),
        ("localhost", "/a?y=2&x=1"),
        ("localhost", "/a;x"),
        ("localhost", "/b/../a"),
        ("localhost", "//a"),
        ("localhost", "/%61"),
        ("localhost", &long),
        ("localhost", &longer),
    ] {
        let answer = client.get(path, &[("host", host)]).await;
        assert!(!is_hit(&answer), "{host}{path}");
        seen.push((host.to_owned(), path.to_owned(), answer.body));
    }
    for (host, path, body) in seen {
        let answer = client.get(&path, &[("host", &host)]).await;
        assert_eq!((is_hit(&answer), answer.body), (true, body), "{host}{path}");
    }
    assert!(is_hit(&client.get("/a", &[("host", "LOCALHOST")]).await));
}

#[tokio::test]
async fn a_get_with_a_body_or_two_hosts_is_for_nobody_else() {
    let site = reflecting().await;
    let mut client = site.client().await;
    client.send("GET", "/fat", &[], "q=evil").await;
    assert!(!is_hit(&client.get("/fat", &[]).await));
    client.get("/two", &[("host", "localhost"), ("host", "evil.example")]).await;
    assert!(!is_hit(&client.get("/two", &[]).await));
}

#[tokio::test]
async fn errors_that_a_strange_request_brings_about_are_not_shown_to_others() {
    let site = Site::start(|asked| {
        let mut response = says(&[("etag", "\"1\"")]);
        if asked.headers.contains_key("x-strange") {
            *response.status_mut() = http::StatusCode::BAD_REQUEST;
        } else {
            response.headers_mut().insert("cache-control", "max-age=60".parse().expect("legal"));
        }
        response
    })
    .await;
    let mut client = site.client().await;
    assert_eq!(client.get("/", &[("x-strange", "1")]).await.status.as_u16(), 400);
    assert_eq!(client.get("/", &[]).await.status.as_u16(), 200);
    assert_eq!(client.get("/", &[]).await.status.as_u16(), 200);
}

#[tokio::test]
async fn two_applications_over_one_cache_are_told_apart() {
    let site = reflecting().await;
    let other =
        super::site::Site::behind(site.layer.clone().with_scope("other:"), site.clock.clone(), |_, _| {
            std::future::ready(says(&[("cache-control", "max-age=60")]).map(|_| "of the other".into()))
        })
        .await;
    let here = site.client().await.get("/", &[]).await.body;
    let there = other.client().await.get("/", &[]).await.body;
    assert_eq!((site.client().await.get("/", &[]).await.body, there.as_str()), (here, "of the other"));
    assert_eq!((site.times(), other.times(), site.layer.cache().memory().len()), (1, 1, 2));
}
