//! One run of a job: the lease of its turn, the job itself, and what came of it.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Grant, Key, Lease};
use futures_util::FutureExt;
use tokio::select;
use tokio::time::timeout;

use crate::job::{Job, Outcome};
use crate::status::Counts;

/// How long an answer about a lease may take at most.
const LONGEST_ANSWER: Duration = Duration::from_secs(1);
/// A lease is renewed no more often than this.
const SHORTEST_KEPT: Duration = Duration::from_millis(100);

/// What became of a run.
pub(crate) enum Ran {
    /// Another process has done it in this interval.
    Elsewhere,
    /// With the lease of this turn, which is kept until it ends, so that nobody else has the same turn.
    Here(Outcome, Option<Grant>),
}

/// The turn of a job among the processes of a fleet.
pub(crate) struct FleetTurn {
    pub(crate) lease: Arc<dyn Lease>,
    pub(crate) hold: Duration,
    /// The lease of the turn before, which may still be held where this turn comes earlier than that one let expect.
    pub(crate) before: Option<Grant>,
}

/// Runs a job, if no other process has its turn. Whatever it does, it has an outcome.
pub(crate) async fn run(job: &Job, turn: Option<FleetTurn>) -> Ran {
    let ran = AssertUnwindSafe(run_in_turn(job, turn)).catch_unwind().await;
    ran.unwrap_or_else(|_| Ran::Here(Outcome::Failed("it panicked".to_owned()), None))
}

async fn run_in_turn(job: &Job, turn: Option<FleetTurn>) -> Ran {
    let mut mine = None;
    if let Some(FleetTurn { lease, hold, before }) = turn {
        match claim(&lease, &job.name, (hold, before)).await {
            Claim::Theirs => return Ran::Elsewhere,
            Claim::Mine(grant) => mine = Some((lease, grant, hold)),
            Claim::Unknown => {}
        }
    }
    let running = within(job.deadline, || (job.run)(job.deadline));
    let ran = match &mine {
        Some((lease, grant, hold)) => select! {
            ran = running => ran,
            never = keep(&**lease, grant, *hold) => match never {},
        },
        None => running.await,
    };
    let outcome = ran.unwrap_or_else(Outcome::Failed);
    match mine {
        Some((_, grant, _)) if outcome == Outcome::Done => Ran::Here(outcome, Some(grant)),
        Some((lease, grant, _)) => {
            // Another process may have more luck.
            release(&lease, grant).await;
            Ran::Here(outcome, None)
        }
        None => Ran::Here(outcome, None),
    }
}

/// Does this work, and says why it has no outcome if it panics or takes longer than its deadline, after which it is dropped.
pub(crate) async fn within<F: Future>(
    deadline: Duration,
    work: impl FnOnce() -> F,
) -> Result<F::Output, String> {
    // Dropped before it is known to have ended: it may panic there too.
    let bounded = AssertUnwindSafe(async { timeout(deadline, work()).await }).catch_unwind();
    let in_time = bounded.await.map_err(|_| "it panicked".to_owned())?;
    in_time.map_err(|_| format!("it took longer than its deadline of {deadline:?}"))
}

enum Claim {
    Mine(Grant),
    Theirs,
    Unknown,
}

async fn claim(lease: &Arc<dyn Lease>, name: &str, (hold, before): (Duration, Option<Grant>)) -> Claim {
    if let Some(grant) = before {
        release(lease, grant).await;
    }
    // A name that is no key has no lease.
    let Ok(key) = Key::new(format!("refresh:{name}")) else { return Claim::Unknown };
    match timeout(hold.min(LONGEST_ANSWER), lease.acquire(&key, hold)).await {
        Ok(Ok(Some(grant))) => Claim::Mine(grant),
        Ok(Ok(None)) => Claim::Theirs,
        Ok(Err(_)) | Err(_) => Claim::Unknown,
    }
}

/// Renews the lease of a run that goes on, so that none that outlasts its interval is begun by another process as well. Whatever it
/// answers, the run goes on.
async fn keep(lease: &dyn Lease, grant: &Grant, hold: Duration) -> Infallible {
    loop {
        // Time that passes.
        drop(timeout((hold / 2).max(SHORTEST_KEPT), std::future::pending::<()>()).await);
        if !matches!(timeout(LONGEST_ANSWER, lease.renew(grant, hold)).await, Ok(Ok(true))) {
            tracing::debug!("the lease of a job that runs could not be renewed");
        }
    }
}

/// Gives a lease back. If that cannot be, it ends by itself.
async fn release(lease: &Arc<dyn Lease>, grant: Grant) {
    if !matches!(timeout(LONGEST_ANSWER, lease.release(grant)).await, Ok(Ok(_))) {
        tracing::debug!("the lease of a job could not be given back");
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
            Ran::Here(Outcome::Done, _) => &mut self.done,
            Ran::Here(Outcome::OverBudget { .. }, _) => &mut self.over_budget,
            Ran::Here(Outcome::Failed(_), _) => &mut self.failed,
        };
        *count += 1;
    }
}
