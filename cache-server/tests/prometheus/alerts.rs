//! Each alert fires when its fault is made, at the server where it was made, and none before.
//!
//! The rules are those that are handed out, with seconds where they have minutes; their thresholds are as they are.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cache_server::{Server, Settings};
use http_body_util::Full;
use hyper::Request;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Interval, interval};

use crate::client::{self, Answer, Raw};
use crate::tools::{Prometheus, asset, promtool};

const ALERTS: &str = include_str!("../../../assets/alerts.yml");

/// How long a rule looks back, and for how long it must hold, in this test.
const WINDOW: &str = "[5s]";
const HELD: &str = "for: 1s";

/// Many times what it takes.
const PATIENCE: usize = 900;

/// A server in this process, by the real clock.
async fn start(toml: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let server = Server::new(Settings::from_toml(toml).expect("legal settings")).expect("legal regions");
    tokio::spawn(server.run(listener, std::future::pending()));
    address
}

async fn send(address: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    let request =
        request.header("content-type", "application/json").body(Full::new(Bytes::from(body.to_owned())));
    client::send(address, request.expect("legal")).await
}

/// The rules with seconds in place of minutes.
fn quick() -> String {
    let windows = ["[5m]", "[10m]"];
    let quick = windows.iter().fold(ALERTS.to_owned(), |rules, window| rules.replace(window, WINDOW));
    let line = |line: &str| {
        let held = line.trim_start().starts_with("for: ");
        if held {
            format!("{}{HELD}", &line[..line.len() - line.trim_start().len()])
        } else {
            line.to_owned()
        }
    };
    let quick: String =
        quick.lines().map(|text| line(text) + "\n").fold(String::new(), |all, line| all + &line);
    assert!(!quick.contains("m])") && quick.contains(WINDOW) && quick.contains(HELD), "{quick}");
    quick
}

/// Which alerts are firing, and at which server.
async fn firing(prometheus: &Prometheus) -> BTreeSet<(String, String)> {
    let alerts = prometheus.ask("/api/v1/alerts").await;
    let firing =
        alerts["alerts"].as_array().expect("a list").iter().filter(|alert| alert["state"] == "firing");
    let text = |alert: &serde_json::Value, label: &str| {
        alert["labels"][label].as_str().unwrap_or_default().to_owned()
    };
    firing.map(|alert| (text(alert, "alertname"), text(alert, "instance"))).collect()
}

/// The servers, and what is asked of them.
struct World {
    small: SocketAddr,
    shared: SocketAddr,
    narrow: SocketAddr,
    round: usize,
}

impl World {
    /// What is asked of servers that are well.
    async fn healthy(&mut self) {
        self.round += 1;
        for server in [self.small, self.shared] {
            let keys = json!({"keys": ["kept", "kept-too"]}).to_string();
            send(server, "POST", "/v1/get-many", &keys).await.expect(200);
        }
        send(self.narrow, "GET", "/livez", "").await.expect(200);
    }

    /// Reads of what is not there, writes of more than there is room for, watchers beyond their number, and clients beyond theirs.
    async fn faulty(&mut self) {
        self.round += 1;
        let round = self.round;
        let keys: Vec<String> = (0..50).map(|at| format!("none-{round}-{at}")).collect();
        send(self.small, "POST", "/v1/get-many", &json!({"keys": keys}).to_string()).await.expect(200);
        let entries: Vec<_> = keys.iter().map(|key| json!({"key": key, "value": 1})).collect();
        for region in ["default", "token", "report"] {
            let path = format!("/v1/regions/{region}/set-many");
            send(self.small, "POST", &path, &json!({"entries": entries}).to_string()).await.expect(200);
        }
        for _ in 0..3 {
            send(self.small, "GET", "/v1/events/stats", "").await.problem(503);
        }
        // A read of what is kept would be answered by memory without asking its Redis.
        let path = format!("/v1/entries/none-{round}");
        send(self.shared, "GET", &path, "").await.problem(404);
        send(self.shared, "PUT", &path, "1").await;
        let mut clients = Vec::new();
        for _ in 0..12 {
            clients.push(TcpStream::connect(self.narrow).await.expect("it listens"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_alert_fires_when_its_fault_is_made_and_none_before() {
    let mut redis = cache_testkit::redis::Server::start();
    let tiny = "max_bytes = 20000";
    let tiny = format!("[region.default]\n{tiny}\n[region.token]\n{tiny}\n[region.report]\n{tiny}");
    let mut world = World {
        small: start(&tiny).await,
        shared: start(&format!("redis_url = \"redis://{}\"", redis.address())).await,
        narrow: start("max_connections = 8").await,
        round: 0,
    };
    for server in [world.small, world.shared] {
        for key in ["kept", "kept-too"] {
            send(server, "PUT", &format!("/v1/entries/{key}"), "1").await.expect(201);
        }
    }
    let prometheus = Prometheus::start(&[world.small, world.shared, world.narrow], &quick()).await;
    let mut pause = interval(Duration::from_millis(100));
    scraped(&prometheus, &mut world, &mut pause).await;

    redis.kill();
    let mut watchers = Vec::new();
    for _ in 0..32 {
        let mut watcher = Raw::connect(world.small).await;
        watcher.write("GET /v1/events/stats HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        watchers.push(watcher);
    }
    let expected: BTreeSet<(String, String)> = [
        ("CacheHitRateLow", world.small),
        ("CacheErrorsHigh", world.small),
        ("CacheMemoryHigh", world.small),
        ("CacheEvictionRateHigh", world.small),
        ("CacheConnectionFailures", world.shared),
        ("CacheBreakerOpen", world.shared),
        ("CacheNewsMissing", world.shared),
        ("CacheClientsRefused", world.narrow),
    ]
    .map(|(name, server)| (name.to_owned(), server.to_string()))
    .into();
    let all: BTreeSet<&str> =
        ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(
        expected.iter().map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>(),
        all,
        "each has its fault"
    );

    let mut fired = BTreeSet::new();
    for _ in 0..PATIENCE {
        pause.tick().await;
        world.faulty().await;
        fired.extend(firing(&prometheus).await);
        if fired.is_superset(&expected) {
            // What is not well at one server is no alert of another, but for misses where Redis had what was asked for.
            let missing = ("CacheHitRateLow".to_owned(), world.shared.to_string());
            let unexpected: Vec<_> = fired.difference(&expected).filter(|alert| **alert != missing).collect();
            assert!(unexpected.is_empty(), "{unexpected:?}");
            return;
        }
    }
    let missing: Vec<_> = expected.difference(&fired).collect();
    panic!("these do not fire: {missing:?}; these do: {fired:?}");
}

/// Waits until each server was scraped for longer than rules look back, with nothing wrong and no alert.
async fn scraped(prometheus: &Prometheus, world: &mut World, pause: &mut Interval) {
    for _ in 0..PATIENCE {
        pause.tick().await;
        world.healthy().await;
        assert_eq!(firing(prometheus).await, BTreeSet::new(), "nothing is wrong yet");
        let scrapes = prometheus.ask("/api/v1/query?query=sum_over_time(up%5B1m%5D)").await;
        let scrapes = scrapes["result"].as_array().expect("a list");
        let enough = |server: &&serde_json::Value| {
            server["value"][1]
                .as_str()
                .and_then(|count| count.parse::<f64>().ok())
                .is_some_and(|count| count >= 14.0)
        };
        if scrapes.iter().filter(enough).count() == 3 {
            return;
        }
    }
    panic!("prometheus does not scrape all servers");
}

#[tokio::test]
async fn the_tool_of_prometheus_finds_nothing_wrong_with_a_scrape() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let redis = cache_testkit::redis::Server::start();
    let toml = format!(
        "redis_url = \"redis://{}\"\ndir = {:?}",
        redis.address(),
        folder.path().display().to_string()
    );
    let server = start(&toml).await;
    send(server, "PUT", "/v1/entries/k", "1").await.expect(201);
    send(server, "GET", "/v1/entries/none", "").await.problem(404);
    let scrape = send(server, "GET", "/metrics", "").await.expect(200).text();
    assert!(scrape.contains("cache_breaker_state") && scrape.contains("cache_disk"), "{scrape}");
    promtool(&["check", "metrics"], &scrape);
}

#[test]
fn the_rules_and_their_tests_hold() {
    let path = |name: &str| asset(name).to_str().expect("text").to_owned();
    promtool(&["check", "rules", &path("alerts.yml")], "");
    promtool(&["test", "rules", &path("alerts.test.yml")], "");
}
