//! Warmers: what is loaded before anybody asks for it, at start, by interval and by hand.
//!
//! A warmer is a job of a [`Scheduler`] of its own, so what is said there of priorities, places, deadlines and panics holds here: at most five
//! run at the same time, unless set otherwise, one that fails is in nobody's way, and one that hangs keeps its place until its deadline.

use std::fmt;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cache_core::{CacheKey, Clock, Priority, SystemClock};
use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use strata::{Cache, Options};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::builder::{ScheduleError, SchedulerBuilder};
use crate::job::{DEADLINE, Job, Outcome};
use crate::run::within;
use crate::scheduler::Scheduler;
use crate::status::Status;

/// How often a warmer runs, unless set otherwise.
const INTERVAL: Duration = Duration::from_mins(5);
/// How many run at the same time, unless set otherwise.
const MAX_RUNNING: usize = 5;
/// How many errors of one run are remembered.
const MAX_ERRORS: usize = 10;

type May = dyn Fn() -> BoxFuture<'static, Result<(), Duration>> + Send + Sync;
type Run = dyn Fn(Progress) -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// Something that fills caches ahead of need.
#[derive(Clone)]
#[must_use = "a warmer does nothing until it is part of a `Warming`"]
pub struct Warmer {
    name: Arc<str>,
    priority: Priority,
    interval: Option<Duration>,
    deadline: Duration,
    at_start: bool,
    may: Option<Arc<May>>,
    run: Arc<Run>,
}

/// What a run of a warmer tells while it goes on. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    items: Arc<AtomicU64>,
    errors: Arc<Mutex<Vec<String>>>,
}

/// What came of a run of a warmer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warmed {
    /// The warmer's name.
    pub name: String,
    /// Whether it came to its end.
    pub success: bool,
    /// How many items it told of.
    pub items_processed: u64,
    /// How long it took, or has been running by now.
    pub duration: Duration,
    /// What went wrong: at most ten messages, the one with which it ended last.
    pub errors: Vec<String>,
    /// Whether it still goes on, and the rest is how far it has come.
    pub is_running: bool,
    /// How often it has run before.
    pub runs: u64,
}

/// Why warmers cannot be set up, or run by hand.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WarmError {
    /// Two of them have the same name.
    #[error("two warmers are called {name:?}; give each a name of its own")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// There is none of this name.
    #[error("there is no warmer called {name:?}; there are {}", known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// Their scheduler cannot be made, or does not take one of them.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

impl Warmer {
    /// A warmer that runs at start and every 300 s. What it does it tells to the [`Progress`] that it is given.
    ///
    /// ```
    /// use cache_refresh::{Progress, Warmer};
    /// use strata::Cache;
    /// let users: Cache<u64, String> = Cache::builder("users").build()?;
    /// let warmer = Warmer::new("users", move |progress: Progress| {
    ///     let users = users.clone();
    ///     async move {
    ///         for id in 1..=100 {
    ///             users.insert(id, format!("user {id}")).await?;
    ///             progress.add(1);
    ///         }
    ///         Ok::<_, strata::Error>(())
    ///     }
    /// });
    /// # Ok::<(), strata::BuildError>(())
    /// ```
    pub fn new<F, Fut, E>(name: impl Into<Arc<str>>, run: F) -> Self
    where
        F: Fn(Progress) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let run = move |progress| -> BoxFuture<'static, Result<(), String>> {
            let running = run(progress);
            Box::pin(async move { running.await.map_err(|error| error.to_string()) })
        };
        Self {
            name: name.into(),
            priority: Priority::Normal,
            interval: Some(INTERVAL),
            deadline: DEADLINE,
            at_start: true,
            may: None,
            run: Arc::new(run),
        }
    }

    /// A warmer that stores what this function has, which is asked again at each run.
    pub fn values<K, V, I>(
        name: impl Into<Arc<str>>,
        cache: &Cache<K, V>,
        values: impl Fn() -> I + Send + Sync + 'static,
    ) -> Self
    where
        K: CacheKey + Clone + Hash + Eq,
        V: Send + Sync + 'static,
        I: IntoIterator<Item = (K, V)>,
    {
        let cache = cache.clone();
        Self::new(name, move |progress| {
            let (cache, values): (_, Vec<(K, V)>) = (cache.clone(), values().into_iter().collect());
            async move {
                let count = values.len() as u64;
                let stored = cache.insert_many(values, Options::new()).await;
                progress.add(count);
                stored.map(drop)
            }
        })
    }

    /// Which goes first where not all can run at once. Default: [`Priority::Normal`].
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// How often it runs. Default: every 300 s.
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// How long a run may take at most: then it is dropped where it waits, has failed, and its place is another's. What is done by then stays
    /// done. Default: ten minutes. So long may `metered` take as well.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Asks before each run whether it may, as a budget of its source says: an error puts the run off for so long. Default: it always may.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use cache_refresh::{Progress, Warmer};
    /// let calls = Arc::new(std::sync::atomic::AtomicU32::new(0));
    /// let warmer = Warmer::new("rates", |_: Progress| async { Ok::<_, std::io::Error>(()) });
    /// let warmer = warmer.metered(move || {
    ///     let calls = Arc::clone(&calls);
    ///     async move {
    ///         let call = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    ///         if call < 100 { Ok(()) } else { Err(Duration::from_mins(1)) }
    ///     }
    /// });
    /// # drop(warmer);
    /// ```
    pub fn metered<F, Fut>(mut self, may: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Duration>> + Send + 'static,
    {
        self.may = Some(Arc::new(move || Box::pin(may())));
        self
    }

    /// Runs it at start, and later by hand alone.
    pub fn once(mut self) -> Self {
        self.interval = None;
        self
    }

    /// Does not run it at start: the first time comes after its interval, or by hand.
    pub fn not_at_start(mut self) -> Self {
        self.at_start = false;
        self
    }
}

impl Progress {
    /// So many more items are done.
    pub fn add(&self, items: u64) {
        self.items.fetch_add(items, Relaxed);
    }

    /// Something went wrong with which the run can go on.
    pub fn error(&self, message: impl Into<String>) {
        let mut errors = self.errors.lock();
        if errors.len() < MAX_ERRORS {
            errors.push(message.into());
        }
    }

    /// How many items are done.
    pub fn items(&self) -> u64 {
        self.items.load(Relaxed)
    }
}

/// Warmers at work. When the last handle is dropped, they stop.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// use std::time::Duration;
/// use cache_refresh::{Warmer, Warming};
/// use strata::Cache;
/// let presets: Cache<String, u32> = Cache::builder("presets").build()?;
/// let warmer = Warmer::values("presets", &presets, || [("a".to_owned(), 1), ("b".to_owned(), 2)]);
/// let warming = Warming::builder().warmer(warmer).open()?;
///
/// // Before the service takes requests, but for no longer than this.
/// let report = warming.start(Duration::from_secs(10)).await;
/// assert!(report[0].success && report[0].items_processed == 2);
/// assert!(presets.get("a").await?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Warming {
    scheduler: Scheduler,
    warmers: Arc<[Known]>,
    clock: Arc<dyn Clock>,
}

/// Warmers in the making.
#[derive(Debug)]
#[must_use = "a builder does nothing until `open`"]
pub struct WarmingBuilder {
    warmers: Vec<Warmer>,
    scheduler: SchedulerBuilder,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Known {
    warmer: Warmer,
    record: Arc<Record>,
}

/// What is known of a warmer's runs.
#[derive(Debug, Default)]
struct Record {
    runs: Mutex<Runs>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Runs {
    begun: u64,
    ended: u64,
    going_on: Option<(Progress, cache_core::Time)>,
    last: Option<Warmed>,
}

impl Warming {
    /// Begins to set warmers up.
    pub fn builder() -> WarmingBuilder {
        let scheduler = Scheduler::builder().max_running(MAX_RUNNING);
        WarmingBuilder { warmers: Vec::new(), scheduler, clock: Arc::new(SystemClock::new()) }
    }

    /// Begins to run them: now those that run at start, all others at their intervals. Waits for the former, but for no longer than
    /// the deadline; what takes longer goes on. Says how far each has come. A second call runs those that run at start again.
    pub async fn start(&self, deadline: Duration) -> Vec<Warmed> {
        let mut begun = Vec::new();
        for known in &*self.warmers {
            let Warmer { interval, at_start, .. } = known.warmer;
            let first = if at_start { Some(Duration::ZERO) } else { interval };
            let Some(first) = first else { continue };
            let wanted = known.record.runs.lock().begun + 1;
            // Checked when it was set up.
            let every = interval.unwrap_or(Duration::MAX);
            let is_known = at_start && self.scheduler.trigger(&known.warmer.name);
            if (is_known || self.scheduler.schedule_after(self.job(known), first, every).is_ok()) && at_start
            {
                begun.push(known.record.until(wanted));
            }
        }
        drop(timeout(deadline, join_all(begun)).await);
        self.report()
    }

    /// Runs these warmers now, or all if none is named, waits until they have ended, but for no longer than the deadline, and says how
    /// far each has come. One that runs already runs once more.
    ///
    /// # Errors
    /// A name that no warmer has; then none is run.
    pub async fn trigger(&self, names: &[&str], deadline: Duration) -> Result<Vec<Warmed>, WarmError> {
        let known = |name: &&str| self.warmers.iter().find(|known| &*known.warmer.name == *name);
        if let Some(unknown) = names.iter().find(|name| known(name).is_none()) {
            let known = self.warmers.iter().map(|known| known.warmer.name.to_string()).collect();
            return Err(WarmError::Unknown { name: (*unknown).to_owned(), known });
        }
        let is_meant = |name: &str| names.is_empty() || names.contains(&name);
        let meant: Vec<&Known> = self.warmers.iter().filter(|known| is_meant(&known.warmer.name)).collect();
        let mut begun = Vec::new();
        for known in &meant {
            let wanted = known.record.runs.lock().begun + 1;
            if !self.scheduler.trigger(&known.warmer.name) {
                let every = known.warmer.interval.unwrap_or(Duration::MAX);
                self.scheduler.schedule_after(self.job(known), Duration::ZERO, every)?;
            }
            begun.push(known.record.until(wanted));
        }
        drop(timeout(deadline, join_all(begun)).await);
        Ok(meant.into_iter().filter_map(|known| known.seen(&*self.clock)).collect())
    }

    /// What came of the last run of each warmer, or how far the one has come that goes on. Those that have not run yet are missing.
    pub fn report(&self) -> Vec<Warmed> {
        self.warmers.iter().filter_map(|known| known.seen(&*self.clock)).collect()
    }

    /// What their scheduler is doing: the strategy that it goes by, what is due, and how late it is.
    pub fn status(&self) -> Status {
        self.scheduler.status()
    }

    /// Begins no run any more. What runs goes on.
    pub fn pause(&self) {
        self.scheduler.pause();
    }

    fn job(&self, Known { warmer, record }: &Known) -> Job {
        let (name, run) = (Arc::clone(&warmer.name), Arc::clone(&warmer.run));
        let (may, deadline) = (warmer.may.clone(), warmer.deadline);
        let (record, clock) = (Arc::clone(record), Arc::clone(&self.clock));
        let job = Job::new(Arc::clone(&name), move || {
            let (name, run) = (Arc::clone(&name), Arc::clone(&run));
            let (record, clock) = (Arc::clone(&record), Arc::clone(&clock));
            let may = may.clone();
            async move {
                let may = match may {
                    Some(may) => within(deadline, &*may).await,
                    None => Ok(Ok(())),
                };
                if let Ok(Err(wait)) = may {
                    return Outcome::OverBudget { retry_in: Some(wait) };
                }
                let (progress, began) = (Progress::default(), clock.now());
                record.begin(&progress, began);
                let result = match may {
                    Ok(_) => within(deadline, || run(progress.clone())).await.unwrap_or_else(Err),
                    Err(message) => Err(message),
                };
                record.end(&name, (&progress, clock.now().since(began)), &result);
                result.map_or_else(Outcome::Failed, |()| Outcome::Done)
            }
        });
        // It keeps its deadline itself, as it writes down what became of it.
        job.with_priority(warmer.priority).with_deadline(Duration::MAX)
    }
}

impl WarmingBuilder {
    /// Adds a warmer.
    pub fn warmer(mut self, warmer: Warmer) -> Self {
        self.warmers.push(warmer);
        self
    }

    /// How many run at the same time at most. Default: 5.
    pub fn max_running(mut self, most: usize) -> Self {
        self.scheduler = self.scheduler.max_running(most);
        self
    }

    /// What tells which share of their budgets is in use: see [`SchedulerBuilder::budget_used`].
    pub fn budget_used<F, Fut>(mut self, used: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = f64> + Send + 'static,
    {
        self.scheduler = self.scheduler.budget_used(used);
        self
    }

    /// The clock of intervals and durations. Default: the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets them up, on the current tokio runtime. None runs before [`Warming::start`].
    ///
    /// # Errors
    /// Two of the same name; no runtime; none at a time; an interval of less than a millisecond or a deadline of zero.
    pub fn open(self) -> Result<Warming, WarmError> {
        for (at, warmer) in self.warmers.iter().enumerate() {
            if self.warmers[..at].iter().any(|other| other.name == warmer.name) {
                return Err(WarmError::NameTaken { name: warmer.name.to_string() });
            }
            Scheduler::check(warmer.interval.unwrap_or(Duration::MAX), warmer.deadline)?;
        }
        let scheduler = self.scheduler.clock(Arc::clone(&self.clock)).open()?;
        let known = |warmer| Known { warmer, record: Arc::default() };
        Ok(Warming { scheduler, warmers: self.warmers.into_iter().map(known).collect(), clock: self.clock })
    }
}

impl Known {
    fn seen(&self, clock: &dyn Clock) -> Option<Warmed> {
        let runs = self.record.runs.lock();
        let Some((progress, began)) = &runs.going_on else { return runs.last.clone() };
        Some(Warmed {
            name: self.warmer.name.to_string(),
            success: false,
            items_processed: progress.items(),
            duration: clock.now().since(*began),
            errors: progress.errors.lock().clone(),
            is_running: true,
            runs: runs.ended,
        })
    }
}

impl Record {
    fn begin(&self, progress: &Progress, began: cache_core::Time) {
        let mut runs = self.runs.lock();
        runs.begun += 1;
        runs.going_on = Some((progress.clone(), began));
    }

    fn end(&self, name: &str, (progress, duration): (&Progress, Duration), result: &Result<(), String>) {
        let mut errors = progress.errors.lock().clone();
        errors.extend(result.as_ref().err().cloned());
        let drained = errors.len().saturating_sub(MAX_ERRORS);
        errors.drain(..drained);
        let (success, items_processed) = (result.is_ok(), progress.items());
        if let Err(error) = result {
            tracing::warn!(warmer = name, error, "a warmer failed");
        }
        let mut runs = self.runs.lock();
        let warmed = Warmed {
            name: name.to_owned(),
            success,
            items_processed,
            duration,
            errors,
            is_running: false,
            runs: runs.ended,
        };
        runs.ended += 1;
        (runs.going_on, runs.last) = (None, Some(warmed));
        drop(runs);
        self.ended.notify_waiters();
    }

    /// Waits until so many runs have ended.
    async fn until(self: &Arc<Self>, wanted: u64) {
        loop {
            let mut ended = pin!(self.ended.notified());
            // What ends from here on is not missed.
            ended.as_mut().enable();
            if self.runs.lock().ended >= wanted {
                return;
            }
            ended.await;
        }
    }
}

impl fmt::Debug for Warmer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warmer")
            .field("name", &self.name)
            .field("priority", &self.priority)
            .field("interval", &self.interval)
            .field("deadline", &self.deadline)
            .field("at_start", &self.at_start)
            .finish_non_exhaustive()
    }
}
