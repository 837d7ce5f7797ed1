//! What a read answers: the value, shared and uncopied, and what is known of it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Time, Ttl};

/// An answer. Reads as the value itself; cloning it shares the value.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// use strata::{Cache, Source};
/// let lengths: Cache<String, usize> = Cache::builder("lengths").build()?;
/// let hit = lengths.get_or_load("abc", || async { Ok::<_, std::io::Error>(3) }).await?;
/// assert_eq!(*hit, 3);
/// assert_eq!(hit.source(), Source::Loader);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Hit<V> {
    value: Arc<V>,
    source: Source,
    stale: Option<Stale>,
    /// When it ceases to be fresh.
    expires: Time,
}

/// Where an answer came from.
// Half a word, as the other enum: a hit has no gaps, which those who hand it on would have to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum Source {
    /// The memory tier.
    Memory,
    /// A tier below memory.
    Tier,
    /// The loader, run for this call.
    Loader,
    /// A loader that was already running for another call.
    Joined,
}

/// Why an answer is stale: no longer fresh, and served all the same because the options allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum Stale {
    /// It is being refreshed behind this answer: [`Options::with_stale_for`](crate::Options::with_stale_for).
    Refreshing,
    /// The load of this call failed.
    Failed,
    /// The load of this call took too long, and may still go on.
    TimedOut,
    /// A load failed or took too long a little while ago, so the source is left alone.
    Throttled,
    /// The source may not be asked now, because the budget is used up.
    OverBudget,
    /// A tier below memory did not answer a read that has no loader, and memory has a copy.
    Unreachable,
    /// The read has no loader, and the cache [serves stale values](crate::Builder::serve_stale): somebody else is to refresh it.
    Served,
}

impl Stale {
    /// All reasons, in their order.
    pub const ALL: [Self; 7] = [
        Self::Refreshing,
        Self::Failed,
        Self::TimedOut,
        Self::Throttled,
        Self::OverBudget,
        Self::Unreachable,
        Self::Served,
    ];

    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refreshing => "refreshing",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Throttled => "throttled",
            Self::OverBudget => "over_budget",
            Self::Unreachable => "unreachable",
            Self::Served => "served",
        }
    }
}

impl<V> Hit<V> {
    pub(crate) fn new(value: Arc<V>, source: Source, expires: Time) -> Self {
        Self { value, source, stale: None, expires }
    }

    /// Takes it out of its box, part by part: so the compiler knows from each part's type that this is an answer and no error. Bytes that
    /// are copied as a whole would be asked what they are, and with them every other answer that is handed on at the same place.
    #[inline]
    #[expect(clippy::boxed_local, reason = "the parts are to be read where they are")]
    pub(crate) fn unboxed(self: Box<Self>) -> Self {
        let Self { value, source, stale, expires } = *self;
        Self { value, source, stale, expires }
    }

    pub(crate) fn with_stale(self, why: Stale) -> Self {
        Self { stale: Some(why), ..self }
    }

    pub(crate) fn with_source(self, source: Source) -> Self {
        Self { source, ..self }
    }

    /// Where it came from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Tells whether a loader was run for this call.
    pub fn is_loaded(&self) -> bool {
        self.source == Source::Loader
    }

    /// Why it is stale; `None` if it is fresh.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use std::time::Duration;
    /// use strata::{Cache, Options, Stale};
    /// let hour = Duration::from_secs(3600);
    /// let rates: Cache<String, f64> = Cache::builder("rates")
    ///     .options(Options::new().with_ttl(hour).with_fail_safe_for(24 * hour))
    ///     .build()?;
    /// rates.insert("EUR".into(), 1.1).await?;
    /// rates.expire("EUR").await?;
    /// let down = || async { Err::<f64, _>(std::io::Error::other("the source is down")) };
    /// let rate = rates.get_or_load("EUR", down).await?;
    /// assert_eq!((*rate, rate.stale()), (1.1, Some(Stale::Failed)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stale(&self) -> Option<Stale> {
        self.stale
    }

    /// Tells whether it is no longer fresh.
    pub fn is_stale(&self) -> bool {
        self.stale.is_some()
    }

    /// How much longer it is fresh, at this moment of the cache's clock; zero once it is stale.
    pub fn remaining(&self, now: Time) -> Ttl {
        Ttl::between(now, self.expires)
    }

    /// For how long it has not been fresh, at this moment of the cache's clock; zero while it is.
    pub fn overdue(&self, now: Time) -> Duration {
        now.since(self.expires)
    }

    /// The value, shared with the cache.
    pub fn into_value(self) -> Arc<V> {
        self.value
    }
}

impl<V> Deref for Hit<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

impl<V> Clone for Hit<V> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), ..*self }
    }
}

impl<V: fmt::Debug> fmt::Debug for Hit<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hit")
            .field("value", &self.value)
            .field("source", &self.source)
            .field("stale", &self.stale)
            .finish_non_exhaustive()
    }
}

impl<V: PartialEq> PartialEq<V> for Hit<V> {
    fn eq(&self, other: &V) -> bool {
        *self.value == *other
    }
}
