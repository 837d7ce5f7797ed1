//! The lock of a shard: one atomic step to take it, a plain store to give it back.
//!
//! A shard is held for tens of nanoseconds, so a lock costs more than what it guards. One that can park its waiters
//! needs a second atomic step on release, to learn whether anyone sleeps; this one lets waiters look again instead:
//! first at once, then after yielding their core to the holder, then after naps, so that a holder that is not running
//! costs no one a core. The feature `parking` puts a `parking_lot` lock before it, at which they park. It also counts its
//! holders, so that others can read beside them: see [`optimistic`](crate::optimistic).
//!
//! Unsafe: implementing `lock_api::RawMutex` promises mutual exclusion. [`seq`] keeps the promise, and is small
//! enough for loom to try every schedule of it (`tests/it/lock.rs`).

mod seq;

use lock_api::{GuardNoSend, RawMutex};

pub(crate) use seq::Seq;

pub(crate) type Mutex<T> = lock_api::Mutex<Brief, T>;
pub(crate) type MutexGuard<'a, T> = lock_api::MutexGuard<'a, Brief, T>;

pub(crate) struct Brief {
    seq: Seq,
    #[cfg(feature = "parking")]
    gate: parking_lot::RawMutex,
}

#[expect(unsafe_code, reason = "the trait is unsafe to implement; argued below")]
// SAFETY: `RawMutex` demands that a lock is exclusive. `Seq::take` and `try_take` return only after this thread has
// changed the count from even to odd in one atomic step, which no second thread can do until `release`; that step
// acquires what `release` has published. The count has no other way to change. Whoever is behind the gate takes it at once.
unsafe impl RawMutex for Brief {
    const INIT: Self = Self {
        seq: Seq { steps: sync::AtomicU64::new(0) },
        #[cfg(feature = "parking")]
        gate: parking_lot::RawMutex::INIT,
    };

    type Guard = GuardNoSend;

    #[inline]
    fn lock(&self) -> GuardNoSend {
        #[cfg(feature = "parking")]
        self.gate.lock();
        self.seq.take();
        GuardNoSend::new()
    }

    #[inline]
    fn try_lock(&self) -> Option<GuardNoSend> {
        #[cfg(feature = "parking")]
        self.gate.try_lock()?;
        self.seq.try_take().then(GuardNoSend::new)
    }

    // SAFETY: the caller holds the lock, as the trait demands of it, and so what is behind it and before it.
    #[inline]
    unsafe fn unlock(&self, _guard: GuardNoSend) {
        self.seq.release();
        #[cfg(feature = "parking")]
        // SAFETY: as above.
        unsafe {
            self.gate.unlock(GuardNoSend::new());
        }
    }

    fn is_locked(&self) -> bool {
        self.seq.is_taken()
    }
}

/// What a mutex counts its holders with.
#[inline]
pub(crate) fn seq_of<T>(mutex: &Mutex<T>) -> &Seq {
    #[expect(unsafe_code, reason = "argued below")]
    // SAFETY: `raw` is unsafe because its caller could give back a lock that another one holds. Who is lent a `Seq` could,
    // too; of this crate only `Brief` above calls what takes and releases.
    let Brief { seq, .. } = unsafe { mutex.raw() };
    seq
}

/// What the count is made of, under the model that the tier above runs its own code in.
#[cfg(strata_shuttle)]
mod sync {
    pub(super) use shuttle::sync::atomic::{AtomicU64, Ordering, fence};

    pub(super) use super::pause;
}

/// What the count is made of; a model puts its own in place of these.
#[cfg(not(strata_shuttle))]
mod sync {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering, fence};

    pub(super) use super::pause;
}

/// Lets others run, under that model.
#[cfg(strata_shuttle)]
pub(crate) fn pause(_round: u32) {
    shuttle::thread::yield_now();
}

/// Waits a little before the next look, longer with each round.
#[cfg(not(strata_shuttle))]
#[expect(clippy::disallowed_methods, reason = "the holder tells no one when it is done, so its waiters nap")]
pub(crate) fn pause(round: u32) {
    match round {
        0..SPINS => (0..1_u32 << round.min(5)).for_each(|_| std::hint::spin_loop()),
        SPINS..YIELDS => std::thread::yield_now(),
        _ => std::thread::sleep(NAP),
    }
}

/// Together about as long as a shard is held.
#[cfg(not(strata_shuttle))]
const SPINS: u32 = 6;
/// By then the holder is not merely waiting for its turn on this core.
#[cfg(not(strata_shuttle))]
const YIELDS: u32 = 40;
#[cfg(not(strata_shuttle))]
const NAP: std::time::Duration = std::time::Duration::from_micros(50);
