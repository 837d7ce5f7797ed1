//! How a scheduler is set up.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Clock, Lease};
use cache_policy::{Pacer, Pacing};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::queue::Queue;
use crate::scheduler::{Gauge, Inner, Scheduler, drive};
use crate::state::State;
use crate::status::Counts;

/// A scheduler in the making.
#[must_use = "a builder does nothing until `open`"]
pub struct SchedulerBuilder {
    pub(crate) max_running: usize,
    pub(crate) jitter: f64,
    pub(crate) handicap: Duration,
    pub(crate) pacing: Pacing,
    pub(crate) used: Option<Box<Gauge>>,
    pub(crate) lease: Option<Arc<dyn Lease>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) seed: Option<u64>,
}

/// Why a scheduler cannot be made, or does not take a job.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// There is no tokio runtime to run on.
    #[error("a scheduler needs a tokio runtime; open it from within one")]
    NoRuntime,
    /// A figure that cannot work.
    #[error("{field} is {given}; it has to be {right}")]
    Figure {
        /// Which one.
        field: &'static str,
        /// What was given.
        given: String,
        /// What would be right.
        right: &'static str,
    },
}

impl SchedulerBuilder {
    /// How many jobs run at the same time at most. Default: 16.
    pub fn max_running(mut self, most: usize) -> Self {
        self.max_running = most;
        self
    }

    /// By how much intervals vary at random, so that they do not align: 0.1 is five per cent either way. Default: 0.1.
    pub fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }

    /// How much later a job counts as having come for each priority that it is below critical. So long may what is critical
    /// overtake it, and no longer. Default: 10 s.
    pub fn handicap(mut self, handicap: Duration) -> Self {
        self.handicap = handicap;
        self
    }

    /// Where strategies change, and what they make of an interval.
    pub fn pacing(mut self, pacing: Pacing) -> Self {
        self.pacing = pacing;
        self
    }

    /// What tells which share of the budget is in use, from 0 to 1, as `Budget::used` of `cache-ratelimit` does. It is asked once a second.
    /// One that panics, or takes more than five seconds, counts as in full use. Default: none, and the strategy is never tightened.
    pub fn budget_used<F, Fut>(mut self, used: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = f64> + Send + 'static,
    {
        self.used = Some(Box::new(move || -> BoxFuture<'static, f64> { Box::pin(used()) }));
        self
    }

    /// Lets one process of a fleet do each job in each interval: whoever gets the lease of its name. Where no lease can be had, each does
    /// it. Default: each process does all.
    pub fn lease(mut self, lease: Arc<dyn Lease>) -> Self {
        self.lease = Some(lease);
        self
    }

    /// The clock of what is due. Default: the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Where chance begins, so that a test can replay it. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Begins to run, on the current tokio runtime, which needs timers.
    ///
    /// # Errors
    /// No runtime; no jobs at a time; a jitter that is no share.
    pub fn open(self) -> Result<Scheduler, ScheduleError> {
        let figure = |field, given, right| Err(ScheduleError::Figure { field, given, right });
        if self.max_running == 0 {
            return figure("max_running", "0".to_owned(), "at least 1");
        }
        if !(0.0..1.0).contains(&self.jitter) {
            return figure("jitter", self.jitter.to_string(), "at least 0 and less than 1");
        }
        let runtime = Handle::try_current().map_err(|_| ScheduleError::NoRuntime)?;
        let state = State {
            queue: Queue::new(self.handicap),
            jobs: HashMap::new(),
            pacer: Pacer::new(self.pacing),
            used: 0.0,
            volatile_until: None,
            is_paused: false,
            running: 0,
            number: 0,
            random: StdRng::seed_from_u64(self.seed.unwrap_or_else(|| RandomState::new().hash_one(0))),
            counts: Counts::default(),
        };
        let wake = Arc::new(Notify::new());
        let inner = Arc::new(Inner {
            state: Mutex::new(state),
            wake: Arc::clone(&wake),
            max_running: self.max_running,
            jitter: self.jitter,
            has_budget: self.used.is_some(),
            lease: self.lease,
            clock: self.clock,
        });
        drop(runtime.spawn(drive(Arc::downgrade(&inner), wake, self.used)));
        Ok(Scheduler { inner })
    }
}

impl fmt::Debug for SchedulerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchedulerBuilder")
            .field("max_running", &self.max_running)
            .field("jitter", &self.jitter)
            .field("pacing", &self.pacing)
            .finish_non_exhaustive()
    }
}
