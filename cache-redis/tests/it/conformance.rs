//! The four suites on each way to reach Redis. Each has a thread and connections of its own: one that is busy must not make
//! another one late, whose time is real.

use std::thread;

use cache_redis::{Config, Connection, RedisCounters, RedisLease, RedisStore, RedisTransport};
use cache_testkit::clock::RealTime;
use cache_testkit::redis::{Cluster, Sentinels, Server};
use cache_testkit::suite;

use crate::servers::{cluster_config, connection, patient, sentinel_config};

/// More messages than an inbox of 1024 keeps.
const FLOOD: usize = 3000;

// conformance: Store for RedisStore
#[tokio::test]
async fn redis_store_keeps_every_promise() {
    let server = Server::start();
    suite::store::all(&RedisStore::new(connection(&server)), &RealTime::new()).await;
}

// conformance: Transport for RedisTransport
#[tokio::test]
async fn redis_transport_keeps_every_promise() {
    let server = Server::start();
    suite::transport::all(&RedisTransport::new(connection(&server)), FLOOD).await;
}

// conformance: Counters for RedisCounters
#[tokio::test]
async fn redis_counters_keep_every_promise() {
    let server = Server::start();
    suite::counters::all(&RedisCounters::new(connection(&server)), &RealTime::new()).await;
}

// conformance: Lease for RedisLease
#[tokio::test]
async fn redis_lease_keeps_every_promise() {
    let server = Server::start();
    suite::lease::all(&RedisLease::new(connection(&server)), &RealTime::new()).await;
}

#[test]
fn sentinels_keep_every_promise() {
    let group = Sentinels::start();
    all(&sentinel_config(&group));
}

#[test]
fn a_cluster_keeps_every_promise() {
    let cluster = Cluster::start();
    all(&cluster_config(&cluster));
}

/// All four, at the same time: the store's clear removes no message, window or lease.
pub(crate) fn all(config: &Config) {
    let store = async |redis| suite::store::all(&RedisStore::new(redis), &RealTime::new()).await;
    let transport = async |redis| suite::transport::all(&RedisTransport::new(redis), FLOOD).await;
    let counters = async |redis| suite::counters::all(&RedisCounters::new(redis), &RealTime::new()).await;
    let lease = async |redis| suite::lease::all(&RedisLease::new(redis), &RealTime::new()).await;
    thread::scope(|scope| {
        scope.spawn(|| ask(config, store));
        scope.spawn(|| ask(config, transport));
        scope.spawn(|| ask(config, counters));
        scope.spawn(|| ask(config, lease));
    });
}

fn ask(config: &Config, suite: impl AsyncFnOnce(Connection)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let connection = Connection::open(patient(config.clone())).expect("legal");
    runtime.block_on(suite(connection));
}
