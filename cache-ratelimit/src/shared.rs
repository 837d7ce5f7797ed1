//! The limiter of all processes that share counters: one step there per decision, and none for who is denied anyway.
//!
//! ```text
//! key ─► denied until later? ── yes ─► Wait, by Remembered
//!         │ no
//!        away a moment ago? ── yes ─► fallback: open │ closed │ this process's share
//!         │ no                           ▲
//!        counters: charge all or none ── fails
//!         └─► Now │ Wait, remembered │ Never
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cache_core::{Charge, Clock, Counters, Key, Quota, Receipt, Shape, SystemClock, Time, Verdict};
use cache_policy::{Breaker, Trip};
use parking_lot::Mutex;

use crate::decision::{Answer, By, Decision};
use crate::denials::Denials;
use crate::fallback::{Fallback, PAUSE, part, part_of};

const MAX_DENIALS: usize = 10_000;

/// Limits the calls of each key, within all processes that share the counters.
///
/// A decision is one call of the counters, which have a deadline of their own. One that got no answer may have been
/// charged; it is not repeated. After a failure the counters are left alone for half a second, in which the
/// [`Fallback`] decides without waiting.
///
/// ```
/// use cache_core::{Key, Quota};
/// use cache_memory::MemoryCounters;
/// use cache_ratelimit::{Answer, By, SharedLimiter};
/// use std::{sync::Arc, time::Duration};
/// # pollster::block_on(async {
/// let counters = Arc::new(MemoryCounters::new()); // or those of Redis
/// let limiter = SharedLimiter::new("default", Quota::new(1, Duration::from_secs(60))?, counters);
/// let key = Key::new("client:7")?;
/// assert_eq!(limiter.take(&key).await.answer, Answer::Now);
/// assert_eq!(limiter.take(&key).await.by, By::Shared);
/// assert_eq!(limiter.take(&key).await.by, By::Remembered);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct SharedLimiter {
    name: &'static str,
    quota: Quota,
    desk: Desk,
}

/// Where limiters and budgets ask: the counters, what stands in for them, and what they have said before.
#[derive(Debug)]
pub(crate) struct Desk {
    counters: Arc<dyn Counters>,
    fallback: Fallback,
    clock: Arc<dyn Clock>,
    breaker: Mutex<Breaker>,
    /// Since when the counters have not answered, if they did not the last time.
    gone_since: Mutex<Option<Time>>,
    denials: Denials,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    admitted: AtomicU64,
    denied: AtomicU64,
    remembered: AtomicU64,
    away: AtomicU64,
}

/// What a shared limiter has done so far, in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedStats {
    /// Calls that were admitted, by whomever.
    pub admitted: u64,
    /// Calls that were not.
    pub denied: u64,
    /// Of those, the ones that the counters were not asked about.
    pub remembered: u64,
    /// Calls that the fallback has decided.
    pub away: u64,
    /// Keys that are remembered as denied.
    pub denials: usize,
}

impl SharedLimiter {
    /// A limiter over these counters, under a name for headers and statistics. While they are away nothing passes.
    pub fn new(name: &'static str, quota: Quota, counters: Arc<dyn Counters>) -> Self {
        Self { name, quota, desk: Desk::new(counters) }
    }

    /// What is decided while the counters are away. Default: closed.
    #[must_use]
    pub fn with_fallback(mut self, fallback: Fallback) -> Self {
        self.desk.fallback = fallback;
        self
    }

    /// Lives by this clock instead of the system's. It says for how long a denial is remembered, and never what counts.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.desk.clock = clock;
        self
    }

    /// Asks for one call, and charges it if it is admitted.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the call may have been charged.
    pub async fn take(&self, key: &Key) -> Decision {
        self.take_cost(key, 1).await
    }

    /// Asks for something that costs more or less than one call. All of it is charged, or nothing; zero only asks.
    ///
    /// A denial is remembered for as long as it lasts, at most 10,000 of them: such a key is answered without the
    /// counters, also if somebody else makes room for it meanwhile.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the call may have been charged.
    pub async fn take_cost(&self, key: &Key, cost: u64) -> Decision {
        self.take_within(key, cost, self.quota.limit()).await
    }

    /// As [`take_cost`](Self::take_cost), under a limit for this call alone, such as that of the caller's class, which is at most the
    /// quota's. All calls of a key count in one window, whatever limit they were admitted under.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the call may have been charged.
    pub async fn take_within(&self, key: &Key, cost: u64, limit: u64) -> Decision {
        let limit = limit.min(self.quota.limit());
        let charge =
            Charge { spare: self.quota.limit() - limit, ..Charge::new(key.clone(), self.quota, cost) };
        let said = self.desk.charge(key, std::slice::from_ref(&charge)).await;
        Decision { limit, ..said.decision(self.name, &self.quota, cost) }
    }

    /// Gives back what an admitted call has taken, however late: out of where it was charged, and of no other place, so that it makes no
    /// room that is not there. What no longer counts, or is not known any more, gives nothing back; nor does a smooth quota to which
    /// something has been charged since. Lost if the counters are away.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it may have been given back.
    pub async fn give_back(&self, key: &Key, decision: Decision) {
        let by = decision.by;
        if let Some((cost, mark)) = decision.into_charge() {
            let charge = Charge::new(key.clone(), self.quota, cost);
            self.desk.refund(by, &[charge], Receipt::new(vec![mark])).await;
            self.desk.denials.remove(key);
        }
    }

    /// Forgets everything charged to a key, under whatever quota, by the shared counters and by those of a share.
    ///
    /// # Errors
    /// The counters are away.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it may have happened.
    pub async fn reset(&self, key: &Key) -> cache_core::Result<()> {
        let outcome = self.desk.counters.reset(key).await;
        if let Fallback::Share { counters, .. } = &self.desk.fallback {
            counters.reset(key).await?;
        }
        self.desk.denials.remove(key);
        outcome
    }

    /// What it has done so far, in this process.
    pub fn stats(&self) -> SharedStats {
        self.desk.stats()
    }
}

/// What was said, by whom.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) answer: Answer,
    pub(crate) by: By,
    pub(crate) remaining: u64,
    pub(crate) receipt: Receipt,
}

impl Said {
    /// An answer with nothing left, and nothing to give back.
    pub(crate) fn uncharged(answer: Answer, by: By) -> Self {
        Self { answer, by, remaining: 0, receipt: Receipt::default() }
    }

    pub(crate) fn decision(self, policy: &'static str, quota: &Quota, cost: u64) -> Decision {
        let Self { answer, by, remaining, receipt } = self;
        let reset = match answer {
            Answer::Wait(wait) => wait,
            // Whatever is charged now leaves within this.
            Answer::Now | Answer::Never => match quota.shape() {
                Shape::Buckets(_) => quota.per() + quota.bucket(),
                Shape::Exact | Shape::Smooth { .. } => quota.per(),
            },
        };
        let (limit, window) = (quota.limit(), quota.per());
        let mark = receipt.marks().first().copied().unwrap_or(0);
        Decision { answer, by, policy, limit, window, remaining, reset, cost, mark }
    }
}

impl Desk {
    pub(crate) fn new(counters: Arc<dyn Counters>) -> Self {
        Self {
            counters,
            fallback: Fallback::Closed,
            clock: Arc::new(SystemClock::new()),
            breaker: Mutex::new(Breaker::new(Trip::new(1, PAUSE))),
            gone_since: Mutex::default(),
            denials: Denials::new(MAX_DENIALS),
            counts: Counts::default(),
        }
    }

    pub(crate) fn set_fallback(&mut self, fallback: Fallback) {
        self.fallback = fallback;
    }

    pub(crate) fn set_clock(&mut self, clock: Arc<dyn Clock>) {
        self.clock = clock;
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Charges all or none. Denials are remembered under this name, for as much as all of it costs.
    pub(crate) async fn charge(&self, name: &Key, charges: &[Charge]) -> Said {
        let cost = charges.iter().map(Charge::room).max().unwrap_or(0);
        let is_possible = charges.iter().all(|charge| charge.room() <= charge.quota.limit());
        let now = self.now();
        let said = match self.denials.until(name, cost, now).filter(|_| cost > 0 && is_possible) {
            Some(until) => {
                self.counts.remembered.fetch_add(1, Relaxed);
                Said::uncharged(Answer::Wait(until.since(now)), By::Remembered)
            }
            None => self.ask(name, charges, cost).await,
        };
        let count = if said.answer == Answer::Now { &self.counts.admitted } else { &self.counts.denied };
        count.fetch_add(1, Relaxed);
        said
    }

    async fn ask(&self, name: &Key, charges: &[Charge], cost: u64) -> Said {
        let admitted = self.breaker.lock().admit(since_origin(self.now()));
        let Some(pass) = admitted else { return self.without(charges).await };
        let asked = self.counters.charge(charges).await;
        let now = self.now();
        let Ok((verdict, receipt)) = asked else {
            self.breaker.lock().failed(pass, since_origin(now));
            self.gone_since.lock().get_or_insert(now);
            return self.without(charges).await;
        };
        self.breaker.lock().succeeded(pass);
        *self.gone_since.lock() = None;
        if let Verdict::Denied { wait } = verdict {
            self.denials.insert(name, cost, now.after(wait), now);
        }
        said((verdict, receipt), By::Shared)
    }

    /// Decides while the counters are away.
    async fn without(&self, charges: &[Charge]) -> Said {
        self.counts.away.fetch_add(1, Relaxed);
        if charges.iter().any(|charge| charge.room() > charge.quota.limit()) {
            return Said::uncharged(Answer::Never, By::Closed);
        }
        let closed = |by| Said::uncharged(Answer::Wait(PAUSE), by);
        match &self.fallback {
            Fallback::Open => {
                let remaining =
                    charges.iter().map(|it| (it.quota.limit() - it.cost).saturating_sub(it.spare)).min();
                let remaining = remaining.unwrap_or(u64::MAX);
                Said { remaining, ..Said::uncharged(Answer::Now, By::Open) }
            }
            Fallback::Closed => closed(By::Closed),
            Fallback::Share { is_late: true, .. } if !self.is_long_gone(charges) => closed(By::Closed),
            Fallback::Share { counters, processes, .. } => {
                let parts: Option<Vec<Charge>> = charges.iter().map(|it| in_part(it, *processes)).collect();
                let Some(parts) = parts else { return closed(By::Share) };
                match counters.charge(&parts).await {
                    // Within the whole limit, but above this process's part: that may fit when the counters are back.
                    Ok((Verdict::Never, _)) => closed(By::Share),
                    Ok(answer) => said(answer, By::Share),
                    Err(_) => closed(By::Closed),
                }
            }
        }
    }

    /// Whether nothing that the counters have admitted counts any more.
    fn is_long_gone(&self, charges: &[Charge]) -> bool {
        let window = charges.iter().map(|charge| charge.quota.per()).max().unwrap_or_default();
        let gone_since = *self.gone_since.lock();
        gone_since.is_some_and(|gone| self.now() >= gone.after(window))
    }

    /// Gives back where it was charged. What cannot be reached keeps it, and lets it leave in time.
    pub(crate) async fn refund(&self, by: By, charges: &[Charge], receipt: Receipt) {
        let refunded = match (&self.fallback, by) {
            (_, By::Shared) => self.counters.refund(charges, receipt).await,
            (Fallback::Share { counters, processes, .. }, By::Share) => {
                let parts: Vec<Charge> = charges.iter().filter_map(|it| in_part(it, *processes)).collect();
                counters.refund(&parts, receipt).await
            }
            _ => Ok(()),
        };
        drop(refunded);
    }

    pub(crate) fn stats(&self) -> SharedStats {
        let counts = &self.counts;
        SharedStats {
            admitted: counts.admitted.load(Relaxed),
            denied: counts.denied.load(Relaxed),
            remembered: counts.remembered.load(Relaxed),
            away: counts.away.load(Relaxed),
            denials: self.denials.len(),
        }
    }
}

fn said((verdict, receipt): (Verdict, Receipt), by: By) -> Said {
    let (answer, remaining) = match verdict {
        Verdict::Admitted { remaining } => (Answer::Now, remaining),
        Verdict::Denied { wait } => (Answer::Wait(wait.max(Duration::from_nanos(1))), 0),
        Verdict::Never => (Answer::Never, 0),
    };
    Said { answer, by, remaining, receipt }
}

fn in_part(charge: &Charge, processes: std::num::NonZeroU32) -> Option<Charge> {
    let quota = part(charge.quota, processes)?;
    let limit = charge.quota.limit().saturating_sub(charge.spare);
    let spare = quota.limit() - part_of(limit, processes).min(quota.limit());
    Some(Charge { quota, spare, ..charge.clone() })
}

/// The quota by which a limit is counted that may change, or be another one in another process: of the same windows, whatever the limit is.
/// Each call then leaves ([`Charge::spare`]) what its own limit is smaller. A smooth quota has no windows, and stays what it is.
pub(crate) fn common(quota: Quota) -> Quota {
    let common = match quota.shape() {
        Shape::Buckets(buckets) => Quota::with_buckets(quota.limit().max(COMMON), quota.per(), buckets),
        Shape::Exact => Quota::exact(MOST_EXACT, quota.per()),
        Shape::Smooth { .. } => Ok(quota),
    };
    common.unwrap_or(quota)
}

/// Four billion: what the windows of one process can count as well, in 32 bits.
pub(crate) const COMMON: u64 = u32::MAX as u64;
/// The largest limit of an exact quota.
const MOST_EXACT: u64 = 1000;

fn since_origin(now: Time) -> Duration {
    now.since(Time::ZERO)
}
