//! Over a real Redis: several processes, and what is decided while it is killed, stopped, full and back.
//!
//! What the counters themselves promise there is shown by the tests of `cache-redis`.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Clock, Counters, Key, Quota, SystemClock};
use cache_memory::MemoryCounters;
use cache_ratelimit::{Budget, By, Class, ClassLimiter, Classes, Fallback, Plan, SharedLimiter, Subject};
use cache_redis::{Config, Connection, RedisCounters};
use cache_testkit::redis::{Proxy, Server};

const HOUR: Duration = Duration::from_hours(1);
const PROCESSES: NonZeroU32 = NonZeroU32::new(10).expect("ten");

/// A limiter as a process of its own would have it. It is impatient, so that a test sees calls end.
fn limiter(server: &Server, limit: u64, per: Duration) -> SharedLimiter {
    let config = Config::from_url(&server.url()).expect("a legal address");
    let config = config.with_command_timeout(Duration::from_millis(300));
    let config = config.with_backoff(Duration::from_millis(5), Duration::from_millis(50));
    let counters = RedisCounters::new(Connection::open(config).expect("legal"));
    let quota = Quota::new(limit, per).expect("a legal quota");
    let fallback = Fallback::share(Arc::new(MemoryCounters::new()), PROCESSES);
    SharedLimiter::new("live", quota, Arc::new(counters)).with_fallback(fallback)
}

fn key(name: &str) -> Key {
    Key::new(name).expect("a legal key")
}

/// Asks, charging nothing, until the answer comes from there.
async fn until(limiter: &SharedLimiter, by: By) {
    let asked = async {
        while limiter.take_cost(&key("probe"), 0).await.by != by {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), asked).await.expect("it comes");
}

#[tokio::test]
async fn limiters_over_several_connections_admit_exactly_the_limit_together() {
    let server = Server::start();
    let limiters: Vec<_> = (0..4).map(|_| Arc::new(limiter(&server, 777, HOUR))).collect();
    for limiter in &limiters {
        until(limiter, By::Shared).await;
    }
    let calls: Vec<_> = (0..16)
        .map(|task| {
            let limiter = Arc::clone(&limiters[task % limiters.len()]);
            tokio::spawn(async move {
                let (mut admitted, mut away) = (0, 0);
                for _ in 0..200 {
                    let decision = limiter.take(&key("k")).await;
                    admitted += u64::from(decision.is_admitted() && decision.by == By::Shared);
                    away += u64::from(decision.by == By::Share);
                }
                (admitted, away)
            })
        })
        .collect();
    let (mut admitted, mut away) = (0, 0);
    for call in calls {
        let (more, unanswered) = call.await.expect("no panic");
        admitted += more;
        away += unanswered;
    }
    // One that was not answered in time on a busy machine may have been charged.
    assert!(admitted <= 777 && admitted + away >= 777, "{admitted} and {away} unanswered");
}

#[tokio::test]
async fn while_redis_is_dead_stopped_or_full_the_share_holds_and_afterwards_the_whole() {
    let mut server = Server::start();
    let limiter = limiter(&server, 100, HOUR);
    for fault in ["killed", "stopped", "full"] {
        until(&limiter, By::Shared).await;
        match fault {
            "killed" => server.kill(),
            "stopped" => server.stop(),
            _ => server.fill_memory(),
        }
        let mut admitted = 0;
        // The first ones may still be answered by who is about to be away.
        for call in 0..200 {
            let decision = limiter.take(&key(fault)).await;
            assert!(matches!(decision.by, By::Share | By::Remembered), "{fault}, call {call}: {decision:?}");
            admitted += u32::from(decision.is_admitted());
        }
        assert_eq!(admitted, 10, "{fault}: a tenth");
        match fault {
            "killed" => server.restart(),
            "stopped" => server.cont(),
            _ => server.free_memory(),
        }
        until(&limiter, By::Shared).await;
        let back = limiter.take(&key(&format!("after {fault}"))).await;
        assert_eq!((back.by, back.remaining), (By::Shared, 99));
    }
}

#[tokio::test]
async fn what_a_limiter_leaves_in_redis_ends_by_itself() {
    const SCRIPT: &str = "local longest = 0 \
        for _, name in ipairs(redis.call('KEYS', '*')) do \
          local life = redis.call('PTTL', name) \
          if life < 0 then return name end \
          longest = math.max(longest, life) \
        end \
        return longest";
    let server = Server::start();
    let limiter = limiter(&server, 3, Duration::from_mins(1));
    until(&limiter, By::Shared).await;
    for name in ["a", "b:c", "{d}", "größe"] {
        for cost in [1, 2, 1, 0, 4] {
            let _ = limiter.take_cost(&key(name), cost).await;
        }
    }
    let said = format!("{:?}", server.call(&["EVAL", SCRIPT, "0"]));
    let longest: u64 =
        said.chars().filter(char::is_ascii_digit).collect::<String>().parse().expect("a number");
    assert!(said.starts_with("Integer") && longest > 0 && longest <= 61_000, "{said}");
}

/// What these names are stands in Redis while servers are upgraded one after another: where versions differ in them, each counts by itself, and a
/// client has as much from each.
#[tokio::test]
async fn all_versions_count_in_the_same_place() {
    let server = Server::start();
    let config = Config::from_url(&server.url()).expect("a legal address");
    let counters: Arc<dyn Counters> = Arc::new(RedisCounters::new(Connection::open(config).expect("legal")));
    let classes = ClassLimiter::shared(Classes::default(), &counters, &Fallback::Closed).expect("legal");
    let budget = Budget::new(Plan::MARKET_DATA, Arc::clone(&counters)).expect("legal");
    let bob = Subject::named("bob").expect("a name");
    tokio::time::timeout(Duration::from_mins(1), async {
        while !classes.take(Class::Premium, &bob, "/v1").await.is_admitted() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it is there soon");
    assert_eq!(budget.take("ticker").await.by, By::Shared);
    let fields = |key: &str| {
        let reply = server.call(&["HGETALL", &format!("strata:c:{{all}}:{key}")]);
        let mut fields: Vec<(String, bool)> = reply
            .parts()
            .chunks(2)
            .map(|pair| (pair[0].text().to_owned(), pair[1].text().ends_with(":1")))
            .collect();
        fields.sort();
        fields
    };
    let [minute, thousandths, burst] =
        ["4294967295/60000000000/60", "4294967295/60000000000/1000", "4294967295/10000000000/1000"]
            .map(|field| (field.to_owned(), true));
    assert_eq!(fields("limit:name:bob"), [minute]);
    assert_eq!(fields("market-data:endpoint:ticker"), std::slice::from_ref(&thousandths));
    assert_eq!(fields("market-data:all"), [burst, thousandths]);
}

/// What is asked and answered within a window was admitted in it, whenever exactly the server has decided.
#[tokio::test]
async fn no_window_has_more_than_the_limit_of_eight_clients_on_a_bad_line() {
    const LIMIT: usize = 40;
    const WINDOW: Duration = Duration::from_millis(600);
    let server = Server::start();
    let proxy = Proxy::to(server.address());
    let clock = Arc::new(SystemClock::new());
    let end = clock.now().after(WINDOW * 4);
    let client = || {
        let config = Config::from_url(&format!("redis://{}", proxy.address())).expect("a legal address");
        let config = config.with_command_timeout(Duration::from_millis(300));
        let config = config.with_backoff(Duration::from_millis(5), Duration::from_millis(50));
        let counters = Arc::new(RedisCounters::new(Connection::open(config).expect("legal")));
        let quota = Quota::new(LIMIT as u64, WINDOW).expect("legal");
        let (limiter, clock) = (SharedLimiter::new("all", quota, counters), Arc::clone(&clock));
        tokio::spawn(async move {
            let mut admitted = Vec::new();
            while clock.now() < end {
                let asked = clock.now();
                if limiter.take(&key("k")).await.is_admitted() {
                    admitted.push((asked, clock.now()));
                }
                tokio::task::yield_now().await;
            }
            admitted
        })
    };
    let clients: Vec<_> = (0..8).map(|_| client()).collect();
    let mut pauses = tokio::time::interval(WINDOW / 4);
    for number in 0_u64.. {
        pauses.tick().await;
        if clock.now() >= end {
            break;
        }
        proxy.delay(Duration::from_millis(number % 3 * 20));
        if number % 4 == 3 {
            proxy.cut();
        }
    }
    proxy.heal();
    let mut admitted = Vec::new();
    for client in clients {
        admitted.extend(client.await.expect("no panic"));
    }
    for (from, _) in &admitted {
        let within = |(asked, answered): &&(_, _)| asked >= from && *answered <= from.after(WINDOW);
        let together = admitted.iter().filter(within).count();
        assert!(together <= LIMIT, "{together} since {from:?}");
    }
    assert!(admitted.len() >= LIMIT, "{} in four windows", admitted.len());
}
