//! The in-process twin of a rate limit service: windows that slide in buckets, all behind one lock.
//!
//! ```text
//! key ─► window of a quota ─► [bucket 7: 3 units][bucket 9: 1 unit]      a bucket leaves when its end is a window old
//!    ├─► window of another quota
//!    └─► rate of a smooth one ─► when all that is charged has drained
//! ```
//!
//! One lock makes a call over many keys one step. A decision holds it for about a microsecond, which is why there
//! are no shards of it: they would make every bound and every "all or none" a matter of lock order.

mod ledger;
mod rate;
mod table;
mod window;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use cache_core::{
    Charge, Clock, Counters, Demand, Error, ErrorKind, Key, Receipt, Result, SystemClock, Verdict,
};
use parking_lot::Mutex;

use table::Table;

const PLACE: &str = "memory counters";
const MAX_KEYS: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

/// Counts charges within one process.
///
/// A key takes room only while something is charged to it. If `max_keys` have something charged, a new key takes the
/// place of the one that would soonest be free anyway among those that were not denied, and so are not at their limit:
/// what was charged to it is forgotten, so it may get up to its limit again. Keys that were denied are never given
/// up: if there are only those, a call with a new key fails with [`ErrorKind::Refused`].
///
/// ```
/// use cache_core::{Charge, Counters, Key, Quota, Verdict};
/// use cache_memory::MemoryCounters;
/// use std::time::Duration;
/// # pollster::block_on(async {
/// let counters = MemoryCounters::new();
/// let quota = Quota::new(1, Duration::from_secs(60))?;
/// let call = [Charge::new(Key::new("client:7")?, quota, 1)];
/// let (verdict, receipt) = counters.charge(&call).await?;
/// assert_eq!(verdict, Verdict::Admitted { remaining: 0 });
/// assert!(matches!(counters.charge(&call).await?.0, Verdict::Denied { wait } if wait <= Duration::from_secs(61)));
/// counters.refund(&call, receipt).await?;
/// assert_eq!(counters.charge(&call).await?.0, Verdict::Admitted { remaining: 0 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemoryCounters {
    clock: Arc<dyn Clock>,
    max_keys: NonZeroUsize,
    table: Mutex<Table>,
}

impl MemoryCounters {
    /// Nothing charged yet, at most 100,000 keys, on the system's clock.
    pub fn new() -> Self {
        Self { clock: Arc::new(SystemClock::new()), max_keys: MAX_KEYS, table: Mutex::default() }
    }

    /// Lives by this clock instead.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Bounds how many keys can have something charged at a time. Default 100,000, which takes about 60 MiB if each
    /// has one quota and a few buckets.
    #[must_use]
    pub fn with_max_keys(mut self, max_keys: NonZeroUsize) -> Self {
        self.max_keys = max_keys;
        self
    }

    /// How many keys take room at the moment. At most the bound, at any moment.
    pub fn keys(&self) -> usize {
        self.table.lock().len()
    }
}

impl Default for MemoryCounters {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCounters").field("max_keys", &self.max_keys).finish_non_exhaustive()
    }
}

#[async_trait]
impl Counters for MemoryCounters {
    async fn charge(&self, charges: &[Charge]) -> Result<(Verdict, Receipt)> {
        let Some(demands) = Demand::of(charges) else { return Ok((Verdict::Never, Receipt::default())) };
        let mut table = self.table.lock();
        // Read under the lock, so that what is charged later is charged at a later time.
        let now = self.clock.now();
        table.forget_idle(now);
        let verdict = table.judge(&demands, now);
        if !matches!(verdict, Verdict::Admitted { .. }) {
            return Ok((verdict, Receipt::default()));
        }
        if !table.make_room(&demands, self.max_keys, now) {
            return Err(Error::new(ErrorKind::Refused, PLACE, "charge"));
        }
        let marks = demands.iter().map(|demand| table.take(demand, now)).collect();
        Ok((verdict, Receipt::new(marks)))
    }

    async fn refund(&self, charges: &[Charge], receipt: Receipt) -> Result<()> {
        let demands = Demand::of(charges).unwrap_or_default();
        let mut table = self.table.lock();
        for (demand, mark) in demands.iter().zip(receipt.marks()) {
            table.give_back(demand, *mark);
        }
        Ok(())
    }

    async fn reset(&self, key: &Key) -> Result<()> {
        self.table.lock().forget(key);
        Ok(())
    }
}
