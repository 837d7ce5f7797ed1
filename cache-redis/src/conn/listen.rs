//! Listening: a connection of its own, on which one channel's messages come in.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::{PushInfo, PushKind, Value};
use tokio::time::timeout;

use super::dial::Dialer;
use super::live::{Live, Question};
use super::node::Node;
use crate::fault::Fault;

/// What is heard, in the order in which the server says it.
pub(crate) enum Heard {
    /// From now on messages come in: a subscription was confirmed.
    Begun,
    /// A message.
    Message(Bytes),
    /// No more messages come in: the connection has ended, or the server serves the channel no longer.
    Ended,
}

pub(crate) struct Listening {
    live: Live,
    node: Arc<Node>,
    is_sharded: bool,
}

impl Listening {
    /// Connects to the server that `node` is; `hear` is told whatever comes in, and must not block.
    pub(crate) async fn begin(
        dialer: &Dialer,
        node: Arc<Node>,
        is_sharded: bool,
        hear: impl Fn(Heard) + Send + Sync + 'static,
    ) -> Result<Self, Fault> {
        let address = node.target().address().await?;
        let live = dialer.to_listen(&address, move |info| {
            if let Some(heard) = heard(info) {
                hear(heard);
            }
        });
        Ok(Self { live: live.await?, node, is_sharded })
    }

    /// Subscribes, again if need be: each time it is confirmed in its place among the messages.
    pub(crate) async fn subscribe(&self, channel: &[u8], patience: Duration) -> Result<(), Fault> {
        let mut command = redis::cmd(if self.is_sharded { "SSUBSCRIBE" } else { "SUBSCRIBE" });
        command.arg(channel);
        let answer = timeout(patience, self.live.ask(&Question::One(&command))).await;
        match answer.map_err(|_| Fault::Late)?? {
            Value::ServerError(error) => Err(Fault::Redis(error.into())),
            _ => Ok(()),
        }
    }

    /// Whether the server still answers, and is still the one that messages come from.
    pub(crate) async fn is_alive(&self, patience: Duration) -> bool {
        let command = redis::cmd("PING");
        let answer = timeout(patience, self.live.ask(&Question::One(&command))).await;
        matches!(answer, Ok(Ok(_))) && !self.node.target().has_moved_from(self.live.address()).await
    }
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
