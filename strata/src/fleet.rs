//! One load at a time for all processes that share the tiers: a lease around the loader.
//!
//! ```text
//! not below ► claim ── mine ───► look below once more ► load ► store, write below ► give back
//!               │
//!               └ another's ───► a stale value, if one may stand in; else wait a little, look below, claim again
//! ```
//!
//! A lease only saves work. If it cannot be had, because its place is away, everybody loads as if there were none; if its
//! holder dies, it ends by itself and the next one loads. What keeps an old value out are the fence and the stores' notes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use cache_core::{Clock, Grant, Key, Lease, Result};

use crate::layer::{CircuitBreaker, Layer, Operation, TimeLimit, Trip};
use crate::sync::{Handle, pause, timeout};

/// The first pause of whoever waits for another process; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How long an answer about a lease may take at most.
const LONGEST_ANSWER: Duration = Duration::from_secs(1);
/// Between two attempts to give a lease back.
const RELEASE_PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Fleet {
    lease: Arc<dyn Lease>,
    hold: Duration,
    limit: TimeLimit,
    breaker: CircuitBreaker,
}

/// What has come of a claim.
pub(crate) enum Claim {
    Mine(Held),
    Theirs,
    /// Nobody can tell.
    Unknown,
}

/// A lease that is held and prolonged until this is dropped, which gives it back.
pub(crate) struct Held {
    fleet: Arc<Fleet>,
    grant: Grant,
    runtime: Handle,
    /// Gone with this; so whoever prolongs the lease knows when to end.
    _alive: Arc<()>,
}

impl Fleet {
    pub(crate) fn new(lease: Arc<dyn Lease>, hold: Duration, clock: Arc<dyn Clock>) -> Arc<Self> {
        let limit = TimeLimit::new(hold.min(LONGEST_ANSWER));
        Arc::new(Self { lease, hold, limit, breaker: CircuitBreaker::new(Trip::default(), clock) })
    }

    pub(crate) async fn claim(self: &Arc<Self>, key: &Key, runtime: &Handle) -> Claim {
        let grant = match self.take(key, self.hold).await {
            Ok(Some(grant)) => grant,
            Ok(None) => return Claim::Theirs,
            Err(error) => {
                tracing::debug!(%error, "no lease can be had: this process loads by itself");
                return Claim::Unknown;
            }
        };
        let alive = Arc::new(());
        runtime.spawn(prolong(Arc::clone(self), grant.clone(), Arc::downgrade(&alive)));
        Claim::Mine(Held { fleet: Arc::clone(self), grant, runtime: runtime.clone(), _alive: alive })
    }

    /// Takes the lease of a key for so long, which nobody prolongs, if nobody has it.
    pub(crate) async fn take(&self, key: &Key, hold: Duration) -> Result<Option<Grant>> {
        self.ask("acquire", || self.lease.acquire(key, hold)).await
    }

    /// Tells whether a lease is still held by this grant, and prolongs it then by as much as a write may take.
    pub(crate) async fn holds(&self, grant: &Grant) -> Result<bool> {
        self.ask("renew", || self.lease.renew(grant, self.hold)).await
    }

    /// Asks the place of the leases, as a tier is asked: not for long, and for a while not at all once it has failed too often.
    async fn ask<T, F>(&self, name: &'static str, ask: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let operation = Operation { place: "lease", name };
        self.breaker.around(operation, || self.limit.around(operation, &ask)).await
    }

    /// Gives a lease back, behind the answer where it cannot be done at once.
    pub(crate) async fn give_back(self: &Arc<Self>, grant: Grant) {
        let at_once = self.ask("release", || self.lease.release(grant.clone())).await;
        if let (Err(_), Ok(runtime)) = (at_once, Handle::try_current()) {
            let fleet = Arc::clone(self);
            runtime.spawn(async move { fleet.release(grant).await });
        }
    }

    /// Gives a lease back, or tries to until it has ended by itself: others wait for it.
    async fn release(&self, grant: Grant) {
        let given_back = async {
            while self.ask("release", || self.lease.release(grant.clone())).await.is_err() {
                pause(RELEASE_PAUSE).await;
            }
        };
        if timeout(self.hold, given_back).await.is_err() {
            tracing::debug!("a lease has ended by itself, as it could not be given back");
        }
    }
}

/// Prolongs a lease for as long as its load runs.
async fn prolong(fleet: Arc<Fleet>, grant: Grant, alive: Weak<()>) {
    loop {
        pause(fleet.hold / 2).await;
        if alive.strong_count() == 0 {
            return;
        }
        match fleet.ask("renew", || fleet.lease.renew(&grant, fleet.hold)).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::debug!(%error, "a lease could not be prolonged"),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (fleet, grant) = (Arc::clone(&self.fleet), self.grant.clone());
        self.runtime.spawn(async move { fleet.release(grant).await });
    }
}

/// The pauses of whoever waits for another process.
pub(crate) struct Patience(Duration);

impl Patience {
    pub(crate) fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    pub(crate) async fn wait(&mut self) {
        pause(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}
