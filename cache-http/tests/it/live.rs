//! Over a real Redis, which is killed: two applications, one limit, and the choice of what happens meanwhile.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cache_core::Counters;
use cache_http::limit::{Hops, LimitLayer};
use cache_memory::MemoryCounters;
use cache_ratelimit::{ClassLimiter, Classes, Fallback};
use cache_redis::{Config, Connection, RedisCounters};
use cache_testkit::redis::Server;
use http::StatusCode;

use crate::app::{App, Client, identify};

const TWO: NonZeroU32 = NonZeroU32::new(2).expect("two");

async fn app(server: &Server, fallback: &Fallback) -> App {
    let config = Config::from_url(&server.url()).expect("a legal address");
    let config = config.with_command_timeout(Duration::from_millis(500));
    let counters: Arc<dyn Counters> = Arc::new(RedisCounters::new(Connection::open(config).expect("legal")));
    let limiter = ClassLimiter::shared(Classes::default(), &counters, fallback).expect("legal");
    App::start(LimitLayer::new(Arc::new(limiter), identify(Hops::new(1)))).await
}

/// Asks as somebody else each time, until the counters answer.
async fn until_counted(client: &mut Client) {
    for number in 0..u32::MAX {
        let probe = format!("192.0.2.{}", number % 250);
        if client.get("/", &[("x-forwarded-for", &probe)]).await.body == "Some(Shared)" {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_applications_share_a_limit_and_go_on_when_redis_is_killed() {
    let mut server = Server::start();
    let share = Fallback::share(Arc::new(MemoryCounters::new()), TWO);
    let apps = [app(&server, &share).await, app(&server, &Fallback::Closed).await];
    let mut clients = [apps[0].client().await, apps[1].client().await];
    for client in &mut clients {
        until_counted(client).await;
    }
    let caller = [("x-forwarded-for", "203.0.113.7")];
    let mut admitted = 0;
    for turn in 0..100 {
        admitted += clients[turn % 2].admitted(1, &caller).await;
    }
    assert_eq!(admitted, 60);
    let denied = clients[0].get("/", &caller).await;
    assert_eq!((denied.status, denied.number("retry-after") > 0), (StatusCode::TOO_MANY_REQUESTS, true));

    server.kill();
    let other = [("x-forwarded-for", "203.0.113.8")];
    assert_eq!(clients[0].admitted(100, &other).await, 30, "its part");
    let closed = clients[1].get("/", &other).await;
    assert_eq!((closed.status, closed.number("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, 1));
    assert_eq!(clients[1].admitted(10, &other).await, 0);

    server.restart();
    until_counted(&mut clients[1]).await;
    assert_eq!(clients[1].admitted(100, &other).await, 60, "the whole again");
}
