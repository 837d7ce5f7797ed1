//! Messages over Redis' pub/sub: each channel that is listened to has a connection of its own, and a task that keeps it.
//!
//! ```text
//! publish ── PUBLISH, in a Cluster SPUBLISH ──► server ──► listener of the channel ──► inbox [1][2]·Missed ──► receive
//!
//! listener   connect ─ subscribe ─ confirmed: who waits to begin, begins here ─ alive? ─┐
//!                ▲                                                                    lost: Missed
//!                └── subscribe again ─ confirmed: Missed once more ◄────────────────────┘
//! ```
//!
//! Whoever missed something hears it twice: when the connection is lost, so as to trust nothing from then on, and when the
//! subscription is confirmed again, because what was read in between may have been old already. A half-open connection is
//! found by asking it for a sign of life with every heartbeat.

mod channel;

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{Error, ErrorKind, Received, Result, Subscription, Transport};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::channel::{Channel, Inbox};
use crate::backoff::Backoff;
use crate::conn::Connection;
use crate::fault::{Fault, PLACE};
use crate::random;

const MAX_QUEUED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Messages between processes that share a Redis. Clones are the same transport.
///
/// Each channel that is subscribed to takes one connection of this process, however many subscriptions it has: meant for one
/// or a few. In a Cluster the channel is sharded, so that a message goes to one server and its replicas, not to all.
///
/// A subscription whose queue is full loses the newest messages, as does one whose server drops it as too slow; both are
/// [`Received::Missed`]. Messages of one publisher arrive in order where it waits for each `publish`.
///
/// ```no_run
/// use cache_core::{Received, Transport};
/// use cache_redis::{Config, Connection, RedisTransport};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let transport = RedisTransport::new(Connection::open(Config::from_url("redis://localhost")?)?);
/// let mut subscription = transport.subscribe("changes").await?;
/// transport.publish("changes", "user:42".into()).await?;
/// assert_eq!(subscription.receive().await?, Received::Message("user:42".into()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisTransport {
    hub: Arc<Hub>,
    max_queued: NonZeroUsize,
}

struct Hub {
    connection: Connection,
    channels: Mutex<HashMap<String, Listener>>,
}

struct Listener {
    channel: Arc<Channel>,
    task: JoinHandle<()>,
}

impl RedisTransport {
    /// Messages over this connection, whose subscriptions queue 1024 messages each.
    pub fn new(connection: Connection) -> Self {
        Self { hub: Arc::new(Hub { connection, channels: Mutex::default() }), max_queued: MAX_QUEUED }
    }

    /// Bounds the queue of each later subscription of this handle, in messages. Default 1024.
    #[must_use]
    pub fn with_max_queued(mut self, max_queued: NonZeroUsize) -> Self {
        self.max_queued = max_queued;
        self
    }
}

impl fmt::Debug for RedisTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTransport").field("max_queued", &self.max_queued).finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for RedisTransport {
    async fn publish(&self, channel: &str, message: Bytes) -> Result<()> {
        let connection = &self.hub.connection;
        let name = connection.name('b', channel);
        let mut command = redis::cmd(if connection.is_cluster() { "SPUBLISH" } else { "PUBLISH" });
        command.arg(&name).arg(&message[..]);
        connection.call("publish", &name, command).await.map(drop)
    }

    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Subscription>> {
        let (inbox, begun) = Inbox::new(self.max_queued);
        let subscription = RedisSubscription {
            hub: Arc::downgrade(&self.hub),
            name: channel.to_owned(),
            channel: Hub::join(&self.hub, channel, Arc::clone(&inbox)),
            inbox,
        };
        let config = self.hub.connection.config();
        let patience = config.connect_timeout + config.command_timeout;
        let begun = timeout(patience, begun).await.unwrap_or(Ok(Err(Fault::Late)));
        let begun = begun.unwrap_or_else(|_| Err(Fault::Down("its runtime has ended".into())));
        begun.map_err(|fault| fault.during("subscribe", true))?;
        Ok(Box::new(subscription))
    }
}

impl Hub {
    /// Adds an inbox to the channel, and has somebody listen to it.
    fn join(hub: &Arc<Self>, name: &str, inbox: Arc<Inbox>) -> Arc<Channel> {
        let mut channels = hub.channels.lock();
        let listener = channels.entry(name.to_owned()).or_insert_with(|| {
            let channel = Arc::new(Channel::default());
            let listening = listen(hub.connection.clone(), name.to_owned(), Arc::clone(&channel));
            Listener { channel, task: tokio::spawn(listening) }
        });
        listener.channel.join(inbox);
        Arc::clone(&listener.channel)
    }

    /// Takes an inbox out, and ends the channel with its last one.
    fn leave(&self, name: &str, leaving: &Arc<Inbox>) {
        let mut channels = self.channels.lock();
        let Some(listener) = channels.get(name) else { return };
        if listener.channel.leave(leaving) {
            listener.task.abort();
            channels.remove(name);
        }
    }
}

impl Drop for Hub {
    /// Without a handle nobody can publish here again, and whoever waits must learn it.
    fn drop(&mut self) {
        for listener in self.channels.get_mut().values() {
            listener.task.abort();
            listener.channel.close();
        }
    }
}

/// Keeps listening to a channel until it is told to stop.
async fn listen(connection: Connection, name: String, channel: Arc<Channel>) {
    let config = connection.config();
    let mut backoff = Backoff::new(config.first_backoff, config.max_backoff);
    loop {
        if let Err(fault) = listen_once(&connection, &name, &channel, &mut backoff).await {
            channel.fail(&fault);
        }
        connection.look_around();
        let _ = timeout(backoff.next(random::number()), std::future::pending::<()>()).await;
    }
}

/// Listens until the connection is lost.
async fn listen_once(
    connection: &Connection,
    name: &str,
    channel: &Arc<Channel>,
    backoff: &mut Backoff,
) -> Result<(), Fault> {
    let config = connection.config();
    let (turn, hearing) = (channel.begin_turn(), Arc::clone(channel));
    let name = connection.name('b', name);
    let listening = connection.listen(&name, move |heard| hearing.hear(turn, heard)).await?;
    let lost = || channel.lose(turn);
    loop {
        // Whoever has joined up to now begins with the confirmation that this leads to, not with an earlier one.
        channel.ask();
        if let Err(fault) = listening.subscribe(&name, config.connect_timeout).await {
            lost();
            return Err(fault);
        }
        backoff.reset();
        loop {
            let _ = timeout(config.heartbeat, channel.is_to_be_seen_to()).await;
            if channel.is_lost(turn) || !listening.is_alive(&name, config.connect_timeout).await {
                lost();
                return Ok(());
            }
            if channel.has_waiting() {
                break;
            }
        }
    }
}

struct RedisSubscription {
    hub: Weak<Hub>,
    name: String,
    channel: Arc<Channel>,
    inbox: Arc<Inbox>,
}

impl fmt::Debug for RedisSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSubscription").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Subscription for RedisSubscription {
    async fn receive(&mut self) -> Result<Received> {
        let received = self.channel.receive(&self.inbox).await;
        received.ok_or_else(|| Error::new(ErrorKind::Unavailable, PLACE, "receive"))
    }
}

impl Drop for RedisSubscription {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.leave(&self.name, &self.inbox);
        }
    }
}
