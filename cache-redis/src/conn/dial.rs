//! Making a connection: socket, TLS, who we are, what time it is there. All of it within the connect timeout.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use redis::{Cmd, Value};
use tokio::time::timeout;

use super::Counts;
use super::live::{Live, Signals};
use crate::clock::ServerClock;
use crate::config::{Address, Config, ConfigError};
use crate::driver::{self, Door, Heard, Question, Wire};
use crate::fault::Fault;

/// How often the server's clock is read at the beginning: the quickest answer tells it best.
const READINGS: usize = 5;

/// What it takes to connect.
#[derive(Debug)]
pub(crate) struct Dialer {
    config: Arc<Config>,
    counts: Arc<Counts>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Dialer {
    #[cfg_attr(
        not(feature = "tls"),
        expect(clippy::unnecessary_wraps, reason = "only certificates can be wrong here")
    )]
    pub(crate) fn new(config: Arc<Config>, counts: Arc<Counts>) -> Result<Self, ConfigError> {
        Ok(Self {
            #[cfg(feature = "tls")]
            tls: config.tls.as_ref().map(crate::config::Tls::client).transpose()?,
            config,
            counts,
        })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Connects to a server that keeps things, and learns its time.
    pub(crate) async fn to_server(&self, address: &Address, clock: &ServerClock) -> Result<Live, Fault> {
        let connecting = async {
            let signals = Arc::<Signals>::default();
            let told = Arc::clone(&signals);
            let live = self.connect(address, signals, move |heard| {
                if matches!(heard, Heard::Ended) {
                    told.lose();
                }
            });
            let live = live.await?;
            for _ in 0..READINGS {
                live.probe(clock, self.config.connect_timeout).await?;
            }
            Ok(live)
        };
        self.in_time(connecting).await
    }

    /// Connects to a server whose messages go to `hear`.
    pub(crate) async fn to_listen(
        &self,
        address: &Address,
        hear: impl Fn(Heard) + Send + Sync + 'static,
    ) -> Result<Live, Fault> {
        self.in_time(self.connect(address, Arc::default(), hear)).await
    }

    /// Asks a Sentinel one question, on a connection of its own.
    pub(crate) async fn ask_sentinel(&self, address: &Address, command: &Cmd) -> Result<Value, Fault> {
        let asking = driver::ask_sentinel(self.door(address), command);
        timeout(self.config.connect_timeout, asking).await.unwrap_or(Err(Fault::Late))
    }

    async fn connect(
        &self,
        address: &Address,
        signals: Arc<Signals>,
        hear: impl Fn(Heard) + Send + Sync + 'static,
    ) -> Result<Live, Fault> {
        let wire = Wire::open(self.door(address), hear).await?;
        let live = Live::new(wire, signals, address.clone());
        if let Some(name) = &self.config.client_name {
            let mut command = redis::cmd("CLIENT");
            live.ask(&Question::One(command.arg("SETNAME").arg(name))).await?;
        }
        Ok(live)
    }

    async fn in_time(&self, connecting: impl Future<Output = Result<Live, Fault>>) -> Result<Live, Fault> {
        let connected = timeout(self.config.connect_timeout, connecting).await.unwrap_or(Err(Fault::Late));
        let count = if connected.is_ok() { &self.counts.connects } else { &self.counts.failed_connects };
        count.fetch_add(1, Ordering::Relaxed);
        connected
    }

    /// Counts a connection that has ended.
    pub(crate) fn has_lost(&self) {
        self.counts.lost.fetch_add(1, Ordering::Relaxed);
    }

    fn door<'a>(&'a self, address: &'a Address) -> Door<'a> {
        Door {
            config: &self.config,
            address,
            #[cfg(feature = "tls")]
            tls: self.tls.as_ref(),
        }
    }
}
