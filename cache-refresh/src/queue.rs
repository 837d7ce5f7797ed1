//! What is to be refreshed when: a pure value, without a clock.
//!
//! ```text
//! waiting, by when they are due ── due ──► ready, by urgency ── next ──► out, until put back
//! ```
//!
//! Of what is ready the most urgent goes first: what has waited longest, where each priority below critical counts as having come one
//! handicap later. So a critical job overtakes, and yet nothing waits for ever: whoever has waited for three handicaps comes before
//! every critical job that becomes ready now.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Priority, Time};

/// The jobs that are not running.
#[derive(Debug)]
pub(crate) struct Queue {
    handicap: Duration,
    jobs: HashMap<Arc<str>, Place>,
    waiting: BTreeSet<(Time, Arc<str>)>,
    ready: BTreeSet<(Time, Arc<str>)>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    priority: Priority,
    due: Time,
    /// Since when it is owed its turn, which may be earlier than it could be taken.
    owed_since: Time,
    is_ready: bool,
}

/// A job that has been taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Since when it was owed its turn.
    pub(crate) owed_since: Time,
}

impl Queue {
    pub(crate) fn new(handicap: Duration) -> Self {
        Self { handicap, jobs: HashMap::new(), waiting: BTreeSet::new(), ready: BTreeSet::new() }
    }

    /// Puts a job in, in place of one of the same name. It is ready when it is due, and counts as waiting since it was owed.
    pub(crate) fn put(&mut self, name: Arc<str>, priority: Priority, due: Time, owed_since: Option<Time>) {
        self.remove(&name);
        let owed_since = owed_since.unwrap_or(due);
        self.waiting.insert((due, Arc::clone(&name)));
        self.jobs.insert(name, Place { priority, due, owed_since, is_ready: false });
    }

    /// Makes a job that waits due at another moment. One that is ready stays so.
    pub(crate) fn replan(&mut self, name: &Arc<str>, due: Time) {
        let Some(place) = self.jobs.get(name).filter(|place| !place.is_ready).copied() else { return };
        // What is owed its turn from before, as after a refusal, waits for that and not for its interval.
        if place.owed_since == place.due {
            self.put(Arc::clone(name), place.priority, due, None);
        }
    }

    /// Takes a job out, and says whether it was in.
    pub(crate) fn remove(&mut self, name: &Arc<str>) -> bool {
        let Some(place) = self.jobs.remove(name) else { return false };
        if place.is_ready {
            self.ready.remove(&(self.urgency(place), Arc::clone(name)));
        } else {
            self.waiting.remove(&(place.due, Arc::clone(name)));
        }
        true
    }

    /// Takes the most urgent job of those that are due.
    pub(crate) fn next(&mut self, now: Time) -> Option<(Arc<str>, Taken)> {
        self.become_ready(now);
        let (_, name) = self.ready.pop_first()?;
        let place = self.jobs.remove(&name)?;
        Some((name, Taken { owed_since: place.owed_since }))
    }

    /// When the next job becomes due; `None` if none is waiting for that.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// How many jobs of each priority are due, lowest first, and since when the longest of them is owed its turn.
    pub(crate) fn backlog(&mut self, now: Time) -> ([usize; Priority::ALL.len()], Option<Time>) {
        self.become_ready(now);
        let mut counts = [0; Priority::ALL.len()];
        let mut oldest: Option<Time> = None;
        for (_, name) in &self.ready {
            let Some(place) = self.jobs.get(name) else { continue };
            counts[rank(place.priority)] += 1;
            oldest = Some(oldest.map_or(place.owed_since, |oldest| oldest.min(place.owed_since)));
        }
        (counts, oldest)
    }

    fn become_ready(&mut self, now: Time) {
        while let Some((due, name)) = self.waiting.pop_first() {
            if due > now {
                self.waiting.insert((due, name));
                return;
            }
            let Some(place) = self.jobs.get_mut(&name) else { continue };
            place.is_ready = true;
            let place = *place;
            self.ready.insert((self.urgency(place), name));
        }
    }

    fn urgency(&self, place: Place) -> Time {
        let below = u32::try_from(Priority::ALL.len() - 1 - rank(place.priority)).unwrap_or(0);
        place.owed_since.after(self.handicap.saturating_mul(below))
    }
}

/// Lowest first.
fn rank(priority: Priority) -> usize {
    Priority::ALL.iter().position(|other| *other == priority).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HANDICAP: Duration = Duration::from_secs(10);

    fn at(secs: u64) -> Time {
        Time::ZERO.after(Duration::from_secs(secs))
    }

    fn names(queue: &mut Queue, now: Time) -> Vec<String> {
        std::iter::from_fn(|| queue.next(now).map(|(name, _)| name.to_string())).collect()
    }

    #[test]
    fn what_is_critical_goes_first_and_what_has_waited_for_long_goes_before_it() {
        let mut queue = Queue::new(HANDICAP);
        queue.put("low".into(), Priority::Low, at(0), None);
        queue.put("normal".into(), Priority::Normal, at(5), None);
        queue.put("high".into(), Priority::High, at(9), None);
        queue.put("critical".into(), Priority::Critical, at(10), None);
        queue.put("late".into(), Priority::Critical, at(31), None);
        assert_eq!(queue.next_due(), Some(at(0)));
        assert_eq!(queue.backlog(at(10)), ([1, 1, 1, 1], Some(at(0))));
        assert_eq!(names(&mut queue, at(10)), ["critical", "high", "normal", "low"]);
        queue.put("low".into(), Priority::Low, at(0), None);
        assert_eq!(names(&mut queue, at(31)), ["low", "late"], "three handicaps are over");
    }

    #[test]
    fn what_could_not_be_done_keeps_its_place_for_when_it_can_be() {
        let mut queue = Queue::new(HANDICAP);
        queue.put("a".into(), Priority::Normal, at(1), None);
        let (name, taken) = queue.next(at(2)).expect("due");
        queue.put(name, Priority::Normal, at(50), Some(taken.owed_since));
        queue.put("b".into(), Priority::Normal, at(3), None);
        assert_eq!(queue.next(at(4)).map(|(name, _)| name.to_string()).as_deref(), Some("b"));
        assert_eq!(queue.next(at(49)), None);
        queue.put("b".into(), Priority::Normal, at(3), None);
        assert_eq!(names(&mut queue, at(50)), ["a", "b"]);
    }

    #[test]
    fn only_what_waits_for_its_own_turn_is_given_another() {
        let mut queue = Queue::new(HANDICAP);
        for (name, due, owed_since) in [("ready", 1, None), ("waits", 20, None), ("refused", 30, Some(at(2)))]
        {
            queue.put(name.into(), Priority::Normal, at(due), owed_since);
        }
        assert_eq!(queue.backlog(at(1)).0, [0, 1, 0, 0]);
        for name in ["ready", "waits", "refused", "unknown"] {
            queue.replan(&name.into(), at(10));
        }
        assert_eq!(names(&mut queue, at(10)), ["ready", "waits"]);
        assert_eq!(names(&mut queue, at(30)), ["refused"]);
    }

    #[test]
    fn a_job_is_in_it_once() {
        let mut queue = Queue::new(HANDICAP);
        for due in [5, 1, 9] {
            queue.put("a".into(), Priority::Low, at(due), None);
        }
        assert!(queue.next(at(8)).is_none());
        assert_eq!(names(&mut queue, at(9)), ["a"]);
        queue.put("a".into(), Priority::Low, at(1), None);
        assert_eq!(queue.backlog(at(2)).0, [1, 0, 0, 0]);
        assert!(queue.remove(&"a".into()) && !queue.remove(&"a".into()));
        assert!(names(&mut queue, at(100)).is_empty() && queue.next_due().is_none());
    }

    proptest! {
        /// However many critical jobs come, one at a time goes through, and none waits longer than its handicaps allow.
        #[test]
        fn nothing_waits_for_longer_than_its_handicap_behind_what_comes_later(
            priorities in proptest::collection::vec(0_usize..4, 1..40),
        ) {
            let mut queue = Queue::new(HANDICAP);
            let mut in_queue: Vec<(String, usize, u64)> = Vec::new();
            for (number, rank) in priorities.iter().enumerate() {
                let came = number as u64 * 4;
                let name = format!("{number}");
                queue.put(name.as_str().into(), Priority::ALL[*rank], at(came), None);
                in_queue.push((name, *rank, came));
                if number % 2 == 0 {
                    continue;
                }
                let (name, _) = queue.next(at(came)).expect("something is due");
                let urgency = |rank: usize, came: u64| came + 10 * (3 - rank as u64);
                let least = in_queue.iter().map(|(_, rank, came)| urgency(*rank, *came)).min().expect("not empty");
                let taken = in_queue.iter().position(|(other, ..)| **other == *name).expect("it was put in");
                let (_, rank, came) = in_queue.remove(taken);
                prop_assert_eq!(urgency(rank, came), least);
            }
            prop_assert_eq!(queue.backlog(at(1000)).0.iter().sum::<usize>(), in_queue.len());
        }
    }
}
