//! A history in the order in which questions are put to it.

use std::collections::HashMap;

use cache_core::{Lifetime, Time};

use super::{Answer, Brought, Event, Leaves, Moment, Of, What};

/// Where a value came from.
struct Origin<'a> {
    began: usize,
    /// What begins later and concerns it outdates it: from its begin on for a load, which read its source then; for an
    /// insert, from when it has happened for certain.
    since: usize,
    brought: &'a Brought,
}

/// A key or a tag that can be invalidated.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Named {
    Key(u64),
    Tag(u64),
}

/// A loader's run.
struct Run {
    began: usize,
    asked: usize,
    end: usize,
}

/// What happens without an end, happens for ever.
const NEVER: usize = usize::MAX;

#[derive(Default)]
pub(super) struct Book<'a> {
    /// Every load and insert that brought a value, by key and value.
    origins: HashMap<(u64, u64), Vec<Origin<'a>>>,
    /// What outdates a fresh answer.
    outdates: HashMap<Named, Spans>,
    /// What outdates a stale answer, too.
    removes: HashMap<Named, Spans>,
    loads: HashMap<u64, Vec<Run>>,
    /// Changes and releases of whatever keys: a cache may take one for another, and load once more than it has to.
    changes: Spans,
}

impl<'a> Book<'a> {
    pub(super) fn of(events: &'a [Event]) -> Self {
        let mut book = Self::default();
        let at = |end: &Option<Moment>| end.map_or(NEVER, |end| end.0);
        for (began, Event { what, end }) in events.iter().enumerate() {
            match what {
                What::Load { key, asked, brought } => {
                    book.loads.entry(*key).or_default().push(Run { began, asked: asked.0, end: at(end) });
                    if let Some(brought) = brought {
                        book.add_origin(*key, Origin { began, since: began, brought });
                    }
                }
                What::Insert { key, brought } => {
                    book.add_origin(*key, Origin { began, since: at(end), brought });
                }
                What::Change { .. } | What::Release | What::Read { .. } | What::End => {}
            }
        }
        let seen = book.seen(events);
        for origin in book.origins.values_mut().flatten() {
            // A load has begun by the time it is seen.
            origin.since = seen.get(&origin.began).map_or(origin.since, |seen| origin.since.min(*seen));
        }
        for (began, Event { what, end }) in events.iter().enumerate() {
            match what {
                What::Insert { key, .. } => {
                    let happened = at(end).min(seen.get(&began).copied().unwrap_or(NEVER));
                    book.add_change(Named::Key(*key), Leaves::Nothing, (began, happened));
                    book.changes.add(began, at(end));
                }
                What::Change { of, leaves } => {
                    match of {
                        Of::Tag(tag) => book.add_change(Named::Tag(*tag), *leaves, (began, at(end))),
                        Of::Keys(keys) => {
                            for key in keys {
                                book.add_change(Named::Key(*key), *leaves, (began, at(end)));
                            }
                        }
                    }
                    book.changes.add(began, at(end));
                }
                What::Release => book.changes.add(began, at(end)),
                _ => {}
            }
        }
        book.outdates.values_mut().chain(book.removes.values_mut()).for_each(Spans::finish);
        book.changes.finish();
        book
    }

    fn add_origin(&mut self, key: u64, origin: Origin<'a>) {
        self.origins.entry((key, origin.brought.value)).or_default().push(origin);
    }

    fn add_change(&mut self, named: Named, leaves: Leaves, (began, end): (usize, usize)) {
        self.outdates.entry(named).or_default().add(began, end);
        if leaves == Leaves::Nothing {
            self.removes.entry(named).or_default().add(began, end);
        }
    }

    /// By when a value was seen that only one insert can have brought: by then that insert has happened, though it may not
    /// have returned.
    fn seen(&self, events: &[Event]) -> HashMap<usize, usize> {
        let mut seen = HashMap::new();
        for event in events {
            let Event { what: What::Read { key, answer: Some(answer), .. }, end: Some(end) } = event else {
                continue;
            };
            if let Some([only]) = self.origins.get(&(*key, answer.value)).map(Vec::as_slice) {
                let first = seen.entry(only.began).or_insert(end.0);
                *first = end.0.min(*first);
            }
        }
        seen
    }

    pub(super) fn wrong_answer(
        &self,
        key: u64,
        (began, end): (usize, usize),
        now: Time,
        answer: Answer,
    ) -> Option<String> {
        let Answer { value, is_stale } = answer;
        let origins = self.origins.get(&(key, value)).map_or(&[][..], Vec::as_slice);
        let mut origins = origins.iter().filter(|origin| origin.began < end).peekable();
        if origins.peek().is_none() {
            return Some(format!("key {key}: {value} was answered, which nobody has brought"));
        }
        let coherent: Vec<&Origin> =
            origins.filter(|origin| !self.outdated(key, origin, began, is_stale)).collect();
        if coherent.is_empty() {
            return Some(format!(
                "key {key}: {value} was answered to a read that began after its invalidation"
            ));
        }
        let kept_to = |life: Lifetime| {
            if is_stale { life.answers(now) || life.stands_in(now) } else { now < life.stale() }
        };
        // Who loads answers with what it has just loaded, however long it took.
        let in_time = |origin: &&Origin| origin.began > began || origin.brought.life.is_none_or(kept_to);
        let late = !coherent.iter().any(in_time);
        late.then(|| format!("key {key}: {value} was answered after its time, stale: {is_stale}"))
    }

    /// Tells whether a change that concerns this value lies wholly between the begin of its load, or its insert, and the begin
    /// of a read.
    fn outdated(&self, key: u64, origin: &Origin, read: usize, is_stale: bool) -> bool {
        let changes = if is_stale { &self.removes } else { &self.outdates };
        let mut named = origin.brought.tags.iter().map(|tag| Named::Tag(*tag)).chain([Named::Key(key)]);
        named.any(|named| changes.get(&named).is_some_and(|spans| spans.any_within(origin.since, read)))
    }

    /// Loads that began while another of their key was running, without anything that allows it since the earlier of the
    /// two was asked for.
    pub(super) fn second_loads(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (key, runs) in &self.loads {
            for pair in runs.windows(2) {
                let [first, second] = pair else { continue };
                let since = first.asked.min(second.asked);
                if second.began < first.end && !self.changes.any_alive(since, second.began) {
                    wrong.push(format!("key {key}: a second load began while one was running"));
                }
            }
        }
        wrong
    }
}

/// Begins and ends, in the order of their begins.
#[derive(Default)]
struct Spans {
    all: Vec<(usize, usize)>,
    /// The first end of what begins here or later.
    first_end: Vec<usize>,
    /// The last end of what begins here or earlier.
    last_end: Vec<usize>,
}

impl Spans {
    /// To be called in the order of beginnings.
    fn add(&mut self, began: usize, end: usize) {
        debug_assert!(self.all.last().is_none_or(|(last, _)| *last <= began));
        self.all.push((began, end));
    }

    fn finish(&mut self) {
        let ends = self.all.iter().map(|(_, end)| *end);
        let mut first = NEVER;
        self.first_end = ends
            .clone()
            .rev()
            .map(|end| {
                first = first.min(end);
                first
            })
            .collect();
        self.first_end.reverse();
        let mut last = 0;
        self.last_end = ends
            .map(|end| {
                last = last.max(end);
                last
            })
            .collect();
    }

    /// Tells whether one of them begins after the one moment and ends before the other.
    fn any_within(&self, after: usize, before: usize) -> bool {
        let begins = self.all.partition_point(|(began, _)| *began <= after);
        self.first_end.get(begins).is_some_and(|end| *end < before)
    }

    /// Tells whether one of them begins before `before` and has not ended by `since`.
    fn any_alive(&self, since: usize, before: usize) -> bool {
        let begun = self.all.partition_point(|(began, _)| *began < before);
        begun.checked_sub(1).is_some_and(|last| self.last_end[last] > since)
    }
}
