//! One run of a job: the lease of its turn, the job itself, and what came of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Grant, Key, Lease};
use futures_util::FutureExt;
use tokio::time::timeout;

use crate::job::{Job, Outcome};
use crate::status::Counts;

/// What became of a run.
pub(crate) enum Ran {
    /// Another process has done it in this interval.
    Elsewhere,
    Here(Outcome),
}

/// Runs a job, if no other process has its turn. Whatever it does, it has an outcome.
pub(crate) async fn run(job: &Job, turn: Option<(Arc<dyn Lease>, Duration)>) -> Ran {
    let mut held = None;
    if let Some((lease, hold)) = turn {
        match claim(&*lease, &job.name, hold).await {
            Claim::Theirs => return Ran::Elsewhere,
            Claim::Mine(grant) => held = Some((lease, grant)),
            Claim::Unknown => {}
        }
    }
    // It may panic while it is made, too.
    let ran = AssertUnwindSafe(async { (job.run)().await }).catch_unwind().await;
    let outcome = ran.unwrap_or_else(|_| Outcome::Failed("it panicked".to_owned()));
    if let (Some((lease, grant)), false) = (held, outcome == Outcome::Done) {
        // Another process may have more luck. If it cannot be given back, it ends by itself.
        if let Err(error) = lease.release(grant).await {
            tracing::debug!(%error, job = &*job.name, "the lease of a job could not be given back");
        }
    }
    Ran::Here(outcome)
}

enum Claim {
    Mine(Grant),
    Theirs,
    Unknown,
}

async fn claim(lease: &dyn Lease, name: &str, hold: Duration) -> Claim {
    // A name that is no key has no lease.
    let Ok(key) = Key::new(format!("refresh:{name}")) else { return Claim::Unknown };
    match timeout(hold, lease.acquire(&key, hold)).await {
        Ok(Ok(Some(grant))) => Claim::Mine(grant),
        Ok(Ok(None)) => Claim::Theirs,
        Ok(Err(_)) | Err(_) => Claim::Unknown,
    }
}

impl Counts {
    pub(crate) fn began(&mut self, late: Duration) {
        self.begun += 1;
        self.longest_lateness = self.longest_lateness.max(late);
    }

    pub(crate) fn ended(&mut self, ran: &Ran) {
        let count = match ran {
            Ran::Elsewhere => &mut self.elsewhere,
            Ran::Here(Outcome::Done) => &mut self.done,
            Ran::Here(Outcome::OverBudget { .. }) => &mut self.over_budget,
            Ran::Here(Outcome::Failed(_)) => &mut self.failed,
        };
        *count += 1;
    }
}
