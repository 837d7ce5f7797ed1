//! The four ways to reach Redis, each with connections to it; and the time that passes in front of a real server.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{Clock, SystemClock, Time};
use cache_redis::{Address, Config, Connection, Mode};
use cache_testkit::clock::Passage;
use cache_testkit::redis::{Cluster, Sentinels, Server};

/// Time as it is.
#[derive(Debug)]
pub(crate) struct RealTime(SystemClock);

impl RealTime {
    pub(crate) fn new() -> Self {
        Self(SystemClock::new())
    }
}

impl Clock for RealTime {
    fn now(&self) -> Time {
        self.0.now()
    }
}

#[async_trait]
impl Passage for RealTime {
    async fn pass(&self, duration: Duration) {
        let _ = tokio::time::timeout(duration, std::future::pending::<()>()).await;
    }
}

/// A configuration for tests: patient, because the machine may be busy with others, and with a clock that is set once, so
/// that what it tells of two moments is to the microsecond.
pub(crate) fn patient(config: Config) -> Config {
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
