//! A channel in this process: who listens to it, since when, and what each has still to receive.
//!
//! One lock per channel orders what is heard and who joins, so an inbox begins exactly where the server confirmed it. Each
//! connection is a turn; what an earlier one still says is not listened to.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;

use cache_core::Received;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::driver::Heard;
use crate::fault::Fault;

type Begun = oneshot::Sender<Result<(), Fault>>;

#[derive(Default)]
pub(super) struct Channel {
    state: Mutex<State>,
    /// Wakes the listener.
    wanted: Notify,
}

#[derive(Default)]
struct State {
    turn: u64,
    is_lost: bool,
    /// Whether something may have been missed of which the confirmation is still to come.
    has_gap: bool,
    is_closed: bool,
    inboxes: Vec<Member>,
}

struct Member {
    inbox: Arc<Inbox>,
    phase: Phase,
}

enum Phase {
    /// Its subscription has not been sent yet.
    Waiting(Begun),
    /// It begins with the next confirmation.
    Asked(Begun),
    Active,
}

/// What one subscription has still to receive.
pub(super) struct Inbox {
    max_queued: NonZeroUsize,
    queue: Mutex<VecDeque<Received>>,
    filled: Notify,
    /// Told when it begins, until it joins a channel.
    begun: Mutex<Option<Begun>>,
}

impl Inbox {
    pub(super) fn new(max_queued: NonZeroUsize) -> (Arc<Self>, oneshot::Receiver<Result<(), Fault>>) {
        let (tell, begun) = oneshot::channel();
        let (queue, filled) = (Mutex::default(), Notify::new());
        (Arc::new(Self { max_queued, queue, filled, begun: Mutex::new(Some(tell)) }), begun)
    }

    /// Queues a message, or marks where it is missing. Marks beside each other are one.
    fn put(&self, received: Received) {
        let mut queue = self.queue.lock();
        let is_full = queue.len() >= self.max_queued.get();
        if received != Received::Missed && !is_full {
            queue.push_back(received);
        } else if queue.back() != Some(&Received::Missed) {
            queue.push_back(Received::Missed);
        }
        drop(queue);
        self.filled.notify_one();
    }
}

impl Channel {
    pub(super) fn join(&self, inbox: Arc<Inbox>) {
        let Some(begun) = inbox.begun.lock().take() else { return };
        self.state.lock().inboxes.push(Member { inbox, phase: Phase::Waiting(begun) });
        self.wanted.notify_one();
    }

    /// Takes an inbox out, and says whether it was the last one.
    pub(super) fn leave(&self, leaving: &Arc<Inbox>) -> bool {
        let mut state = self.state.lock();
        state.inboxes.retain(|member| !Arc::ptr_eq(&member.inbox, leaving));
        state.inboxes.is_empty()
    }

    /// Lets everybody receive what is queued, and then nothing any more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.inboxes.iter().for_each(|member| member.inbox.filled.notify_one());
    }

    /// The next thing, or `None` when there will be nothing any more.
    pub(super) async fn receive(&self, inbox: &Inbox) -> Option<Received> {
        loop {
            let filled = inbox.filled.notified();
            if let Some(received) = inbox.queue.lock().pop_front() {
                return Some(received);
            }
            if self.state.lock().is_closed {
                return None;
            }
            filled.await;
        }
    }

    /// Begins a turn: from now on the connection of this number is listened to.
    pub(super) fn begin_turn(&self) -> u64 {
        let mut state = self.state.lock();
        (state.turn, state.is_lost) = (state.turn + 1, false);
        state.turn
    }

    /// Takes note that a subscription is about to be sent.
    pub(super) fn ask(&self) {
        for member in &mut self.state.lock().inboxes {
            member.phase = match std::mem::replace(&mut member.phase, Phase::Active) {
                Phase::Waiting(begun) => Phase::Asked(begun),
                phase => phase,
            };
        }
    }

    /// Takes what the connection of this turn says.
    pub(super) fn hear(&self, turn: u64, heard: Heard) {
        let mut state = self.state.lock();
        if state.turn != turn {
            return;
        }
        match heard {
            Heard::Message(message) => {
                for member in state.inboxes.iter().filter(|member| member.phase.is_active()) {
                    member.inbox.put(Received::Message(message.clone()));
                }
            }
            Heard::Begun => {
                let has_gap = std::mem::take(&mut state.has_gap);
                for member in &mut state.inboxes {
                    match std::mem::replace(&mut member.phase, Phase::Active) {
                        Phase::Active if has_gap => member.inbox.put(Received::Missed),
                        Phase::Active => {}
                        waiting @ Phase::Waiting(_) => member.phase = waiting,
                        Phase::Asked(begun) => drop(begun.send(Ok(()))),
                    }
                }
            }
            Heard::Ended => {
                drop(state);
                self.lose(turn);
            }
        }
    }

    /// Takes note that the connection of this turn is gone: from here on, messages may be missing.
    pub(super) fn lose(&self, turn: u64) {
        let mut state = self.state.lock();
        if state.turn != turn || state.is_lost {
            return;
        }
        (state.is_lost, state.has_gap) = (true, true);
        for member in &mut state.inboxes {
            member.phase = match std::mem::replace(&mut member.phase, Phase::Active) {
                Phase::Active => {
                    member.inbox.put(Received::Missed);
                    Phase::Active
                }
                Phase::Asked(begun) => Phase::Waiting(begun),
                waiting @ Phase::Waiting(_) => waiting,
            };
        }
        drop(state);
        self.wanted.notify_one();
    }

    pub(super) fn is_lost(&self, turn: u64) -> bool {
        let state = self.state.lock();
        state.turn == turn && state.is_lost
    }

    pub(super) fn has_waiting(&self) -> bool {
        self.state.lock().inboxes.iter().any(|member| matches!(member.phase, Phase::Waiting(_)))
    }

    pub(super) async fn is_to_be_seen_to(&self) {
        self.wanted.notified().await;
    }

    /// Tells everybody who waits to begin that they cannot, and why. They may ask again.
    pub(super) fn fail(&self, fault: &Fault) {
        for member in &mut self.state.lock().inboxes {
            match std::mem::replace(&mut member.phase, Phase::Active) {
                Phase::Waiting(begun) | Phase::Asked(begun) => {
                    let _ = begun.send(Err(Fault::Down(fault.to_string())));
                }
                Phase::Active => {}
            }
        }
    }
}

impl Phase {
    fn is_active(&self) -> bool {
        matches!(self, Self::Active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(channel: &Channel, max_queued: usize) -> Arc<Inbox> {
        let (inbox, _) = Inbox::new(NonZeroUsize::new(max_queued).expect("not zero"));
        channel.join(Arc::clone(&inbox));
        inbox
    }

    fn queued(inbox: &Inbox) -> Vec<String> {
        let text = |received: Received| match received {
            Received::Message(message) => String::from_utf8_lossy(&message).into_owned(),
            Received::Missed => "missed".into(),
        };
        inbox.queue.lock().drain(..).map(text).collect()
    }

    fn message(text: &'static str) -> Heard {
        Heard::Message(text.into())
    }

    #[test]
    fn an_inbox_begins_with_the_confirmation_of_its_own_subscription() {
        let channel = Channel::default();
        let turn = channel.begin_turn();
        let first = joined(&channel, 9);
        channel.ask();
        channel.hear(turn, message("too early"));
        let second = joined(&channel, 9);
        channel.hear(turn, Heard::Begun);
        channel.hear(turn, message("1"));
        assert!(channel.has_waiting());
        channel.ask();
        channel.hear(turn, message("2"));
        channel.hear(turn, Heard::Begun);
        channel.hear(turn, message("3"));
        assert_eq!(
            (queued(&first), queued(&second)),
            (vec!["1".into(), "2".into(), "3".into()], vec!["3".into()])
        );
    }

    #[test]
    fn a_lost_connection_is_told_at_once_and_again_when_the_next_one_is_confirmed() {
        let channel = Channel::default();
        let turn = channel.begin_turn();
        let inbox = joined(&channel, 9);
        channel.ask();
        channel.hear(turn, Heard::Begun);
        channel.hear(turn, Heard::Ended);
        channel.lose(turn);
        assert_eq!(queued(&inbox), ["missed"]);
        let next = channel.begin_turn();
        channel.hear(turn, message("of the connection that was lost"));
        let late = joined(&channel, 9);
        channel.ask();
        channel.hear(next, Heard::Begun);
        channel.hear(next, message("1"));
        assert_eq!((queued(&inbox), queued(&late)), (vec!["missed".into(), "1".into()], vec!["1".into()]));
        channel.hear(next, Heard::Begun);
        assert_eq!(queued(&inbox), Vec::<String>::new(), "there was no other gap");
    }

    #[test]
    fn a_full_inbox_marks_each_gap_once() {
        let channel = Channel::default();
        let turn = channel.begin_turn();
        let inbox = joined(&channel, 1);
        channel.ask();
        channel.hear(turn, Heard::Begun);
        for text in ["1", "2", "3"] {
            channel.hear(turn, message(text));
        }
        channel.hear(turn, Heard::Ended);
        assert_eq!(queued(&inbox), ["1", "missed"]);
    }
}
