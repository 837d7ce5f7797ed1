//! Where a panic of the user's code has to end, because somebody else is waiting behind it.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What this comes to; `None` if it panics.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => Some(outcome),
        Err(payload) => {
            // It is the user's, too, and its drop may panic in turn; what that leaves behind is leaked.
            catch_unwind(AssertUnwindSafe(|| drop(payload))).unwrap_or_else(std::mem::forget);
            None
        }
    }
}
