//! What happened in a cache, as plain numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::hit::Stale;

/// Counts since the cache was made, and what it holds now.
///
/// The books balance: reads are `memory.hits + memory.misses`; begun loads are `loads_ok + loads_failed + loads_lost +
/// running`, all of them at a moment when nothing moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// What the memory tier counts: entries, removals by cause, hits and misses. A read that found a value too stale to
    /// answer it counts here as the miss that it is.
    pub memory: cache_memory::Stats,
    /// Runs of a loader that were begun, refreshes behind a read included.
    pub loads_begun: u64,
    /// Loads that brought values.
    pub loads_ok: u64,
    /// Loads that ended in the loader's error.
    pub loads_failed: u64,
    /// Loads that panicked, were aborted, or were given up because too many others had been abandoned.
    pub loads_lost: u64,
    /// Loads that run now, abandoned ones included.
    pub running: u64,
    /// How long the loads took together that ended, well or with the loader's error, on the cache's clock.
    pub load_time: Duration,
    /// How long the longest of them took.
    pub longest_load: Duration,
    /// Calls that waited for a load of another call instead of running their own.
    pub coalesced: u64,
    /// Keys whose load is in flight.
    pub in_flight: u64,
    /// Loads that were begun behind an answer.
    pub refreshes: u64,
    /// Values brought by a load that an invalidation had overtaken, which answered their callers and were not stored.
    pub fenced: u64,
    /// Loads that found that nothing was modified.
    pub not_modified: u64,
    /// Stale answers, while the value was refreshed behind them.
    pub stale_refreshing: u64,
    /// Stale answers, because the load failed.
    pub stale_failed: u64,
    /// Stale answers, because the load took too long.
    pub stale_timed_out: u64,
    /// Stale answers, because the source was left alone after a failure.
    pub stale_throttled: u64,
    /// Stale answers, because the source could not be asked.
    pub stale_over_budget: u64,
    /// Stale answers to reads without a loader, because a tier below memory did not answer.
    pub stale_unreachable: u64,
    /// Stale answers to reads without a loader, because the cache [serves stale values](crate::Builder::serve_stale).
    pub stale_served: u64,
    /// Calls that had waited for as long as they would where something can stand in.
    pub soft_timeouts: u64,
    /// Calls that had waited for as long as they would at most.
    pub hard_timeouts: u64,
    /// Loads that went on after their hard timeout.
    pub abandoned: u64,
    /// Loads that run now after their hard timeout.
    pub abandoned_running: u64,
    /// Loads that the budget or the number of running ones did not admit.
    pub refused: u64,
    /// Hits on values that say that there is nothing.
    pub negative_hits: u64,
    /// Calls answered with an error that was remembered.
    pub error_hits: u64,
}

/// The counters of the miss path, where an atomic costs nothing that matters.
#[derive(Debug, Default)]
pub(crate) struct LoadCounts {
    pub(crate) begun: AtomicU64,
    pub(crate) ok: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) running: AtomicU64,
    load_nanos: AtomicU64,
    longest_nanos: AtomicU64,
    pub(crate) coalesced: AtomicU64,
    pub(crate) refreshes: AtomicU64,
    pub(crate) fenced: AtomicU64,
    pub(crate) not_modified: AtomicU64,
    /// By [`Stale`], in its order.
    stale: [AtomicU64; Stale::ALL.len()],
    pub(crate) soft_timeouts: AtomicU64,
    pub(crate) hard_timeouts: AtomicU64,
    pub(crate) abandoned: AtomicU64,
    pub(crate) abandoned_running: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) negative_hits: AtomicU64,
    pub(crate) error_hits: AtomicU64,
    /// Reads that the memory tier counted as hits, though what they found was too stale.
    pub(crate) found_stale: AtomicU64,
}

impl Stats {
    /// How long a load takes on average; `None` before the first has ended.
    pub fn average_load(&self) -> Option<Duration> {
        let ended = u32::try_from(self.loads_ok + self.loads_failed).unwrap_or(u32::MAX);
        self.load_time.checked_div(ended)
    }
}

impl LoadCounts {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_stale(&self, why: Stale) {
        Self::count(&self.stale[why as usize]);
    }

    /// Whether so many loaders are running.
    pub(crate) fn is_full(&self, most: u64) -> bool {
        self.running.load(Relaxed) >= most
    }

    /// Begins to watch a run of a loader, which counts as lost unless it ends. `None` if so many are running already.
    pub(crate) fn begin(counts: &Arc<Self>, most: u64) -> Option<Run> {
        let more = |running: u64| (running < most).then_some(running + 1);
        counts.running.fetch_update(Relaxed, Relaxed, more).ok()?;
        Self::count(&counts.begun);
        Some(Run { counts: Arc::clone(counts), ended: false })
    }

    /// Begins to watch a load that goes on after its hard timeout. `None` if so many do already.
    pub(crate) fn abandon(counts: &Arc<Self>, most: u64) -> Option<Abandoned> {
        let more = |running: u64| (running < most).then_some(running + 1);
        counts.abandoned_running.fetch_update(Relaxed, Relaxed, more).ok()?;
        Self::count(&counts.abandoned);
        Some(Abandoned { counts: Arc::clone(counts) })
    }

    pub(crate) fn stats(&self, mut memory: cache_memory::Stats, in_flight: usize) -> Stats {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        let found_stale = of(&self.found_stale);
        memory.hits = memory.hits.saturating_sub(found_stale);
        memory.misses += found_stale;
        let stale = |why: Stale| of(&self.stale[why as usize]);
        Stats {
            memory,
            loads_begun: of(&self.begun),
            loads_ok: of(&self.ok),
            loads_failed: of(&self.failed),
            loads_lost: of(&self.lost),
            running: of(&self.running),
            load_time: Duration::from_nanos(of(&self.load_nanos)),
            longest_load: Duration::from_nanos(of(&self.longest_nanos)),
            coalesced: of(&self.coalesced),
            in_flight: in_flight as u64,
            refreshes: of(&self.refreshes),
            fenced: of(&self.fenced),
            not_modified: of(&self.not_modified),
            stale_refreshing: stale(Stale::Refreshing),
            stale_failed: stale(Stale::Failed),
            stale_timed_out: stale(Stale::TimedOut),
            stale_throttled: stale(Stale::Throttled),
            stale_over_budget: stale(Stale::OverBudget),
            stale_unreachable: stale(Stale::Unreachable),
            stale_served: stale(Stale::Served),
            soft_timeouts: of(&self.soft_timeouts),
            hard_timeouts: of(&self.hard_timeouts),
            abandoned: of(&self.abandoned),
            abandoned_running: of(&self.abandoned_running),
            refused: of(&self.refused),
            negative_hits: of(&self.negative_hits),
            error_hits: of(&self.error_hits),
        }
    }
}

/// A running loader.
pub(crate) struct Run {
    counts: Arc<LoadCounts>,
    ended: bool,
}

impl Run {
    pub(crate) fn end(mut self, ok: bool, took: Duration) {
        self.ended = true;
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.counts.load_nanos.fetch_add(nanos, Relaxed);
        self.counts.longest_nanos.fetch_max(nanos, Relaxed);
        LoadCounts::count(if ok { &self.counts.ok } else { &self.counts.failed });
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.counts.running.fetch_sub(1, Relaxed);
        if !self.ended {
            LoadCounts::count(&self.counts.lost);
        }
    }
}

/// A load that goes on after its hard timeout.
pub(crate) struct Abandoned {
    counts: Arc<LoadCounts>,
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.counts.abandoned_running.fetch_sub(1, Relaxed);
    }
}
