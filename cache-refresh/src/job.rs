//! What is to be done again and again, and how a run of it ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{CacheKey, Priority};
use futures_util::future::BoxFuture;
use strata::{Cache, LoadError, Loaded, Options, OverBudget, Stale};

use crate::run::within;

/// How a run of a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It did what it is for.
    Done,
    /// The budget of its source did not let it. It keeps its place in the queue, and is tried again after so long.
    OverBudget {
        /// When, if that is known.
        retry_in: Option<Duration>,
    },
    /// It failed, with this message. It is tried again at its next turn.
    Failed(String),
}

/// How long a run may take at most, unless set otherwise.
pub(crate) const DEADLINE: Duration = Duration::from_mins(10);

/// Begins a run, which is given up after so long.
type Run = dyn Fn(Duration) -> BoxFuture<'static, Outcome> + Send + Sync;

/// Something to do again and again: most often, to refresh a key of a cache.
#[derive(Clone)]
#[must_use = "a job does nothing until it is scheduled"]
pub struct Job {
    pub(crate) name: Arc<str>,
    pub(crate) priority: Priority,
    pub(crate) deadline: Duration,
    pub(crate) run: Arc<Run>,
}

impl Job {
    /// Anything that can be done more than once. The name tells it from other jobs.
    ///
    /// ```
    /// use cache_refresh::{Job, Outcome};
    /// let job = Job::new("heartbeat", || async { Outcome::Done });
    /// assert_eq!(job.name(), "heartbeat");
    /// ```
    pub fn new<F, Fut>(name: impl Into<Arc<str>>, run: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        Self::within(name.into(), move |_| Box::pin(run()))
    }

    fn within(
        name: Arc<str>,
        run: impl Fn(Duration) -> BoxFuture<'static, Outcome> + Send + Sync + 'static,
    ) -> Self {
        Self { name, priority: Priority::Normal, deadline: DEADLINE, run: Arc::new(run) }
    }

    /// Brings a new value of a key into a cache, by [`Cache::refresh`]: a load of the key that is on its way is joined. Its name is the
    /// cache's name and the key. The options are those of the load; over the [budget](strata::Builder::budget) of the cache it
    /// waits in the queue, where others go on. A loader that has not answered by the [deadline](Self::with_deadline) is dropped, which is an
    /// error for those who have joined it as well.
    ///
    /// ```
    /// use cache_refresh::Job;
    /// use strata::{Cache, Options};
    /// let prices: Cache<String, f64> = Cache::builder("prices").build()?;
    /// let fetch = || async { Ok::<_, std::io::Error>(101.5) };
    /// let job = Job::refresh(&prices, "BTC".to_owned(), Options::new().with_endpoint("ticker"), fetch);
    /// assert_eq!(job.name(), "prices:BTC");
    /// # Ok::<(), strata::BuildError>(())
    /// ```
    pub fn refresh<K, V, F, Fut, L, E>(cache: &Cache<K, V>, key: K, options: Options, loader: F) -> Self
    where
        K: CacheKey + Clone,
        V: Send + Sync + 'static,
        F: Fn() -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        let name: Arc<str> = cache.key_text(&key).into();
        let options = options.with_over_budget(OverBudget::Fail);
        let cache = cache.clone();
        Self::within(name, move |deadline| {
            let (cache, key, options, loader) = (cache.clone(), key.clone(), options.clone(), loader.clone());
            // The load is a task of its own, which the end of this run does not end.
            let bounded = move || async move {
                let brought = within(deadline, &loader).await?;
                brought.map_err(|error| error.to_string())
            };
            Box::pin(async move {
                match cache.refresh(&key, bounded, options).await {
                    Ok(hit) => hit.stale().map_or(Outcome::Done, stale),
                    Err(LoadError::OverBudget { retry_in }) => Outcome::OverBudget { retry_in },
                    Err(error) => Outcome::Failed(error.to_string()),
                }
            })
        })
    }

    /// How urgent it is. Default: [`Priority::Normal`].
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// How long a run may take at most. Then it is dropped where it waits, has failed, and its place is another's: so one that hangs keeps no
    /// place for ever. What blocks its thread cannot be dropped. Default: ten minutes. Zero is refused by whoever schedules it.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// # runtime.block_on(async {
    /// use std::time::Duration;
    /// use cache_refresh::{Job, Scheduler};
    /// let hangs = Job::new("hangs", || std::future::pending()).with_deadline(Duration::from_millis(1));
    /// let batch = Scheduler::builder().open()?.run_all([hangs], Duration::from_secs(10)).await;
    /// assert_eq!(batch.failed[0].1, "it took longer than its deadline of 1ms");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What it means that an older value had to stand in.
fn stale(why: Stale) -> Outcome {
    match why {
        Stale::OverBudget => Outcome::OverBudget { retry_in: None },
        why => Outcome::Failed(format!("an older value stands in: {}", why.as_str())),
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("name", &self.name)
            .field("priority", &self.priority)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
