//! What is still to be published: the newest event of each target, in order, and never more than so many.
//!
//! ```text
//! publish ──► [a][b][c] ──► on its way: one message, until the transport has taken it
//!                │ full, and the transport works: the caller waits
//!                └ full, and it does not: the oldest is dropped, and everybody has to hear that
//! ```

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::message::how_many_fit;
use crate::{Event, Target};

/// What became of an event; the later in this list, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Delivery {
    /// The transport has taken it.
    Sent,
    /// The transport does not work; it is published when it does.
    Queued,
    /// The bus is closed; nobody hears of it.
    Closed,
}

pub(crate) type Waiter = oneshot::Receiver<Delivery>;

pub(crate) struct Outbox {
    max: NonZeroUsize,
    state: Mutex<State>,
    /// Wakes who publishes.
    pub(crate) work: Notify,
    /// Wakes who waits for room.
    room: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    queue: BTreeMap<u64, Queued>,
    places: HashMap<(String, Target), u64>,
    /// How many events are in the message that the transport has not taken yet.
    on_the_way: usize,
    is_failing: bool,
    is_closed: bool,
    /// How many events were dropped, and how many of them everybody has to hear of still.
    dropped: u64,
    untold: u64,
}

struct Queued {
    event: Event,
    waiters: Vec<oneshot::Sender<Delivery>>,
}

/// The events of one message, and who waits for it.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<Event>,
    waiters: Vec<oneshot::Sender<Delivery>>,
}

/// What became of an attempt to put an event into the outbox.
enum Put {
    Waits(Waiter),
    Done(Delivery),
    Full(Event),
}

impl Outbox {
    pub(crate) fn new(max: NonZeroUsize) -> Self {
        Self { max, state: Mutex::default(), work: Notify::new(), room: Notify::new() }
    }

    /// Puts an event in, and says how to learn what becomes of it.
    pub(crate) async fn put(&self, mut event: Event) -> Result<Waiter, Delivery> {
        loop {
            // Made before the look, so that room that is made in between is not missed.
            let room = self.room.notified();
            match self.try_put(event) {
                Put::Waits(waiter) => return Ok(waiter),
                Put::Done(delivery) => return Err(delivery),
                Put::Full(back) => event = back,
            }
            room.await;
        }
    }

    fn try_put(&self, mut event: Event) -> Put {
        let mut state = self.state.lock();
        if state.is_closed {
            return Put::Done(Delivery::Closed);
        }
        let place = (event.namespace().to_owned(), event.target().clone());
        let former = state.places.get(&place).copied();
        if former.is_none() && state.queue.len() >= self.max.get() {
            if !state.is_failing {
                return Put::Full(event);
            }
            state.drop_oldest();
        }
        let earlier = former.and_then(|at| state.queue.remove(&at));
        let mut waiters = Vec::new();
        if let Some(earlier) = earlier {
            event.absorb(&earlier.event);
            waiters = earlier.waiters;
        }
        let put = if state.is_failing {
            Put::Done(Delivery::Queued)
        } else {
            let (tell, waiter) = oneshot::channel();
            waiters.push(tell);
            Put::Waits(waiter)
        };
        let at = state.next;
        state.next += 1;
        state.places.insert(place, at);
        state.queue.insert(at, Queued { event, waiters });
        drop(state);
        self.work.notify_one();
        put
    }

    /// Takes out as many events as go into one message, the oldest first.
    pub(crate) fn take(&self) -> Option<Batch> {
        let mut state = self.state.lock();
        if state.queue.is_empty() {
            return None;
        }
        let mut batch = Batch::default();
        for _ in 0..how_many_fit(state.queue.values().map(|queued| &queued.event)) {
            let Some(Queued { event, waiters }) = state.pop() else { break };
            batch.events.push(event);
            batch.waiters.extend(waiters);
        }
        state.on_the_way = batch.events.len();
        drop(state);
        self.room.notify_waiters();
        Some(batch)
    }

    /// Takes note that the transport works, and that it has taken this.
    pub(crate) fn sent(&self, batch: Option<Batch>) {
        let mut state = self.state.lock();
        state.is_failing = false;
        state.on_the_way = 0;
        drop(state);
        tell(batch.into_iter().flat_map(|batch| batch.waiters), Delivery::Sent);
    }

    /// Takes note that the transport does not work. Nobody waits for it any longer.
    pub(crate) fn failed(&self, batch: Option<&mut Batch>) {
        let mut state = self.state.lock();
        state.is_failing = true;
        let waiting: Vec<_> =
            state.queue.values_mut().flat_map(|queued| std::mem::take(&mut queued.waiters)).collect();
        drop(state);
        let on_the_way = batch.map(|batch| std::mem::take(&mut batch.waiters));
        tell(on_the_way.into_iter().flatten().chain(waiting), Delivery::Queued);
        self.room.notify_waiters();
    }

    /// Whether events were dropped since this was last asked.
    pub(crate) fn take_loss(&self) -> bool {
        std::mem::take(&mut self.state.lock().untold) > 0
    }

    /// Takes no further event.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.room.notify_waiters();
        self.work.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Drops what is left, tells who waits for it, and says how many events that were.
    pub(crate) fn empty(&self) -> usize {
        let mut state = self.state.lock();
        let left = state.queue.len() + state.on_the_way;
        let queue = std::mem::take(&mut state.queue);
        (state.places, state.on_the_way) = (HashMap::new(), 0);
        drop(state);
        tell(queue.into_values().flat_map(|queued| queued.waiters), Delivery::Closed);
        left
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.state.lock().queue.is_empty()
    }

    /// How many events wait, those on their way included, and how many were dropped so far.
    pub(crate) fn counts(&self) -> (usize, u64) {
        let state = self.state.lock();
        (state.queue.len() + state.on_the_way, state.dropped)
    }
}

impl State {
    fn pop(&mut self) -> Option<Queued> {
        let (_, queued) = self.queue.pop_first()?;
        self.places.remove(&(queued.event.namespace().to_owned(), queued.event.target().clone()));
        Some(queued)
    }

    fn drop_oldest(&mut self) {
        if self.pop().is_some() {
            (self.dropped, self.untold) = (self.dropped + 1, self.untold + 1);
        }
    }
}

fn tell(waiters: impl Iterator<Item = oneshot::Sender<Delivery>>, delivery: Delivery) {
    for waiter in waiters {
        // Who does not wait any more need not be told.
        let _ = waiter.send(delivery);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Action;

    fn event(key: &str, action: Action, version: u64) -> Event {
        Event::new("n", Target::Key(key.into()), action).expect("legal").with_version(version)
    }

    fn remove(key: &str) -> Event {
        event(key, Action::Remove, 0)
    }

    fn outbox(max: usize) -> Outbox {
        Outbox::new(NonZeroUsize::new(max).expect("not zero"))
    }

    fn keys(outbox: &Outbox) -> Vec<String> {
        let events = outbox.take().map(|batch| batch.events).unwrap_or_default();
        events.iter().map(|event| event.target().text().to_owned()).collect()
    }

    #[tokio::test]
    async fn the_newest_of_a_target_stands_for_all_and_whoever_waited_still_does() {
        let outbox = outbox(2);
        let first = outbox.put(event("a", Action::Remove, 1)).await.expect("it waits");
        let _ = outbox.put(remove("b")).await;
        let second = outbox.put(event("a", Action::Expire, 2)).await.expect("there is room for it");
        let batch = outbox.take().expect("two");
        assert_eq!(batch.events, [remove("b"), event("a", Action::Remove, 2)]);
        assert_eq!(outbox.counts(), (2, 0));
        outbox.sent(Some(batch));
        assert_eq!((first.await, second.await), (Ok(Delivery::Sent), Ok(Delivery::Sent)));
        assert_eq!((outbox.counts(), outbox.take().is_none()), ((0, 0), true));
    }

    #[tokio::test]
    async fn while_the_transport_works_a_full_outbox_lets_its_callers_wait() {
        let outbox = outbox(1);
        let _ = outbox.put(remove("a")).await;
        let mut waits = std::pin::pin!(outbox.put(remove("b")));
        assert!(futures_ready(waits.as_mut()).is_none());
        assert_eq!(keys(&outbox), ["a"]);
        assert!(futures_ready(waits.as_mut()).is_some());
        assert_eq!((keys(&outbox), outbox.counts().1), (vec!["b".to_owned()], 0));
    }

    #[tokio::test]
    async fn while_it_does_not_the_oldest_goes_and_that_is_told_once() {
        let outbox = outbox(2);
        let waiter = outbox.put(remove("a")).await.expect("it waits");
        outbox.failed(None);
        assert_eq!(waiter.await, Ok(Delivery::Queued));
        for key in ["b", "b", "c", "d"] {
            assert_eq!(outbox.put(remove(key)).await.err(), Some(Delivery::Queued));
        }
        assert_eq!((outbox.take_loss(), outbox.take_loss()), (true, false));
        assert_eq!((outbox.counts(), keys(&outbox)), ((2, 2), vec!["c".to_owned(), "d".to_owned()]));
    }

    #[tokio::test]
    async fn what_is_left_at_the_end_is_counted_and_told() {
        let outbox = outbox(9);
        let _ = outbox.put(remove("a")).await;
        let _on_the_way = outbox.take();
        let waiter = outbox.put(remove("b")).await.expect("it waits");
        outbox.close();
        assert_eq!(outbox.put(remove("c")).await.err(), Some(Delivery::Closed));
        assert_eq!((outbox.empty(), outbox.empty()), (2, 0));
        assert_eq!(waiter.await, Ok(Delivery::Closed));
    }

    #[tokio::test]
    async fn a_message_takes_as_many_as_fit() {
        let outbox = outbox(3000);
        for number in 0..100 {
            let _ = outbox.put(remove(&format!("{number:01000}"))).await;
        }
        let mut taken = Vec::new();
        while let Some(batch) = outbox.take() {
            taken.push(batch.events.len());
        }
        assert_eq!((taken.iter().sum::<usize>(), taken.len()), (100, 2));
        for number in 0..1025 {
            let _ = outbox.put(remove(&number.to_string())).await;
        }
        assert_eq!((keys(&outbox).len(), keys(&outbox).len()), (1024, 1));
    }

    fn futures_ready<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
