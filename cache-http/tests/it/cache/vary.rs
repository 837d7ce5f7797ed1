//! Several responses under one address: RFC 9111, 4.1.

use super::site::{Site, is_hit, says};

/// A site that says this of what its responses depend on.
async fn varying(said: &'static str) -> Site {
    Site::start(move |asked| {
        let mut response = says(&[("cache-control", "max-age=60"), ("vary", said)]);
        *response.body_mut() = format!("{:?}", asked.headers.get("x-a"));
        response
    })
    .await
}

#[tokio::test]
async fn each_caller_gets_the_response_that_depends_on_what_he_says() {
    let site = varying("X-A").await;
    let mut client = site.client().await;
    let callers = [vec![("x-a", "1")], vec![("x-a", "2")], vec![], vec![("x-a", "1"), ("x-b", "9")]];
    for round in 0..3 {
        for caller in &callers {
            let answer = client.get("/", caller).await;
            let own = caller.first().map(|(_, value)| http::HeaderValue::from_static(value));
            assert_eq!(answer.body, format!("{own:?}"), "round {round}");
            assert!(round == 0 || is_hit(&answer));
        }
    }
    assert_eq!(site.times(), 3);
}

#[tokio::test]
async fn what_means_the_same_gets_the_same() {
    let site = varying("accept-encoding, X-A").await;
    let mut client = site.client().await;
    client.get("/", &[("accept-encoding", "gzip, br"), ("x-a", "1")]).await;
    for same in [
        vec![("accept-encoding", "br,gzip"), ("x-a", "1")],
        vec![("accept-encoding", "br"), ("accept-encoding", "gzip"), ("x-a", " 1 ")],
        vec![("x-a", "1"), ("accept-encoding", "GZIP, BR")],
    ] {
        assert!(is_hit(&client.get("/", &same).await), "{same:?}");
    }
    for other in [
        vec![("accept-encoding", "gzip"), ("x-a", "1")],
        vec![("x-a", "1")],
        vec![("accept-encoding", "gzip, br")],
    ] {
        assert!(!is_hit(&client.get("/", &other).await), "{other:?}");
    }
}

#[tokio::test]
async fn a_response_may_depend_on_more_than_the_first_one_did() {
    let site = Site::start(|asked| {
        let vary = if asked.headers.contains_key("x-a") { "x-a, x-b" } else { "x-a" };
        says(&[("cache-control", "max-age=60"), ("vary", vary)])
    })
    .await;
    let mut client = site.client().await;
    let callers = [
        vec![],
        vec![("x-a", "1"), ("x-b", "1")],
        vec![("x-a", "1"), ("x-b", "2")],
        vec![("x-a", "1")],
        vec![("x-b", "7")],
    ];
    let mut bodies = Vec::new();
    for caller in &callers {
        bodies.push(client.get("/", caller).await.body);
    }
    assert_eq!(bodies, ["1", "2", "3", "4", "1"], "the last one asks as the first");
    for (caller, body) in callers.iter().zip(bodies) {
        let answer = client.get("/", caller).await;
        assert_eq!((is_hit(&answer), answer.body), (true, body), "{caller:?}");
    }
}

#[tokio::test]
async fn each_response_under_an_address_ages_by_itself() {
    let site = varying("x-a").await;
    let mut client = site.client().await;
    client.get("/", &[("x-a", "1")]).await;
    site.wait(40);
    client.get("/", &[("x-a", "2")]).await;
    site.wait(40);
    assert!(is_hit(&client.get("/", &[("x-a", "2")]).await));
    assert!(!is_hit(&client.get("/", &[("x-a", "1")]).await));
    assert!(is_hit(&client.get("/", &[("x-a", "2")]).await));
    assert_eq!(site.times(), 3);
}
