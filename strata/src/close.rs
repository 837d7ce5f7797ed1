//! Closing a cache: running loads get a last while to end, and none begins after them.
//!
//! ```text
//! open ── close ─► draining: what runs may end, nothing new begins ── all have ended, or the deadline ─► closed: what still runs is ended
//! ```
//!
//! A closed cache fails nobody: what it holds it still answers, and who misses loads alone, within his own call; the value
//! goes to him and is not stored. A load takes its place before it begins, so `close` waits for all that began before it.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use cache_core::{CacheKey, Key, Tags};

use crate::cache::{Cache, Shared};
use crate::caught::caught;
use crate::fleet::Held;
use crate::flight::{Failure, Landing};
use crate::hit::Source;
use crate::kept::Last;
use crate::loaded::Loaded;
use crate::options::Options;
use crate::sync::{Handle, Instant, timeout, watch};
use crate::task::within;
use crate::tiers::Notes;
use crate::wait::Wait;

/// What a cache lets its loads do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Begin and run.
    Open,
    /// Run to their end, but not begin.
    Draining,
    /// Nothing.
    Closed,
}

/// How a cache was closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// Loads that ran and ended within the deadline; what they brought was stored as ever.
    pub finished: u64,
    /// Loads that were ended because they took longer: nothing of them is stored, and who waited for them was answered
    /// with what stands in, or with [`LoadError::Aborted`](crate::LoadError::Aborted).
    pub dropped: u64,
    /// Changes that a tier below memory has not been told of within the deadline. Until their lives end there, other processes may
    /// read there what is older.
    pub untold: u64,
}

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Ends what the cache runs in the background: waits until the loads that run have ended, refreshes included, and the tiers
    /// have been told what they could not be told before, but no longer than the deadline, then ends the rest, and says how much
    /// that was. A [`Bus`](crate::Bus), which caches may share, is closed by itself, after them.
    ///
    /// From its first poll on no load begins that outlives its call. The verbs go on: what is in memory is answered, and
    /// [`get_or_load`](Self::get_or_load) of what is missing runs the loader within the call itself, for this caller alone,
    /// and stores nothing. All handles of the cache are closed with it. A second call finds nothing left to wait for.
    ///
    /// A load is ended where it waits: a loader that blocks its thread ends when it lets go of it. The deadline runs on
    /// tokio's timer, as timeouts do; outside of a runtime it is zero.
    ///
    /// # Cancel safety
    /// A dropped call has closed the cache for new loads, and ends none of those that run; call it again for that.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// # runtime.block_on(async {
    /// use std::time::Duration;
    /// use strata::Cache;
    /// let users: Cache<u64, String> = Cache::builder("users").build()?;
    /// users.insert(7, "Ada".to_owned()).await?;
    ///
    /// let closed = users.close(Duration::from_secs(5)).await;
    /// assert_eq!((closed.finished, closed.dropped), (0, 0));
    /// assert!(users.get(&7).await?.is_some());
    /// let eve = users.get_or_load(&8, || async { Ok::<_, std::io::Error>("Eve".to_owned()) }).await?;
    /// assert_eq!(&**eve, "Eve");
    /// assert!(users.get(&8).await?.is_none(), "a closed cache stores no loads");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn close(&self, deadline: Duration) -> Closed {
        let phase = &self.shared.phase;
        phase.send_if_modified(|phase| {
            let opens = *phase == Phase::Open;
            if opens {
                *phase = Phase::Draining;
            }
            opens
        });
        let running = phase.receiver_count();
        let (began, may_wait) = (Instant::now(), !deadline.is_zero() && Handle::try_current().is_ok());
        if running > 0 && may_wait {
            // Whether they have all ended is counted below, so that one answer serves both ways.
            let _in_time = timeout(deadline, phase.closed()).await;
        }
        let dropped = phase.receiver_count();
        phase.send_replace(Phase::Closed);
        let left = deadline.saturating_sub(began.elapsed());
        let untold = match &self.shared.below {
            Some(below) if may_wait => below.tiers.settle(left).await,
            Some(below) => below.tiers.untold(),
            None => 0,
        };
        Closed { finished: running.saturating_sub(dropped) as u64, dropped: dropped as u64, untold }
    }
}

/// A load's place in its cache, held as long as it runs.
pub(crate) struct Place {
    pub(crate) runtime: Handle,
    /// The right of this process to load, where processes take turns.
    pub(crate) held: Option<Held>,
    /// What the tiers knew of its keys before it began.
    pub(crate) notes: HashMap<Key, Notes>,
    phase: watch::Receiver<Phase>,
}

impl Place {
    /// Waits until the load has to end: the cache is closed or dropped.
    pub(crate) async fn ended(&mut self) {
        drop(self.phase.wait_for(|phase| *phase == Phase::Closed).await);
    }
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Tells whether what is brought may be stored.
    pub(crate) fn is_open(&self) -> bool {
        *self.phase.borrow() == Phase::Open
    }

    /// A place for a load that begins now; `None` if the cache is closed.
    pub(crate) fn enter(&self, runtime: Handle) -> Option<Place> {
        // The look is held on to, so that nobody closes the cache between it and the place: places are what `close` counts.
        let phase = self.phase.borrow();
        (*phase == Phase::Open).then(|| Place {
            runtime,
            held: None,
            notes: HashMap::new(),
            phase: self.phase.subscribe(),
        })
    }

    /// Loads one key within its caller's own future.
    pub(crate) async fn load_alone(
        &self,
        load: impl Future<Output = Result<Loaded<V>, Failure>>,
        wait: &Wait<'_, K, V>,
    ) -> Landing<V> {
        match self.alone(load, wait.options).await {
            Ok(loaded) => self.not_kept(loaded, wait.last, wait.options),
            Err(landing) => landing,
        }
    }

    /// Runs a load here and now, counted and with its deadline like any other.
    pub(crate) async fn alone<T>(
        &self,
        load: impl Future<Output = Result<T, Failure>>,
        options: &Options,
    ) -> Result<T, Landing<V>> {
        let hard = options.hard_timeout();
        let admitted = within(hard, self.admit(options)).await.ok_or(Landing::TimedOut)?;
        let run = admitted.map_err(Landing::OverBudget)?;
        let began = self.memory.clock().now();
        let outcome =
            within(hard, caught_in(load)).await.ok_or(Landing::TimedOut)?.ok_or(Landing::Panicked)?;
        run.end(outcome.is_ok(), self.memory.clock().now().since(began));
        outcome.map_err(|failure| Landing::Failed(Arc::new(failure)))
    }

    /// A loaded value as an answer, with the life that it would have had, and nothing stored.
    pub(crate) fn not_kept(
        &self,
        loaded: Loaded<V>,
        last: Option<&Last<V>>,
        options: &Options,
    ) -> Landing<V> {
        let Some(value) = loaded.value.map(Arc::new).or_else(|| last.map(|last| Arc::clone(last.value())))
        else {
            return Landing::NothingToKeep;
        };
        Landing::Value(self.record(value, loaded.about, options).hit(Source::Loader), Tags::NONE)
    }
}

/// What a future comes to; `None` if it panics, as a task of its own would tell.
async fn caught_in<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        caught(|| future.as_mut().poll(context)).map_or(Poll::Ready(None), |poll| poll.map(Some))
    })
    .await
}
