//! The four suites on each way to reach Redis.

use cache_redis::{Connection, RedisCounters, RedisLease, RedisStore, RedisTransport};
use cache_testkit::redis::{Cluster, Sentinels, Server};
use cache_testkit::suite;

use crate::servers::{RealTime, cluster_config, connection, patient, sentinel_config};

/// More messages than an inbox of 1024 keeps.
const FLOOD: usize = 3000;

// conformance: Store for RedisStore
// conformance: Transport for RedisTransport
// conformance: Counters for RedisCounters
// conformance: Lease for RedisLease
#[tokio::test]
async fn a_single_server_keeps_every_promise() {
    let server = Server::start();
    let (connection, time) = (connection(&server), RealTime::new());
    let (store, transport) = (RedisStore::new(connection.clone()), RedisTransport::new(connection.clone()));
    let (counters, lease) = (RedisCounters::new(connection.clone()), RedisLease::new(connection));
    tokio::join!(
        suite::store::all(&store, &time),
        suite::transport::all(&transport, FLOOD),
        suite::counters::all(&counters, &time),
        suite::lease::all(&lease, &time),
    );
}

/// The same four, at the same time: the store's clear removes no message, window or lease.
pub(crate) async fn all(connection: &Connection) {
    let time = RealTime::new();
    let (store, transport) = (RedisStore::new(connection.clone()), RedisTransport::new(connection.clone()));
    let (counters, lease) = (RedisCounters::new(connection.clone()), RedisLease::new(connection.clone()));
    tokio::join!(
        suite::store::all(&store, &time),
        suite::transport::all(&transport, FLOOD),
        suite::counters::all(&counters, &time),
        suite::lease::all(&lease, &time),
    );
}

#[tokio::test]
async fn sentinels_keep_every_promise() {
    let group = Sentinels::start();
    all(&Connection::open(patient(sentinel_config(&group))).expect("legal")).await;
}

#[tokio::test]
async fn a_cluster_keeps_every_promise() {
    let cluster = Cluster::start();
    all(&Connection::open(patient(cluster_config(&cluster))).expect("legal")).await;
}
