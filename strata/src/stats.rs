//! What happened in a cache, as plain numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the cache was made, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// What the memory tier counts: hits, misses, entries, removals by cause.
    pub memory: cache_memory::Stats,
    /// Loads that brought values.
    pub loads_ok: u64,
    /// Loads that ended in the loader's error.
    pub loads_failed: u64,
    /// Loads that panicked or were aborted.
    pub loads_lost: u64,
    /// Calls that waited for a load of another call instead of running their own.
    pub coalesced: u64,
    /// Keys whose load is in flight.
    pub in_flight: u64,
}

/// The counters of the miss path, where an atomic costs nothing that matters.
#[derive(Debug, Default)]
pub(crate) struct LoadCounts {
    pub(crate) ok: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) coalesced: AtomicU64,
}

impl LoadCounts {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// Begins to watch a run of a loader, which counts as lost unless it ends.
    pub(crate) fn begin(counts: &Arc<Self>) -> Run {
        Run { counts: Arc::clone(counts), ended: false }
    }

    pub(crate) fn stats(&self, memory: cache_memory::Stats, in_flight: usize) -> Stats {
        Stats {
            memory,
            loads_ok: self.ok.load(Relaxed),
            loads_failed: self.failed.load(Relaxed),
            loads_lost: self.lost.load(Relaxed),
            coalesced: self.coalesced.load(Relaxed),
            in_flight: in_flight as u64,
        }
    }
}

/// A running loader.
pub(crate) struct Run {
    counts: Arc<LoadCounts>,
    ended: bool,
}

impl Run {
    pub(crate) fn end(mut self, ok: bool) {
        self.ended = true;
        LoadCounts::count(if ok { &self.counts.ok } else { &self.counts.failed });
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.ended {
            LoadCounts::count(&self.counts.lost);
        }
    }
}
