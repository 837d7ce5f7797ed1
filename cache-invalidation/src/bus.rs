//! The bus: one for each process and channel; what it publishes others hear, and what it may have missed it tells.
//!
//! ```text
//! publish ─► outbox ─► send ─► transport ─► receive ─► ours? a sign of life
//!                       ▲                      │       in order? late? a hole?  gap.rs
//!                heartbeats                    ▼
//!                                          listeners: invalidated, distrust
//! ```

mod open;
mod receive;
mod send;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use cache_core::Transport;
use tokio::runtime;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

pub use self::open::{BusBuilder, BusError};

use crate::listener::Listeners;
use crate::outbox::Outbox;
use crate::secret::BusSecret;
use crate::stats::{Counts, add};
use crate::{Attachment, BusStats, Delivery, Event, Listener};

/// Tells other processes what changed, and hears what they have changed. Cheap to clone; its two tasks end with the last
/// clone or with [`close`](Self::close).
///
/// # What is promised
///
/// Each event that the transport has taken from a living process is received by every other bus of the channel, or its
/// listeners are told to distrust what they hold: within `silence + heartbeat` and the delay of the transport, 4 seconds with
/// the defaults. So a copy is wrongly believed for no longer than that, if who publishes does so after the change can be read.
/// This presumes that the runtime runs the bus's task; a listener that blocks it delays everything.
///
/// What a process cannot publish, because its own way to the transport is broken, others hear when it is back. It knows that
/// ([`is_whole`](Self::is_whole) is false there), they do not: they miss it after the length of the silence, and doubt what they
/// hold again after each further one, for [a while](BusBuilder::with_absence). So what it changes at places that it still reaches
/// goes unnoticed for no longer than what others change, until it is given up: a process that was killed looks the same.
///
/// Whoever may write to the channel can invalidate, and cannot do more: no message carries a value. With a
/// [secret](BusBuilder::with_secret) he cannot do that either.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// use std::sync::{Arc, Mutex};
/// use std::time::Duration;
/// use cache_invalidation::{Action, Bus, Delivery, Doubt, Event, Listener, Target};
/// use cache_memory::MemoryTransport;
///
/// #[derive(Default)]
/// struct Copies(Mutex<Vec<String>>);
///
/// impl Listener for Copies {
///     fn invalidated(&self, event: &Event) {
///         self.0.lock().unwrap().retain(|key| *event.target() != Target::Key(key.clone()));
///     }
///
///     fn distrust(&self, _: Doubt) {
///         self.0.lock().unwrap().clear();
///     }
/// }
///
/// let transport = Arc::new(MemoryTransport::new());
/// let here = Bus::builder(transport.clone()).open()?;
/// let there = Bus::builder(transport).open()?;
/// let copies = Arc::new(Copies::default());
/// let attachment = there.attach("users", copies.clone());
/// # while !there.is_whole() { tokio::task::yield_now().await; }
/// copies.0.lock().unwrap().push("users:42".into());
///
/// let event = Event::new("users", Target::Key("users:42".into()), Action::Remove)?;
/// assert_eq!(here.publish(event).await, Delivery::Sent);
/// # while there.stats().events == 0 { tokio::task::yield_now().await; }
/// assert!(copies.0.lock().unwrap().is_empty());
///
/// assert_eq!(here.close(Duration::from_secs(1)).await.unsent, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Bus {
    handle: Arc<Handle>,
}

/// What a [`Bus::close`] could not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// How many events the transport had not taken at the deadline. The one message that was on its way then may arrive.
    pub unsent: usize,
}

/// Ends the tasks when the last clone of a bus is gone.
struct Handle {
    shared: Arc<Shared>,
    sender: AbortHandle,
    receiver: AbortHandle,
}

/// What the handles and the two tasks have in common.
struct Shared {
    transport: Arc<dyn Transport>,
    channel: String,
    publisher: u128,
    pace: Pace,
    outbox: Outbox,
    secret: Option<BusSecret>,
    listeners: Arc<Listeners>,
    counts: Counts,
    is_whole: AtomicBool,
    /// Whether a heartbeat is wanted now, not only when it is due.
    beat: AtomicBool,
    /// Wakes the receiver when a message could not be published.
    alarm: Notify,
    ending: watch::Sender<Ending>,
    /// How many events had not been sent when the sender ended.
    unsent: AtomicUsize,
}

/// How often, and for how long.
#[derive(Clone, Copy, Debug)]
struct Pace {
    heartbeat: Duration,
    silence: Duration,
    patience: Duration,
    absence: Duration,
}

impl Pace {
    /// The longest pause between two attempts to reach a transport that is away: a bus is whole again soon after that is back, however
    /// long it was away and however seldom the bus says that it is there.
    fn longest_pause(self) -> Duration {
        self.heartbeat.min(Duration::from_millis(200))
    }
}

#[derive(Clone, Copy, Default)]
struct Ending {
    is_wanted: bool,
    sender_is_gone: bool,
    receiver_is_gone: bool,
}

impl Bus {
    /// Begins to set up a bus over this transport.
    pub fn builder(transport: Arc<dyn Transport>) -> BusBuilder {
        BusBuilder::new(transport)
    }

    /// Tells the others. Returns when the transport has taken the event or has failed to; then it is queued, and published
    /// when the transport works again.
    ///
    /// Events of one bus are published in the order of their calls. One that waits gives way to a later one of the same target,
    /// which then demands what both do. While the transport works and the outbox is full, this waits for room; while it does
    /// not, the oldest event goes, and everybody who hears of this bus again is told to distrust what he holds.
    ///
    /// Costs one message, shared with whatever else is waiting to be sent.
    ///
    /// # Cancel safety
    /// Dropped while it waits for room, nothing is published; dropped later, the event is published all the same.
    pub async fn publish(&self, event: Event) -> Delivery {
        self.publish_all([event]).await
    }

    /// As [`publish`](Self::publish) for each, in as few messages as possible. Returns the worst that befell any of them.
    ///
    /// # Cancel safety
    /// As [`publish`](Self::publish): the first ones may be published and the others not.
    pub async fn publish_all(&self, events: impl IntoIterator<Item = Event>) -> Delivery {
        let shared = &self.handle.shared;
        let (mut waiters, mut worst) = (Vec::new(), Delivery::Sent);
        for event in events {
            match shared.outbox.put(event).await {
                Ok(waiter) => waiters.push(waiter),
                Err(Delivery::Closed) => return Delivery::Closed,
                Err(delivery) => worst = worst.max(delivery),
            }
            add(&shared.counts.published, 1);
        }
        for waiter in waiters {
            // Whoever ends without a word has ended with the runtime.
            worst = worst.max(waiter.await.unwrap_or(Delivery::Closed));
        }
        worst
    }

    /// Has a listener hear of everything that others change in this namespace, from now on.
    ///
    /// Ask [`is_whole`](Self::is_whole) afterwards: while it is false, nothing that is held counts as fresh, and the listener
    /// is told when that is over.
    pub fn attach(&self, namespace: impl Into<String>, listener: Arc<dyn Listener>) -> Attachment {
        Listeners::attach(&self.handle.shared.listeners, namespace.into(), listener)
    }

    /// Tells whether everything that is published is heard, as far as anybody can know. Costs one atomic load.
    pub fn is_whole(&self) -> bool {
        self.handle.shared.is_whole.load(SeqCst)
    }

    /// What was counted so far. Costs a few dozen atomic loads and a lock.
    pub fn stats(&self) -> BusStats {
        let shared = &self.handle.shared;
        shared.counts.read(shared.outbox.counts())
    }

    /// Takes no further events, sends what is queued, says farewell and ends, all clones included. Listeners are told to
    /// distrust what they hold, as they hear nothing any more.
    ///
    /// Whoever only drops the bus leaves others in doubt what became of it. The deadline runs on tokio's timer; outside of
    /// a runtime it is zero.
    ///
    /// # Cancel safety
    /// A dropped call has closed the bus for new events; what is queued is still sent. Call it again to know.
    pub async fn close(&self, deadline: Duration) -> Closed {
        let shared = &self.handle.shared;
        shared.outbox.close();
        let mut ending = shared.ending.subscribe();
        if runtime::Handle::try_current().is_ok() {
            let _ = timeout(deadline, ending.wait_for(|ending| ending.sender_is_gone)).await;
        }
        self.handle.sender.abort();
        shared.ending.send_modify(|ending| ending.is_wanted = true);
        let _ = ending.wait_for(|ending| ending.sender_is_gone && ending.receiver_is_gone).await;
        Closed { unsent: shared.unsent.load(SeqCst) }
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { channel, pace, .. } = &*self.handle.shared;
        f.debug_struct("Bus").field("channel", channel).field("pace", pace).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.sender.abort();
        self.receiver.abort();
    }
}

impl Shared {
    /// Has the sender send a heartbeat at once, so that its echo comes soon.
    fn want_beat(&self) {
        self.beat.store(true, SeqCst);
        self.outbox.work.notify_one();
    }
}
