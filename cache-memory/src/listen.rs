//! Telling the owner why an entry left: after the lock is released, and whatever the listener does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why an entry left the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Its time was over.
    Expired,
    /// It had to make room.
    Evicted,
    /// Its key was given a new value.
    Replaced,
    /// It was removed by key, tag, prefix, predicate or clear.
    Removed,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 4] = [Self::Expired, Self::Evicted, Self::Replaced, Self::Removed];

    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Evicted => "evicted",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
        }
    }
}

/// An entry that has left and is to be reported and dropped.
#[derive(Debug)]
pub(crate) struct Departed<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    pub(crate) bytes: u64,
    pub(crate) cause: Cause,
}

/// Entries that leave together. Most often it is one, which takes no allocation.
pub(crate) struct Departures<K, V> {
    first: Option<Departed<K, V>>,
    others: Vec<Departed<K, V>>,
}

impl<K, V> Departures<K, V> {
    pub(crate) const fn none() -> Self {
        Self { first: None, others: Vec::new() }
    }

    pub(crate) fn push(&mut self, gone: Departed<K, V>) {
        if self.first.is_none() { self.first = Some(gone) } else { self.others.push(gone) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Departed<K, V>> {
        self.first.iter().chain(&self.others)
    }
}

impl<K, V> Extend<Departed<K, V>> for Departures<K, V> {
    fn extend<I: IntoIterator<Item = Departed<K, V>>>(&mut self, departed: I) {
        departed.into_iter().for_each(|gone| self.push(gone));
    }
}

impl<K, V> FromIterator<Departed<K, V>> for Departures<K, V> {
    fn from_iter<I: IntoIterator<Item = Departed<K, V>>>(departed: I) -> Self {
        let mut departures = Self::none();
        departures.extend(departed);
        departures
    }
}

/// The user's function, called with each entry that leaves.
pub(crate) type Listener<K, V> = Arc<dyn Fn(&K, &V, Cause) + Send + Sync>;

/// Calls the listener, if there is one, and survives it.
pub(crate) struct Reporter<K, V> {
    pub(crate) listener: Option<Listener<K, V>>,
    pub(crate) panics: AtomicU64,
}

impl<K, V> Reporter<K, V> {
    /// Reports one entry. Must be called without any lock held: it runs the user's code.
    pub(crate) fn report(&self, gone: &Departed<K, V>) {
        if let Some(listener) = &self.listener {
            self.survive(|| listener(&gone.key, &gone.value, gone.cause));
        }
    }

    /// Reports and drops entries. Must be called without any lock held: both run the user's code.
    pub(crate) fn dismiss(&self, departed: Departures<K, V>) {
        if self.listener.is_none() && !std::mem::needs_drop::<(K, V)>() {
            return;
        }
        for gone in departed.first.into_iter().chain(departed.others) {
            self.report(&gone);
            self.survive(|| drop(gone));
        }
    }

    /// Counts a panic of the user's code, which ends there: whoever comes next is treated all the same, and a sweep is
    /// not the last one.
    fn survive(&self, run: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            self.panics.fetch_add(1, Relaxed);
        }
    }
}
