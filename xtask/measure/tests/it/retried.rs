//! The tiers behind `retry(chaos(...))`: one operation in three fails, and every promise of a store is kept, in files and on each way to
//! reach Redis; over fred by the feature of that name. That of memory is tested in `strata/tests/it/layer.rs`.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cache_core::Store;
use cache_disk::Disk;
use cache_redis::{Address, Config, Connection, Driver, Mode, RedisStore};
use cache_testkit::chaos::Chaos;
use cache_testkit::clock::{ManualClock, Passage, RealTime};
use cache_testkit::redis::{Cluster, Sentinels, Server};
use cache_testkit::suite;
use strata::layer::{Backoff, Layered, Retries};

#[test]
fn the_file_tier_keeps_every_promise_behind_retries() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), ManualClock::new());
    let builder = Disk::builder(folder.path().join("cache")).with_clock(Arc::new(clock.clone()));
    let disk = builder.with_max_bytes(64 << 20).build().expect("a folder of its own");
    keeps_every_promise(Arc::new(disk), 7, &clock);
}

#[test]
fn the_redis_tier_keeps_every_promise_behind_retries() {
    on_each_way_to_reach_redis(Driver::RedisRs);
}

#[cfg(feature = "fred")]
#[test]
fn so_it_does_over_fred() {
    on_each_way_to_reach_redis(Driver::Fred);
}

/// At the same time, because they mostly wait; each with a thread of its own, so that none makes another one late.
fn on_each_way_to_reach_redis(driver: Driver) {
    let (server, group, cluster) = (Server::start(), Sentinels::start(), Cluster::start());
    let here = |address: std::net::SocketAddr| Address::new(address.ip().to_string(), address.port());
    let named = Mode::Sentinel { name: Sentinels::NAME.into() };
    let configs = [
        Config::new(Mode::Standalone, [here(server.address())]).with_pool_size(2),
        Config::new(named, group.addresses().into_iter().map(here)),
        Config::new(Mode::Cluster, cluster.addresses().into_iter().map(here)),
    ];
    thread::scope(|scope| {
        for (seed, config) in (0..).zip(configs) {
            scope.spawn(move || redis_keeps_every_promise(config.with_driver(driver), seed));
        }
    });
}

fn redis_keeps_every_promise(config: Config, seed: u64) {
    let patient = config.with_connect_timeout(Duration::from_secs(5)).with_heartbeat(Duration::from_mins(1));
    let patient =
        patient.with_command_timeout(Duration::from_secs(10)).with_pool_timeout(Duration::from_secs(10));
    let store = RedisStore::new(Connection::open(patient).expect("legal"));
    keeps_every_promise(Arc::new(store), seed, &RealTime::new());
}

fn keeps_every_promise(store: Arc<dyn Store>, seed: u64, time: &dyn Passage) {
    let one_in = NonZeroU32::new(3).expect("three");
    let chaos = Arc::new(Chaos::new(store).seeded(seed, one_in));
    // One operation in 10^19 fails forty times.
    let retries = Retries::new(40, Backoff::new(Duration::ZERO, Duration::ZERO));
    let layered = Layered::new(retries, Arc::<Chaos>::clone(&chaos));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(suite::store::all(&layered, time));
    assert!(chaos.operations() > 100, "it was asked {} times", chaos.operations());
}
