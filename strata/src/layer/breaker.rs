//! Not asking who keeps failing.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cache_core::{Clock, Error, ErrorKind, Result, Time};
use cache_policy::{Breaker, Pass, Passage, Trip};

use super::{Layer, Operation};

/// A [`Breaker`] around a store. While it is open an operation fails at once with [`ErrorKind::Suspended`], which costs a lock.
///
/// Errors that [may pass by themselves](Error::is_retryable) count as failures of the place; a refusal or something unreadable is an answer.
/// Transitions are counted, and logged by `tracing`: opening as a warning.
#[derive(Debug)]
pub struct CircuitBreaker {
    breaker: Mutex<Breaker>,
    clock: Arc<dyn Clock>,
    /// How many see to its probes.
    watches: AtomicUsize,
    /// When one of them has looked last, in nanoseconds of its clock.
    looked: AtomicU64,
    /// Since when it has not been closed, by its clock.
    away_since: Mutex<Option<Duration>>,
    counts: Counts,
}

/// Somebody sees to the probes of a breaker. While there is one, who looks at least every 30 s, it admits nobody else until it is closed.
#[derive(Debug)]
#[must_use = "a watch ends when it is dropped"]
pub struct Watch(Arc<CircuitBreaker>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.watches.fetch_sub(1, Relaxed);
    }
}

/// After which a watch that has not looked counts as none.
const LONGEST_LOOK: Duration = Duration::from_secs(30);

/// Who wants to ask.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asker {
    User,
    Probe,
}

#[derive(Debug, Default)]
struct Counts {
    opened: AtomicU64,
    probes: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
}

/// What a breaker has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerStats {
    /// How often it has opened.
    pub opened: u64,
    /// How many probes it has let through.
    pub probes: u64,
    /// How often it has closed again.
    pub closed: u64,
    /// How many operations it has refused.
    pub refused: u64,
}

impl CircuitBreaker {
    /// A closed breaker whose pauses run on this clock.
    pub fn new(trip: Trip, clock: Arc<dyn Clock>) -> Self {
        Self {
            breaker: Mutex::new(Breaker::new(trip)),
            clock,
            watches: AtomicUsize::new(0),
            looked: AtomicU64::new(0),
            away_since: Mutex::new(None),
            counts: Counts::default(),
        }
    }

    /// For how long its place has been away by now; `None` while the breaker is closed.
    pub fn away_for(&self) -> Option<Duration> {
        let since = *self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        Some(self.clock.now().since(Time::ZERO).saturating_sub(since?))
    }

    /// Sees to its probes from now on: nobody else is admitted while it is not closed.
    pub fn watch(self: &Arc<Self>) -> Watch {
        self.watches.fetch_add(1, Relaxed);
        self.look();
        Watch(Arc::clone(self))
    }

    fn look(&self) {
        self.looked.store(self.clock.now().as_nanos(), Relaxed);
    }

    /// Whether somebody sees to its probes who has looked lately: one whose runtime is not driven any more does not.
    fn is_watched(&self) -> bool {
        let looked = || self.clock.now().since(Time::from_nanos(self.looked.load(Relaxed)));
        self.watches.load(Relaxed) > 0 && looked() < LONGEST_LOOK
    }

    /// Makes an attempt as its probe, if it admits one.
    pub(super) async fn probe<T>(&self, operation: Operation, attempt: impl AsyncFnOnce() -> Result<T>) {
        self.look();
        if let Some(leave) = self.admit(operation, Asker::Probe) {
            let outcome = attempt().await;
            leave.ended(outcome.is_err_and(|error| error.is_retryable()));
        }
    }

    /// What it lets pass. It stays open until somebody asks after its pause.
    pub fn passage(&self) -> Passage {
        self.lock().passage()
    }

    /// What it has done so far.
    pub fn stats(&self) -> BreakerStats {
        let Counts { opened, probes, closed, refused } = &self.counts;
        let [opened, probes, closed, refused] =
            [opened, probes, closed, refused].map(|count| count.load(Relaxed));
        BreakerStats { opened, probes, closed, refused }
    }

    fn admit(&self, operation: Operation, asker: Asker) -> Option<Leave<'_>> {
        let is_watched = asker == Asker::User && self.is_watched();
        let pass = self.change(operation, |breaker, now| {
            let is_admitted = !is_watched || breaker.passage() == Passage::Closed;
            is_admitted.then(|| breaker.admit(now)).flatten()
        });
        if pass.is_none() && asker == Asker::User {
            self.counts.refused.fetch_add(1, Relaxed);
        }
        pass.map(|pass| Leave { breaker: self, operation, pass: Some(pass) })
    }

    /// Changes it, and tells of a transition.
    fn change<T>(&self, operation: Operation, change: impl FnOnce(&mut Breaker, Duration) -> T) -> T {
        let now = self.clock.now().since(Time::ZERO);
        let (before, after, outcome) = {
            let mut breaker = self.lock();
            let before = breaker.passage();
            let outcome = change(&mut breaker, now);
            let after = breaker.passage();
            if before != after {
                let mut since = self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
                *since = (after != Passage::Closed).then_some(since.unwrap_or(now));
            }
            (before, after, outcome)
        };
        if before != after {
            self.tell(operation, after);
        }
        outcome
    }

    fn tell(&self, Operation { place, name }: Operation, passage: Passage) {
        let count = match passage {
            Passage::Open => {
                tracing::warn!(
                    place,
                    operation = name,
                    "breaker open: it failed too often and is left alone"
                );
                &self.counts.opened
            }
            Passage::HalfOpen => {
                tracing::info!(place, operation = name, "breaker half-open: one operation may try");
                &self.counts.probes
            }
            _ => {
                tracing::info!(place, operation = name, "breaker closed: it answers again");
                &self.counts.closed
            }
        };
        count.fetch_add(1, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The leave to ask, which is given back even if nobody waits for the outcome any more.
struct Leave<'a> {
    breaker: &'a CircuitBreaker,
    operation: Operation,
    pass: Option<Pass>,
}

impl Leave<'_> {
    fn ended(mut self, is_failure: bool) {
        if let Some(pass) = self.pass.take() {
            self.breaker.change(self.operation, |breaker, now| {
                if is_failure { breaker.failed(pass, now) } else { breaker.succeeded(pass) }
            });
        }
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.breaker.lock().withdrawn(pass);
        }
    }
}

impl Layer for CircuitBreaker {
    async fn around<T, F>(&self, operation: Operation, attempt: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let Some(leave) = self.admit(operation, Asker::User) else {
            return Err(Error::new(ErrorKind::Suspended, operation.place, operation.name));
        };
        let outcome = attempt().await;
        leave.ended(outcome.as_ref().is_err_and(Error::is_retryable));
        outcome
    }
}
