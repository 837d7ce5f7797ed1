//! Reading by age: what may be answered at once, what has to be loaded, and what stands in when that fails.
//!
//! ```text
//! fresh      answer
//! due        answer, and refresh behind it, once
//! stale      in the window to refresh in: answer as stale, and refresh behind it, once
//!            a load has just failed:      answer as stale, and leave the source alone
//!            otherwise:                   load; if that fails or takes too long, answer as stale
//! gone       load
//! ```

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{CacheKey, Lifetime, Time};
use cache_memory::Found;

use crate::cache::Shared;
use crate::fence::Ticket;
use crate::hit::{Hit, Source, Stale};
use crate::kept::{Ages, Kept, Last};
use crate::options::Options;
use crate::stats::LoadCounts;
use crate::tiers::Silent;
use crate::wait::Wait;

/// What a look into memory has found.
pub(crate) enum Seen<V> {
    /// It is fresh for certain, and nobody has to know of the read.
    Fresh(Hit<V>),
    /// There is a value of which the age matters. Not counted yet, neither as a read nor as a use.
    Aged,
    Nothing,
}

/// A value and its age.
struct Aged<V> {
    value: Arc<V>,
    record: Arc<Ages>,
    life: Lifetime,
    now: Time,
}

/// What is to be done for a read that has found an aged value.
pub(crate) enum Verdict<V> {
    Answer(Hit<V>),
    AnswerAndRefresh(Hit<V>),
    Load,
}

impl<V> Aged<V> {
    fn hit(&self) -> Hit<V> {
        Hit::new(Arc::clone(&self.value), Source::Memory, self.life.stale())
    }
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Looks into memory, which counts as a read and as a use unless the age matters: then the value has to be looked up again, so
    /// that a hit carries nothing but itself.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "a hit is one piece of code: a call in it costs a fifth of the whole"
    )]
    pub(crate) fn find<Q>(&self, key: &Q) -> Seen<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut is_aged = false;
        let fresh = self.memory.get_if(key, |found| {
            let ends = self.ends_for_certain(&found);
            is_aged = ends.is_none();
            Some((Arc::clone(found.value().value()), ends?))
        });
        match fresh {
            Some((value, ends)) => Seen::Fresh(Hit::new(value, Source::Memory, ends)),
            None if is_aged => Seen::Aged,
            None => Seen::Nothing,
        }
    }

    /// A fresh value in memory, or a stale one that may answer, if those are served.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as `find`, which it hands on")]
    pub(crate) fn find_local<Q>(&self, key: &Q, serves_stale: bool) -> Option<Hit<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match self.find(key) {
            Seen::Fresh(hit) => Some(hit),
            Seen::Aged => self.without_loader(key, serves_stale),
            Seen::Nothing => None,
        }
    }

    /// When this value ceases to be fresh, if that is certainly not now and nobody has to know of the read.
    #[inline]
    fn ends_for_certain(&self, found: &Found<'_, K, Kept<V>>) -> Option<Time> {
        match &found.value().ages {
            None => Some(found.expires()),
            Some(ages) if ages.notice() == Time::NEVER || self.memory.is_surely_before(ages.notice()) => {
                Some(ages.stale())
            }
            Some(_) => None,
        }
    }

    /// The answer to a read that has no loader and has seen an aged value.
    #[cold]
    #[inline(never)]
    pub(crate) fn without_loader<Q>(&self, key: &Q, serves_stale: bool) -> Option<Hit<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let aged = match self.aged(key) {
            Ok(aged) => aged,
            Err(plain) => return plain,
        };
        if aged.now < aged.life.stale() {
            self.note_negative(&aged);
            return Some(aged.hit());
        }
        if serves_stale && aged.life.answers(aged.now) {
            return Some(self.stale(aged.hit(), Stale::Served));
        }
        LoadCounts::count(&self.loads.found_stale);
        None
    }

    /// What is to be done for a read that has a loader and has seen an aged value.
    #[cold]
    pub(crate) fn judge<Q>(&self, key: &Q, throttle: Duration) -> Verdict<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let aged = match self.aged(key) {
            Ok(aged) => aged,
            Err(plain) => return plain.map_or(Verdict::Load, Verdict::Answer),
        };
        let Aged { record, life, now, .. } = &aged;
        if *now < life.stale() || life.answers(*now) {
            let refresh = *now >= life.due() && record.claim(*now, now.after(throttle));
            self.note_negative(&aged);
            let hit =
                if *now < life.stale() { aged.hit() } else { self.stale(aged.hit(), Stale::Refreshing) };
            return if refresh { Verdict::AnswerAndRefresh(hit) } else { Verdict::Answer(hit) };
        }
        if record.is_quiet(*now) && life.stands_in(*now) {
            return Verdict::Answer(self.stale(aged.hit(), Stale::Throttled));
        }
        LoadCounts::count(&self.loads.found_stale);
        Verdict::Load
    }

    /// Tells whether a load that was begun for want of a fresh value has one now.
    pub(crate) fn is_served(&self, last: &Last<V>, options: &Options) -> bool {
        let forced = options.force_refresh() == Some(true);
        !forced && last.kept.is_fresh(|| self.memory.clock().now())
    }

    /// Tells whether the source of this value is left alone now, because it has just failed.
    pub(crate) fn is_resting(&self, last: &Last<V>) -> bool {
        let now = self.memory.clock().now();
        last.stands_in(now) && last.kept.ages.as_ref().is_some_and(|ages| ages.is_quiet(now))
    }

    /// What is in memory, of any age, for a load that began with this ticket.
    pub(crate) fn last(&self, key: &K, ticket: Ticket) -> Option<Last<V>> {
        let last = |found: Found<'_, K, Kept<V>>| {
            let kept = found.value().clone();
            let ends = kept.ages.as_ref().map_or_else(|| found.expires(), |ages| ages.stale());
            Last { kept, tags: found.tags().clone(), ends, ticket }
        };
        self.memory.peek_with(key, last)
    }

    /// The answer in place of one that could not be loaded: what is in memory now or, if that has been evicted since, what
    /// was there when the load began. Nothing that was removed meanwhile.
    pub(crate) fn rescue(&self, wait: &Wait<'_, K, V>, why: Stale) -> Option<Hit<V>> {
        let Wait { key, options, last, .. } = *wait;
        let began = last.map_or_else(|| self.fence.ticket(key), |last| last.ticket);
        let current = self.last(key, began);
        if let Some(current) = current.as_ref().filter(|current| self.is_served(current, options)) {
            // Someone else has stored it since.
            return Some(current.hit());
        }
        let still_valid = |last: &&Last<V>| self.fence.may_store(last.ticket, key, &last.tags);
        let last = current.as_ref().or_else(|| last.filter(still_valid))?;
        let now = self.memory.clock().now();
        if !last.stands_in(now) {
            return None;
        }
        if let Some(ages) = &last.kept.ages
            && matches!(why, Stale::Failed | Stale::TimedOut)
        {
            ages.rest(now.after(options.throttle()));
        }
        Some(self.stale(last.hit(), why))
    }

    /// What stands in for a fresh value that no tier has, of which these did not answer: a stale one in memory, if it may.
    pub(crate) fn copy(&self, key: &K, silent: Silent) -> Option<Hit<V>> {
        if silent.is_empty() && !self.serves_stale {
            return None;
        }
        let copy = self.last(key, self.fence.ticket(key))?;
        let now = self.memory.clock().now();
        let serves = self.serves_stale && copy.kept.life().is_some_and(|life| life.answers(now));
        let why = match () {
            () if serves => Stale::Served,
            () if !silent.is_empty() && copy.stands_in(now) => Stale::Unreachable,
            () => return None,
        };
        Some(self.stale(copy.hit(), why))
    }

    /// Leaves the source alone for a while, for all who read what is in memory now.
    pub(crate) fn rest(&self, key: &K, options: &Options) {
        let until = self.memory.clock().now().after(options.throttle());
        self.memory.peek_with(key, |found| {
            if let Some(ages) = &found.value().ages {
                ages.rest(until);
            }
        });
    }

    /// The aged value that a look has found, or what is there in its place by now. This is the read that counts.
    fn aged<Q>(&self, key: &Q) -> Result<Aged<V>, Option<Hit<V>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let found = self.memory.get_with(key, |found| (found.value().clone(), found.expires()));
        let Some((kept, expires)) = found else { return Err(None) };
        let (value, record) = match kept.into_parts() {
            (value, Some(record)) => (value, record),
            (value, None) => return Err(Some(Hit::new(value, Source::Memory, expires))),
        };
        Ok(Aged { life: record.life(), value, record, now: self.memory.clock().now() })
    }

    pub(crate) fn stale(&self, hit: Hit<V>, why: Stale) -> Hit<V> {
        self.loads.count_stale(why);
        hit.with_stale(why)
    }

    fn note_negative(&self, aged: &Aged<V>) {
        if aged.record.is_negative {
            LoadCounts::count(&self.loads.negative_hits);
        }
    }
}
