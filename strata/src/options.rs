//! Options: what may be asked of a call, a cache or a preset, each overlaying the next.
//!
//! Unset differs from the default, so a call that sets one field keeps the cache's others.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Lifetime, Priority, Tags, Time, Ttl};

use crate::gate::OverBudget;

/// How to store and when to load. Every field is optional and cheap to copy.
///
/// ```
/// use strata::{Options, Ttl};
/// let of_cache = Options::new().with_ttl(Ttl::from_secs(300)).with_force_refresh(false);
/// let of_call = Options::new().with_ttl(Ttl::from_secs(5));
/// let resolved = of_call.over(&of_cache);
/// assert_eq!(resolved.ttl(), Some(Ttl::from_secs(5)));
/// assert_eq!(resolved.force_refresh(), Some(false));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    ttl: Option<Ttl>,
    stale_for: Option<Duration>,
    fail_safe_for: Option<Duration>,
    fail_safe_throttle: Option<Duration>,
    eager_at: Option<f64>,
    early_beta: Option<f64>,
    jitter: Option<f64>,
    soft_timeout: Option<Duration>,
    hard_timeout: Option<Duration>,
    negative_ttl: Option<Ttl>,
    cache_errors_for: Option<Duration>,
    tags: Option<Tags>,
    priority: Option<Priority>,
    cost: Option<Duration>,
    force_refresh: Option<bool>,
    endpoint: Option<Arc<str>>,
    over_budget: Option<OverBudget>,
}

/// How long the source is left alone after a load has failed, where nothing else is said. Source: FusionCache,
/// `FailSafeThrottleDuration`.
const THROTTLE: Duration = Duration::from_secs(30);

impl Options {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the value is fresh. Default: the memory tier's own time-to-live, which is for ever unless set.
    #[must_use]
    pub fn with_ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = Some(ttl.into());
        self
    }

    /// For how long after its fresh life a value still answers at once, marked [`Stale::Refreshing`](crate::Stale), while
    /// it is refreshed behind the answer. Set by a call that stores a value, it goes with that into every tier. Default: zero.
    #[must_use]
    pub fn with_stale_for(mut self, window: Duration) -> Self {
        self.stale_for = Some(window);
        self
    }

    /// For how long after its fresh life a value stands in, marked as [`Stale`](crate::Stale), when the loader fails, takes
    /// too long or may not be asked. Default: zero. To be set when the value is stored.
    #[must_use]
    pub fn with_fail_safe_for(mut self, window: Duration) -> Self {
        self.fail_safe_for = Some(window);
        self
    }

    /// For how long from a failure or timeout the source of a value that stands in is left alone. Default: 30 seconds
    /// (FusionCache's `FailSafeThrottleDuration`).
    #[must_use]
    pub fn with_fail_safe_throttle(mut self, pause: Duration) -> Self {
        self.fail_safe_throttle = Some(pause);
        self
    }

    /// Refreshes a value behind a read once this share of its time-to-live has passed. Default: never; 0.8 is usual
    /// (FusionCache's `EagerRefreshThreshold`). Range (0, 1); outside it `build` refuses it, and a call ignores it.
    #[must_use]
    pub fn with_eager_at(mut self, share: f64) -> Self {
        self.eager_at = Some(share);
        self
    }

    /// Refreshes a value behind a read at a random moment before its end, the earlier the longer it took to load: this
    /// many times that on average, never sooner than it was stored. Default: zero; 1 is usual. Negative numbers are refused
    /// by `build` and ignored by a call.
    ///
    /// Source: `XFetch`, of Vattani, Chierichetti and Lowenstein, "Optimal probabilistic cache stampede prevention", VLDB
    /// 2015. The moment is drawn once for each stored value instead of at each read, so that a hit draws nothing and asks no
    /// clock.
    #[must_use]
    pub fn with_early_beta(mut self, beta: f64) -> Self {
        self.early_beta = Some(beta);
        self
    }

    /// Shortens each time-to-live by a random share of it, at most this one, so that what was stored together does not end
    /// together. Default: zero. Range [0, 1); outside it `build` refuses it, and a call ignores it.
    #[must_use]
    pub fn with_jitter(mut self, share: f64) -> Self {
        self.jitter = Some(share);
        self
    }

    /// Answers with the value that stands in, if there is one, when the load has taken this long; it goes on and is stored.
    /// Default: none. Runs on tokio's timer, which the runtime has to have.
    #[must_use]
    pub fn with_soft_timeout(mut self, timeout: Duration) -> Self {
        self.soft_timeout = Some(timeout);
        self
    }

    /// Waits no longer than this for a load. The key is then free for another one; the first may go on and is stored if
    /// nothing else happened to the key. Default: none. Runs on tokio's timer, which the runtime has to have.
    #[must_use]
    pub fn with_hard_timeout(mut self, timeout: Duration) -> Self {
        self.hard_timeout = Some(timeout);
        self
    }

    /// How long a value is fresh that says that there is nothing: see [`Builder::negative_if`](crate::Builder::negative_if)
    /// and [`Loaded::as_negative`](crate::Loaded::as_negative). Default: as any other.
    #[must_use]
    pub fn with_negative_ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.negative_ttl = Some(ttl.into());
        self
    }

    /// For how long a loader's error answers further calls for the key in place of another load. Default: zero, which
    /// caches no error.
    #[must_use]
    pub fn with_cache_errors_for(mut self, window: Duration) -> Self {
        self.cache_errors_for = Some(window);
        self
    }

    /// The groups the value belongs to. Default: none.
    #[must_use]
    pub fn with_tags(mut self, tags: Tags) -> Self {
        self.tags = Some(tags);
        self
    }

    /// Whom to evict first. Default: [`Priority::Normal`].
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// How long it takes to make the value again, for policies that weigh it. Default: unknown.
    #[must_use]
    pub fn with_cost(mut self, cost: Duration) -> Self {
        self.cost = Some(cost);
        self
    }

    /// Loads even if the value is there, and never joins a load that is already running. Default: `false`. For calls; a cache
    /// refuses to do so always.
    #[must_use]
    pub fn with_force_refresh(mut self, force: bool) -> Self {
        self.force_refresh = Some(force);
        self
    }

    /// These options where set, and `base` where not.
    #[must_use]
    pub fn over(self, base: &Self) -> Self {
        Self {
            ttl: self.ttl.or(base.ttl),
            stale_for: self.stale_for.or(base.stale_for),
            fail_safe_for: self.fail_safe_for.or(base.fail_safe_for),
            fail_safe_throttle: self.fail_safe_throttle.or(base.fail_safe_throttle),
            eager_at: self.eager_at.or(base.eager_at),
            early_beta: self.early_beta.or(base.early_beta),
            jitter: self.jitter.or(base.jitter),
            soft_timeout: self.soft_timeout.or(base.soft_timeout),
            hard_timeout: self.hard_timeout.or(base.hard_timeout),
            negative_ttl: self.negative_ttl.or(base.negative_ttl),
            cache_errors_for: self.cache_errors_for.or(base.cache_errors_for),
            tags: self.tags.or_else(|| base.tags.clone()),
            priority: self.priority.or(base.priority),
            cost: self.cost.or(base.cost),
            force_refresh: self.force_refresh.or(base.force_refresh),
            endpoint: self.endpoint.or_else(|| base.endpoint.clone()),
            over_budget: self.over_budget.or(base.over_budget),
        }
    }

    /// The endpoint of the source that loads ask, by which a [`Gate`](crate::Gate) may tell them apart. Default: none in particular.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<Arc<str>>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// What becomes of a call whose load the [gate](crate::Builder::budget) does not let through. Default: [`OverBudget::Stale`].
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// # runtime.block_on(async {
    /// use std::time::Duration;
    /// use strata::{Cache, LoadError, Options, OverBudget, Stale};
    /// let options = Options::new().with_fail_safe_for(Duration::from_secs(3600));
    /// let prices: Cache<String, f64> = Cache::builder("prices").options(options).budget(|| false).build()?;
    /// prices.insert("BTC".to_owned(), 101.5).await?;
    /// prices.expire("BTC").await?;
    ///
    /// let fetch = || async { Ok::<_, std::io::Error>(102.0) };
    /// let price = prices.get_or_load("BTC", fetch).await?;
    /// assert_eq!((*price, price.stale()), (101.5, Some(Stale::OverBudget)));
    /// let strict = Options::new().with_over_budget(OverBudget::Fail);
    /// assert!(matches!(prices.get_or_load("BTC", fetch).with(strict).await, Err(LoadError::OverBudget { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_over_budget(mut self, over_budget: OverBudget) -> Self {
        self.over_budget = Some(over_budget);
        self
    }

    /// The endpoint, if set.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// What becomes of a call that is over the budget, if set.
    pub fn over_budget(&self) -> Option<OverBudget> {
        self.over_budget
    }

    /// The time-to-live, if set.
    pub fn ttl(&self) -> Option<Ttl> {
        self.ttl
    }

    /// How long a value answers after its fresh life, if set.
    pub fn stale_for(&self) -> Option<Duration> {
        self.stale_for
    }

    /// The tags, if set.
    pub fn tags(&self) -> Option<&Tags> {
        self.tags.as_ref()
    }

    /// Whether to load in any case, if set.
    pub fn force_refresh(&self) -> Option<bool> {
        self.force_refresh
    }

    /// The time-to-live of values that say that there is nothing, if set.
    pub fn negative_ttl(&self) -> Option<Ttl> {
        self.negative_ttl
    }

    /// How long to wait where something can stand in, if set.
    pub fn soft_timeout(&self) -> Option<Duration> {
        self.soft_timeout
    }

    /// How long to wait at most, if set.
    pub fn hard_timeout(&self) -> Option<Duration> {
        self.hard_timeout
    }

    /// How long an error is remembered, if set.
    pub fn cache_errors_for(&self) -> Option<Duration> {
        self.cache_errors_for
    }

    /// How long the source is left alone after a failure, if set.
    pub fn fail_safe_throttle(&self) -> Option<Duration> {
        self.fail_safe_throttle
    }

    pub(crate) fn throttle(&self) -> Duration {
        self.fail_safe_throttle.unwrap_or(THROTTLE)
    }

    pub(crate) fn jitter(&self) -> Option<f64> {
        self.jitter.filter(|share| is_share(*share))
    }

    /// How many times the time it took to load, if that is to be measured.
    pub(crate) fn early_beta(&self) -> Option<f64> {
        self.early_beta.filter(|beta| *beta > 0.0 && beta.is_finite())
    }

    /// A lifetime from now, but for what chance adds to it.
    pub(crate) fn lifetime(&self, now: Time, ttl: Ttl) -> Lifetime {
        Lifetime::new(now, ttl)
            .with_due_at(self.eager_at.unwrap_or_default())
            .with_stale_for(self.stale_for.unwrap_or_default())
            .with_fail_safe_for(self.fail_safe_for.unwrap_or_default())
    }

    /// What of the options can never work for a cache, as the option's name, what was given, and what would be right.
    pub(crate) fn fault(&self) -> Option<(&'static str, String, &'static str)> {
        let number = |name, given: Option<f64>, right, is_right: fn(f64) -> bool| {
            given.filter(|given| !is_right(*given)).map(|given| (name, given.to_string(), right))
        };
        let timeout = |name, given: Option<Duration>| {
            let right = "more than zero; leave it out to wait without an end";
            given.filter(Duration::is_zero).map(|given| (name, format!("{given:?}"), right))
        };
        number("eager_at", self.eager_at, "more than 0 and less than 1", |share| share > 0.0 && share < 1.0)
            .or_else(|| number("jitter", self.jitter, "at least 0 and less than 1", is_share))
            .or_else(|| {
                let right = "zero or more, and finite";
                number("early_beta", self.early_beta, right, |beta| beta >= 0.0 && beta.is_finite())
            })
            .or_else(|| timeout("soft_timeout", self.soft_timeout))
            .or_else(|| timeout("hard_timeout", self.hard_timeout))
            .or_else(|| {
                let right = "set by single calls; a cache that always loads is none";
                self.force_refresh.filter(|forced| *forced).map(|_| ("force_refresh", "true".into(), right))
            })
    }

    /// How long a value answers and stands in after its fresh life.
    pub(crate) fn windows(&self) -> (Duration, Duration) {
        (self.stale_for.unwrap_or_default(), self.fail_safe_for.unwrap_or_default())
    }

    /// How much a value is to be kept, if set.
    pub fn priority(&self) -> Option<Priority> {
        self.priority
    }

    pub(crate) fn cost(&self) -> Option<Duration> {
        self.cost
    }
}

fn is_share(share: f64) -> bool {
    (0.0..1.0).contains(&share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(options: &Options, fault: Option<&str>) {
        assert_eq!(options.fault().map(|(name, ..)| name), fault);
    }

    #[test]
    fn what_can_never_work_is_named() {
        check(&Options::new(), None);
        for share in [0.0, 1.0, -0.5, f64::NAN] {
            check(&Options::new().with_eager_at(share), Some("eager_at"));
        }
        check(&Options::new().with_jitter(1.0), Some("jitter"));
        check(&Options::new().with_jitter(0.0).with_eager_at(0.8).with_early_beta(0.0), None);
        check(&Options::new().with_early_beta(f64::INFINITY), Some("early_beta"));
        check(&Options::new().with_soft_timeout(Duration::ZERO), Some("soft_timeout"));
        check(&Options::new().with_hard_timeout(Duration::ZERO), Some("hard_timeout"));
    }

    #[test]
    fn what_is_set_overlays_field_by_field() {
        let every = Options::new()
            .with_ttl(Ttl::from_secs(1))
            .with_stale_for(Duration::from_secs(2))
            .with_fail_safe_for(Duration::from_secs(3))
            .with_fail_safe_throttle(Duration::from_secs(4))
            .with_eager_at(0.5)
            .with_early_beta(1.0)
            .with_jitter(0.1)
            .with_soft_timeout(Duration::from_secs(5))
            .with_hard_timeout(Duration::from_secs(6))
            .with_negative_ttl(Ttl::from_secs(7))
            .with_cache_errors_for(Duration::from_secs(8))
            .with_tags(Tags::new(["t"]).expect("legal"))
            .with_priority(Priority::High)
            .with_cost(Duration::from_secs(9))
            .with_force_refresh(true)
            .with_endpoint("ticker")
            .with_over_budget(OverBudget::Fail);
        assert_eq!(Options::new().over(&every), every);
        assert_eq!(every.clone().over(&Options::new()), every);
        assert!(!format!("{every:?}").contains("None"), "a new field belongs into this test");
    }
}
