//! The four ways to reach Redis, each with connections to it; and the time that passes in front of a real server.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use cache_redis::{Address, Config, Connection, Driver, Mode};
use cache_testkit::clock::{Passage, RealTime};
use cache_testkit::redis::{Cluster, Sentinels, Server};

thread_local! {
    /// Over which driver the tests of this thread go, where their settings do not say it.
    pub(crate) static DRIVER: Cell<Option<Driver>> = const { Cell::new(None) };
}

fn over_the_driver(config: Config) -> Config {
    match DRIVER.get() {
        Some(driver) => config.with_driver(driver),
        None => config,
    }
}

/// A configuration for tests: patient, because the machine may be busy with others, and with a clock that is set once, so
/// that what it tells of two moments is to the microsecond.
pub(crate) fn patient(config: Config) -> Config {
    let config = over_the_driver(config);
    let config = config.with_connect_timeout(Duration::from_secs(5)).with_heartbeat(Duration::from_mins(1));
    config.with_command_timeout(Duration::from_secs(10)).with_pool_timeout(Duration::from_secs(10))
}

pub(crate) fn config(address: SocketAddr) -> Config {
    Config::new(Mode::Standalone, [here(address)])
}

pub(crate) fn connection(server: &Server) -> Connection {
    Connection::open(patient(config(server.address()))).expect("legal")
}

pub(crate) fn sentinel_config(group: &Sentinels) -> Config {
    let mode = Mode::Sentinel { name: Sentinels::NAME.into() };
    Config::new(mode, group.addresses().into_iter().map(here))
}

pub(crate) fn cluster_config(cluster: &Cluster) -> Config {
    Config::new(Mode::Cluster, cluster.addresses().into_iter().map(here))
}

fn here(address: SocketAddr) -> Address {
    Address::new(address.ip().to_string(), address.port())
}

/// Impatient enough for a test to see a call end.
pub(crate) fn hasty(config: Config) -> Config {
    let ms = Duration::from_millis;
    let config = over_the_driver(config);
    let config = config.with_command_timeout(ms(200)).with_connect_timeout(ms(500)).with_pool_timeout(ms(20));
    config.with_backoff(ms(5), ms(50)).with_heartbeat(ms(200))
}

/// Waits for what must not hang, far beyond any deadline and any delay of a busy machine.
pub(crate) async fn ends<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), future).await.expect("it hangs")
}

/// Asks again until it succeeds.
pub(crate) async fn succeeds<T, E>(mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    ends(async {
        loop {
            if let Ok(answer) = ask().await {
                return answer;
            }
            RealTime::new().pass(Duration::from_millis(5)).await;
        }
    })
    .await
}

pub(crate) fn key(name: &str) -> cache_core::Key {
    cache_core::Key::new(name).expect("a legal key")
}
