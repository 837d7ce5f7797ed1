//! What a cache was asked and what it answered, and whether that can be right.
//!
//! A test notes when each load, write, invalidation and read began and ended; [`History::check`] says what no correct
//! cache could have answered. It knows nothing of how the cache works, so it serves stress tests, random schedules and
//! models alike. Values are numbers, each brought by one load or insert of its key.
//!
//! ```text
//! possible    an answer was loaded or inserted for its key, before the read ended
//! coherent    it was not known to be outdated when the read began: no invalidation, and no insert, of its key lies wholly
//!             between the begin of its load and the begin of the read; a stale answer may be what was only expired
//! one load    two loads of a key overlap only if something was invalidated, forced or given up since they were asked for
//! in time     fresh answers are fresh, stale ones are marked and within their window
//! ```

use std::sync::{Mutex, PoisonError};

use cache_core::{Lifetime, Time};

/// A moment in the order of what was noted; has nothing to do with a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(usize);

/// How an invalidation leaves what it concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// Nothing may bring it back.
    Nothing,
    /// It may stand in, marked as stale.
    Copy,
}

#[derive(Debug)]
enum Event {
    /// A load of a key began; later, what it read.
    Load {
        key: u64,
        asked: Moment,
        value: Option<u64>,
        life: Option<Lifetime>,
        end: Option<Moment>,
    },
    /// Keys were invalidated, or one was given a value.
    Change {
        keys: Vec<u64>,
        leaves: Leaves,
        value: Option<u64>,
        life: Option<Lifetime>,
        end: Option<Moment>,
    },
    /// Something that lets a second load of a key run beside the first: a forced load, one that was given up.
    Release {
        key: u64,
        end: Option<Moment>,
    },
    /// Something ended.
    End,
    Read {
        key: u64,
        now: Time,
        answer: Option<Answer>,
        end: Option<Moment>,
    },
}

/// What a read was answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The value.
    pub value: u64,
    /// Whether it was marked as stale.
    pub is_stale: bool,
}

/// What happened, in its order. Shared by all threads of a test.
///
/// ```
/// use cache_core::Time;
/// use cache_testkit::history::{Answer, History, Leaves};
/// let history = History::new();
/// let asked = history.read_begins(1, Time::ZERO);
/// let load = history.load_begins(1, asked);
/// history.load_brings(load, 10, None);
/// let removal = history.change_begins(vec![1], Leaves::Nothing);
/// history.change_ends(removal);
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
        self.note(Event::Load { key, asked, value: None, life: None, end: None })
    }

    /// The loader brings this value; of `life`, what is checked is whether it was kept to.
    pub fn load_brings(&self, load: Moment, value: u64, life: Option<Lifetime>) {
        self.end(load, |event, now| {
            if let Event::Load { value: held, life: of, end, .. } = event {
                (*held, *of, *end) = (Some(value), life, Some(now));
            }
        });
    }

    /// The loader ends without a value.
    pub fn load_fails(&self, load: Moment) {
        self.end(load, |event, now| {
            if let Event::Load { end, .. } = event {
                *end = Some(now);
            }
        });
    }

    /// An invalidation of these keys is called.
    pub fn change_begins(&self, keys: Vec<u64>, leaves: Leaves) -> Moment {
        self.note(Event::Change { keys, leaves, value: None, life: None, end: None })
    }

    /// A value is stored under this key by hand.
    pub fn insert_begins(&self, key: u64, value: u64, life: Option<Lifetime>) -> Moment {
        let (keys, value) = (vec![key], Some(value));
        self.note(Event::Change { keys, leaves: Leaves::Nothing, value, life, end: None })
    }

    /// An invalidation, an insert or a release has returned.
    pub fn change_ends(&self, change: Moment) {
        self.end(change, |event, now| {
            if let Event::Change { end, .. } | Event::Release { end, .. } = event {
                *end = Some(now);
            }
        });
    }

    /// Something is called that lets a second load of this key run beside the first: one that is forced, or has a timeout
    /// after which it is given up.
    pub fn release_begins(&self, key: u64) -> Moment {
        self.note(Event::Release { key, end: None })
    }

    /// A read of this key is called, at this moment of the cache's clock.
    pub fn read_begins(&self, key: u64, now: Time) -> Moment {
        self.note(Event::Read { key, now, answer: None, end: None })
    }

    /// The read was answered; `None` for a miss or an error.
    pub fn read_ends(&self, read: Moment, answer: Option<Answer>) {
        self.end(read, |event, now| {
            if let Event::Read { answer: held, end, .. } = event {
                (*held, *end) = (answer, Some(now));
            }
        });
    }

    /// Looks at everything that was noted.
    ///
    /// # Errors
    /// A sentence for each thing that no correct cache does.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let book = Book(&events);
        let mut wrong = Vec::new();
        for at in 0..events.len() {
            match &events[at] {
                Event::Read { key, now, answer: Some(answer), end } => {
                    wrong.extend(book.wrong_answer(*key, (at, *end), *now, *answer));
                }
                Event::Load { key, end, .. } => wrong.extend(book.second_load(*key, at, *end)),
                _ => {}
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn note(&self, event: Event) -> Moment {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event);
        Moment(events.len() - 1)
    }

    fn end(&self, begun: Moment, change: impl FnOnce(&mut Event, Moment)) {
        // The end is a moment of its own, so that nothing ends and begins at the same one.
        let now = self.note(Event::End);
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut events[begun.0], now);
    }
}

/// Where a value came from.
struct Origin {
    began: usize,
    life: Option<Lifetime>,
}

struct Book<'a>(&'a [Event]);

impl Book<'_> {
    /// Every load and insert that brought this value for this key.
    fn origins(&self, of: u64, wanted: u64) -> impl Iterator<Item = Origin> {
        self.0.iter().enumerate().filter_map(move |(began, event)| match event {
            Event::Load { key, value: Some(value), life, .. } if (*key, *value) == (of, wanted) => {
                Some(Origin { began, life: *life })
            }
            Event::Change { keys, value: Some(value), life, .. } if keys[..] == [of] && *value == wanted => {
                Some(Origin { began, life: *life })
            }
            _ => None,
        })
    }

    fn wrong_answer(
        &self,
        key: u64,
        (began, end): (usize, Option<Moment>),
        now: Time,
        answer: Answer,
    ) -> Option<String> {
        let Answer { value, is_stale } = answer;
        let in_time = |origin: &Origin| end.is_none_or(|end| origin.began < end.0);
        let origins: Vec<Origin> = self.origins(key, value).filter(in_time).collect();
        if origins.is_empty() {
            return Some(format!("key {key}: {value} was answered, which nobody has brought"));
        }
        if origins.iter().all(|origin| self.outdated(key, origin.began, began, is_stale)) {
            return Some(format!(
                "key {key}: {value} was answered to a read that began after its invalidation"
            ));
        }
        let kept_to = |life: &Lifetime| {
            if is_stale { life.answers(now) || life.stands_in(now) } else { now < life.stale() }
        };
        let lives: Vec<Lifetime> = origins.iter().filter_map(|origin| origin.life).collect();
        // Who loads answers with what it has just loaded, however long it took.
        let loaded_since = origins.iter().any(|origin| origin.began > began);
        if !loaded_since && !lives.is_empty() && !lives.iter().any(kept_to) {
            return Some(format!("key {key}: {value} was answered after its time, stale: {is_stale}"));
        }
        None
    }

    /// Tells whether a change of this key lies wholly between these two moments.
    fn outdated(&self, key: u64, loaded: usize, read: usize, is_stale: bool) -> bool {
        self.0.iter().enumerate().skip(loaded + 1).any(|(began, event)| match event {
            Event::Change { keys, leaves, end: Some(end), .. } => {
                let spares = is_stale && *leaves == Leaves::Copy;
                keys.contains(&key) && !spares && loaded < began && end.0 < read
            }
            _ => false,
        })
    }

    /// A load that began while another of its key was running, without anything that allows it since the earlier of the two
    /// was asked for.
    fn second_load(&self, of: u64, first: usize, end: Option<Moment>) -> Option<String> {
        let end = end.map_or(self.0.len(), |end| end.0);
        let asked = |at: usize| match &self.0[at] {
            Event::Load { key, asked, .. } if *key == of => Some(asked.0),
            _ => None,
        };
        let (second, since) = (first + 1..end).find_map(|at| Some((at, asked(at)?)))?;
        let since = since.min(asked(first)?);
        let still_ran = |end: &Option<Moment>| end.is_none_or(|end| end.0 > since);
        let allows = |event: &Event| match event {
            Event::Release { key, end } => *key == of && still_ran(end),
            // Of whatever keys: a cache may take one for another here, and load once more than it has to.
            Event::Change { end, .. } => still_ran(end),
            _ => false,
        };
        let allowed = self.0[..second].iter().any(allows);
        (!allowed).then(|| format!("key {of}: a second load began while one was running"))
    }
}

/// The counters of a cache at rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Books {
    /// Reads that the test has made.
    pub reads: u64,
    /// Hits and misses, as counted.
    pub hits_and_misses: u64,
    /// Loads that the test has seen begin.
    pub loads: u64,
    /// Loads that have ended, in any way, as counted.
    pub loads_ended: u64,
    /// Inserts less removals of every kind, as counted.
    pub inserts_less_removals: u64,
    /// Entries held.
    pub entries: u64,
}

impl Books {
    /// Compares what has to be equal.
    ///
    /// # Errors
    /// A sentence for each pair that is not.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let pairs = [
            ("reads, and hits and misses", self.reads, self.hits_and_misses),
            ("loads begun, and ended", self.loads, self.loads_ended),
            ("inserts less removals, and entries", self.inserts_less_removals, self.entries),
        ];
        let wrong: Vec<String> = pairs
            .into_iter()
            .filter(|(_, one, other)| one != other)
            .map(|(what, one, other)| format!("{what}: {one} and {other}"))
            .collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
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

    fn load(history: &History, value: u64, life: Option<Lifetime>) {
        let load = history.load_begins(1, history.read_begins(1, Time::ZERO));
        history.load_brings(load, value, life);
    }

    fn change(history: &History, leaves: Leaves) {
        let change = history.change_begins(vec![1], leaves);
        history.change_ends(change);
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
        load(&history, 5, None);
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
        let slow = history.load_begins(1, history.read_begins(1, Time::ZERO));
        let early = history.read_begins(1, Time::ZERO);
        change(&history, Leaves::Nothing);
        history.load_brings(slow, 5, None);
        history.read_ends(early, Some(fresh(5)));
        check(&history, "");
        read(&history, 0, fresh(5));
        check(&history, "after its invalidation");
    }

    #[test]
    fn an_insert_outdates_what_was_there() {
        let history = History::new();
        load(&history, 5, None);
        let insert = history.insert_begins(1, 6, None);
        history.change_ends(insert);
        read(&history, 0, fresh(6));
        check(&history, "");
        read(&history, 0, fresh(5));
        check(&history, "after its invalidation");
    }

    #[test]
    fn an_expired_value_may_stand_in_and_a_removed_one_may_not() {
        for (leaves, wrong) in [(Leaves::Copy, ""), (Leaves::Nothing, "after its invalidation")] {
            let history = History::new();
            load(&history, 5, None);
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
            load(&history, 5, Some(life));
            read(&history, now, answer);
            check(&history, wrong);
        }
    }

    #[test]
    fn a_second_load_needs_a_reason() {
        for (reason, wrong) in [(0, "a second load"), (1, ""), (2, "")] {
            let history = History::new();
            let first = history.load_begins(1, history.read_begins(1, Time::ZERO));
            match reason {
                1 => change(&history, Leaves::Nothing),
                2 => history.change_ends(history.release_begins(1)),
                _ => {}
            }
            load(&history, 6, None);
            history.load_brings(first, 5, None);
            check(&history, wrong);
        }
    }

    #[test]
    fn books_that_do_not_balance_are_told() {
        assert!(Books::default().check().is_ok());
        let wrong =
            Books { reads: 2, hits_and_misses: 1, ..Books::default() }.check().expect_err("one is lost");
        assert_eq!(wrong, ["reads, and hits and misses: 2 and 1"]);
    }
}
