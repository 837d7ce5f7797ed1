//! The task that listens: it keeps a subscription, calls the listeners, and is the only one that decides what is believed.
//!
//! ```text
//!             missed, ended, unsent, silent: distrust
//!      whole ─────────────────────────────────────────► in doubt ─► subscribe again if it ended, ask for an echo
//!        ▲                                                  │
//!        └──────────────────────────────────────────────────┘
//!                       own echo: distrust
//! ```
//!
//! It is told twice, because what is stored during a doubt may be older than a message that nobody has heard. Doubts that
//! pass at once are told once: what was missed was sent before, and who publishes does so after the change can be read.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use cache_core::{Received, Subscription};
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use crate::chance::Chance;
use crate::gap::{Publishers, Verdict};
use crate::stats::add;
use crate::{Body, Doubt, Message, MessageError};

pub(super) struct Receiver {
    _gone: Gone,
    shared: Arc<Shared>,
    chance: Chance,
    publishers: Publishers,
    /// Why nothing is believed now.
    doubt: Option<Doubt>,
    /// How often it was subscribed without hearing anything.
    failures: u32,
    /// When something was heard for the last time.
    heard: Instant,
    /// When it was last looked for publishers that are not heard any more.
    looked: Instant,
    /// The number of the last message of this bus that came back, where they are signed.
    echoed: u64,
    /// When it was last said that somebody is ignored.
    warned: Option<Instant>,
}

impl Receiver {
    pub(super) fn new(shared: Arc<Shared>, chance: Chance, publishers: Publishers) -> Self {
        let now = Instant::now();
        shared.counts.doubt(Doubt::Starting);
        let doubt = Some(Doubt::Starting);
        let gone = Gone(Arc::clone(&shared));
        let (heard, looked, echoed, warned) = (now, now, 0, None);
        Self { _gone: gone, shared, chance, publishers, doubt, failures: 0, heard, looked, echoed, warned }
    }

    pub(super) async fn run(mut self) {
        let mut ending = self.shared.ending.subscribe();
        tokio::select! {
            biased;
            _ = ending.wait_for(|ending| ending.is_wanted) => {}
            () = self.keep_listening() => {}
        }
        self.doubt = None;
        self.begin_doubt(Doubt::Closed);
    }

    /// Subscribes, and again whenever the subscription is over.
    async fn keep_listening(&mut self) {
        loop {
            if self.failures > 0 {
                let pause = self.chance.pause(self.failures, self.shared.pace.longest_pause());
                let _ = timeout(pause, pending::<()>()).await;
            }
            // Only what is heard tells that a subscription is one.
            self.failures = self.failures.saturating_add(1);
            let Shared { transport, channel, pace, counts, .. } = &*self.shared;
            match timeout(pace.silence, transport.subscribe(channel)).await {
                Ok(Ok(mut subscription)) => {
                    add(&counts.subscribes, 1);
                    self.listen(&mut *subscription).await;
                }
                Ok(Err(error)) => tracing::debug!(channel, %error, "bus cannot subscribe"),
                Err(_) => tracing::debug!(channel, "bus cannot subscribe: it took too long"),
            }
        }
    }

    /// Listens until the subscription is of no use any more.
    async fn listen(&mut self, subscription: &mut dyn Subscription) {
        let shared = Arc::clone(&self.shared);
        let pace = shared.pace;
        self.heard = Instant::now();
        shared.want_beat();
        loop {
            let due = (self.heard + pace.silence).min(self.looked + pace.heartbeat);
            let received = tokio::select! {
                biased;
                () = shared.alarm.notified() => {
                    self.begin_doubt(Doubt::Unsent);
                    continue;
                }
                received = timeout_at(due, subscription.receive()) => received,
            };
            let now = Instant::now();
            // Also if something came at last: until now, nobody knew that it would.
            let was_silent = now >= self.heard + pace.silence;
            if was_silent {
                self.begin_doubt(Doubt::Silent);
            }
            match received {
                Ok(Ok(Received::Message(bytes))) => self.hear(&bytes, now),
                Ok(Ok(Received::Missed)) => {
                    self.begin_doubt(Doubt::Missed);
                    shared.want_beat();
                }
                Ok(Err(error)) => {
                    tracing::debug!(channel = shared.channel, %error, "the subscription of the bus has ended");
                    return self.begin_doubt(Doubt::Ended);
                }
                Err(_) if was_silent => return,
                Err(_) => {}
            }
            self.look_around(now);
        }
    }

    fn hear(&mut self, bytes: &[u8], now: Instant) {
        let shared = Arc::clone(&self.shared);
        let counts = &shared.counts;
        let (message, number) = match self.read(bytes) {
            Ok(read) => read,
            Err(error) if self.is_ignored(&error) => {
                add(&counts.forged, 1);
                return self.warn_of_stranger("forged", &error.to_string(), now);
            }
            Err(error) => {
                add(&counts.malformed, 1);
                tracing::debug!(channel = self.shared.channel, %error, "bus cannot read a message");
                return self.pass_doubt(Doubt::Unreadable);
            }
        };
        let is_ours = message.publisher == self.shared.publisher;
        let verdict =
            if is_ours { self.hear_ourselves(number) } else { self.publishers.hear(&message, number, now) };
        if verdict == Verdict::Replayed {
            add(&counts.replayed, 1);
            return self.warn_of_stranger("replayed", "the message was heard before", now);
        }
        (self.heard, self.failures) = (now, 0);
        if is_ours {
            add(&counts.echoes, 1);
            return self.end_doubt(now);
        }
        add(&counts.received, 1);
        match verdict {
            Verdict::InOrder | Verdict::Replayed => {}
            Verdict::Late => add(&counts.late, 1),
            Verdict::Doubtful(why) => {
                add(&counts.gaps, u64::from(why == Doubt::Gap));
                self.pass_doubt(why);
            }
        }
        if let Body::Events(events) = &message.body {
            add(&counts.events, events.len() as u64);
            let panics = events.iter().map(|event| shared.listeners.invalidated(event)).sum();
            self.note_panics(panics);
        }
    }

    /// Reads a message and, if it is signed, its number.
    fn read(&self, bytes: &[u8]) -> Result<(Message, Option<u64>), MessageError> {
        let Shared { channel, secret, .. } = &*self.shared;
        let Some(secret) = secret else { return Ok((Message::read(bytes)?, None)) };
        match Message::read_signed(bytes, secret, channel) {
            Err(MessageError::Unsigned) if secret.is_unsigned_accepted() => Ok((Message::read(bytes)?, None)),
            read => read.map(|(message, number)| (message, Some(number))),
        }
    }

    /// Whether nobody who is to be heard has sent what cannot be read. What is signed and cannot be read, a newer release has sent.
    fn is_ignored(&self, error: &MessageError) -> bool {
        let is_strict = self.shared.secret.as_ref().is_some_and(|secret| !secret.is_unsigned_accepted());
        is_strict && !matches!(error, MessageError::Field { .. } | MessageError::Event(_))
    }

    /// An echo that is played once more must not end a doubt, nor one that is not signed where this bus signs.
    fn hear_ourselves(&mut self, number: Option<u64>) -> Verdict {
        if self.shared.secret.is_some() && number.unwrap_or(0) <= self.echoed {
            return Verdict::Replayed;
        }
        self.echoed = number.unwrap_or(0);
        Verdict::InOrder
    }

    /// Says that somebody is ignored: once a minute, as whoever may write to the channel can have it said as often as he likes.
    fn warn_of_stranger(&mut self, what: &str, why: &str, now: Instant) {
        if self.warned.is_none_or(|last| now.saturating_duration_since(last) >= Duration::from_mins(1)) {
            self.warned = Some(now);
            tracing::warn!(channel = self.shared.channel, what, why, "bus ignores messages");
        }
    }

    /// Looks for publishers that are not heard any more, once in a heartbeat.
    fn look_around(&mut self, now: Instant) {
        let pace = self.shared.pace;
        if now < self.looked + pace.heartbeat {
            return;
        }
        self.looked = now;
        if self.publishers.look_for_vanished(now, pace.silence, pace.absence) {
            self.pass_doubt(Doubt::Vanished);
        }
    }

    /// Believes nothing from now on, until [`end_doubt`](Self::end_doubt).
    fn begin_doubt(&mut self, why: Doubt) {
        if self.doubt.is_some() {
            return;
        }
        self.doubt = Some(why);
        self.shared.counts.doubt(why);
        tracing::warn!(
            channel = self.shared.channel,
            why = why.as_str(),
            "bus in doubt: messages may be missing"
        );
        // The flag comes first: who is attached in between finds it.
        self.shared.is_whole.store(false, SeqCst);
        let panics = self.shared.listeners.distrust(why);
        self.note_panics(panics);
    }

    fn end_doubt(&mut self, now: Instant) {
        let Some(why) = self.doubt.take() else { return };
        // What was missed of others is told with this doubt, and how long they were not heard is no news.
        self.publishers.begin_anew(now);
        let whole = || self.shared.is_whole.store(true, SeqCst);
        let panics = self.shared.listeners.distrust_and_then(why, whole);
        tracing::info!(channel = self.shared.channel, why = why.as_str(), "bus whole: it hears itself");
        self.note_panics(panics);
    }

    /// Tells of a doubt that is over with being told. While another one lasts, its end tells of this one, too.
    fn pass_doubt(&mut self, why: Doubt) {
        if self.doubt.is_some() {
            return;
        }
        self.shared.counts.doubt(why);
        tracing::warn!(channel = self.shared.channel, why = why.as_str(), "bus: messages are missing");
        let panics = self.shared.listeners.distrust(why);
        self.note_panics(panics);
    }

    fn note_panics(&self, panics: u64) {
        if panics > 0 {
            add(&self.shared.counts.panics, panics);
            tracing::error!(channel = self.shared.channel, panics, "listeners of the bus have panicked");
        }
    }
}

/// Lets nobody believe in a bus that does not listen, however the task ends, and though it never began.
struct Gone(Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.is_whole.store(false, SeqCst);
        self.0.ending.send_modify(|ending| ending.receiver_is_gone = true);
    }
}
