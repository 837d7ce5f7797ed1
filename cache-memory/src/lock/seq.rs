//! A flag that one thread at a time can take, which counts how often it was: a sequence lock. Safe code: it only claims
//! exclusion, and guards nothing itself.
//!
//! The count lets others read what is guarded without taking anything, if they can bear to find it half changed: they note
//! the count, read, and look whether it is still the same. Source: Boehm, "Can seqlocks get along with programming language
//! memory models?", 2012.

use super::sync::{AtomicU64, Ordering, fence, pause};

/// How often the flag was taken and given back; odd while somebody has it, so that one number is the flag and the count. At one step in
/// a nanosecond it lasts for centuries.
pub(crate) struct Seq {
    pub(super) steps: AtomicU64,
}

/// What makes an even count odd, and leaves an odd one as it is: who finds it odd has changed nothing by trying.
const TAKEN: u64 = 1;

impl Seq {
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
        // An exchange would have to be told the count, for which the line is fetched twice from a core that has it.
        let is_mine = self.steps.fetch_or(TAKEN, Ordering::Acquire) & TAKEN == 0;
        if is_mine {
            // What the holder changes must not be seen before the odd count is.
            fence(Ordering::Release);
        }
        is_mine
    }

    /// Gives the flag back. Only whoever took it may.
    #[inline]
    pub(crate) fn release(&self) {
        self.steps.store(self.steps.load(Ordering::Relaxed) + TAKEN, Ordering::Release);
    }

    /// Tells whether somebody has it; that may have changed by the time it is told.
    pub(crate) fn is_taken(&self) -> bool {
        self.steps.load(Ordering::Relaxed) & TAKEN != 0
    }

    /// The count to begin a read with; `None` while somebody has the flag.
    #[inline]
    pub(crate) fn begin(&self) -> Option<u64> {
        Some(self.steps.load(Ordering::Acquire)).filter(|steps| steps & TAKEN == 0)
    }

    /// Tells whether nobody has had the flag since a read began, so that all that was read meanwhile is of one moment.
    #[inline]
    pub(crate) fn is_still(&self, begun: u64) -> bool {
        fence(Ordering::Acquire);
        self.steps.load(Ordering::Relaxed) == begun
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
