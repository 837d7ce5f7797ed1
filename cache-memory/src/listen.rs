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
    pub(crate) cause: Cause,
}

/// Entries that leave together. Most often it is one, which takes no allocation.
///
/// Those that nobody has to hear of and that have nothing to drop are not kept: moving them about would cost more than
/// the rest of an eviction. The others are reported when this is dropped: also when code of the user panics before all
/// is done that made them leave. So it is declared before the lock is taken, and dropped after it is released.
pub(crate) struct Departures<'a, K, V> {
    reporter: &'a Reporter<K, V>,
    kept: Option<Kept<K, V>>,
}

struct Kept<K, V> {
    first: Departed<K, V>,
    others: Vec<Departed<K, V>>,
}

impl<K, V> Departures<'_, K, V> {
    #[inline]
    pub(crate) fn push(&mut self, (key, value): (K, V), cause: Cause) {
        if std::mem::needs_drop::<(K, V)>() || self.reporter.listener.is_some() {
            self.keep(Departed { key, value, cause });
        }
    }

    fn keep(&mut self, gone: Departed<K, V>) {
        match &mut self.kept {
            Some(kept) => kept.others.push(gone),
            none => *none = Some(Kept { first: gone, others: Vec::new() }),
        }
    }
}

impl<K, V> Drop for Departures<'_, K, V> {
    #[inline]
    fn drop(&mut self) {
        if self.kept.is_some() {
            self.reporter.dismiss_all(&mut self.kept);
        }
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
    /// Where entries that leave are to be put, until they can be dismissed.
    #[inline]
    pub(crate) fn departures(&self) -> Departures<'_, K, V> {
        Departures { reporter: self, kept: None }
    }

    /// Reports one entry. Must be called without any lock held: it runs the user's code.
    pub(crate) fn report(&self, key: &K, value: &V, cause: Cause) {
        if let Some(listener) = &self.listener {
            self.survive(|| listener(key, value, cause));
        }
    }

    /// Reports and drops entries. Must be called without any lock held: both run the user's code.
    #[inline]
    #[expect(clippy::unused_self, reason = "whoever made them leave says so to the one who tells of it")]
    pub(crate) fn dismiss(&self, departures: Departures<'_, K, V>) {
        if departures.kept.is_some() {
            drop(departures);
        } else {
            // There is nothing to drop, which costs a few instructions to find out again.
            std::mem::forget(departures);
        }
    }

    fn dismiss_all(&self, kept: &mut Option<Kept<K, V>>) {
        if self.listener.is_none() && kept.as_ref().is_some_and(|kept| kept.others.is_empty()) {
            // Dropped where it is: to move it out first costs as much as to drop it.
            return self.survive(|| *kept = None);
        }
        let Some(Kept { first, others }) = kept.take() else { return };
        for gone in std::iter::once(first).chain(others) {
            self.report(&gone.key, &gone.value, gone.cause);
            self.survive(|| drop(gone));
        }
    }

    /// Counts a panic of the user's code, which ends there: whoever comes next is treated all the same, and a sweep is
    /// not the last one.
    pub(crate) fn survive(&self, run: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
            self.panics.fetch_add(1, Relaxed);
            // It is the user's, too, and its drop may panic in turn; what that leaves behind is leaked.
            catch_unwind(AssertUnwindSafe(|| drop(payload))).unwrap_or_else(std::mem::forget);
        }
    }
}
