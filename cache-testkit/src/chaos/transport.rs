//! A transport as one process sees it whose own ways out and in are bad: closed as told, or by chance from a seed.
//!
//! Nothing here waits for time: a message that comes late comes after the next one.

use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{Error, ErrorKind, Received, Result, Subscription, Transport};

use crate::load::seed::SplitMix64;

const PLACE: &str = "chaos";

/// What becomes of messages on one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// They pass, as far as chance lets them.
    Open,
    /// They are lost, and nobody is told: a link that has died in silence.
    Lost,
    /// Out: publishing fails. In: subscriptions end, and cannot be made.
    Fails,
    /// Out: they pass, and publishing fails all the same. In: as if it were open.
    Unanswered,
    /// Out: publishing never ends. In: subscriptions receive nothing, and cannot be made.
    Hangs,
}

/// One in how many messages meets with each accident on each way; `None` is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Odds {
    /// It is lost.
    pub lost: Option<NonZeroU32>,
    /// It comes twice.
    pub twice: Option<NonZeroU32>,
    /// It comes after the next one.
    pub late: Option<NonZeroU32>,
}

/// A transport around another one that lets messages through, or not.
#[derive(Debug)]
pub struct ChaosTransport {
    inner: Arc<dyn Transport>,
    link: Arc<Mutex<Link>>,
}

#[derive(Debug)]
struct Link {
    out: Way,
    inward: Way,
    odds: Odds,
    random: SplitMix64,
    held: Option<(String, Bytes)>,
    /// Who waits to receive and has to hear of a change.
    waiting: Vec<Waker>,
}

impl ChaosTransport {
    /// Lets everything through until it is told otherwise.
    pub fn new(inner: Arc<dyn Transport>) -> Self {
        let (out, inward) = (Way::Open, Way::Open);
        let random = SplitMix64::new(0);
        let link = Link { out, inward, odds: Odds::default(), random, held: None, waiting: Vec::new() };
        Self { inner, link: Arc::new(Mutex::new(link)) }
    }

    /// Lets messages have accidents from now on, by chance from this seed.
    pub fn set_odds(&self, seed: u64, odds: Odds) {
        let mut link = lock(&self.link);
        (link.random, link.odds) = (SplitMix64::new(seed), odds);
    }

    /// What becomes of what is published from now on.
    pub fn set_out(&self, way: Way) {
        lock(&self.link).out = way;
    }

    /// What becomes of what is received from now on.
    pub fn set_in(&self, way: Way) {
        let mut link = lock(&self.link);
        link.inward = way;
        let waiting = std::mem::take(&mut link.waiting);
        drop(link);
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// What a message meets with.
enum Accident {
    None,
    Lost,
    Twice,
    Late,
}

impl Link {
    fn accident(&mut self) -> Accident {
        let Odds { lost, twice, late } = self.odds;
        let mut meets = |odds: Option<NonZeroU32>| odds.is_some_and(|one_in| self.random.below(one_in) == 0);
        if meets(lost) {
            Accident::Lost
        } else if meets(twice) {
            Accident::Twice
        } else if meets(late) {
            Accident::Late
        } else {
            Accident::None
        }
    }
}

fn lock(link: &Mutex<Link>) -> MutexGuard<'_, Link> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable<T>(operation: &'static str) -> Result<T> {
    Err(Error::new(ErrorKind::Unavailable, PLACE, operation))
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Transport for ChaosTransport {
    async fn publish(&self, channel: &str, message: Bytes) -> Result<()> {
        let way = lock(&self.link).out;
        match way {
            Way::Open | Way::Unanswered => {}
            Way::Lost => return Ok(()),
            Way::Fails => return unavailable("publish"),
            Way::Hangs => pending().await,
        }
        let (accident, held) = {
            let mut link = lock(&self.link);
            (link.accident(), link.held.take())
        };
        match accident {
            Accident::None => self.inner.publish(channel, message).await?,
            Accident::Lost => {}
            Accident::Twice => {
                self.inner.publish(channel, message.clone()).await?;
                self.inner.publish(channel, message).await?;
            }
            Accident::Late => lock(&self.link).held = Some((channel.to_owned(), message)),
        }
        if let Some((channel, message)) = held {
            self.inner.publish(&channel, message).await?;
        }
        if way == Way::Unanswered { unavailable("publish") } else { Ok(()) }
    }

    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Subscription>> {
        let way = lock(&self.link).inward;
        match way {
            Way::Open | Way::Unanswered | Way::Lost => {}
            Way::Fails => return unavailable("subscribe"),
            Way::Hangs => pending().await,
        }
        let inner = self.inner.subscribe(channel).await?;
        let link = Arc::clone(&self.link);
        Ok(Box::new(ChaosSubscription { inner, link, ready: VecDeque::new(), held: None }))
    }
}

#[derive(Debug)]
struct ChaosSubscription {
    inner: Box<dyn Subscription>,
    link: Arc<Mutex<Link>>,
    ready: VecDeque<Received>,
    held: Option<Received>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Subscription for ChaosSubscription {
    async fn receive(&mut self) -> Result<Received> {
        loop {
            if let Some(received) = self.ready.pop_front() {
                return Ok(received);
            }
            let received = self.next().await?;
            let mut link = lock(&self.link);
            let accident = match link.inward {
                Way::Open | Way::Unanswered => link.accident(),
                Way::Lost | Way::Fails | Way::Hangs => Accident::Lost,
            };
            drop(link);
            let held = self.held.take();
            match accident {
                Accident::None => self.ready.push_back(received),
                Accident::Lost => {}
                Accident::Twice => self.ready.extend([received.clone(), received]),
                Accident::Late => self.held = Some(received),
            }
            self.ready.extend(held);
        }
    }
}

impl ChaosSubscription {
    /// The next of the inner subscription, or the news that this one has ended.
    async fn next(&mut self) -> Result<Received> {
        let mut receiving = pin!(self.inner.receive());
        poll_fn(|context| {
            let mut link = lock(&self.link);
            if link.inward == Way::Fails {
                return Poll::Ready(unavailable("receive"));
            }
            link.waiting.retain(|waker| !waker.will_wake(context.waker()));
            link.waiting.push(context.waker().clone());
            drop(link);
            receiving.as_mut().poll(context)
        })
        .await
    }
}
