//! Responses in a real Redis: shared by two nodes, there after a restart, gone on all nodes at once; and a Redis that is killed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use cache_http::cache::CacheLayer;
use cache_testkit::clock::ManualClock;
use cache_testkit::redis::Server;
use strata::redis::{Config, Connection, RedisStore, RedisTransport};
use strata::{Bus, Tier};
use tokio::time::timeout;

use super::site::{Site, is_hit, pages, says, wall};

const LIMIT: Duration = Duration::from_secs(20);

async fn node(server: &Server, said: &'static str) -> Site {
    let config = Config::from_url(&server.url()).expect("a legal address");
    let config = config.with_command_timeout(Duration::from_millis(500));
    let connection = Connection::open(config).expect("legal");
    let bus = Bus::builder(Arc::new(RedisTransport::new(connection.clone()))).open().expect("legal");
    let clock = ManualClock::new();
    let pages =
        pages(&clock).tier(Tier::new(Arc::new(RedisStore::new(connection)))).bus(bus).build().expect("legal");
    let layer = CacheLayer::new(pages).with_wall_clock(wall(&clock));
    Site::behind(layer, clock, move |_, number| {
        std::future::ready(
            says(&[("cache-control", said), ("surrogate-key", "all"), ("vary", "x-a"), ("etag", "\"1\"")])
                .map(|_| Body::from(number.to_string())),
        )
    })
    .await
}

/// Has one node load until the other one has it too: a node that has just begun may not have reached Redis yet.
async fn share(from: &Site, to: &Site, caller: &[(&str, &str)]) {
    let (mut first, mut second) =
        (vec![("cache-control", "no-cache")], vec![("cache-control", "only-if-cached")]);
    first.extend(caller);
    second.extend(caller);
    let (mut one, mut other) = (from.client().await, to.client().await);
    let sharing = async {
        loop {
            one.get("/", &first).await;
            for _ in 0..20 {
                if is_hit(&other.get("/", &second).await) {
                    return;
                }
            }
        }
    };
    timeout(LIMIT, sharing).await.expect("sooner or later");
}

/// Asks until the answer is a hit, or is none, without a question to the application.
async fn until(site: &Site, caller: &[(&str, &str)], hit: bool) {
    let mut only = vec![("cache-control", "only-if-cached")];
    only.extend(caller);
    let mut client = site.client().await;
    let asking = async { while is_hit(&client.get("/", &only).await) != hit {} };
    timeout(LIMIT, asking).await.expect("sooner or later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_has_loaded_all_have_until_one_removes_it() {
    let server = Server::start();
    let nodes = [node(&server, "max-age=3600").await, node(&server, "max-age=3600").await];
    let callers: [&[(&str, &str)]; 2] = [&[], &[("x-a", "1")]];
    for caller in callers {
        share(&nodes[0], &nodes[1], caller).await;
    }
    let later = node(&server, "max-age=3600").await;
    for caller in callers {
        until(&later, caller, true).await;
    }
    assert_eq!((nodes[1].times(), later.times()), (0, 0), "as after a restart");

    nodes[1].layer.cache().remove_tag("all").await.expect("it cannot fail");
    for site in [&nodes[0], &nodes[1], &later] {
        for caller in callers {
            until(site, caller, false).await;
        }
    }
    share(&nodes[0], &later, &[]).await;
    nodes[1].client().await.send("DELETE", "/", &[], "").await;
    for site in [&nodes[0], &later] {
        until(site, &[], false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_answers_though_redis_is_killed() {
    let mut server = Server::start();
    let site = node(&server, "max-age=3600").await;
    let mut client = site.client().await;
    share(&site, &node(&server, "x").await, &[]).await;
    server.kill();
    for number in 0..50 {
        let path = format!("/{number}");
        let answer = timeout(LIMIT, client.get(&path, &[])).await.expect("it does not hang");
        assert_eq!(answer.status.as_u16(), 200);
        assert!(is_hit(&timeout(LIMIT, client.get(&path, &[])).await.expect("it does not hang")), "{path}");
    }
    assert_eq!(
        timeout(LIMIT, client.send("POST", "/1", &[], "")).await.expect("in time").status.as_u16(),
        200
    );
    assert!(!is_hit(&client.get("/1", &[]).await));
}
