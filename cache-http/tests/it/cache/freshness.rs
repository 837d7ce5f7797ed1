//! For how long a response is fresh: RFC 9111, 4.2; RFC 9213.

use std::time::Duration;

use http::HeaderName;

use super::site::{Site, is_hit, says};
use crate::app::Client;

/// What the site says at this path, in a form that a path can carry.
fn fields(path: &str) -> Vec<(String, String)> {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let pair = |pair: &str| {
        pair.split_once(':')
            .map(|(name, value)| (name.to_owned(), value.replace('_', " ").replace('\'', "\"")))
    };
    query.split('&').filter_map(pair).collect()
}

/// A site that says in each response what the query asks it to.
async fn mirror(set_up: impl FnOnce(cache_http::cache::CacheLayer) -> cache_http::cache::CacheLayer) -> Site {
    let answer = |asked: &http::request::Parts| {
        let fields = fields(asked.uri.path_and_query().expect("a path").as_str());
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        says(&fields)
    };
    Site::with(answer, set_up).await
}

/// For how many seconds a response with these fields is answered from the cache: zero, or one of the others.
async fn fresh_for(site: &Site, client: &mut Client, number: usize, said: &str) -> u64 {
    let path = format!("/{number}?{}", said.replace(' ', "_").replace('"', "'"));
    client.get(&path, &[]).await;
    let mut passed = 0;
    for until in [0, 9, 10, 29, 30, 59, 60, 3599, 3600, 2_000_000_000] {
        site.wait(until - passed);
        passed = until;
        if !is_hit(&client.get(&path, &[("cache-control", "only-if-cached")]).await) {
            return until;
        }
    }
    u64::MAX
}

async fn check(site: &Site, table: &[(&str, u64)]) {
    let mut client = site.client().await;
    for (number, (said, expected)) in table.iter().enumerate() {
        let found = fresh_for(site, &mut client, number, said).await;
        assert_eq!(found, *expected, "{said}");
    }
}

#[tokio::test]
async fn a_response_is_reused_while_it_is_fresh_and_not_a_second_longer() {
    let site = mirror(|layer| layer).await;
    check(
        &site,
        &[
            ("cache-control:max-age=10", 10),
            ("cache-control:max-age=60", 60),
            ("cache-control:max-age=0", 0),
            ("cache-control:MaX-aGe=10", 10),
            ("cache-control:max-age=\"10\"", 10),
            ("cache-control:foo, max-age=10, bar=\"max-age=60\"", 10),
            ("cache-control:max-age=99999999999999999999", u64::MAX),
            ("cache-control:max-age=-10", 0),
            ("cache-control:max-age=10s", 0),
            ("cache-control:max-age=10.0", 0),
            ("cache-control:max-age", 0),
            ("cache-control:max-age=10, max-age=60", 0),
            ("cache-control:max-age=10&cache-control:max-age=10", 10),
            ("cache-control:s-maxage=10", 10),
            ("cache-control:s-maxage=60, max-age=10", 60),
            ("cache-control:s-maxage=10, max-age=60", 10),
            ("cache-control:s-maxage=0, max-age=60", 0),
            ("cache-control:public", 0),
            ("", 0),
        ],
    )
    .await;
}

#[tokio::test]
async fn expires_counts_from_the_date_and_only_if_nothing_else_is_said() {
    let site = mirror(|layer| layer).await;
    // The date is of the past: what is said is relative to it, and what is older on arrival has less left.
    let date = "date:Fri, 15 Jan 2027 08:00:00 GMT";
    let mut client = site.client().await;
    for (number, (said, expected)) in [
        ("expires:Fri, 15 Jan 2027 08:01:00 GMT", 60),
        ("expires:Fri, 15 Jan 2027 08:00:00 GMT", 0),
        ("expires:Fri, 15 Jan 2027 07:59:00 GMT", 0),
        ("expires:0", 0),
        ("expires:-1", 0),
        ("expires:Friday, 15-Jan-27 08:01:00 GMT", 60),
        ("expires:Fri Jan 15 08:01:00 2027", 60),
        ("expires:Fri, 15 Jan 2027 08:01:00 GMT&expires:Fri, 15 Jan 2027 09:00:00 GMT", 0),
        ("expires:Fri, 15 Jan 2027 08:01:00 GMT&cache-control:max-age=10", 10),
        ("expires:0&cache-control:max-age=10", 10),
        ("expires:Fri, 15 Jan 2027 08:01:00 GMT&cache-control:max-age=0", 0),
        ("expires:Fri, 15 Jan 2027 08:01:00 GMT&cache-control:foo", 60),
    ]
    .iter()
    .enumerate()
    {
        let site = mirror(|layer| layer).await;
        let mut own = site.client().await;
        let found = fresh_for(&site, &mut own, number, &format!("{date}&{said}")).await;
        assert_eq!(found, *expected, "{said}");
    }
    // Without a date, from when it came.
    let said = "expires:Fri, 15 Jan 2027 08:01:00 GMT";
    assert_eq!(fresh_for(&site, &mut client, 99, said).await, 60);
}

#[tokio::test]
async fn what_was_old_when_it_came_has_less_left_and_says_how_old_it_is() {
    let site = mirror(|layer| layer).await;
    check(
        &site,
        &[
            ("cache-control:max-age=60&age:50", 10),
            ("cache-control:max-age=60&age:60", 0),
            ("cache-control:max-age=60&age:nonsense", 60),
            ("cache-control:max-age=60&age:50, 0", 10),
            ("cache-control:max-age=60&age:99999999999999999999", 0),
        ],
    )
    .await;
    let site = mirror(|layer| layer).await;
    let mut client = site.client().await;
    let dated = "/?cache-control:max-age=60&date:Fri,_15_Jan_2027_07:59:50_GMT";
    assert_eq!(client.get(dated, &[]).await.field("age"), None, "as the site has said it");
    site.wait(5);
    let hit = client.get(dated, &[]).await;
    assert_eq!((is_hit(&hit), hit.number("age"), site.times()), (true, 15, 1));
    assert_eq!(hit.field("cache-status"), Some("strata; hit; ttl=45"));
    assert_eq!(hit.field("date"), Some("Fri, 15 Jan 2027 07:59:50 GMT"));
    let plain = "/b?cache-control:max-age=60";
    client.get(plain, &[]).await;
    site.wait(7);
    let hit = client.get(plain, &[]).await;
    assert_eq!((hit.number("age"), hit.field("date")), (7, Some("Fri, 15 Jan 2027 08:00:05 GMT")));
}

#[tokio::test]
async fn nothing_is_guessed_unless_that_is_asked_for() {
    let changed = "date:Fri, 15 Jan 2027 08:00:00 GMT&last-modified:Fri, 15 Jan 2027 07:50:00 GMT";
    for (share, most, expected) in
        [(None, 0, 0), (Some(0.1), 3600, 60), (Some(0.1), 30, 30), (Some(0.0), 30, 0)]
    {
        let guess = |layer: cache_http::cache::CacheLayer| match share {
            Some(share) => layer.with_heuristic(share, Duration::from_secs(most)),
            None => layer,
        };
        let site = mirror(guess).await;
        let mut client = site.client().await;
        assert_eq!(fresh_for(&site, &mut client, 0, changed).await, expected, "{share:?} {most}");
    }
}

#[tokio::test]
async fn fields_for_caches_like_this_one_come_before_those_for_all() {
    let site = mirror(|layer| layer).await;
    check(
        &site,
        &[
            ("cdn-cache-control:max-age=60&cache-control:max-age=10", 60),
            ("cdn-cache-control:max-age=60&cache-control:no-store", 60),
            ("cdn-cache-control:max-age=60&expires:0", 60),
            ("cdn-cache-control:no-store&cache-control:max-age=60", 0),
            ("cdn-cache-control:private&cache-control:max-age=60", 0),
            ("cdn-cache-control:max-age=\"60\"&cache-control:max-age=10", 60),
            ("cdn-cache-control:max-age=60, &&&&cache-control:max-age=10", 60),
            ("cdn-cache-control:MAX-AGE=60&cache-control:max-age=10", 10),
            ("cdn-cache-control:&cache-control:max-age=10", 10),
            ("surrogate-control:max-age=60&cache-control:max-age=10", 60),
            ("surrogate-control:max-age=30+600&cache-control:max-age=10", 30),
            ("surrogate-control:no-store&cache-control:max-age=60", 0),
            ("surrogate-control:content=\"ESI/1.0\"&cache-control:max-age=60", 0),
            ("cdn-cache-control:max-age=30&surrogate-control:max-age=60", 30),
            ("other-cache-control:max-age=60&cache-control:max-age=10", 10),
        ],
    )
    .await;
    let other = [HeaderName::from_static("other-cache-control")];
    let site = mirror(|layer| layer.with_targets(other)).await;
    check(
        &site,
        &[
            ("other-cache-control:max-age=60&cache-control:max-age=10", 60),
            ("cdn-cache-control:max-age=60&cache-control:max-age=10", 10),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_for_caches_further_out_is_passed_on_or_hidden() {
    let said = "/?cache-control:max-age=60&cdn-cache-control:max-age=60&surrogate-control:x&surrogate-key:a&cache-tag:b";
    for hidden in [false, true] {
        let site = mirror(|layer| layer.with_surrogates_hidden(hidden)).await;
        let mut client = site.client().await;
        for _ in 0..2 {
            let answer = client.get(said, &[]).await;
            for name in ["cdn-cache-control", "surrogate-control", "surrogate-key", "cache-tag"] {
                assert_eq!(answer.field(name).is_none(), hidden, "{name}");
            }
        }
        assert_eq!(site.times(), 1);
    }
}
