//! Budgets: how often somebody else's service may be called, by all who share it.
//!
//! ```text
//! take("ticker") ─► told to wait by the other side? ── yes ─► Wait, by Remote
//!                   pace of this process, which halves with each refusal of theirs and grows with each success
//!                   counters: global │ endpoint │ burst, all or none
//! ```

mod plan;
mod throttle;

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cache_core::metric::{self, Metric};
use cache_core::{Charge, Clock, Counters, Key, KeyError, Namespace, Quota};
use parking_lot::Mutex;

pub use self::plan::Plan;
use self::throttle::Throttle;
use crate::decision::{Answer, By, Decision};
use crate::fallback::Fallback;
use crate::shared::{Desk, Said, common};

/// What may be called how often: in all, each endpoint, and in a burst, at once or not at all.
///
/// Shared by as many caches as hold it, and by all processes whose counters are the same. What the other side says is
/// known to the process that was told. While the counters are away nothing passes, unless a [`Fallback`] is set: whoever
/// calls too often may be banned.
///
/// ```
/// use cache_memory::MemoryCounters;
/// use cache_ratelimit::{Answer, Budget, Plan};
/// use std::{sync::Arc, time::Duration};
/// # pollster::block_on(async {
/// let counters = Arc::new(MemoryCounters::new()); // or those of Redis
/// let budget = Budget::new(Plan::MARKET_DATA, counters)?;
/// for _ in 0..10 {
///     assert_eq!(budget.can_call("ticker").await, (true, Duration::ZERO));
///     assert_eq!(budget.take("ticker").await.answer, Answer::Now);
/// }
/// let (allowed, wait) = budget.can_call("ticker").await;
/// assert!(!allowed && wait <= Duration::from_secs(61), "ten a minute for each endpoint");
/// assert!(budget.can_call("order book").await.0);
///
/// budget.refused(Some(Duration::from_secs(30))); // a 429 with Retry-After: 30
/// assert!(!budget.can_call("order book").await.0);
/// assert_eq!((budget.stats().used, budget.stats().refused), (10, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Budget {
    plan: Plan,
    namespace: Namespace,
    whole: Key,
    desk: Desk,
    throttle: Mutex<Throttle>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    used: AtomicU64,
    blocked: AtomicU64,
    saved: AtomicU64,
    refused: AtomicU64,
}

/// What has become of a budget so far, in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct BudgetStats {
    /// Calls that were admitted.
    pub used: u64,
    /// Calls that were not.
    pub blocked: u64,
    /// Calls that did not have to be made, as somebody has said by [`Budget::saved`].
    pub saved: u64,
    /// How often the other side has refused.
    pub refused: u64,
    /// The share of the plan that this process goes by at present: 1 unless the other side has refused.
    pub pace: f64,
}

impl Budget {
    /// A budget by this plan, counted here. Whatever its limits, it counts on what was charged to a plan of its name in windows of the same
    /// length: so limits may change, one process after another.
    ///
    /// # Errors
    /// The plan's name is no namespace of keys.
    pub fn new(plan: Plan, counters: Arc<dyn Counters>) -> Result<Self, KeyError> {
        let namespace = Namespace::new(plan.name)?;
        let whole = namespace.key().part("all").build()?;
        let throttle = Mutex::new(Throttle::new(&plan));
        Ok(Self { plan, namespace, whole, desk: Desk::new(counters), throttle, counts: Counts::default() })
    }

    /// What is decided while the counters are away. Default: closed.
    #[must_use]
    pub fn with_fallback(mut self, fallback: Fallback) -> Self {
        self.desk.set_fallback(fallback);
        self
    }

    /// Lives by this clock instead of the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.desk.set_clock(clock);
        self
    }

    /// Tells whether the endpoint may be called now, and if not, how long to wait. Charges nothing, so somebody else may
    /// be faster: whoever calls asks by [`take`](Self::take). Where nothing is left, it takes a call and gives it back at once to
    /// learn for how long.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, that call may have been charged.
    pub async fn can_call(&self, endpoint: &str) -> (bool, Duration) {
        let said = self.peek(endpoint).await;
        match said.answer {
            Answer::Now => (true, Duration::ZERO),
            Answer::Wait(wait) => (false, wait),
            Answer::Never => (false, Duration::MAX),
        }
    }

    /// Asks for one call of the endpoint, and charges all limits if all of them have room.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the call may have been charged.
    pub async fn take(&self, endpoint: &str) -> Decision {
        let turn = self.throttle.lock().take(self.desk.now());
        let said = match turn {
            Err(wait) => Said::uncharged(Answer::Wait(wait), By::Remote),
            Ok(turn) => {
                let said = self.charge(endpoint, 1).await;
                if said.answer != Answer::Now {
                    self.throttle.lock().give_back(turn);
                }
                said
            }
        };
        let count = if said.answer == Answer::Now { &self.counts.used } else { &self.counts.blocked };
        count.fetch_add(1, Relaxed);
        said.decision(self.plan.name, &self.plan.global, 1)
    }

    /// The call that was admitted has succeeded: the pace grows by a step, until it is whole again.
    pub fn succeeded(&self) {
        self.throttle.lock().succeeded();
    }

    /// The other side has refused: nothing is called until its `Retry-After` has passed, or a pause that doubles with
    /// each refusal in a row, and then half as fast as before.
    pub fn refused(&self, retry_after: Option<Duration>) {
        self.counts.refused.fetch_add(1, Relaxed);
        self.throttle.lock().refused(retry_after, self.desk.now());
    }

    /// A call did not have to be made, such as by a cache that had the answer.
    pub fn saved(&self) {
        self.counts.saved.fetch_add(1, Relaxed);
    }

    /// The share of the global limit that is used at present, by all processes; 1 if that cannot be told.
    pub async fn used(&self) -> f64 {
        let charge = charge(&self.whole, self.plan.global, 0);
        let said = self.desk.charge(&self.whole, &[charge]).await;
        match said.answer {
            Answer::Now if said.by == By::Shared => 1.0 - share(said.remaining, self.plan.global.limit()),
            _ => 1.0,
        }
    }

    /// What has become of it so far, in this process.
    pub fn stats(&self) -> BudgetStats {
        let counts = &self.counts;
        BudgetStats {
            used: counts.used.load(Relaxed),
            blocked: counts.blocked.load(Relaxed),
            saved: counts.saved.load(Relaxed),
            refused: counts.refused.load(Relaxed),
            pace: self.throttle.lock().pace(),
        }
    }

    /// Tells its figures under the names of [`metric`], for whoever exports them: each with the values of its labels, in their order.
    pub fn figures(&self, mut put: impl FnMut(&Metric, &[&str], f64)) {
        let stats = self.stats();
        let results = [
            ("used", stats.used),
            ("blocked", stats.blocked),
            ("saved", stats.saved),
            ("refused", stats.refused),
        ];
        for (result, count) in results {
            put(&metric::BUDGET_CALLS, &[self.plan.name, result], share(count, 1));
        }
        put(&metric::BUDGET_PACE, &[self.plan.name], stats.pace);
    }

    /// The plan it goes by.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    async fn peek(&self, endpoint: &str) -> Said {
        if let Err(wait) = self.throttle.lock().peek(self.desk.now()) {
            return Said::uncharged(Answer::Wait(wait), By::Remote);
        }
        // Who charges nothing is told what is left, and no wait. So where nothing is, the call is asked for: it is denied
        // and charges nothing, or somebody has just made room, and it is given back.
        let asked = self.charge(endpoint, 0).await;
        if asked.answer != Answer::Now || asked.remaining > 0 {
            return asked;
        }
        let mut said = self.charge(endpoint, 1).await;
        if said.answer == Answer::Now
            && let Ok(charges) = self.charges(endpoint, 1)
        {
            self.desk.refund(said.by, &charges, mem::take(&mut said.receipt)).await;
        }
        said
    }

    async fn charge(&self, endpoint: &str, cost: u64) -> Said {
        match self.charges(endpoint, cost) {
            Ok(charges) => self.desk.charge(&charges[0].key.clone(), &charges).await,
            // Such an endpoint cannot be told from others.
            Err(_) => Said::uncharged(Answer::Never, By::Closed),
        }
    }

    /// The endpoint first: what it is denied is remembered under its name.
    fn charges(&self, endpoint: &str, cost: u64) -> Result<Vec<Charge>, KeyError> {
        let endpoint = self.namespace.key().part("endpoint").part(endpoint).build()?;
        let Plan { global, endpoint: each, burst, .. } = self.plan;
        let mut charges = vec![charge(&endpoint, each, cost), charge(&self.whole, global, cost)];
        match burst.map(|burst| charge(&self.whole, burst, cost)) {
            // Of the same windows as the whole, the smaller limit holds.
            Some(burst) if burst.quota == charges[1].quota => {
                charges[1].spare = charges[1].spare.max(burst.spare);
            }
            burst => charges.extend(burst),
        }
        Ok(charges)
    }
}

/// A charge in the window that all plans of this name have in common, so that one whose limit has changed, in this process or another, goes on
/// with what is charged.
fn charge(key: &Key, quota: Quota, cost: u64) -> Charge {
    let common = common(quota);
    Charge { spare: common.limit() - quota.limit(), ..Charge::new(key.clone(), common, cost) }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people and strategies")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
