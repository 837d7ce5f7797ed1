//! Who waits for what others make of a key: woken by what happens to it here, and by the time only where that says nothing.
//!
//! ```text
//! wait ─► look ── nothing ─► told: stored, removed, heard of, or its lease is over ──► look again
//!                       └──► its turn, and so much time ─────────────────────────────► look again
//! ```
//!
//! All who wait for a key are told, as each may be gone by then; but one at a time looks by the time, whoever has the turn. A cache for
//! which nobody waits pays one atomic load for each change.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::sync::{AtomicU64, Mutex, MutexGuard, Notified, Notify, Turn, pause};

/// The most keys that are waited for at a time. Whoever waits for one more is told nothing, and looks by the time.
const MOST: usize = 16_384;

/// Those who wait, by the hash of their key: two keys that share one wake each other for nothing.
#[derive(Default)]
pub(crate) struct Waiters {
    /// How many keys are waited for.
    count: AtomicU64,
    keys: Mutex<HashMap<u64, Waited>>,
}

struct Waited {
    place: Arc<Place>,
    waiting: usize,
}

#[derive(Default)]
struct Place {
    told: Notify,
    turn: Turn<()>,
}

/// One who waits, until this is dropped.
pub(crate) struct Waiter<'a> {
    waiters: &'a Waiters,
    hash: u64,
    place: Arc<Place>,
    is_told: bool,
}

impl Waiters {
    /// Tells whether anybody waits for anything.
    pub(crate) fn any(&self) -> bool {
        self.count.load(SeqCst) > 0
    }

    /// Something has happened to a key: tells all who wait for it. To be called when it can be seen, and without a lock of a shard.
    pub(crate) fn tell(&self, hash: u64) {
        if !self.any() {
            return;
        }
        let place = self.keys().get(&hash).map(|waited| Arc::clone(&waited.place));
        if let Some(place) = place {
            place.told.notify_waiters();
        }
    }

    /// Begins to wait. What happens to the key from here on is told, so the first look comes after this.
    pub(crate) fn wait(&self, hash: u64) -> Waiter<'_> {
        let mut keys = self.keys();
        let is_full = keys.len() >= MOST;
        let place = match keys.entry(hash) {
            Entry::Occupied(mut waited) => {
                waited.get_mut().waiting += 1;
                Some(Arc::clone(&waited.get().place))
            }
            Entry::Vacant(none) if !is_full => {
                let waited = none.insert(Waited { place: Arc::default(), waiting: 1 });
                Some(Arc::clone(&waited.place))
            }
            Entry::Vacant(_) => None,
        };
        self.count.store(keys.len() as u64, SeqCst);
        drop(keys);
        let is_told = place.is_some();
        Waiter { waiters: self, hash, place: place.unwrap_or_default(), is_told }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<u64, Waited>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter<'_> {
    /// Is ready when something has happened to the key since it was asked for, be it polled by then or not.
    pub(crate) fn told(&self) -> Notified<'_> {
        self.place.told.notified()
    }

    /// Whether anything is told to it.
    pub(crate) fn is_told(&self) -> bool {
        self.is_told
    }

    /// Waits for so long, once nobody else who waits for the key does so.
    pub(crate) async fn turn(&self, for_so_long: Duration) {
        let _turn = self.place.turn.lock().await;
        pause(for_so_long).await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            return;
        }
        let mut keys = self.waiters.keys();
        if let Entry::Occupied(mut waited) = keys.entry(self.hash) {
            waited.get_mut().waiting -= 1;
            if waited.get().waiting == 0 {
                waited.remove();
            }
        }
        self.waiters.count.store(keys.len() as u64, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn all_who_wait_for_a_key_are_told_and_nobody_else() {
        let waiters = Waiters::default();
        waiters.tell(1);
        let (one, two, other) = (waiters.wait(1), waiters.wait(1), waiters.wait(2));
        let mut told = [one.told(), two.told(), other.told()].map(Box::pin);
        assert!(told.iter_mut().all(|told| told.as_mut().now_or_never().is_none()));
        drop(one.told());
        waiters.tell(1);
        let told = told.map(|told| told.now_or_never().is_some());
        assert_eq!(told, [true, true, false]);
        assert!(one.told().now_or_never().is_none(), "what was before is not told");
    }

    #[test]
    fn nothing_is_left_of_those_who_have_gone() {
        let waiters = Waiters::default();
        for round in 0..100 {
            let all = [1, 1, 2, round].map(|hash| waiters.wait(hash));
            assert!(waiters.any());
            let [one, two, ..] = all;
            drop(one);
            let told = Box::pin(two.told());
            waiters.tell(1);
            assert!(told.now_or_never().is_some(), "one of them is still here");
            drop(two);
        }
        assert!(!waiters.any() && waiters.keys().is_empty());
    }

    #[test]
    fn beyond_the_bound_nobody_is_told_and_nothing_grows() {
        let waiters = Waiters::default();
        let most = MOST as u64;
        let all: Vec<_> = (0..most).map(|hash| waiters.wait(hash)).collect();
        assert!(all.iter().all(Waiter::is_told));
        let late = waiters.wait(most);
        assert!(!late.is_told() && waiters.wait(0).is_told());
        waiters.tell(most);
        drop(late);
        assert_eq!(waiters.keys().len(), MOST);
        drop(all);
        assert!(!waiters.any() && waiters.keys().is_empty());
    }
}
