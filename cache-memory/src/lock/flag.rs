//! A flag that one thread at a time can take. Safe code: it only claims exclusion, and guards nothing itself.

use super::sync::{AtomicBool, Ordering, pause};

pub(crate) struct Flag {
    pub(super) taken: AtomicBool,
}

impl Flag {
    /// Takes the flag, waiting for whoever has it.
    #[inline]
    pub(crate) fn take(&self) {
        if !self.try_take() {
            self.wait();
        }
    }

    /// Takes the flag if nobody has it.
    #[inline]
    pub(crate) fn try_take(&self) -> bool {
        self.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Gives the flag back. Only whoever took it may.
    #[inline]
    pub(crate) fn release(&self) {
        self.taken.store(false, Ordering::Release);
    }

    /// Tells whether somebody has it; that may have changed by the time it is told.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    #[cold]
    fn wait(&self) {
        let mut round = 0;
        loop {
            // Looking without writing leaves the line with the holder, who needs it to release.
            while self.is_taken() {
                pause(round);
                round += 1;
            }
            if self.try_take() {
                return;
            }
        }
    }
}
