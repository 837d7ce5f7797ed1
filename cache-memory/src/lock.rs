//! The lock of a shard: one atomic step to take it, a plain store to give it back.
//!
//! A shard is held for tens of nanoseconds, so a lock costs more than what it guards. One that can park its waiters
//! needs a second atomic step on release, to learn whether anyone sleeps; this one lets waiters look again instead:
//! first at once, then after yielding their core to the holder, then after naps, so that a holder that is not running
//! costs no one a core. The feature `parking` puts `parking_lot::Mutex` in its place.
//!
//! Unsafe: implementing `lock_api::RawMutex` promises mutual exclusion. [`flag`] keeps the promise, and is small
//! enough for loom to try every schedule of it (`tests/it/lock.rs`).

#[cfg(not(feature = "parking"))]
mod flag;

#[cfg(feature = "parking")]
pub(crate) use parking_lot::{Mutex, MutexGuard};

#[cfg(not(feature = "parking"))]
pub(crate) use brief::{Mutex, MutexGuard};

#[cfg(not(feature = "parking"))]
mod brief {
    use lock_api::{GuardNoSend, RawMutex};

    use super::flag::Flag;
    use super::sync::AtomicBool;

    pub(crate) type Mutex<T> = lock_api::Mutex<Brief, T>;
    pub(crate) type MutexGuard<'a, T> = lock_api::MutexGuard<'a, Brief, T>;

    pub(crate) struct Brief(Flag);

    #[expect(unsafe_code, reason = "the trait is unsafe to implement; argued below")]
    // SAFETY: `RawMutex` demands that a lock is exclusive. `Flag::take` and `try_take` return only after this thread has
    // changed the flag from free to taken in one atomic step, which no second thread can do until `release`; that step
    // acquires what `release` has published. The flag has no other way to change.
    unsafe impl RawMutex for Brief {
        const INIT: Self = Self(Flag { taken: AtomicBool::new(false) });

        type Guard = GuardNoSend;

        #[inline]
        fn lock(&self) -> GuardNoSend {
            self.0.take();
            GuardNoSend::new()
        }

        #[inline]
        fn try_lock(&self) -> Option<GuardNoSend> {
            self.0.try_take().then(GuardNoSend::new)
        }

        // SAFETY: the caller holds the lock, as the trait demands of it; nothing else is required here.
        #[inline]
        unsafe fn unlock(&self, _guard: GuardNoSend) {
            self.0.release();
        }

        fn is_locked(&self) -> bool {
            self.0.is_taken()
        }
    }
}

/// What the flag is made of, under the model that the tier above runs its own code in.
#[cfg(all(strata_shuttle, not(feature = "parking")))]
mod sync {
    pub(super) use shuttle::sync::atomic::{AtomicBool, Ordering};

    pub(super) fn pause(_round: u32) {
        shuttle::thread::yield_now();
    }
}

/// What the flag is made of; a model puts its own in place of these.
#[cfg(not(any(strata_shuttle, feature = "parking")))]
mod sync {
    pub(super) use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    /// Waits a little before the next look, longer with each round.
    #[expect(
        clippy::disallowed_methods,
        reason = "the holder tells no one when it is done, so its waiters nap"
    )]
    pub(super) fn pause(round: u32) {
        match round {
            0..SPINS => (0..1_u32 << round.min(5)).for_each(|_| std::hint::spin_loop()),
            SPINS..YIELDS => std::thread::yield_now(),
            _ => std::thread::sleep(NAP),
        }
    }

    /// Together about as long as a shard is held.
    const SPINS: u32 = 6;
    /// By then the holder is not merely waiting for its turn on this core.
    const YIELDS: u32 = 40;
    const NAP: Duration = Duration::from_micros(50);
}
