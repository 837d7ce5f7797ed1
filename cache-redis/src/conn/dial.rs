//! Making a connection: socket, TLS, who we are, what time it is there. All of it within the connect timeout.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Counts;
use super::live::{Live, Question, Signals};
use crate::clock::ServerClock;
use crate::config::{Address, Config, ConfigError};
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

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

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
            let live = self.connect(address, signals, move |info| {
                if info.kind == PushKind::Disconnection {
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
        hear: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Live, Fault> {
        self.in_time(self.connect(address, Arc::default(), hear)).await
    }

    /// Asks a Sentinel one question, on a connection of its own.
    pub(crate) async fn ask_sentinel(&self, address: &Address, command: &Cmd) -> Result<Value, Fault> {
        let Config { sentinel_user, sentinel_password, .. } = &*self.config;
        let asking = async {
            let identity = identity(sentinel_user.as_ref(), sentinel_password.as_ref());
            let stream = self.stream(address).await?;
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            let connecting = MultiplexedConnection::new_with_config(&identity, stream, config);
            let (mut connection, driver) = connecting.await?;
            let reader = tokio::spawn(driver).abort_handle();
            let answer = connection.send_packed_command(command).await;
            reader.abort();
            Ok(answer?)
        };
        timeout(self.config.connect_timeout, asking).await.unwrap_or(Err(Fault::Late))
    }

    async fn connect(
        &self,
        address: &Address,
        signals: Arc<Signals>,
        hear: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Live, Fault> {
        let Config { user, password, database, client_name, .. } = &*self.config;
        // Pushed messages, and the news that a connection has ended while nobody was asking, come with RESP3 only.
        let identity = identity(user.as_ref(), password.as_ref())
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(i64::from(*database));
        let hear = move |info: PushInfo| {
            hear(info);
            Ok::<(), std::convert::Infallible>(())
        };
        // Deadlines are ours: one per call, whatever it waits for.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            // Who may be on their way is bounded already; behind a smaller queue they would wait a second time.
            .set_pipeline_buffer_size(self.config.max_in_flight)
            .set_push_sender(hear);
        let stream = self.stream(address).await?;
        let (connection, driver) = MultiplexedConnection::new_with_config(&identity, stream, config).await?;
        let reader = tokio::spawn(driver).abort_handle();
        let live = Live::new(connection, reader, signals, address.clone());
        if let Some(name) = client_name {
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

    async fn stream(&self, address: &Address) -> Result<Pin<Box<dyn Stream>>, Fault> {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
        let stream = stream.map_err(|error| Fault::Redis(error.into()))?;
        stream.set_nodelay(self.config.nodelay).map_err(|error| Fault::Redis(error.into()))?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let name = rustls::pki_types::ServerName::try_from(address.host.clone());
            let name =
                name.map_err(|_| Fault::Down("the host is no name that a certificate can prove".into()))?;
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(tls));
            let sealed = connector.connect(name, stream).await.map_err(|error| Fault::Redis(error.into()))?;
            return Ok(Box::pin(sealed));
        }
        Ok(Box::pin(stream))
    }
}

fn identity(user: Option<&String>, password: Option<&String>) -> RedisConnectionInfo {
    let identity = RedisConnectionInfo::default().set_lib_name("strata", env!("CARGO_PKG_VERSION"));
    let identity = user.map_or_else(|| identity.clone(), |user| identity.clone().set_username(user));
    password.map_or_else(|| identity.clone(), |password| identity.clone().set_password(password))
}
