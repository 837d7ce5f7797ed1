//! The driver over the crate `redis`: its `MultiplexedConnection`, which sends what many ask for on one socket and tells each
//! its answer.

use std::pin::Pin;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::{Door, Heard, Question};
use crate::config::Config;
use crate::fault::Fault;

#[derive(Debug)]
pub(crate) struct Wire {
    connection: MultiplexedConnection,
    reader: AbortHandle,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Wire {
    pub(super) async fn open(
        door: Door<'_>,
        hear: impl Fn(Heard) + Send + Sync + 'static,
    ) -> Result<Self, Fault> {
        let Config { user, password, database, .. } = door.config;
        // Pushed messages, and the news that a connection has ended while nobody was asking, come with RESP3 only.
        let identity = identity(user.as_ref(), password.as_ref())
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(i64::from(*database));
        let hear = move |info: PushInfo| {
            if let Some(heard) = heard(info) {
                hear(heard);
            }
            Ok::<(), std::convert::Infallible>(())
        };
        // Deadlines are ours: one per call, whatever it waits for.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            // Who may be on their way is bounded already; behind a smaller queue they would wait a second time.
            .set_pipeline_buffer_size(door.config.max_in_flight)
            .set_push_sender(hear);
        Self::over(door, &identity, config).await
    }

    async fn over(
        door: Door<'_>,
        identity: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> Result<Self, Fault> {
        let stream = stream(door).await?;
        let (connection, driver) = MultiplexedConnection::new_with_config(identity, stream, config).await?;
        Ok(Self { connection, reader: tokio::spawn(driver).abort_handle() })
    }

    pub(super) async fn ask(&self, question: &Question<'_>) -> Result<Value, Fault> {
        let mut connection = self.connection.clone();
        Ok(match question {
            Question::One(command) => connection.send_packed_command(command).await?,
            Question::Many(pipeline) => {
                Value::Array(connection.send_packed_commands(pipeline, 0, pipeline.len()).await?)
            }
        })
    }

    pub(super) async fn ask_one(&self, command: &Cmd) -> Result<Value, Fault> {
        Ok(self.connection.clone().send_packed_command(command).await?)
    }

    /// The confirmation is an answer that comes in as a message does, so it is told by whoever reads those.
    pub(super) async fn subscribe(&self, channel: &[u8], is_sharded: bool) -> Result<(), Fault> {
        let mut command = redis::cmd(if is_sharded { "SSUBSCRIBE" } else { "SUBSCRIBE" });
        match self.ask(&Question::One(command.arg(channel))).await? {
            Value::ServerError(error) => Err(Fault::Redis(error.into())),
            _ => Ok(()),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

pub(super) async fn ask_sentinel(door: Door<'_>, command: &Cmd) -> Result<Value, Fault> {
    let Config { sentinel_user, sentinel_password, .. } = door.config;
    let identity = identity(sentinel_user.as_ref(), sentinel_password.as_ref());
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    Wire::over(door, &identity, config).await?.ask(&Question::One(command)).await
}

async fn stream(door: Door<'_>) -> Result<Pin<Box<dyn Stream>>, Fault> {
    let Door { config, address, .. } = door;
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
    let stream = stream.map_err(|error| Fault::Redis(error.into()))?;
    stream.set_nodelay(config.nodelay).map_err(|error| Fault::Redis(error.into()))?;
    #[cfg(feature = "tls")]
    if let Some(tls) = door.tls {
        let name = rustls::pki_types::ServerName::try_from(address.host.clone());
        let name =
            name.map_err(|_| Fault::Down("the host is no name that a certificate can prove".into()))?;
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::clone(tls));
        let sealed = connector.connect(name, stream).await.map_err(|error| Fault::Redis(error.into()))?;
        return Ok(Box::pin(sealed));
    }
    Ok(Box::pin(stream))
}

fn identity(user: Option<&String>, password: Option<&String>) -> RedisConnectionInfo {
    let identity = RedisConnectionInfo::default().set_lib_name("strata", env!("CARGO_PKG_VERSION"));
    let identity = user.map_or_else(|| identity.clone(), |user| identity.clone().set_username(user));
    password.map_or_else(|| identity.clone(), |password| identity.clone().set_password(password))
}

fn heard(PushInfo { kind, mut data }: PushInfo) -> Option<Heard> {
    match kind {
        PushKind::Subscribe | PushKind::SSubscribe => Some(Heard::Begun),
        PushKind::Message | PushKind::SMessage => match data.pop() {
            Some(Value::BulkString(message)) => Some(Heard::Message(message.into())),
            _ => None,
        },
        PushKind::Disconnection | PushKind::Unsubscribe | PushKind::SUnsubscribe => Some(Heard::Ended),
        _ => None,
    }
}
