//! What a scheduler is doing, and what has come of it.

use std::time::Duration;

use cache_core::Priority;
use cache_core::metric::{self, Metric};
use cache_policy::Strategy;

/// What a scheduler is doing now.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// How much is refreshed of what is scheduled.
    pub strategy: Strategy,
    /// Which share of the budget is in use; `None` if nothing tells.
    pub budget_used: Option<f64>,
    /// Whether the source was said to change fast.
    pub is_volatile: bool,
    /// Whether no run begins until it is resumed.
    pub is_paused: bool,
    /// Jobs on the schedule.
    pub scheduled: usize,
    /// Runs that go on.
    pub running: usize,
    /// Jobs that are due and wait for their turn, by priority, lowest first.
    pub queued: [usize; Priority::ALL.len()],
    /// For how long the one of them has waited that has waited longest.
    pub lateness: Duration,
    /// What has happened so far.
    pub counts: Counts,
}

impl Status {
    /// Tells its figures under the names of [`metric`], for whoever exports them: each with the values of its labels, in their order.
    pub fn figures(&self, mut put: impl FnMut(&Metric, &[&str], f64)) {
        let Counts { done, failed, over_budget, elsewhere, .. } = self.counts;
        let results =
            [("done", done), ("failed", failed), ("postponed", over_budget), ("elsewhere", elsewhere)];
        for (result, count) in results {
            put(&metric::REFRESH_RUNS, &[result], number(count));
        }
        for (priority, queued) in Priority::ALL.into_iter().zip(self.queued) {
            put(&metric::REFRESH_QUEUE, &[priority.as_str()], number(queued as u64));
        }
        put(&metric::REFRESH_LATENESS, &[], self.lateness.as_secs_f64());
        for strategy in Strategy::ALL {
            put(&metric::REFRESH_STRATEGY, &[strategy.as_str()], f64::from(strategy == self.strategy));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn number(count: u64) -> f64 {
    count as f64
}

/// What has happened since a scheduler was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Runs that have begun.
    pub begun: u64,
    /// Runs that did what they are for.
    pub done: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Runs that the budget did not let through, and that were put off.
    pub over_budget: u64,
    /// Turns that another process of the fleet has taken.
    pub elsewhere: u64,
    /// How often the strategy has changed.
    pub strategy_changes: u64,
    /// How late a run has begun at most.
    pub longest_lateness: Duration,
}

/// What has come of jobs that were run once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batch {
    /// How many did what they are for.
    pub done: usize,
    /// The names of those that failed, and how.
    pub failed: Vec<(String, String)>,
    /// The names of those that had not ended by the deadline.
    pub unfinished: Vec<String>,
}
