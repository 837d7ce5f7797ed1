//! The in-process twin of a lock service: who holds what until when, in one table behind one lock.
//!
//! Fencing numbers come from one counter for all keys, so they grow for each key even after everything about it has
//! been forgotten. Expired leases are forgotten as others are acquired; no task runs.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{Clock, Error, ErrorKind, Grant, Key, Lease, Result, SystemClock, Time};
use parking_lot::Mutex;

const PLACE: &str = "memory lease";
const MAX_LEASES: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// Exclusive rights between the parts of one process.
///
/// ```
/// use cache_core::{Key, Lease};
/// use cache_memory::MemoryLease;
/// use std::time::Duration;
/// # pollster::block_on(async {
/// let lease = MemoryLease::new();
/// let report = Key::new("jobs:report")?;
/// let grant = lease.acquire(&report, Duration::from_secs(30)).await?.expect("nobody holds it");
/// assert_eq!(lease.acquire(&report, Duration::from_secs(30)).await?, None);
/// assert!(lease.release(grant).await?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemoryLease {
    clock: Arc<dyn Clock>,
    max_leases: NonZeroUsize,
    table: Mutex<Table>,
}

impl MemoryLease {
    /// No leases yet, at most 65,536 at a time, on the system's clock.
    pub fn new() -> Self {
        Self { clock: Arc::new(SystemClock::new()), max_leases: MAX_LEASES, table: Mutex::default() }
    }

    /// Lives by this clock instead.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Bounds how many leases can be held at a time. Default 65,536, which takes about 12 MiB with short keys.
    ///
    /// At the bound a further one is refused with [`ErrorKind::Refused`]: to end somebody's lease early would be
    /// worse than to grant none.
    #[must_use]
    pub fn with_max_leases(mut self, max_leases: NonZeroUsize) -> Self {
        self.max_leases = max_leases;
        self
    }

    /// When the lease of a key ends if nobody prolongs it; `None` if nobody holds it.
    pub fn ends(&self, key: &Key) -> Option<Time> {
        let end = self.table.lock().held.get(key)?.end;
        (end > self.clock.now()).then_some(end)
    }
}

impl Default for MemoryLease {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLease").field("max_leases", &self.max_leases).finish_non_exhaustive()
    }
}

#[async_trait]
impl Lease for MemoryLease {
    async fn acquire(&self, key: &Key, ttl: Duration) -> Result<Option<Grant>> {
        let mut table = self.table.lock();
        let now = self.clock.now();
        table.forget_expired(now);
        if table.held.get(key).is_some_and(|held| held.end > now) {
            return Ok(None);
        }
        table.end(key);
        if table.held.len() >= self.max_leases.get() {
            return Err(Error::new(ErrorKind::Refused, PLACE, "acquire"));
        }
        Ok(Some(table.grant(key.clone(), now.after(ttl))))
    }

    async fn renew(&self, grant: &Grant, ttl: Duration) -> Result<bool> {
        let mut table = self.table.lock();
        let now = self.clock.now();
        let held = table.is_held(grant, now);
        if held {
            table.end(grant.key());
            table.hold(grant.key().clone(), Held { fence: grant.fence(), end: now.after(ttl) });
        }
        Ok(held)
    }

    async fn release(&self, grant: Grant) -> Result<bool> {
        let mut table = self.table.lock();
        let held = table.is_held(&grant, self.clock.now());
        if held {
            table.end(grant.key());
        }
        Ok(held)
    }
}

/// Every lease stands in both maps.
#[derive(Default)]
struct Table {
    last_fence: u64,
    held: HashMap<Key, Held>,
    by_end: BTreeMap<Held, Key>,
}

/// Ordered by its end, then by its fence, which no two share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    end: Time,
    fence: u64,
}

impl Table {
    fn grant(&mut self, key: Key, end: Time) -> Grant {
        self.last_fence += 1;
        self.hold(key.clone(), Held { end, fence: self.last_fence });
        Grant::new(key, self.last_fence)
    }

    fn is_held(&self, grant: &Grant, now: Time) -> bool {
        self.held.get(grant.key()).is_some_and(|held| held.fence == grant.fence() && held.end > now)
    }

    fn hold(&mut self, key: Key, held: Held) {
        self.by_end.insert(held, key.clone());
        self.held.insert(key, held);
    }

    fn end(&mut self, key: &Key) {
        if let Some(held) = self.held.remove(key) {
            self.by_end.remove(&held);
        }
    }

    /// Forgets up to two expired leases: each call adds at most one, so they cannot pile up, and no call pays for all.
    fn forget_expired(&mut self, now: Time) {
        for _ in 0..2 {
            let Some(first) = self.by_end.first_entry().filter(|first| first.key().end <= now) else {
                return;
            };
            self.held.remove(&first.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> Key {
        Key::new(number.to_string()).expect("digits")
    }

    fn at(secs: u64) -> Time {
        Time::ZERO.after(Duration::from_secs(secs))
    }

    #[test]
    fn expired_leases_do_not_accumulate() {
        let mut table = Table::default();
        for number in 0..1000 {
            table.forget_expired(at(number));
            table.grant(key(number), at(number + 10));
            assert!(table.held.len() <= 10, "{} after {number} s", table.held.len());
            assert_eq!(table.held.len(), table.by_end.len());
        }
    }

    #[test]
    fn after_many_expire_at_once_each_call_forgets_a_few() {
        let mut table = Table::default();
        for number in 0..1000 {
            table.grant(key(number), at(10));
        }
        table.grant(key(1000), at(30));
        for calls in 1..=500 {
            table.forget_expired(at(20));
            assert_eq!(table.held.len(), 1001 - 2 * calls);
        }
        table.forget_expired(at(20));
        assert_eq!((table.held.len(), table.by_end.len()), (1, 1));
    }
}
