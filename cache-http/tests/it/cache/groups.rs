//! Groups of responses, by surrogate keys, and addresses, each removed at once.

use super::site::{Site, is_hit, says};

#[tokio::test]
async fn responses_go_by_their_surrogate_keys() {
    let site = Site::start(|asked| match asked.uri.path() {
        "/1" => says(&[("cache-control", "max-age=60"), ("surrogate-key", "product:1 all")]),
        "/2" => {
            says(&[("cache-control", "max-age=60"), ("surrogate-key", "product:2"), ("surrogate-key", "all")])
        }
        _ => says(&[("cache-control", "max-age=60"), ("cache-tag", "product:3,  with space ,all")]),
    })
    .await;
    let mut client = site.client().await;
    for (tag, gone) in [
        ("product:1", vec!["/1"]),
        ("with space", vec!["/3"]),
        ("all", vec!["/1", "/2", "/3"]),
        ("none", vec![]),
    ] {
        for path in ["/1", "/2", "/3"] {
            client.get(path, &[]).await;
        }
        assert_eq!(site.layer.cache().remove_tag(tag).await.expect("memory"), gone.len() as u64, "{tag}");
        for path in ["/1", "/2", "/3"] {
            assert_eq!(is_hit(&client.get(path, &[]).await), !gone.contains(&path), "{tag} {path}");
        }
    }
}

#[tokio::test]
async fn a_response_with_more_groups_than_can_be_kept_is_not_kept() {
    let site = Site::start(|asked| {
        let keys = match asked.uri.path() {
            "/many" => (0..65).map(|key| key.to_string()).collect::<Vec<_>>().join(" "),
            _ => "x".repeat(257),
        };
        says(&[("cache-control", "max-age=60"), ("surrogate-key", &keys)])
    })
    .await;
    let mut client = site.client().await;
    for path in ["/many", "/long"] {
        client.get(path, &[]).await;
        assert!(!is_hit(&client.get(path, &[]).await), "{path}");
    }
}

#[tokio::test]
async fn an_address_is_purged_with_all_that_stands_under_it() {
    let site = Site::start(|_| says(&[("cache-control", "max-age=60"), ("vary", "x-a")])).await;
    let mut client = site.client().await;
    let callers = [vec![], vec![("x-a", "1")], vec![("x-a", "2")], vec![("x-forwarded-host", "other")]];
    for path in ["/a?x", "/b"] {
        for caller in &callers {
            client.get(path, caller).await;
        }
    }
    assert!(!site.layer.purge(&"/a?x".parse().expect("a path")).await, "no address without a host");
    assert!(site.layer.purge(&"http://LOCALHOST/a?x".parse().expect("an address")).await);
    for caller in &callers {
        assert!(!is_hit(&client.get("/a?x", caller).await), "{caller:?}");
        assert!(is_hit(&client.get("/b", caller).await), "{caller:?}");
    }
}
