//! Loads as tasks: each is its own, belongs to the cache and not to who waits, and has its deadlines.
//!
//! ```text
//! the tiers below memory ── there? ─► land                  below.rs
//!    │ no
//! admitted? ── no ─► nobody loads: over budget
//!    │
//! the loader ── in time ─► land
//!    │ hard timeout
//! waiters are answered, the key is free ── too many go on already ─► given up
//!    │
//! the loader goes on ─► land: stored only if nothing has happened to the key since
//! ```

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cache_core::CacheKey;

use crate::below::Sought;
use crate::cache::Shared;
use crate::close::Place;
use crate::fence::Ticket;
use crate::flight::{Failure, Landing, Leader};
use crate::gate::pass;
use crate::kept::Last;
use crate::load::Loader;
use crate::options::Options;
use crate::stats::{LoadCounts, Run};
use crate::sync::{select, timeout};
use crate::write::{Origin, Record};

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Runs the load of one key, which stores and lands by itself.
    pub(crate) fn load(
        self: &Arc<Self>,
        place: Place,
        leader: Leader<K, V>,
        (options, last): (Options, Option<Last<V>>),
        load: Loader<V>,
    ) {
        let sought = vec![Sought::new(leader, last)];
        self.look_below(place, sought, options, move |shared, place, mut sought, options| {
            let Some(sought) = sought.pop() else { return };
            if let Some(landing) = shared.served_from_below(&sought) {
                let key = sought.leader.key().clone();
                sought.leader.land(landing);
                drop(place);
                // The next one who reads it would begin to refresh it: this one has a loader at hand.
                return shared.refresh_behind(&key, options.clone(), load);
            }
            shared.load_from_source(place, sought, options, load);
        });
    }

    /// As [`load`](Self::load), of what is not found below memory.
    fn load_from_source(
        self: &Arc<Self>,
        place: Place,
        Sought { leader, last, .. }: Sought<K, V>,
        options: &Options,
        load: Loader<V>,
    ) {
        let began = self.memory.clock().now();
        let (terms, shown) = (options.clone(), last.clone());
        let load = load(shown);
        self.spawn_load(place, (vec![leader], options), load, move |shared, mut leaders, brought| {
            let Some(leader) = leaders.pop() else { return Vec::new() };
            let (landing, stored) = match brought {
                Ok(brought) => {
                    let origin = Origin { last: last.as_ref(), began };
                    shared.store_loaded(&leader, brought, &terms, &origin)
                }
                Err(failure) => (shared.fail(&leader, &Arc::new(failure), &terms), None),
            };
            let stored = stored.map(|record| Stored::new(&leader, record, &terms));
            leader.land(landing);
            stored.into_iter().collect()
        });
    }

    /// Runs a load as a task of its own, which ends with the cache, and hands what it brings to `land`. What that has stored goes to
    /// the tiers below memory, behind the answers.
    pub(crate) fn spawn_load<T: Send + 'static>(
        self: &Arc<Self>,
        mut place: Place,
        (leaders, options): (Vec<Leader<K, V>>, &Options),
        load: impl Future<Output = Result<T, Failure>> + Send + 'static,
        land: impl FnOnce(&Self, Vec<Leader<K, V>>, Result<T, Failure>) -> Vec<Stored<K, V>> + Send + 'static,
    ) {
        let admission = self.admit(options);
        let (cache, counts) = (Arc::downgrade(self), Arc::clone(&self.loads));
        let (hard, most_abandoned) = (options.hard_timeout(), self.limits.abandoned);
        let clock = Arc::clone(self.memory.clock());
        place.runtime.clone().spawn(async move {
            let admitted = select! {
                run = within(hard, admission) => run,
                () = place.ended() => return,
            };
            let run = match admitted.ok_or(Landing::TimedOut).and_then(|run| run.map_err(Landing::OverBudget))
            {
                Ok(run) => run,
                Err(landing) => {
                    return leaders.into_iter().for_each(|leader| leader.land(landing.clone()));
                }
            };
            let began = clock.now();
            let mut load = pin!(load);
            let in_time = select! {
                outcome = within(hard, &mut load) => outcome,
                () = place.ended() => return,
            };
            let (outcome, abandoned) = if let Some(outcome) = in_time {
                (outcome, None)
            } else {
                let abandoned = LoadCounts::abandon(&counts, most_abandoned);
                leaders.iter().for_each(Leader::abandon);
                if abandoned.is_none() {
                    return;
                }
                let outcome = select! {
                    outcome = load => outcome,
                    () = place.ended() => return,
                };
                (outcome, abandoned)
            };
            drop(abandoned);
            run.end(outcome.is_ok(), clock.now().since(began));
            if let Some(shared) = cache.upgrade() {
                let stored = land(&shared, leaders, outcome);
                if !shared.is_alone() {
                    let notes = std::mem::take(&mut place.notes);
                    select! {
                        () = shared.write_back(stored, &notes) => {}
                        () = place.ended() => {}
                    }
                }
            }
        });
    }

    /// Begins to count a load, at once if there is no gate to be passed. If the source may not be asked now, says when it may be, if that is
    /// known.
    pub(crate) fn admit(
        &self,
        options: &Options,
    ) -> impl Future<Output = Result<Run, Option<Duration>>> + Send + use<K, V> {
        let (counts, most) = (Arc::clone(&self.loads), self.limits.loads);
        let gate = self.budget.clone().map(|gate| (gate, options.clone()));
        let begun = if gate.is_none() { LoadCounts::begin(&counts, most) } else { None };
        async move {
            let run = match gate {
                None => begun.ok_or(None),
                // What could not run in the end is not charged.
                Some(_) if counts.is_full(most) => Err(None),
                Some((gate, options)) => match pass(&*gate, &options).await {
                    Ok(()) => LoadCounts::begin(&counts, most).ok_or(None),
                    Err(retry_in) => Err(retry_in),
                },
            };
            run.inspect_err(|_| LoadCounts::count(&counts.refused))
        }
    }

    /// Notes that a load has failed, where that is of use to later calls, and says how it has ended.
    pub(crate) fn fail(
        &self,
        leader: &Leader<K, V>,
        failure: &Arc<Failure>,
        options: &Options,
    ) -> Landing<V> {
        let key = leader.key();
        let permit = || self.fence.may_join(leader.ticket(), key);
        if permit() {
            self.rest(key, options);
        }
        if let Some(window) = options.cache_errors_for() {
            let tags = options.tags().cloned().unwrap_or_default();
            self.failures.remember(key, (failure, tags), window, permit);
        }
        Landing::Failed(Arc::clone(failure))
    }
}

/// What comes of something within its time, if it has one.
pub(crate) async fn within<F: Future>(time: Option<Duration>, future: F) -> Option<F::Output> {
    match time {
        Some(time) => timeout(time, future).await.ok(),
        None => Some(future.await),
    }
}

/// What a load has put into memory.
pub(crate) struct Stored<K, V> {
    pub(crate) key: K,
    pub(crate) ticket: Ticket,
    pub(crate) record: Record<V>,
    /// Whether others are to be told, because what they have is known to be older.
    pub(crate) is_news: bool,
}

impl<K: CacheKey + Clone, V> Stored<K, V> {
    pub(crate) fn new(leader: &Leader<K, V>, record: Record<V>, options: &Options) -> Self {
        let is_news = options.force_refresh() == Some(true);
        Self { key: leader.key().clone(), ticket: leader.ticket(), record, is_news }
    }
}
