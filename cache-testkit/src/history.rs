//! What a cache was asked and what it answered, and whether that can be right.
//!
//! A test notes when each load, write, invalidation and read began and ended; [`History::check`] says what no correct
//! cache could have answered. It knows nothing of how the cache works, so it serves stress tests, random schedules and
//! models alike. Values are numbers, each brought by one load or insert of its key.
//!
//! ```text
//! possible    an answer was loaded or inserted for its key, before the read ended
//! coherent    it was not known to be outdated when the read began: no invalidation of its key or of a tag it was brought
//!             with, and no insert of its key, lies wholly between the begin of its load, or the end of its insert, and the
//!             begin of the read; a stale answer may be what was only expired; an insert whose value was seen has happened
//! one load    two loads of a key overlap only if something was invalidated, forced or given up since they were asked for
//! in time     fresh answers are fresh, stale ones are marked and within their window
//! answered    every read has come to an end, unless its caller gave it up
//! ```

mod book;
mod books;

use std::sync::{Mutex, PoisonError};

use cache_core::{Lifetime, Time};

use self::book::Book;
pub use self::books::Books;

/// A moment in the order of what was noted; has nothing to do with a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(usize);

/// What an invalidation concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// These keys, whatever they hold.
    Keys(Vec<u64>),
    /// Whatever was brought with this tag.
    Tag(u64),
}

/// How an invalidation leaves what it concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// Nothing may bring it back.
    Nothing,
    /// It may stand in, marked as stale.
    Copy,
}

/// A value as a loader or an insert brings it.
#[derive(Clone, Debug, PartialEq)]
pub struct Brought {
    value: u64,
    life: Option<Lifetime>,
    tags: Vec<u64>,
}

/// What a read was answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The value.
    pub value: u64,
    /// Whether it was marked as stale.
    pub is_stale: bool,
}

#[derive(Debug)]
struct Event {
    what: What,
    end: Option<Moment>,
}

#[derive(Debug)]
enum What {
    /// A loader runs for a key; what it brings is known at its end.
    Load {
        key: u64,
        asked: Moment,
        brought: Option<Brought>,
    },
    /// A value is stored by hand.
    Insert {
        key: u64,
        brought: Brought,
    },
    /// Something is invalidated.
    Change {
        of: Of,
        leaves: Leaves,
    },
    /// Something that lets a second load of a key run beside the first: a forced load, one that was given up.
    Release,
    Read {
        key: u64,
        now: Time,
        answer: Option<Answer>,
    },
    /// Something ended.
    End,
}

impl Brought {
    /// A value whose life is not looked at, and that has no tags.
    pub fn new(value: u64) -> Self {
        Self { value, life: None, tags: Vec::new() }
    }

    /// The life it has from the moment it is stored; what is checked is whether it was kept to.
    #[must_use]
    pub fn with_life(mut self, life: Lifetime) -> Self {
        self.life = Some(life);
        self
    }

    /// The tags it is stored with.
    #[must_use]
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = u64>) -> Self {
        self.tags = tags.into_iter().collect();
        self
    }
}

impl From<u64> for Brought {
    fn from(value: u64) -> Self {
        Self::new(value)
    }
}

/// What happened, in its order. Shared by all threads of a test.
///
/// ```
/// use cache_core::Time;
/// use cache_testkit::history::{Answer, History, Leaves, Of};
/// let history = History::new();
/// let asked = history.read_begins(1, Time::ZERO);
/// let load = history.load_begins(1, asked);
/// history.load_brings(load, 10);
/// history.read_ends(asked, Some(Answer { value: 10, is_stale: false }));
/// assert_eq!(history.check(), Ok(()));
///
/// let removal = history.change_begins(Of::Keys(vec![1]), Leaves::Nothing);
/// history.ends(removal);
/// let read = history.read_begins(1, Time::ZERO);
/// history.read_ends(read, Some(Answer { value: 10, is_stale: false }));
/// assert_eq!(history.check().unwrap_err().len(), 1, "it was removed before it was read");
/// ```
#[derive(Debug, Default)]
pub struct History {
    events: Mutex<Vec<Event>>,
}

impl History {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A loader begins to run for this key, on behalf of this read. To be noted before it reads anything.
    pub fn load_begins(&self, key: u64, asked: Moment) -> Moment {
        self.note(What::Load { key, asked, brought: None })
    }

    /// The loader brings this.
    pub fn load_brings(&self, load: Moment, it: impl Into<Brought>) {
        let it = it.into();
        self.end(load, |what| {
            if let What::Load { brought, .. } = what {
                *brought = Some(it);
            }
        });
    }

    /// A value is stored under this key by hand.
    pub fn insert_begins(&self, key: u64, brought: impl Into<Brought>) -> Moment {
        self.note(What::Insert { key, brought: brought.into() })
    }

    /// An invalidation is called.
    pub fn change_begins(&self, of: Of, leaves: Leaves) -> Moment {
        self.note(What::Change { of, leaves })
    }

    /// Something is called that lets a second load run beside the first: one that is forced, or has a timeout after which it
    /// is given up. Of whatever key: a cache that bounds what it knows may take one for another.
    pub fn release_begins(&self) -> Moment {
        self.note(What::Release)
    }

    /// What began then has come to its end: an insert, an invalidation or a release has returned, a loader has failed or
    /// panicked, a read was given up by its caller. Of several ends, the first counts.
    pub fn ends(&self, begun: Moment) {
        self.end(begun, |_| {});
    }

    /// A read of this key is called, at this moment of the cache's clock.
    pub fn read_begins(&self, key: u64, now: Time) -> Moment {
        self.note(What::Read { key, now, answer: None })
    }

    /// The read was answered; `None` for a miss or an error.
    pub fn read_ends(&self, read: Moment, with: Option<Answer>) {
        self.end(read, |what| {
            if let What::Read { answer, .. } = what {
                *answer = with;
            }
        });
    }

    /// Looks at everything that was noted, when nothing goes on any more. Takes n log n steps for n events.
    ///
    /// # Errors
    /// A sentence for each thing that no correct cache does.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let book = Book::of(&events);
        let mut wrong = Vec::new();
        for (began, Event { what, end }) in events.iter().enumerate() {
            match (what, end) {
                (What::Read { key, .. }, None) => wrong.push(format!("key {key}: a read was never answered")),
                (What::Read { key, now, answer: Some(answer) }, Some(end)) => {
                    wrong.extend(book.wrong_answer(*key, (began, end.0), *now, *answer));
                }
                _ => {}
            }
        }
        wrong.extend(book.second_loads());
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn note(&self, what: What) -> Moment {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(Event { what, end: None });
        Moment(events.len() - 1)
    }

    fn end(&self, begun: Moment, change: impl FnOnce(&mut What)) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Moment(events.len());
        let event = &mut events[begun.0];
        if event.end.is_none() {
            event.end = Some(now);
            change(&mut event.what);
            // A moment of its own, so that nothing ends and begins at the same one.
            events.push(Event { what: What::End, end: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cache_core::Ttl;

    use super::*;

    fn fresh(value: u64) -> Answer {
        Answer { value, is_stale: false }
    }

    fn stale(value: u64) -> Answer {
        Answer { value, is_stale: true }
    }

    /// A caller who never gets an answer, but does not wait for one either.
    fn asks(history: &History) -> Moment {
        let asked = history.read_begins(1, Time::ZERO);
        history.ends(asked);
        asked
    }

    fn load(history: &History, brought: impl Into<Brought>) {
        let load = history.load_begins(1, asks(history));
        history.load_brings(load, brought);
    }

    fn change(history: &History, leaves: Leaves) {
        let change = history.change_begins(Of::Keys(vec![1]), leaves);
        history.ends(change);
    }

    fn read(history: &History, now: u64, answer: Answer) {
        let read = history.read_begins(1, Time::ZERO.after(Duration::from_secs(now)));
        history.read_ends(read, Some(answer));
    }

    #[track_caller]
    fn check(history: &History, wrong: &str) {
        match history.check() {
            Ok(()) => assert_eq!(wrong, "", "not found"),
            Err(found) => assert!(!wrong.is_empty() && found[0].contains(wrong), "{found:?}"),
        }
    }

    #[test]
    fn a_value_that_nobody_has_brought_is_wrong() {
        let history = History::new();
        load(&history, 5);
        read(&history, 0, fresh(5));
        let miss = history.read_begins(1, Time::ZERO);
        history.read_ends(miss, None);
        check(&history, "");
        read(&history, 0, fresh(6));
        check(&history, "which nobody has brought");
    }

    #[test]
    fn what_was_overtaken_is_wrong_for_later_reads_only() {
        let history = History::new();
        let slow = history.load_begins(1, asks(&history));
        let early = history.read_begins(1, Time::ZERO);
        change(&history, Leaves::Nothing);
        history.load_brings(slow, 5);
        history.read_ends(early, Some(fresh(5)));
        check(&history, "");
        read(&history, 0, fresh(5));
        check(&history, "after its invalidation");
    }

    #[test]
    fn an_insert_outdates_what_was_there() {
        let history = History::new();
        load(&history, 5);
        let insert = history.insert_begins(1, 6);
        history.ends(insert);
        read(&history, 0, fresh(6));
        check(&history, "");
        read(&history, 0, fresh(5));
        check(&history, "after its invalidation");
    }

    #[test]
    fn an_expired_value_may_stand_in_and_a_removed_one_may_not() {
        for (leaves, wrong) in [(Leaves::Copy, ""), (Leaves::Nothing, "after its invalidation")] {
            let history = History::new();
            load(&history, 5);
            change(&history, leaves);
            read(&history, 0, stale(5));
            check(&history, wrong);
        }
    }

    #[test]
    fn lives_are_kept_to() {
        let life = Lifetime::new(Time::ZERO, Ttl::from_secs(10)).with_fail_safe_for(Duration::from_secs(5));
        for (now, answer, wrong) in [
            (9, fresh(5), ""),
            (10, fresh(5), "after its time"),
            (14, stale(5), ""),
            (15, stale(5), "after its time"),
        ] {
            let history = History::new();
            load(&history, Brought::new(5).with_life(life));
            read(&history, now, answer);
            check(&history, wrong);
        }
    }

    #[test]
    fn a_second_load_needs_a_reason() {
        for (reason, wrong) in [(0, "a second load"), (1, ""), (2, "")] {
            let history = History::new();
            let first = history.load_begins(1, asks(&history));
            match reason {
                1 => change(&history, Leaves::Nothing),
                2 => history.ends(history.release_begins()),
                _ => {}
            }
            load(&history, 6);
            history.load_brings(first, 5);
            check(&history, wrong);
        }
    }

    #[test]
    fn an_insert_that_was_seen_has_happened() {
        let history = History::new();
        load(&history, 5);
        let insert = history.insert_begins(1, 6);
        read(&history, 0, fresh(5));
        read(&history, 0, fresh(6));
        check(&history, "");
        read(&history, 0, fresh(5));
        check(&history, "after its invalidation");
        history.ends(insert);
    }

    #[test]
    fn an_insert_happens_before_or_after_what_goes_on_beside_it() {
        let history = History::new();
        let insert = history.insert_begins(1, 6);
        change(&history, Leaves::Nothing);
        read(&history, 0, fresh(6));
        check(&history, "");
        change(&history, Leaves::Nothing);
        read(&history, 0, fresh(6));
        check(&history, "after its invalidation");
        history.ends(insert);
    }

    #[test]
    fn a_tag_outdates_what_was_brought_with_it_and_nothing_else() {
        for (tags, wrong) in [(vec![1, 2], "after its invalidation"), (vec![1], ""), (vec![], "")] {
            let history = History::new();
            load(&history, Brought::new(5).with_tags(tags));
            let removal = history.change_begins(Of::Tag(2), Leaves::Nothing);
            read(&history, 0, fresh(5));
            check(&history, "");
            history.ends(removal);
            read(&history, 0, fresh(5));
            check(&history, wrong);
        }
    }

    #[test]
    fn one_way_to_be_right_is_enough() {
        let history = History::new();
        load(&history, Brought::new(5).with_tags([2]));
        let removal = history.change_begins(Of::Tag(2), Leaves::Nothing);
        history.ends(removal);
        let insert = history.insert_begins(1, 5);
        read(&history, 0, fresh(5));
        check(&history, "");
        history.ends(insert);
    }

    #[test]
    fn a_read_without_an_end_is_wrong_unless_it_was_given_up() {
        let history = History::new();
        let read = history.read_begins(1, Time::ZERO);
        check(&history, "never answered");
        history.ends(read);
        check(&history, "");
    }
}
