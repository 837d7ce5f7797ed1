//! Drivers: who speaks the protocol, on one connection to one server. Everything else is ours and the same over each.
//!
//! ```text
//! route ─ node ─ link ─ supervisor ─ deadline        whom to connect to, when again, for how long to wait
//! ──────────────────── wire ────────────────────     questions and answers, what comes in unasked, the end
//!     redis_rs                      fred
//! ```
//!
//! A driver neither connects again nor asks again nor follows a redirection. Commands and answers are those of `redis`
//! throughout: they are plain data.

#[cfg(feature = "fred")]
mod fred;
mod redis_rs;

use bytes::Bytes;
use redis::{Cmd, Pipeline, Value};

use crate::config::{Address, Config};
use crate::fault::Fault;

/// Who speaks the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Driver {
    /// The crate `redis`, which the others are measured by.
    #[default]
    RedisRs,
    /// The crate `fred`, by the feature of that name.
    ///
    /// Slower, and its last release is of February 2025. **A server that is not trusted must not be connected to by it**: an
    /// answer nested a few thousand times overflows its parser's stack, which ends the process. It asks each server for its
    /// `CLIENT ID` and `INFO`, and goes on where it may not. A channel of a Cluster that has moved to another server is found
    /// with the next heartbeat, not at once.
    #[cfg(feature = "fred")]
    Fred,
}

/// What is sent at once.
pub(crate) enum Question<'a> {
    One(&'a Cmd),
    Many(&'a Pipeline),
}

/// What is heard unasked, in the order in which the server says it.
pub(crate) enum Heard {
    /// From now on messages come in: a subscription was confirmed.
    Begun,
    /// A message.
    Message(Bytes),
    /// No more messages come in: the connection has ended, or the server serves the channel no longer.
    Ended,
}

/// A server to connect to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door<'a> {
    pub(crate) config: &'a Config,
    pub(crate) address: &'a Address,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<&'a std::sync::Arc<rustls::ClientConfig>>,
}

/// One connection. Dropping it closes the socket.
#[derive(Debug)]
pub(crate) enum Wire {
    RedisRs(redis_rs::Wire),
    #[cfg(feature = "fred")]
    Fred(Box<fred::Wire>),
}

impl Wire {
    /// Connects, says who we are and chooses the database; `hear` is told whatever comes in, and must not block.
    pub(crate) async fn open(
        door: Door<'_>,
        hear: impl Fn(Heard) + Send + Sync + 'static,
    ) -> Result<Self, Fault> {
        match door.config.driver {
            Driver::RedisRs => Ok(Self::RedisRs(redis_rs::Wire::open(door, hear).await?)),
            #[cfg(feature = "fred")]
            Driver::Fred => Ok(Self::Fred(Box::new(Box::pin(fred::Wire::open(door, hear)).await?))),
        }
    }

    /// Sends a question and waits for the answer, which may be an error of the server. An error is the end of the connection
    /// if it is [unrecoverable](redis::RedisError::is_unrecoverable_error).
    pub(crate) async fn ask(&self, question: &Question<'_>) -> Result<Value, Fault> {
        match self {
            Self::RedisRs(wire) => wire.ask(question).await,
            #[cfg(feature = "fred")]
            Self::Fred(wire) => Box::pin(wire.ask(question)).await,
        }
    }

    /// The same for a single command.
    pub(crate) async fn ask_one(&self, command: &Cmd) -> Result<Value, Fault> {
        match self {
            Self::RedisRs(wire) => wire.ask_one(command).await,
            #[cfg(feature = "fred")]
            Self::Fred(wire) => Box::pin(wire.ask(&Question::One(command))).await,
        }
    }

    /// Subscribes to a channel, again if need be: each time [`Heard::Begun`] is told in its place among the messages.
    pub(crate) async fn subscribe(&self, channel: &[u8], is_sharded: bool) -> Result<(), Fault> {
        match self {
            Self::RedisRs(wire) => wire.subscribe(channel, is_sharded).await,
            #[cfg(feature = "fred")]
            Self::Fred(wire) => Box::pin(wire.subscribe(channel, is_sharded)).await,
        }
    }

    /// Asks whether the subscription still stands.
    #[cfg_attr(not(feature = "fred"), expect(unused_variables, reason = "fred alone has to be told again"))]
    pub(crate) async fn is_subscribed(&self, channel: &[u8], is_sharded: bool) -> bool {
        match self {
            // It tells by itself when a channel is no longer served.
            Self::RedisRs(wire) => wire.ask(&Question::One(&redis::cmd("PING"))).await.is_ok(),
            #[cfg(feature = "fred")]
            Self::Fred(wire) => Box::pin(wire.subscribe(channel, is_sharded)).await.is_ok(),
        }
    }
}

/// Asks a Sentinel one question, on a connection of its own. Whichever driver there is, `redis` does that.
pub(crate) async fn ask_sentinel(door: Door<'_>, command: &Cmd) -> Result<Value, Fault> {
    redis_rs::ask_sentinel(door, command).await
}
