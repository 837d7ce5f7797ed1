//! The scrape: every line is of the format, every family is a known one, and what counts only grows.

use std::collections::{BTreeMap, BTreeSet};

use cache_core::metric::{self, Kind, Metric};

use crate::server::Running;

/// The series of a scrape by name and labels, each checked against the format and the list of metrics.
#[track_caller]
fn parse(scrape: &str) -> BTreeMap<String, f64> {
    let (mut helped, mut typed) = (BTreeSet::new(), BTreeSet::new());
    let mut series = BTreeMap::new();
    for line in scrape.lines().filter(|line| !line.is_empty()) {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
            assert_eq!(help, family(name).help);
            assert!(helped.insert(name), "{name} has two HELP lines");
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' '))
        {
            assert_eq!(kind, format!("{:?}", family(name).kind).to_lowercase(), "{name}");
            assert!(typed.insert(name), "{name} has two TYPE lines");
        } else {
            let (id, value) = line.rsplit_once(' ').expect("a series and a value");
            let (name, labels) = id.split_once('{').map_or((id, ""), |(name, rest)| (name, rest));
            let metric = family(name);
            assert!(helped.contains(metric.name) && typed.contains(metric.name), "{name} is not described");
            assert_eq!(label_names(labels), metric.labels.iter().copied().collect(), "{line}");
            let value: f64 = value.parse().expect("a number");
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert!(series.insert(id.to_owned(), value).is_none(), "{id} stands there twice");
        }
    }
    series
}

/// The metric that a series is of; a histogram has several series.
#[track_caller]
fn family(series: &str) -> &'static Metric {
    let of = |metric: &&Metric| {
        let suffix = series.strip_prefix(metric.name);
        suffix == Some("")
            || metric.kind == Kind::Histogram
                && suffix.is_some_and(|it| ["_bucket", "_sum", "_count"].contains(&it))
    };
    metric::ALL.iter().find(of).unwrap_or_else(|| panic!("{series} is not a metric of this project"))
}

#[track_caller]
fn label_names(labels: &str) -> BTreeSet<&str> {
    let labels = labels.strip_suffix('}').unwrap_or(labels);
    let pairs = labels.split("\",").filter(|pair| !pair.is_empty());
    let names = pairs.map(|pair| pair.split_once("=\"").expect("name=\"value\"").0);
    names.filter(|name| *name != "le").collect()
}

async fn scrape(server: &Running) -> BTreeMap<String, f64> {
    let answer = server.get("/metrics").await.expect(200);
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    parse(&answer.text())
}

async fn traffic(server: &Running) {
    for at in 0..20 {
        server.put(&format!("/v1/entries/{at}"), "v").await;
        server.get(&format!("/v1/entries/{}", at * 2)).await;
    }
    server.delete("/v1/entries/0").await;
    server.get("/nowhere").await;
}

#[tokio::test]
async fn a_scrape_is_well_formed_and_counts_only_grow() {
    let server = Running::start("[region.small]\nmax_bytes = 200").await;
    let mut before = scrape(&server).await;
    for _ in 0..3 {
        traffic(&server).await;
        server.put("/v1/regions/small/entries/k", vec![0; 1000]).await.problem(413);
        let now = scrape(&server).await;
        for (series, value) in &before {
            let counts = family(series.split('{').next().expect("a name")).kind != Kind::Gauge;
            assert!(!counts || now[series] >= *value, "{series} fell from {value} to {}", now[series]);
        }
        before = now;
    }
    let expected = [
        ("cache_requests_total{region=\"default\",result=\"hit\"}", 21.0),
        ("cache_requests_total{region=\"default\",result=\"miss\"}", 39.0),
        ("cache_inserts_total{region=\"default\"}", 60.0),
        ("cache_entries{region=\"default\"}", 19.0),
        ("cache_rejected_total{region=\"small\"}", 3.0),
        ("cache_memory_limit_bytes{region=\"small\"}", 200.0),
        ("cache_http_requests_total{route=\"unmatched\",status=\"404\"}", 3.0),
        ("cache_http_requests_total{route=\"/v1/entries/{key}\",status=\"404\"}", 39.0),
        ("cache_http_request_duration_seconds_count{route=\"/v1/entries/{key}\"}", 8.0),
    ];
    for (series, value) in expected {
        assert_eq!(before.get(series), Some(&value), "{series}");
    }
}

#[tokio::test]
async fn no_client_can_add_a_series() {
    let server = Running::start("").await;
    traffic(&server).await;
    server.get("/v1/regions/none/entries/k").await;
    scrape(&server).await;
    let before: BTreeSet<String> = scrape(&server).await.into_keys().collect();
    for at in 0..200 {
        server.put(&format!("/v1/entries/hostile%22{at}"), "v").await.expect(201);
        server.get(&format!("/nowhere/{at}")).await.problem(404);
        server.get(&format!("/v1/regions/r{at}/entries/k")).await.problem(404);
    }
    assert_eq!(scrape(&server).await.into_keys().collect::<BTreeSet<_>>(), before);
}

#[tokio::test]
async fn a_region_that_is_gone_leaves_no_series() {
    let server = Running::start("").await;
    let json = [("content-type", "application/json")];
    for _ in 0..2 {
        server.send("PUT", "/v1/regions/brief", &json, "{}").await.expect(201);
        server.put("/v1/regions/brief/entries/k", "v").await.expect(201);
        let inserts = "cache_inserts_total{region=\"brief\"}";
        assert_eq!(scrape(&server).await.get(inserts), Some(&1.0));
        server.delete("/v1/regions/brief").await.expect(200);
        assert!(scrape(&server).await.keys().all(|series| !series.contains("brief")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiers_are_scraped_under_the_names_that_there_are() {
    let redis = cache_testkit::redis::Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let toml = format!(
        "redis_url = \"redis://{}\"\ndir = {:?}",
        redis.address(),
        folder.path().display().to_string()
    );
    let server = Running::start(&toml).await;
    server.put("/v1/entries/k", "v").await.expect(201);
    server.get("/v1/entries/none").await.problem(404);
    let series = scrape(&server).await;
    let of = |id: &str| *series.get(id).unwrap_or_else(|| panic!("{id}: {:?}", series.keys()));
    for (id, at_least, below) in [
        ("cache_tier_writes_total{region=\"default\",tier=\"redis\",result=\"taken\"}", 1.0, 2.0),
        ("cache_breaker_state{region=\"default\",tier=\"redis\"}", 0.0, 1.0),
        ("cache_disk_inserts_total{region=\"all\"}", 1.0, 2.0),
        ("cache_tier_requests_total{region=\"default\",tier=\"redis\",result=\"miss\"}", 1.0, 100.0),
        ("cache_redis_connections_total{result=\"made\"}", 1.0, 100.0),
        ("cache_bus_messages_total{result=\"sent\"}", 1.0, 1000.0),
    ] {
        assert!((at_least..below).contains(&of(id)), "{id} is {}", of(id));
    }
}
