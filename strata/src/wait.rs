//! Waiting for a load, with the patience that the options allow, and what its end is to who has waited.

use std::pin::pin;
use std::time::Duration;

use cache_core::CacheKey;

use crate::cache::Shared;
use crate::flight::{Follower, Landing};
use crate::gate::OverBudget;
use crate::hit::{Source, Stale};
use crate::kept::Last;
use crate::load::Outcome;
use crate::loaded::LoadError;
use crate::options::Options;
use crate::stats::LoadCounts;
use crate::sync::{Instant, timeout};

/// A caller that waits for a landing, and what it may fall back on.
pub(crate) struct Wait<'a, K, V> {
    pub(crate) key: &'a K,
    pub(crate) options: &'a Options,
    pub(crate) last: Option<&'a Last<V>>,
    pub(crate) source: Source,
    /// When the call began to wait, if it does not do so for ever.
    pub(crate) since: Option<Instant>,
}

impl<K, V> Wait<'_, K, V> {
    /// How much longer the call waits at most; `None` if without an end.
    pub(crate) fn left(&self) -> Option<Duration> {
        let waited = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        self.options.hard_timeout().map(|hard| hard.saturating_sub(waited))
    }
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Waits for another call's load; `None` if it has no answer for this one: a load of many keys did not bring this
    /// one, a tag of what it brought was removed since it began, it was given up before this call's time is over, or the
    /// cache was closed before it began.
    pub(crate) async fn joined(
        &self,
        follower: &mut Follower<V>,
        wait: &Wait<'_, K, V>,
    ) -> Option<Outcome<V>> {
        let begun = follower.ticket();
        let landing = match self.in_time(follower, wait).await {
            Ok(landing) => landing,
            Err(answer) => return Some(answer),
        };
        if matches!(landing, Landing::Closed) {
            return None;
        }
        if let Landing::Value(_, tags) = &landing
            && !self.fence.may_share(begun, tags)
        {
            return None;
        }
        if matches!(landing, Landing::TimedOut) && wait.left().is_none_or(|left| !left.is_zero()) {
            // Whoever has come late is entitled to a load of his own for the rest of his time.
            return self.rescue(wait, Stale::TimedOut).map(Ok);
        }
        self.answer(landing, wait)
    }

    /// Waits for a landing, and says what it is to this caller; `None` if the load did not bring its key.
    pub(crate) async fn landed(
        &self,
        mut follower: Follower<V>,
        wait: &Wait<'_, K, V>,
    ) -> Option<Outcome<V>> {
        match self.in_time(&mut follower, wait).await {
            Ok(landing) => self.answer(landing, wait),
            Err(answer) => Some(answer),
        }
    }

    /// The landing or, if it does not come in time, the answer without it.
    async fn in_time(
        &self,
        follower: &mut Follower<V>,
        wait: &Wait<'_, K, V>,
    ) -> Result<Landing<V>, Outcome<V>> {
        // One place for it, whichever of these waits it is.
        let mut landing = pin!(follower.landing());
        let (soft, hard) = (wait.options.soft_timeout(), wait.left());
        let may_answer = |last: &&Last<V>| last.stands_in(self.memory.clock().now());
        let soft = soft.filter(|soft| hard.is_none_or(|hard| *soft < hard));
        let soft = soft.filter(|_| wait.last.as_ref().is_some_and(may_answer));
        let Some(first) = soft.or(hard) else { return Ok(landing.await) };
        if let Ok(landing) = timeout(first, &mut landing).await {
            return Ok(landing);
        }
        if soft.is_some() {
            LoadCounts::count(&self.loads.soft_timeouts);
            if let Some(hit) = self.rescue(wait, Stale::TimedOut) {
                return Err(Ok(hit));
            }
            let Some(hard) = hard else { return Ok(landing.await) };
            if let Ok(landing) = timeout(hard.saturating_sub(first), &mut landing).await {
                return Ok(landing);
            }
        }
        LoadCounts::count(&self.loads.hard_timeouts);
        Err(self.rescue(wait, Stale::TimedOut).ok_or(LoadError::TimedOut))
    }

    /// What a landing is to a caller who waited; `None` if the load did not bring its key.
    pub(crate) fn answer(&self, landing: Landing<V>, wait: &Wait<'_, K, V>) -> Option<Outcome<V>> {
        let (why, error) = match landing {
            // Whoever led knows best where it came from.
            Landing::Value(hit, _) if wait.source == Source::Loader => return Some(Ok(hit)),
            Landing::Value(hit, _) => return Some(Ok(hit.with_source(wait.source))),
            Landing::Absent => return None,
            Landing::Resting => return self.rescue(wait, Stale::Throttled).map(Ok),
            Landing::OverBudget(retry_in) if wait.options.over_budget() == Some(OverBudget::Fail) => {
                return Some(Err(LoadError::OverBudget { retry_in }));
            }
            Landing::OverBudget(retry_in) => (Stale::OverBudget, LoadError::OverBudget { retry_in }),
            Landing::TimedOut => {
                LoadCounts::count(&self.loads.hard_timeouts);
                (Stale::TimedOut, LoadError::TimedOut)
            }
            Landing::Failed(failure) => (Stale::Failed, LoadError::Failed(failure)),
            Landing::NothingToKeep => (Stale::Failed, LoadError::NothingToKeep),
            Landing::Panicked => (Stale::Failed, LoadError::Panicked),
            Landing::Aborted | Landing::Closed => (Stale::Failed, LoadError::Aborted),
        };
        Some(self.rescue(wait, why).ok_or(error))
    }
}
