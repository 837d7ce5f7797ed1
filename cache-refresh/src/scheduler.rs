//! One scheduler for many caches: what is due, most urgent first, so many at the same time, as often as the budget allows.
//!
//! ```text
//! queue ── due, and a place is free ──► lease (one process of a fleet) ──► the job: a refresh, through the budget of its cache
//!   ▲                                     └ another's: not needed              │ done, failed: again after its interval
//!   └──────────────────────────────────────────────────────────────────────────┘ over the budget: again when that lets it
//! ```
//!
//! A task drives it, which ends, and all that runs with it, when the last handle is dropped.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use cache_core::{Clock, Lease, Priority, SystemClock, Time};
use cache_policy::Pacing;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rand::RngExt;
use tokio::select;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::builder::{ScheduleError, SchedulerBuilder};
use crate::job::{Job, Outcome};
use crate::run::{FleetTurn, Ran, run};
use crate::state::{State, Turn, next};
use crate::status::{Batch, Status};

/// What tells which share of the budget is in use.
pub(crate) type Gauge = dyn Fn() -> BoxFuture<'static, f64> + Send + Sync;

/// How often the use of the budget is looked at.
const OBSERVE_EVERY: Duration = Duration::from_secs(1);
/// How long that may take at most.
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// What is over a budget that cannot tell when it lets anyone through is tried again after this.
const RETRY: Duration = Duration::from_secs(1);
/// How far what is over the budget steps back at first, beyond what the budget says, and how far at most.
const STEP_BACK: Duration = Duration::from_millis(100);

fn longest_step_back(priority: Priority) -> Duration {
    Duration::from_secs(match priority {
        Priority::Critical => 1,
        Priority::High => 5,
        Priority::Normal => 20,
        Priority::Low => 60,
    })
}

/// The shortest interval of a job.
const SHORTEST: Duration = Duration::from_millis(1);
/// More than none, for a deadline.
const NO_TIME: Duration = Duration::from_nanos(1);
/// An interval that is longer is cut to this: a hundred years.
const LONGEST: Duration = Duration::from_hours(100 * 366 * 24);

/// Refreshes keys of many caches, each at its interval. Cheap to clone; when the last handle is dropped, everything stops.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// use std::time::Duration;
/// use cache_refresh::{Job, Scheduler};
/// use strata::{Cache, Options, Priority};
///
/// let prices: Cache<String, f64> = Cache::builder("prices").build()?;
/// let scheduler = Scheduler::builder().max_running(4).open()?;
/// for symbol in ["BTC", "ETH"] {
///     let fetch = move || async move { Ok::<_, std::io::Error>(symbol.len() as f64) };
///     let job = Job::refresh(&prices, symbol.to_owned(), Options::new(), fetch);
///     scheduler.schedule(job.with_priority(Priority::High), Duration::from_secs(30))?;
/// }
/// assert_eq!(scheduler.status().scheduled, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Scheduler {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) state: Mutex<State>,
    /// Tells whoever drives it that something has changed, or that it is gone.
    pub(crate) wake: Arc<Notify>,
    pub(crate) max_running: usize,
    pub(crate) jitter: f64,
    pub(crate) has_budget: bool,
    pub(crate) lease: Option<Arc<dyn Lease>>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A job that somebody waits for.
struct Waiting {
    name: Arc<str>,
    /// Its name in the queue, which no other job has.
    queued: Arc<str>,
    outcome: oneshot::Receiver<Outcome>,
    ended: Option<Outcome>,
}

/// The run of a job that has ended.
struct Ended {
    name: Arc<str>,
    number: u64,
    owed_since: Time,
    /// Whether that was asked for.
    by_hand: bool,
    ran: Ran,
}

impl Scheduler {
    /// Begins to set one up.
    pub fn builder() -> SchedulerBuilder {
        SchedulerBuilder {
            max_running: 16,
            jitter: 0.1,
            handicap: Duration::from_secs(10),
            pacing: Pacing::default(),
            used: None,
            lease: None,
            clock: Arc::new(SystemClock::new()),
            seed: None,
        }
    }

    /// Runs a job now, give or take the jitter, and then at every interval, in place of a job of the same name. The interval is what
    /// lies between the beginnings of two runs; the [strategy](Status::strategy) stretches it. A run that takes longer delays the next one.
    ///
    /// # Errors
    /// An interval of less than a millisecond, or a deadline of zero.
    pub fn schedule(&self, job: Job, interval: Duration) -> Result<(), ScheduleError> {
        let share = self.inner.state.lock().random.random::<f64>();
        self.schedule_after(job, interval.min(LONGEST).mul_f64(self.inner.jitter * share), interval)
    }

    /// As [`schedule`](Self::schedule), with the first run so long from now.
    ///
    /// # Errors
    /// As [`schedule`](Self::schedule).
    pub fn schedule_after(&self, job: Job, first: Duration, interval: Duration) -> Result<(), ScheduleError> {
        Self::check(interval, job.deadline)?;
        let due = self.inner.clock.now().after(first);
        let turn = Turn::Every { interval: interval.min(LONGEST), began: None };
        self.inner.state.lock().insert(job, turn, due);
        self.inner.wake.notify_one();
        Ok(())
    }

    pub(crate) fn check(interval: Duration, deadline: Duration) -> Result<(), ScheduleError> {
        let wrong = [
            ("interval", interval, SHORTEST, "at least 1 ms"),
            ("deadline", deadline, NO_TIME, "more than zero"),
        ];
        match wrong.into_iter().find(|(_, given, least, _)| given < least) {
            Some((field, given, _, right)) => {
                Err(ScheduleError::Figure { field, given: format!("{given:?}"), right })
            }
            None => Ok(()),
        }
    }

    /// Takes a job off the schedule, and says whether it was on it. A run that goes on is not ended.
    pub fn cancel(&self, name: &str) -> bool {
        let mut state = self.inner.state.lock();
        let Some((name, _)) = state.jobs.remove_entry(name) else { return false };
        state.queue.remove(&name);
        true
    }

    /// Makes a scheduled job due now, whatever its interval and whoever else of a fleet has its turn, and says whether there is one of
    /// this name.
    pub fn trigger(&self, name: &str) -> bool {
        let mut state = self.inner.state.lock();
        let now = self.inner.clock.now();
        let State { queue, jobs, .. } = &mut *state;
        let Some(entry) = jobs.get_mut(name) else { return false };
        entry.is_wanted = true;
        if !entry.is_running {
            queue.put(Arc::clone(&entry.job.name), entry.job.priority, now, None);
        }
        drop(state);
        self.inner.wake.notify_one();
        true
    }

    /// Runs each of these jobs once, most urgent first, among everything else that is due, and waits until all have ended or the
    /// deadline has passed. What has not ended by then is taken off the queue, or goes on without anybody waiting for it.
    ///
    /// For symbols times endpoints, give it a job for each pair; what a budget does not let through yet waits its turn.
    ///
    /// # Cancel safety
    /// A dropped call leaves the jobs in the queue: they run, and nobody is told.
    pub async fn run_all(&self, jobs: impl IntoIterator<Item = Job>, deadline: Duration) -> Batch {
        let mut waiting = Vec::new();
        {
            let mut state = self.inner.state.lock();
            let now = self.inner.clock.now();
            for mut job in jobs {
                let (ended, outcome) = oneshot::channel();
                let name = Arc::clone(&job.name);
                job.name = format!("{name} #{}", state.number).into();
                waiting.push(Waiting { name, queued: Arc::clone(&job.name), outcome, ended: None });
                state.insert(job, Turn::Once(Some(ended)), now);
            }
        }
        self.inner.wake.notify_one();
        let all = async {
            for Waiting { outcome, ended, .. } in &mut waiting {
                *ended = outcome.await.ok();
            }
        };
        drop(timeout(deadline, all).await);
        let mut batch = Batch::default();
        for Waiting { name, queued, mut outcome, ended } in waiting {
            match ended.or_else(|| outcome.try_recv().ok()) {
                Some(Outcome::Done) => batch.done += 1,
                Some(Outcome::Failed(message)) => batch.failed.push((name.to_string(), message)),
                Some(Outcome::OverBudget { .. }) | None => {
                    self.cancel(&queued);
                    batch.unfinished.push(name.to_string());
                }
            }
        }
        batch
    }

    /// Begins no run until [`resume`](Self::resume). What runs goes on.
    pub fn pause(&self) {
        self.inner.state.lock().is_paused = true;
    }

    /// Begins what is due by now, and goes on as before.
    pub fn resume(&self) {
        self.inner.state.lock().is_paused = false;
        self.inner.wake.notify_one();
    }

    /// Tells that the source changes fast, for so long from now on: as long as most of the budget is left, everything is refreshed more
    /// often than asked.
    pub fn signal_volatility(&self, lasts: Duration) {
        self.inner.state.lock().volatile_until = Some(self.inner.clock.now().after(lasts));
        self.inner.wake.notify_one();
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        let inner = &self.inner;
        let mut state = inner.state.lock();
        inner.observe(&mut state);
        let now = inner.clock.now();
        let (queued, oldest) = state.queue.backlog(now);
        Status {
            strategy: state.pacer.strategy(),
            budget_used: inner.has_budget.then_some(state.used),
            is_volatile: state.is_volatile(now),
            is_paused: state.is_paused,
            scheduled: state.jobs.len(),
            running: state.running,
            queued,
            lateness: oldest.map_or(Duration::ZERO, |oldest| now.since(oldest)),
            counts: state.counts,
        }
    }
}

/// Begins what is due and takes in what has ended, until the scheduler is gone.
pub(crate) async fn drive(scheduler: Weak<Inner>, wake: Arc<Notify>, used: Option<Box<Gauge>>) {
    // Whatever is left in them ends with it.
    let (mut running, mut watching) = (JoinSet::new(), JoinSet::new());
    if let Some(used) = used {
        watching.spawn(watch(Weak::clone(&scheduler), used));
    }
    loop {
        let Some(pause) = scheduler.upgrade().map(|inner| inner.begin_due(&mut running)) else { return };
        select! {
            () = wake.notified() => {}
            ended = running.join_next(), if !running.is_empty() => {
                // A run has an outcome even if it panics.
                if let (Some(inner), Some(Ok(ended))) = (scheduler.upgrade(), ended) {
                    inner.ended(ended);
                }
            }
            // Time that passes, until the next job is due.
            _ = timeout(pause, std::future::pending::<()>()) => {}
        }
    }
}

/// Looks at the budget now and then, until the scheduler is gone. One that does not tell how much is in use counts as in full use.
async fn watch(scheduler: Weak<Inner>, used: Box<Gauge>) {
    while scheduler.strong_count() > 0 {
        let asked = timeout(LONGEST_LOOK, AssertUnwindSafe(async { used().await }).catch_unwind());
        let share = asked.await.map_or(1.0, |told| told.unwrap_or(1.0));
        let Some(inner) = scheduler.upgrade() else { return };
        inner.state.lock().used = share;
        inner.wake.notify_one();
        drop(inner);
        drop(timeout(OBSERVE_EVERY, std::future::pending::<()>()).await);
    }
}

impl Inner {
    /// Begins what is due, as far as there is room, and says when to look again.
    fn begin_due(&self, running: &mut JoinSet<Ended>) -> Duration {
        let mut state = self.state.lock();
        self.observe(&mut state);
        let now = self.clock.now();
        while state.running < self.max_running && !state.is_paused {
            let Some((name, taken)) = state.queue.next(now) else { break };
            let share = state.random.random::<f64>();
            let State { jobs, pacer, running: count, counts, .. } = &mut *state;
            let Some(entry) = jobs.get_mut(&name) else { continue };
            entry.is_running = true;
            *count += 1;
            counts.began(now.since(taken.owed_since));
            let by_hand = std::mem::take(&mut entry.is_wanted);
            let mut turn = None;
            if let Turn::Every { interval, began } = &mut entry.turn {
                let spread = 1.0 + self.jitter * (share - 0.5);
                *began = Some((now, spread));
                let paced = pacer.pacing().interval(*interval, pacer.strategy()).min(LONGEST);
                turn = self.lease.clone().filter(|_| !by_hand).map(|lease| FleetTurn {
                    lease,
                    // It ends before the next turn of whoever has it.
                    hold: paced.mul_f64((1.0 - self.jitter / 2.0) * 0.9),
                    before: entry.held.take(),
                });
            }
            let (job, number) = (entry.job.clone(), entry.number);
            running.spawn(async move {
                let ran = run(&job, turn).await;
                Ended { name, number, owed_since: taken.owed_since, by_hand, ran }
            });
        }
        let is_stuck = state.is_paused || state.running >= self.max_running;
        let until = state.queue.next_due().filter(|_| !is_stuck).map(|due| due.since(now));
        let calm = state.volatile_until.map(|until| until.since(now).max(SHORTEST));
        [until, calm].into_iter().flatten().min().unwrap_or(Duration::MAX)
    }

    /// Looks at the budget, and moves what is due if the strategy has changed.
    fn observe(&self, state: &mut State) {
        let now = self.clock.now();
        let is_volatile = state.is_volatile(now);
        if !is_volatile {
            state.volatile_until = None;
        }
        let before = state.pacer.strategy();
        let strategy = state.pacer.observe(state.used, is_volatile, now.since(Time::ZERO));
        if strategy != before {
            tracing::info!(%strategy, used = state.used, is_volatile, "the pace of refreshes has changed");
            state.counts.strategy_changes += 1;
            state.replan(now);
        }
    }

    /// Takes in what has ended, and puts the job back.
    fn ended(&self, Ended { name, number, owed_since, by_hand, ran }: Ended) {
        let mut state = self.state.lock();
        state.running -= 1;
        state.counts.ended(&ran);
        let now = self.clock.now();
        let State { queue, jobs, pacer, random, .. } = &mut *state;
        let share = random.random::<f64>();
        let Some(entry) = jobs.get_mut(&name) else { return };
        let outcome = match ran {
            Ran::Elsewhere => None,
            Ran::Here(outcome, held) => {
                entry.held = held.or(entry.held.take());
                Some(outcome)
            }
        };
        // A job that was replaced meanwhile has no further turn, and leaves its lease to the one in its place.
        if entry.number != number {
            return;
        }
        entry.is_running = false;
        let priority = entry.job.priority;
        if let Some(Outcome::OverBudget { retry_in }) = outcome {
            entry.is_wanted |= by_hand;
            entry.refusals = entry.refusals.saturating_add(1);
            // If all came back at the same moment, most would be refused again: what is less urgent steps further back.
            let spread = STEP_BACK
                .saturating_mul(2_u32.saturating_pow(entry.refusals))
                .min(longest_step_back(priority));
            let wait = retry_in.unwrap_or(RETRY).max(SHORTEST).saturating_add(spread.mul_f64(share));
            return queue.put(name, priority, now.after(wait), Some(owed_since));
        }
        entry.refusals = 0;
        match &mut entry.turn {
            Turn::Every { .. } if entry.is_wanted => queue.put(name, priority, now, None),
            Turn::Every { interval, began } => {
                let due = next(*interval, *began, pacer, now);
                queue.put(name, priority, due, None);
            }
            Turn::Once(waiting) => {
                if let (Some(waiting), Some(outcome)) = (waiting.take(), outcome) {
                    drop(waiting.send(outcome));
                }
                jobs.remove(&name);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // So that whoever drives it sees that it is gone.
        self.wake.notify_one();
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("status", &self.status()).finish_non_exhaustive()
    }
}
