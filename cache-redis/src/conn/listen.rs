//! Listening: a connection of its own, on which one channel's messages come in.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::dial::Dialer;
use super::live::Live;
use super::node::Node;
use crate::driver::Heard;
use crate::fault::Fault;

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
        let live = dialer.to_listen(&address, hear).await?;
        Ok(Self { live, node, is_sharded })
    }

    /// Subscribes, again if need be: each time it is confirmed in its place among the messages.
    pub(crate) async fn subscribe(&self, channel: &[u8], patience: Duration) -> Result<(), Fault> {
        let subscribed = timeout(patience, self.live.wire().subscribe(channel, self.is_sharded)).await;
        subscribed.unwrap_or(Err(Fault::Late))
    }

    /// Whether the server still answers, and is still the one that messages come from.
    pub(crate) async fn is_alive(&self, channel: &[u8], patience: Duration) -> bool {
        let answer = timeout(patience, self.live.wire().is_subscribed(channel, self.is_sharded)).await;
        matches!(answer, Ok(true)) && !self.node.target().has_moved_from(self.live.address()).await
    }
}
