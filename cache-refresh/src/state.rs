//! What a scheduler knows of its jobs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Grant, Time};
use cache_policy::Pacer;
use rand::rngs::StdRng;
use tokio::sync::oneshot;

use crate::job::{Job, Outcome};
use crate::queue::Queue;
use crate::status::Counts;

pub(crate) struct State {
    pub(crate) queue: Queue,
    pub(crate) jobs: HashMap<Arc<str>, Entry>,
    pub(crate) pacer: Pacer,
    pub(crate) used: f64,
    pub(crate) volatile_until: Option<Time>,
    pub(crate) is_paused: bool,
    pub(crate) running: usize,
    /// The number of the next job that is scheduled.
    pub(crate) number: u64,
    pub(crate) random: StdRng,
    pub(crate) counts: Counts,
}

pub(crate) struct Entry {
    pub(crate) job: Job,
    pub(crate) number: u64,
    pub(crate) turn: Turn,
    pub(crate) is_running: bool,
    /// A run by hand is wanted: now, or as soon as the one that goes on has ended.
    pub(crate) is_wanted: bool,
    /// How often it was over the budget since it was done last.
    pub(crate) refusals: u32,
    /// The lease of its last turn, among the processes of a fleet.
    pub(crate) held: Option<Grant>,
}

pub(crate) enum Turn {
    /// Again and again.
    Every {
        interval: Duration,
        /// When it began last, and by how much its next interval is stretched or shortened.
        began: Option<(Time, f64)>,
    },
    /// Once, for whoever waits for it.
    Once(Option<oneshot::Sender<Outcome>>),
}

/// When a job is due again.
pub(crate) fn next(interval: Duration, began: Option<(Time, f64)>, pacer: &Pacer, now: Time) -> Time {
    let wanted = pacer.pacing().interval(interval, pacer.strategy());
    let due = match began {
        Some((began, spread)) => {
            began.after(Duration::try_from_secs_f64(wanted.as_secs_f64() * spread).unwrap_or(wanted))
        }
        None => now,
    };
    due.max(now)
}

impl State {
    /// In place of a job of the same name, whose lease it takes over: it would find it taken, as other processes do.
    pub(crate) fn insert(&mut self, job: Job, turn: Turn, due: Time) {
        let (name, priority) = (Arc::clone(&job.name), job.priority);
        let held = self.jobs.remove(&name).and_then(|replaced| replaced.held);
        self.number += 1;
        let entry =
            Entry { job, number: self.number, turn, is_running: false, is_wanted: false, refusals: 0, held };
        self.jobs.insert(Arc::clone(&name), entry);
        self.queue.put(name, priority, due, None);
    }

    pub(crate) fn is_volatile(&self, now: Time) -> bool {
        self.volatile_until.is_some_and(|until| until > now)
    }

    /// Gives each job that waits for its turn the one that it has by the strategy of now. What is wanted by hand has no other.
    pub(crate) fn replan(&mut self, now: Time) {
        for (name, entry) in self.jobs.iter().filter(|(_, entry)| !entry.is_running && !entry.is_wanted) {
            if let Turn::Every { interval, began: Some(began) } = &entry.turn {
                let due = next(*interval, Some(*began), &self.pacer, now);
                self.queue.replan(name, due);
            }
        }
    }
}
