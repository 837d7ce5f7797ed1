//! What the marks of readers are made of, and the two halves of the barrier between them and a writer; a model puts its own
//! in place of these.

pub(super) use std::sync::Arc;
pub(super) use std::sync::atomic::{AtomicU64, Ordering};

pub(super) use crate::lock::pause;

/// The reader's half: keeps the compiler from moving a later read before an earlier write. The processor still may.
#[inline]
pub(super) fn light() {
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// The writer's half: a barrier on every core that runs a thread of this process. Says whether it was run.
#[cfg(target_os = "linux")]
pub(super) fn heavy() -> bool {
    use rustix::thread::{MembarrierCommand, membarrier};
    membarrier(MembarrierCommand::PrivateExpedited).is_ok()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn heavy() -> bool {
    false
}

/// Tells whether this system has the writer's half. Asked once.
pub(super) fn has_heavy() -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{MembarrierCommand, membarrier};
        static HAS: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        *HAS.get_or_init(|| membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok() && heavy())
    }
    #[cfg(not(target_os = "linux"))]
    false
}
