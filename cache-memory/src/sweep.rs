//! Time's own hand: a thread that frees what has expired, though nobody touches it.
//!
//! It starts with the first entry that can expire, or with what a removal leaves to be freed, sleeps between rounds, and
//! ends with the cache it serves. Since it wakes anyway, it also announces the time.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::now::ANNOUNCE_EVERY;

/// Something that has expired entries to free.
pub(crate) trait Sweep: Send + Sync + 'static {
    /// Announces how far the time has come.
    fn announce(&self);

    /// Frees what was removed and still takes room.
    fn clear_away(&self);

    /// Frees what has expired by now.
    fn sweep(&self);
}

/// Ends its thread when it is dropped.
pub(crate) struct Sweeper {
    stop: Arc<(Mutex<bool>, Condvar)>,
}

impl Sweeper {
    /// Starts a thread that sweeps every `interval` until this or the target is dropped.
    ///
    /// Where the system has no thread to spare, entries are still freed when their room is needed.
    pub(crate) fn start(target: Weak<impl Sweep>, interval: Duration) -> Self {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let stopped = Arc::clone(&stop);
        let rounds = move || {
            let mut next_sweep = interval;
            loop {
                let nap = next_sweep.min(ANNOUNCE_EVERY);
                match target.upgrade() {
                    Some(target) => {
                        target.clear_away();
                        target.announce();
                    }
                    None => return,
                }
                if !sleep(&stopped, nap) {
                    return;
                }
                next_sweep -= nap;
                if next_sweep.is_zero() {
                    match target.upgrade() {
                        Some(target) => target.sweep(),
                        None => return,
                    }
                    next_sweep = interval;
                }
            }
        };
        let _detached = thread::Builder::new().name("cache-sweep".into()).spawn(rounds);
        Self { stop }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_one();
    }
}

/// Sleeps for the interval, or until it is time to stop; says whether to go on.
fn sleep((stopped, wake): &(Mutex<bool>, Condvar), interval: Duration) -> bool {
    let mut stopped = stopped.lock();
    if !*stopped {
        wake.wait_for(&mut stopped, interval);
    }
    !*stopped
}
