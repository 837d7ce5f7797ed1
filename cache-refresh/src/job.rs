//! What is to be done again and again, and how a run of it ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{CacheKey, Priority};
use futures_util::future::BoxFuture;
use strata::{Cache, LoadError, Loaded, Options, OverBudget, Stale};

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

/// Something to do again and again: most often, to refresh a key of a cache.
#[derive(Clone)]
#[must_use = "a job does nothing until it is scheduled"]
pub struct Job {
    pub(crate) name: Arc<str>,
    pub(crate) priority: Priority,
    pub(crate) run: Arc<dyn Fn() -> BoxFuture<'static, Outcome> + Send + Sync>,
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
        let run = move || -> BoxFuture<'static, Outcome> { Box::pin(run()) };
        Self { name: name.into(), priority: Priority::Normal, run: Arc::new(run) }
    }

    /// Brings a new value of a key into a cache, by [`Cache::refresh`]: a load of the key that is on its way is joined. Its name is the
    /// cache's name and the key. The options are those of the load; over the [budget](strata::Builder::budget) of the cache it
    /// waits in the queue, where others go on.
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
        Self::new(name, move || {
            let (cache, key, options, loader) = (cache.clone(), key.clone(), options.clone(), loader.clone());
            async move {
                match cache.refresh(&key, loader, options).await {
                    Ok(hit) => hit.stale().map_or(Outcome::Done, stale),
                    Err(LoadError::OverBudget { retry_in }) => Outcome::OverBudget { retry_in },
                    Err(error) => Outcome::Failed(error.to_string()),
                }
            }
        })
    }

    /// How urgent it is. Default: [`Priority::Normal`].
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
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
            .finish_non_exhaustive()
    }
}
