//! The task that publishes: one message at a time, so that their order is that of their numbers.
//!
//! A message that failed may have arrived all the same. So it is tried again as it was, with its number: who has it already
//! has all of it. Only a new epoch numbers it anew, and then everybody doubts anyway.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use crate::chance::Chance;
use crate::outbox::Batch;
use crate::stats::add;
use crate::{Body, Message};

pub(super) struct Sender {
    _gone: Gone,
    shared: Arc<Shared>,
    chance: Chance,
    epoch: u64,
    /// The number of the last message of events that the transport has taken in this epoch.
    sequence: u64,
    /// How many times anything was tried to be sent: no two signed messages are the same.
    number: u64,
    on_the_way: Option<(Message, Batch)>,
    failures: u32,
    /// When something has to be sent at the latest or, after a failure, at the soonest.
    next: Instant,
}

impl Sender {
    pub(super) fn new(shared: Arc<Shared>, chance: Chance) -> Self {
        let next = Instant::now() + shared.pace.heartbeat;
        let gone = Gone(Arc::clone(&shared));
        let (epoch, sequence, number) = (0, 0, 0);
        Self { _gone: gone, shared, chance, epoch, sequence, number, on_the_way: None, failures: 0, next }
    }

    /// Sends until the outbox is closed and empty, and then says farewell.
    pub(super) async fn run(mut self) {
        loop {
            self.wait().await;
            self.begin_epoch_after_loss();
            self.pack();
            let is_last = self.on_the_way.is_none() && self.shared.outbox.is_closed();
            if self.publish(is_last).await {
                self.succeed();
            } else {
                self.fail();
            }
            if is_last {
                return;
            }
        }
    }

    /// Waits until there is something to send, or until a failure is long enough ago.
    async fn wait(&self) {
        let shared = &self.shared;
        let has_reason = || shared.outbox.has_work() || shared.outbox.is_closed() || shared.beat.load(SeqCst);
        while Instant::now() < self.next && (self.failures > 0 || !has_reason()) {
            let _ = timeout_at(self.next, shared.outbox.work.notified()).await;
        }
        shared.beat.store(false, SeqCst);
    }

    /// Lets everybody know that something is missing which nobody has numbered.
    fn begin_epoch_after_loss(&mut self) {
        if !self.shared.outbox.take_loss() {
            return;
        }
        (self.epoch, self.sequence) = (self.epoch + 1, 0);
        if let Some((message, _)) = &mut self.on_the_way {
            (message.epoch, message.sequence) = (self.epoch, 1);
        }
        tracing::warn!(
            channel = self.shared.channel,
            epoch = self.epoch,
            "bus lost events: its outbox was full"
        );
    }

    /// Makes a message of what waits longest, if none is on its way.
    fn pack(&mut self) {
        if self.on_the_way.is_none()
            && let Some(mut batch) = self.shared.outbox.take()
        {
            let body = Body::Events(std::mem::take(&mut batch.events));
            self.on_the_way = Some((self.message(self.sequence + 1, body), batch));
        }
    }

    fn message(&self, sequence: u64, body: Body) -> Message {
        Message { publisher: self.shared.publisher, epoch: self.epoch, sequence, body }
    }

    async fn publish(&mut self, is_last: bool) -> bool {
        self.number += 1;
        let sign = if is_last { Body::Farewell } else { Body::Heartbeat };
        let sign = self.message(self.sequence, sign);
        let message = self.on_the_way.as_ref().map_or(&sign, |(message, _)| message);
        let Shared { transport, channel, pace, secret, .. } = &*self.shared;
        let bytes = match secret {
            Some(secret) => message.write_signed(self.number, secret, channel),
            None => message.write(),
        };
        #[expect(clippy::expect_used, reason = "the outbox packs no more into a message than fits")]
        let bytes = bytes.expect("events that fit");
        let published = timeout(pace.patience, transport.publish(channel, bytes)).await;
        let failure = match published {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        if self.failures == 0 {
            tracing::warn!(channel, failure, "bus cannot publish: events are queued");
        }
        false
    }

    fn succeed(&mut self) {
        let shared = &self.shared;
        if self.failures > 0 {
            tracing::info!(channel = shared.channel, failures = self.failures, "bus publishes again");
        }
        add(&shared.counts.sent, 1);
        self.sequence += u64::from(self.on_the_way.is_some());
        shared.outbox.sent(self.on_the_way.take().map(|(_, batch)| batch));
        self.failures = 0;
        self.next = Instant::now() + shared.pace.heartbeat;
    }

    fn fail(&mut self) {
        let shared = &self.shared;
        add(&shared.counts.unsent, 1);
        shared.outbox.failed(self.on_the_way.as_mut().map(|(_, batch)| batch));
        self.failures = self.failures.saturating_add(1);
        self.next = Instant::now() + self.chance.pause(self.failures, shared.pace.longest_pause());
        shared.alarm.notify_one();
    }
}

/// Leaves nobody waiting, however the task ends, and though it never began.
struct Gone(Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.outbox.close();
        self.0.unsent.store(self.0.outbox.empty(), SeqCst);
        self.0.ending.send_modify(|ending| ending.sender_is_gone = true);
    }
}
