//! Who has been heard and up to which number: a pure table, in which a missing message shows.
//!
//! Each publisher numbers its messages of events, and each of its heartbeats repeats the last number. Whoever hears a number
//! knows what should have come before it. The bus itself asks no table about its own messages.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::time::Instant;

use crate::{Body, Doubt, Message};

/// All publishers that are known, at most so many.
#[derive(Debug)]
pub(crate) struct Publishers {
    max: NonZeroUsize,
    known: HashMap<u128, Heard>,
}

/// What is known about one of them.
#[derive(Debug)]
struct Heard {
    epoch: u64,
    /// Every message of the epoch up to this one was heard or doubted.
    sequence: u64,
    at: Instant,
    /// When it was last told that it is missing, if it is.
    missed: Option<Instant>,
    /// The number of its last message, where they are signed.
    number: u64,
    /// It has said farewell, and is known only so that nobody plays its messages once more.
    has_left: bool,
}

/// What a message says about those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing is missing.
    InOrder,
    /// Older than something that was heard already.
    Late,
    /// Something is missing.
    Doubtful(Doubt),
    /// Of whoever signs, and of no later number than one that was heard, or of none: he never sends that.
    Replayed,
}

impl Publishers {
    pub(crate) fn new(max: NonZeroUsize) -> Self {
        Self { max, known: HashMap::new() }
    }

    /// Takes note of a message, which has a number if it is signed.
    pub(crate) fn hear(&mut self, message: &Message, number: Option<u64>, now: Instant) -> Verdict {
        let publisher = &message.publisher;
        // Numbers begin at 1, and what is not signed has none: whoever has signed once always does.
        if let Some(heard) = self.known.get(publisher)
            && heard.number > 0
            && number.unwrap_or(0) <= heard.number
        {
            return Verdict::Replayed;
        }
        let verdict = match self.known.get_mut(publisher) {
            Some(heard) => heard.hear(message, now),
            None => self.meet(message, now),
        };
        let has_left = message.body == Body::Farewell && verdict != Verdict::Late;
        if has_left && number.is_none() {
            self.known.remove(publisher);
        } else if let (Some(heard), Some(number)) = (self.known.get_mut(publisher), number) {
            (heard.number, heard.has_left) = (number, has_left);
        }
        verdict
    }

    /// Tells whether it is to be told now that somebody is missing: once he was not heard for the length of the silence, and again
    /// whenever that has passed once more, until it was told after the length of an absence.
    pub(crate) fn look_for_vanished(&mut self, now: Instant, silence: Duration, absence: Duration) -> bool {
        let gone = silence.saturating_add(absence);
        let is_missing = |heard: &Heard| {
            !heard.has_left
                && now.saturating_duration_since(heard.at) >= silence
                && heard.missed.is_none_or(|last| last.saturating_duration_since(heard.at) < gone)
        };
        let is_due = |heard: &Heard| {
            is_missing(heard)
                && heard.missed.is_none_or(|last| now.saturating_duration_since(last) >= silence)
        };
        let is_told = self.known.values().any(is_due);
        if is_told {
            // One doubt is one of all who are missing.
            let missing = self.known.values_mut().filter(|heard| is_missing(heard));
            missing.for_each(|heard| heard.missed = Some(now));
        }
        is_told
    }

    /// Gives everybody the time to be heard again, after nobody could be heard for a while.
    pub(crate) fn begin_anew(&mut self, now: Instant) {
        for heard in self.known.values_mut() {
            (heard.at, heard.missed) = (now, None);
        }
    }

    /// The first that is heard of a publisher, or the first since it was forgotten; the two cannot be told apart. In both
    /// cases it may have said something that should have been heard, unless this is the first that it ever said.
    fn meet(&mut self, message: &Message, now: Instant) -> Verdict {
        if self.known.len() >= self.max.get() {
            let longest_ago = self.known.iter().min_by_key(|(_, heard)| heard.at).map(|(id, _)| *id);
            longest_ago.and_then(|id| self.known.remove(&id));
        }
        let Message { publisher, epoch, sequence, .. } = *message;
        let heard = Heard { epoch, sequence, at: now, missed: None, number: 0, has_left: false };
        self.known.insert(publisher, heard);
        let said_before = epoch > 0 || before(message) > 0;
        if said_before { Verdict::Doubtful(Doubt::Stranger) } else { Verdict::InOrder }
    }
}

impl Heard {
    fn hear(&mut self, message: &Message, now: Instant) -> Verdict {
        let former = (self.epoch, self.sequence);
        (self.at, self.missed) = (now, None);
        if message.epoch > self.epoch {
            (self.epoch, self.sequence) = (message.epoch, message.sequence);
            return Verdict::Doubtful(Doubt::Epoch);
        }
        let is_next = (message.epoch, before(message)) == former;
        let is_ahead = message.epoch == self.epoch && before(message) > self.sequence;
        if is_next || is_ahead {
            self.sequence = message.sequence;
        }
        match (is_next, is_ahead) {
            (true, _) => Verdict::InOrder,
            (_, true) => Verdict::Doubtful(Doubt::Gap),
            _ => Verdict::Late,
        }
    }
}

/// The number of the message of events that comes before this one.
fn before(message: &Message) -> u64 {
    match message.body {
        Body::Events(_) => message.sequence.saturating_sub(1),
        Body::Heartbeat | Body::Farewell => message.sequence,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Action, Event, Target};

    const IN_ORDER: Verdict = Verdict::InOrder;
    const LATE: Verdict = Verdict::Late;
    const GAP: Verdict = Verdict::Doubtful(Doubt::Gap);
    const EPOCH: Verdict = Verdict::Doubtful(Doubt::Epoch);
    const STRANGER: Verdict = Verdict::Doubtful(Doubt::Stranger);

    fn beat(publisher: u128, epoch: u64, sequence: u64) -> Message {
        Message { publisher, epoch, sequence, body: Body::Heartbeat }
    }

    fn events(publisher: u128, epoch: u64, sequence: u64) -> Message {
        let event = Event::new("n", Target::All, Action::Remove).expect("legal");
        Message { body: Body::Events(vec![event]), ..beat(publisher, epoch, sequence) }
    }

    #[track_caller]
    fn check(messages: impl IntoIterator<Item = (Message, Verdict)>) {
        let mut publishers = Publishers::new(NonZeroUsize::new(2).expect("not zero"));
        let mut now = Instant::now();
        for (at, (message, expected)) in messages.into_iter().enumerate() {
            now += Duration::from_millis(1);
            assert_eq!(publishers.hear(&message, None, now), expected, "message {at}: {message:?}");
        }
    }

    #[test]
    fn numbers_in_order_are_believed_and_a_hole_is_told_once() {
        check([
            (beat(1, 0, 0), IN_ORDER),
            (events(1, 0, 1), IN_ORDER),
            (beat(1, 0, 1), IN_ORDER),
            (events(1, 0, 2), IN_ORDER),
            (events(1, 0, 4), GAP),
            (events(1, 0, 5), IN_ORDER),
        ]);
    }

    #[test]
    fn a_heartbeat_tells_of_a_last_message_that_was_lost() {
        check([(events(1, 0, 1), IN_ORDER), (beat(1, 0, 2), GAP), (beat(1, 0, 2), IN_ORDER)]);
    }

    #[test]
    fn what_comes_late_or_twice_is_no_progress() {
        check([
            (events(1, 0, 1), IN_ORDER),
            (events(1, 0, 1), LATE),
            (events(1, 0, 3), GAP),
            (events(1, 0, 2), LATE),
            (beat(1, 0, 1), LATE),
            (beat(1, 0, 3), IN_ORDER),
            (events(1, 0, 5), GAP),
        ]);
    }

    #[test]
    fn a_new_epoch_is_a_doubt_and_the_old_one_is_over() {
        check([
            (events(1, 0, 1), IN_ORDER),
            (beat(1, 1, 0), EPOCH),
            (events(1, 1, 1), IN_ORDER),
            (events(1, 0, 2), LATE),
            (events(1, 3, 1), EPOCH),
            (events(1, 3, 3), GAP),
        ]);
    }

    #[test]
    fn a_newcomer_is_believed_from_its_first_word_on_only() {
        check([(beat(1, 0, 0), IN_ORDER), (events(2, 0, 1), IN_ORDER)]);
        check([(beat(1, 0, 1), STRANGER), (events(2, 0, 2), STRANGER), (events(2, 0, 3), IN_ORDER)]);
        check([(beat(1, 1, 0), STRANGER)]);
    }

    #[test]
    fn who_was_forgotten_is_a_stranger() {
        check([
            (events(1, 0, 1), IN_ORDER),
            (events(2, 0, 1), IN_ORDER),
            (events(2, 0, 2), IN_ORDER),
            (events(3, 0, 1), IN_ORDER),
            (events(2, 0, 3), IN_ORDER),
            (events(1, 0, 2), STRANGER),
        ]);
    }

    #[test]
    fn a_farewell_is_heard_to_the_end_and_then_forgotten() {
        let farewell = |sequence| Message { body: Body::Farewell, ..beat(1, 0, sequence) };
        check([(events(1, 0, 1), IN_ORDER), (farewell(2), GAP), (beat(1, 0, 2), STRANGER)]);
        check([
            (events(1, 0, 1), IN_ORDER),
            (events(1, 0, 2), IN_ORDER),
            (farewell(1), LATE),
            (events(1, 0, 4), GAP),
        ]);
    }

    #[test]
    fn who_vanishes_is_told_again_and_again_until_it_is_back_or_given_up() {
        let mut publishers = Publishers::new(NonZeroUsize::new(2).expect("not zero"));
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let (silence, absence) = (second * 3, second * 10);
        let told = |publishers: &mut Publishers, seconds: std::ops::Range<u32>| -> Vec<u32> {
            let looks = |at: &u32| publishers.look_for_vanished(begin + second * *at, silence, absence);
            seconds.filter(looks).collect()
        };
        publishers.hear(&beat(1, 0, 0), None, begin);
        assert_eq!(told(&mut publishers, 0..8), [3, 6]);
        publishers.hear(&beat(1, 0, 0), None, begin + second * 8);
        assert_eq!(told(&mut publishers, 8..12), [11]);
        publishers.begin_anew(begin + second * 12);
        // Of two that are missing it is told together, and of one that was given up no more.
        publishers.hear(&beat(2, 0, 0), None, begin + second * 14);
        assert_eq!(told(&mut publishers, 12..100), [15, 17, 20, 23, 26, 29]);
        let mut once = Publishers::new(NonZeroUsize::MIN);
        once.hear(&beat(1, 0, 0), None, begin);
        let looks = |at: &u32| once.look_for_vanished(begin + second * *at, silence, Duration::ZERO);
        assert_eq!((0..100).filter(looks).collect::<Vec<_>>(), [3]);
    }
}
