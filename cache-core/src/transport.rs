//! The seam of messages: what one process publishes, every subscriber may receive, at most once.
//!
//! No implementation can promise delivery, so the contract is the honest one: a subscriber learns *that* it may have
//! missed something, and the layer above distrusts what it holds. Nothing here knows what a message means.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;

/// At-most-once messages between processes.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends a message to everyone subscribed to the channel, the sender's own subscriptions included.
    ///
    /// Returns when the transport has taken the message, not when it was received. Messages of one publisher arrive
    /// in the order of publishing.
    async fn publish(&self, channel: &str, message: Bytes) -> Result<()>;

    /// Starts to receive. Every message published after this returns is either received or reported as missed.
    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Subscription>>;
}

/// The receiving end of a channel. Dropping it ends it.
#[async_trait]
pub trait Subscription: fmt::Debug + Send + 'static {
    /// Waits for the next message, or for the news that some are missing.
    ///
    /// # Cancel safety
    /// Safe: a dropped wait loses no message.
    ///
    /// # Errors
    /// When the transport is gone for good; after that every call fails.
    async fn receive(&mut self) -> Result<Received>;
}

/// What a subscription delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message.
    Message(Bytes),
    /// At least one message before the next one was lost: too slow a receiver, or a broken connection.
    Missed,
}
