//! What the memory tier holds: a value and, where it has any, its ages.
//!
//! Most values are fresh until they are gone, and the memory tier ends them. Those that become due or stale on the way,
//! or of which more is known, carry a record beside the value; the others pay one empty pointer for it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use cache_core::{Lifetime, Tags, Time, Ttl};
use cache_invalidation::Stamp;

use crate::fence::Ticket;
use crate::hit::{Hit, Source};
use crate::monitor::Mark;

/// A value as a [`Cache`](crate::Cache) holds it in its memory tier.
pub struct Kept<V> {
    value: Arc<V>,
    pub(crate) ages: Option<Arc<Ages>>,
}

/// When a value is due, stale and gone, and what else is known of it.
///
/// It changes under the lock of the value's shard, where the memory tier shows it; what is read outside only saves work.
#[derive(Debug)]
pub(crate) struct Ages {
    /// Before this moment, in nanoseconds, nothing but `stale` needs to be looked at; zero if each read is to be noticed.
    notice: AtomicU64,
    /// When it ceases to be fresh, in nanoseconds.
    stale: AtomicU64,
    life: Mutex<Lifetime>,
    /// Until when no other read begins a refresh behind its answer.
    claimed: AtomicU64,
    /// Until when the source is left alone.
    quiet: AtomicU64,
    pub(crate) validator: Option<Arc<str>>,
    pub(crate) is_negative: bool,
    mark: Mark,
}

impl<V> Kept<V> {
    pub(crate) fn new(value: Arc<V>, ages: Option<Ages>) -> Self {
        Self { value, ages: ages.map(Arc::new) }
    }

    /// The value, shared with whoever reads it.
    pub fn value(&self) -> &Arc<V> {
        &self.value
    }

    /// The value and the record of its ages, if it has one.
    pub(crate) fn into_parts(self) -> (Arc<V>, Option<Arc<Ages>>) {
        (self.value, self.ages)
    }

    /// When it ceases to be fresh; `None` if the memory tier ends it then.
    pub fn fresh_until(&self) -> Option<Time> {
        self.ages.as_ref().map(|ages| ages.stale())
    }

    /// The lifetime; `None` if it is fresh until the memory tier ends it.
    pub(crate) fn life(&self) -> Option<Lifetime> {
        self.ages.as_ref().map(|ages| ages.life())
    }

    /// Which write it is of; `None` if that is not known, or not yet.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        self.ages.as_ref()?.mark.as_ref()?.get().copied()
    }

    /// Tells whether it may answer a read as fresh, without a look at the clock where that cannot matter.
    pub(crate) fn is_fresh(&self, now: impl FnOnce() -> Time) -> bool {
        self.ages.as_ref().is_none_or(|ages| now() < ages.life().stale())
    }

    /// Ends its fresh life now, and says whether a copy to fall back on remains; if not, it is to be removed. To be called
    /// under the lock of its shard.
    pub(crate) fn expire(&self, now: Time) -> bool {
        let Some(ages) = &self.ages else { return false };
        ages.change(|life| life.expired(now)).stands_in(now)
    }

    /// A new fresh life of `ttl` from now, and how long the memory tier has to hold it for that. To be called under the
    /// lock of its shard.
    pub(crate) fn renew(&self, now: Time, ttl: Ttl) -> Ttl {
        match &self.ages {
            Some(ages) if !ttl.is_zero() => {
                Ttl::between(now, ages.change(|life| life.renewed(now, ttl)).gone())
            }
            _ => ttl,
        }
    }
}

impl Ages {
    pub(crate) fn new(life: Lifetime, validator: Option<Arc<str>>, is_negative: bool) -> Self {
        let ages = Self {
            notice: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            life: Mutex::new(life),
            claimed: AtomicU64::new(0),
            quiet: AtomicU64::new(0),
            validator,
            is_negative,
            mark: None,
        };
        ages.change(|life| life);
        ages
    }

    /// Says where it is told which write the value is of.
    pub(crate) fn marked(self, mark: Mark) -> Self {
        Self { mark, ..self }
    }

    /// Before this moment the value is fresh and nobody has to know of a read.
    #[inline]
    pub(crate) fn notice(&self) -> Time {
        Time::from_nanos(self.notice.load(Relaxed))
    }

    #[inline]
    pub(crate) fn stale(&self) -> Time {
        Time::from_nanos(self.stale.load(Relaxed))
    }

    pub(crate) fn life(&self) -> Lifetime {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(Lifetime) -> Lifetime) -> Lifetime {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        *life = change(*life);
        self.notice.store(if self.is_negative { 0 } else { life.due().as_nanos() }, Relaxed);
        self.stale.store(life.stale().as_nanos(), Relaxed);
        *life
    }

    /// Takes it on oneself to refresh the value, unless someone else has until now.
    pub(crate) fn claim(&self, now: Time, until: Time) -> bool {
        let claimed = self.claimed.load(Relaxed);
        claimed <= now.as_nanos()
            && self.claimed.compare_exchange(claimed, until.as_nanos(), Relaxed, Relaxed).is_ok()
    }

    /// Leaves the source alone until then.
    pub(crate) fn rest(&self, until: Time) {
        self.quiet.fetch_max(until.as_nanos(), Relaxed);
        self.claimed.fetch_max(until.as_nanos(), Relaxed);
    }

    pub(crate) fn is_quiet(&self, now: Time) -> bool {
        now.as_nanos() < self.quiet.load(Relaxed)
    }
}

impl<V> Clone for Kept<V> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), ages: self.ages.clone() }
    }
}

impl<V: fmt::Debug> fmt::Debug for Kept<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("value", &self.value).field("life", &self.life()).finish_non_exhaustive()
    }
}

/// What a cache still has of a key when it has to be loaded, shown to the loader of
/// [`get_or_refresh`](crate::Cache::get_or_refresh).
pub struct Last<V> {
    pub(crate) kept: Kept<V>,
    pub(crate) tags: Tags,
    /// When it ceases to be fresh.
    pub(crate) ends: Time,
    /// Taken before the look that found it.
    pub(crate) ticket: Ticket,
}

impl<V> Last<V> {
    /// The value, most often a stale one.
    pub fn value(&self) -> &Arc<V> {
        self.kept.value()
    }

    /// What [`Loaded::with_validator`](crate::Loaded::with_validator) said of it, such as an entity tag.
    pub fn validator(&self) -> Option<&str> {
        self.kept.ages.as_ref()?.validator.as_deref()
    }

    /// The groups it belongs to.
    pub fn tags(&self) -> &Tags {
        &self.tags
    }

    /// It as an answer.
    pub(crate) fn hit(&self) -> Hit<V> {
        Hit::new(Arc::clone(self.value()), Source::Memory, self.ends)
    }

    /// Tells whether it may stand in for what cannot be loaded.
    pub(crate) fn stands_in(&self, now: Time) -> bool {
        self.kept.life().is_some_and(|life| life.stands_in(now))
    }
}

impl<V> Clone for Last<V> {
    fn clone(&self) -> Self {
        Self { kept: self.kept.clone(), tags: self.tags.clone(), ..*self }
    }
}

impl<V: fmt::Debug> fmt::Debug for Last<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Last")
            .field("value", self.value())
            .field("validator", &self.validator())
            .field("tags", &self.tags)
            .finish_non_exhaustive()
    }
}
