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

/// The user's function, called with each entry that leaves.
pub(crate) type Listener<K, V> = Arc<dyn Fn(&K, &V, Cause) + Send + Sync>;

/// Calls the listener, if there is one, and survives it.
pub(crate) struct Reporter<K, V> {
    pub(crate) listener: Option<Listener<K, V>>,
    pub(crate) panics: AtomicU64,
}

impl<K, V> Reporter<K, V> {
    /// Reports one entry. A panic is counted and ends there: the next entry is reported all the same.
    ///
    /// Must be called without any lock held: it runs the user's code.
    pub(crate) fn report(&self, gone: &Departed<K, V>) {
        if let Some(listener) = &self.listener
            && catch_unwind(AssertUnwindSafe(|| listener(&gone.key, &gone.value, gone.cause))).is_err()
        {
            self.panics.fetch_add(1, Relaxed);
        }
    }

    /// Reports and drops entries. Must be called without any lock held.
    pub(crate) fn dismiss(&self, departed: Vec<Departed<K, V>>) {
        for gone in departed {
            self.report(&gone);
        }
    }
}
