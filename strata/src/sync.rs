//! What threads and tasks are made of, in one place, so that a model can put its own under the real code.
//!
//! Built with `--cfg strata_shuttle`, everything here yields to shuttle's scheduler, which tries other orders; a normal
//! build compiles none of that. What is never held across such a step, as a lock around one field, is not listed.

#[cfg(not(strata_shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic::AtomicU64};

#[cfg(not(strata_shuttle))]
pub(crate) use tokio::{
    runtime::Handle,
    select,
    sync::{Mutex as Turn, Notify, futures::Notified, watch},
    time::{Instant, timeout},
};

#[cfg(strata_shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic::AtomicU64};

#[cfg(strata_shuttle)]
pub(crate) use shuttle_tokio::{
    runtime::Handle,
    select,
    sync::{Mutex as Turn, Notify, futures::Notified, watch},
    time::{Instant, timeout},
};

/// Lets this much time pass. What waits for an event has no use for it: this is for pauses that are the purpose.
#[expect(clippy::disallowed_methods, reason = "a pause between tries is no wait for an event")]
pub(crate) async fn pause(duration: std::time::Duration) {
    #[cfg(not(strata_shuttle))]
    tokio::time::sleep(duration).await;
    #[cfg(strata_shuttle)]
    shuttle_tokio::time::sleep(duration).await;
}
