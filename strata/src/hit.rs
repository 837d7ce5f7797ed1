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
    about: About,
}

/// What is known of an answer besides its value, in one word: so an answer is two words, which are handed on in registers.
///
/// ```text
/// bits 63..6   when it ceases to be fresh, in units of 64 ns, rounded down; all ones: never
/// bits 5..2    why it is stale, plus one; 0: it is fresh
/// bits 1..0    where it came from
/// ```
#[derive(Clone, Copy)]
struct About(u64);

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
    #[inline]
    pub(crate) fn new(value: Arc<V>, source: Source, expires: Time) -> Self {
        Self { value, about: About::new(source, expires) }
    }

    pub(crate) fn with_stale(self, why: Stale) -> Self {
        Self { about: self.about.with_stale(why), ..self }
    }

    pub(crate) fn with_source(self, source: Source) -> Self {
        Self { about: self.about.with_source(source), ..self }
    }

    /// Where it came from.
    pub fn source(&self) -> Source {
        self.about.source()
    }

    /// Tells whether a loader was run for this call.
    pub fn is_loaded(&self) -> bool {
        self.source() == Source::Loader
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
        self.about.stale()
    }

    /// Tells whether it is no longer fresh.
    pub fn is_stale(&self) -> bool {
        self.stale().is_some()
    }

    /// How much longer it is fresh, at this moment of the cache's clock, up to 64 ns too short; zero once it is stale.
    pub fn remaining(&self, now: Time) -> Ttl {
        Ttl::between(now, self.about.expires())
    }

    /// For how long it has not been fresh, at this moment of the cache's clock, up to 64 ns too long; zero while it is.
    pub fn overdue(&self, now: Time) -> Duration {
        now.since(self.about.expires())
    }

    /// The value, shared with the cache.
    pub fn into_value(self) -> Arc<V> {
        self.value
    }
}

impl About {
    #[inline]
    const fn new(source: Source, expires: Time) -> Self {
        Self((expires.as_nanos() & !Self::TOLD) | source as u64)
    }

    const fn with_source(self, source: Source) -> Self {
        Self((self.0 & !Self::SOURCE) | source as u64)
    }

    const fn with_stale(self, why: Stale) -> Self {
        Self((self.0 & !Self::STALE) | ((why as u64 + 1) << Self::SOURCE_BITS))
    }

    const fn source(self) -> Source {
        match self.0 & Self::SOURCE {
            0 => Source::Memory,
            1 => Source::Tier,
            2 => Source::Loader,
            _ => Source::Joined,
        }
    }

    fn stale(self) -> Option<Stale> {
        let why = ((self.0 & Self::STALE) >> Self::SOURCE_BITS).checked_sub(1)?;
        Stale::ALL.get(usize::try_from(why).ok()?).copied()
    }

    const fn expires(self) -> Time {
        match self.0 & !Self::TOLD {
            Self::NEVER => Time::NEVER,
            nanos => Time::from_nanos(nanos),
        }
    }

    const SOURCE_BITS: u32 = 2;
    const SOURCE: u64 = 0b11;
    const STALE: u64 = 0b1111 << Self::SOURCE_BITS;
    /// What moments lend. A millisecond is a multiple of what is left.
    const TOLD: u64 = Self::SOURCE | Self::STALE;
    const NEVER: u64 = !Self::TOLD;
}

impl<V> Deref for Hit<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

impl<V> Clone for Hit<V> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), about: self.about }
    }
}

impl<V: fmt::Debug> fmt::Debug for Hit<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hit")
            .field("value", &self.value)
            .field("source", &self.source())
            .field("stale", &self.stale())
            .finish_non_exhaustive()
    }
}

impl<V: PartialEq> PartialEq<V> for Hit<V> {
    fn eq(&self, other: &V) -> bool {
        *self.value == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_holds_where_from_why_stale_and_when() {
        let ends = [Time::ZERO, Time::from_nanos(1_000_000), Time::from_nanos(u64::MAX - 64), Time::NEVER];
        for source in [Source::Memory, Source::Tier, Source::Loader, Source::Joined] {
            for stale in Stale::ALL.map(Some).into_iter().chain([None]) {
                for expires in ends {
                    let hit = Hit::new(Arc::new(7), Source::Loader, expires);
                    let hit = stale.into_iter().fold(hit, Hit::with_stale).with_source(source);
                    assert_eq!((hit.source(), hit.stale(), *hit), (source, stale, 7));
                    let off = expires.since(hit.about.expires());
                    assert!(off < Duration::from_nanos(64), "{expires:?} is off by {off:?}");
                    assert_eq!(hit.remaining(Time::ZERO).finite().is_none(), expires == Time::NEVER);
                }
            }
        }
    }

    #[test]
    fn a_reason_takes_the_place_of_the_one_before() {
        for first in Stale::ALL {
            for then in Stale::ALL {
                let hit =
                    Hit::new(Arc::new(7), Source::Joined, Time::NEVER).with_stale(first).with_stale(then);
                assert_eq!((hit.stale(), hit.source()), (Some(then), Source::Joined), "after {first:?}");
                assert!(hit.remaining(Time::ZERO).is_forever());
            }
        }
    }

    #[test]
    fn a_whole_millisecond_is_exact_and_the_rest_is_rounded_down() {
        let remaining =
            |ends| Hit::new(Arc::new(()), Source::Memory, Time::from_nanos(ends)).remaining(Time::ZERO);
        assert_eq!(remaining(3_000_000), Ttl::between(Time::ZERO, Time::from_nanos(3_000_000)));
        assert_eq!(remaining(3_000_063), remaining(3_000_000));
        assert_eq!(remaining(3_000_064), Ttl::between(Time::ZERO, Time::from_nanos(3_000_064)));
    }

    #[test]
    fn an_answer_is_two_words_also_where_there_may_be_none() {
        assert_eq!((size_of::<Hit<String>>(), size_of::<Option<Hit<String>>>()), (16, 16));
    }
}
