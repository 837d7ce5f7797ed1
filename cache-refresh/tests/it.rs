//! Keeping caches warm: when what is due begins, in which order, under which budget, and that it stops.

#![cfg(test)]

#[path = "it/scheduler.rs"]
mod scheduler;
#[path = "it/turns.rs"]
mod turns;
#[path = "it/warming.rs"]
mod warming;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cache_core::{Clock, Time};
use cache_refresh::{Job, Outcome, Scheduler, SchedulerBuilder};
use tokio::time::Instant;

/// The paused clock of tokio, which passes when nobody has anything to do.
#[derive(Debug)]
struct Paused(Instant);

impl Paused {
    fn new() -> Arc<Self> {
        Arc::new(Self(Instant::now()))
    }
}

impl Clock for Paused {
    fn now(&self) -> Time {
        Time::ZERO.after(Duration::from_secs(1) + self.0.elapsed())
    }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Lets so much time pass, and everything happen that waits for it.
async fn passes(time: Duration) {
    drop(tokio::time::timeout(time, std::future::pending::<()>()).await);
}

/// Jobs that note when they ran.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) clock: Arc<Paused>,
    pub(crate) runs: Arc<Mutex<Vec<(String, u64)>>>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { clock: Paused::new(), runs: Arc::default() }
    }

    pub(crate) fn builder(&self) -> SchedulerBuilder {
        Scheduler::builder().clock(Arc::<Paused>::clone(&self.clock)).jitter(0.0).seed(7)
    }

    /// A job that takes so long.
    pub(crate) fn job(&self, name: &str, takes: Duration) -> Job {
        let (log, name) = (self.clone(), name.to_owned());
        Job::new(name.clone(), move || {
            let (log, name) = (log.clone(), name.clone());
            async move {
                log.runs.lock().unwrap_or_else(PoisonError::into_inner).push((name, log.now()));
                if !takes.is_zero() {
                    passes(takes).await;
                }
                Outcome::Done
            }
        })
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.0.elapsed().as_secs()
    }

    pub(crate) fn took(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut *self.runs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn times(&self, name: &str) -> Vec<u64> {
        self.took().into_iter().filter(|(other, _)| other == name).map(|(_, at)| at).collect()
    }
}
