//! The in-process twin of a message broker: a hub that hands each message to every subscription's own queue.
//!
//! ```text
//! publish ──► channel ──► inbox [1][2][3]·    ──► receive
//!                    └──► inbox [1][2]·Missed ──► receive     full: the gap is marked where it is
//! ```
//!
//! One lock orders the messages, so all subscriptions of a channel see them in one order. Nothing here waits for a
//! slow receiver, and no task runs: a publisher wakes the receivers itself.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{Error, ErrorKind, Received, Result, Subscription, Transport};
use parking_lot::Mutex;

const PLACE: &str = "memory transport";
const MAX_QUEUED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Messages between the parts of one process. Clones are the same hub.
///
/// A subscription whose queue is full loses the newest messages: it receives what was queued, then
/// [`Received::Missed`], then what is published once it has caught up. Other subscriptions lose nothing.
///
/// ```
/// use cache_core::{Received, Transport};
/// use cache_memory::MemoryTransport;
/// # pollster::block_on(async {
/// let transport = MemoryTransport::new();
/// let mut subscription = transport.subscribe("changes").await?;
/// transport.publish("changes", "user:42".into()).await?;
/// assert_eq!(subscription.receive().await?, Received::Message("user:42".into()));
/// # Ok::<(), cache_core::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MemoryTransport {
    hub: Arc<Hub>,
    max_queued: NonZeroUsize,
}

impl MemoryTransport {
    /// A hub of its own, whose subscriptions queue 1024 messages each.
    pub fn new() -> Self {
        Self { hub: Arc::default(), max_queued: MAX_QUEUED }
    }

    /// Bounds the queue of each later subscription of this handle, in messages. Default 1024.
    ///
    /// A bound in bytes is up to the publishers: a queue holds their messages, not copies of them.
    #[must_use]
    pub fn with_max_queued(mut self, max_queued: NonZeroUsize) -> Self {
        self.max_queued = max_queued;
        self
    }
}

impl Default for MemoryTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTransport").field("max_queued", &self.max_queued).finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    async fn publish(&self, channel: &str, message: Bytes) -> Result<()> {
        self.hub.publish(channel, &message);
        Ok(())
    }

    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Subscription>> {
        let inbox = Arc::new(Inbox { max_queued: self.max_queued, state: Mutex::default() });
        self.hub.channels.lock().entry(channel.to_owned()).or_default().push(Arc::clone(&inbox));
        Ok(Box::new(MemorySubscription {
            hub: Arc::downgrade(&self.hub),
            channel: channel.to_owned(),
            inbox,
        }))
    }
}

#[derive(Default)]
struct Hub {
    channels: Mutex<HashMap<String, Vec<Arc<Inbox>>>>,
}

impl Hub {
    fn publish(&self, channel: &str, message: &Bytes) {
        let channels = self.channels.lock();
        let inboxes = channels.get(channel).into_iter().flatten();
        let waiting: Vec<Waker> = inboxes.filter_map(|inbox| inbox.put(message)).collect();
        // A woken receiver may drop its subscription at once, which takes this lock.
        drop(channels);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn leave(&self, channel: &str, leaving: &Arc<Inbox>) {
        let mut channels = self.channels.lock();
        let Some(inboxes) = channels.get_mut(channel) else { return };
        inboxes.retain(|inbox| !Arc::ptr_eq(inbox, leaving));
        if inboxes.is_empty() {
            channels.remove(channel);
        }
    }
}

impl Drop for Hub {
    /// Without a handle nobody can publish again, and whoever waits must learn it.
    fn drop(&mut self) {
        let inboxes = self.channels.get_mut().values().flatten();
        inboxes.filter_map(|inbox| inbox.close()).for_each(Waker::wake);
    }
}

struct Inbox {
    max_queued: NonZeroUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Received>,
    waker: Option<Waker>,
    closed: bool,
}

impl Inbox {
    /// Queues a message or marks its loss, and returns who waits for it.
    fn put(&self, message: &Bytes) -> Option<Waker> {
        let mut state = self.state.lock();
        if state.queue.len() < self.max_queued.get() {
            state.queue.push_back(Received::Message(message.clone()));
        } else if state.queue.back() != Some(&Received::Missed) {
            state.queue.push_back(Received::Missed);
        }
        state.waker.take()
    }

    fn close(&self) -> Option<Waker> {
        let mut state = self.state.lock();
        state.closed = true;
        state.waker.take()
    }

    /// Takes the next thing, or leaves the waker to be called when there is one.
    fn poll(&self, waker: &Waker) -> Poll<Result<Received>> {
        let mut state = self.state.lock();
        if let Some(received) = state.queue.pop_front() {
            return Poll::Ready(Ok(received));
        }
        if state.closed {
            return Poll::Ready(Err(Error::new(ErrorKind::Unavailable, PLACE, "receive")));
        }
        let former = state.waker.replace(waker.clone());
        // Unlock first: with a waker may go a task, and with it a subscription, which takes the hub's lock.
        drop(state);
        drop(former);
        Poll::Pending
    }
}

struct MemorySubscription {
    hub: Weak<Hub>,
    channel: String,
    inbox: Arc<Inbox>,
}

impl fmt::Debug for MemorySubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySubscription").field("channel", &self.channel).finish_non_exhaustive()
    }
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn receive(&mut self) -> Result<Received> {
        future::poll_fn(|context| self.inbox.poll(context.waker())).await
    }
}

impl Drop for MemorySubscription {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.leave(&self.channel, &self.inbox);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Context;

    /// These futures never wait for anything but what the test itself does.
    #[track_caller]
    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut context = Context::from_waker(Waker::noop());
        match Box::pin(future).as_mut().poll(&mut context) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it should have been ready"),
        }
    }

    #[test]
    fn a_full_queue_keeps_the_oldest_and_marks_each_gap_once() -> Result<()> {
        let transport = MemoryTransport::new().with_max_queued(NonZeroUsize::MIN);
        let mut subscription = now(transport.subscribe("c"))?;
        for message in ["1", "2", "3"] {
            now(transport.publish("c", message.into()))?;
        }
        assert_eq!(now(subscription.receive())?, Received::Message("1".into()));
        now(transport.publish("c", "4".into()))?;
        assert_eq!(now(subscription.receive())?, Received::Missed, "of 2, 3 and 4");
        now(transport.publish("c", "5".into()))?;
        assert_eq!(now(subscription.receive())?, Received::Message("5".into()));
        Ok(())
    }

    #[test]
    fn a_channel_without_subscriptions_leaves_nothing_behind() -> Result<()> {
        let transport = MemoryTransport::new();
        let pair = [now(transport.subscribe("c"))?, now(transport.subscribe("c"))?];
        now(transport.publish("nobody", "x".into()))?;
        assert_eq!(transport.hub.channels.lock().len(), 1);
        drop(pair);
        assert!(transport.hub.channels.lock().is_empty());
        Ok(())
    }

    #[test]
    fn when_the_last_handle_is_gone_the_queue_is_received_and_then_an_error() -> Result<()> {
        let transport = MemoryTransport::new();
        let mut subscription = now(transport.clone().subscribe("c"))?;
        now(transport.publish("c", "last".into()))?;
        drop(transport);
        assert_eq!(now(subscription.receive())?, Received::Message("last".into()));
        for _ in 0..2 {
            let error = now(subscription.receive()).expect_err("nobody can publish any more");
            assert_eq!(error.kind(), ErrorKind::Unavailable);
        }
        Ok(())
    }
}
