//! Waiting for what a server or the network does: asked for again and again, up to a deadline.

use std::thread;
use std::time::Duration;

use cache_core::{Clock, SystemClock};

/// Longer than anything here takes on a busy machine, so who waits for so long waits in vain.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until the answer is yes.
///
/// # Panics
/// After [`PATIENCE`], with what was waited for.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    assert!(within(PATIENCE, &mut is_so), "in {PATIENCE:?} it did not come to this: {what}");
}

/// Asks until the answer is yes, and says whether it was in time.
pub(super) fn within(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let clock = SystemClock::new();
    let end = clock.now().after(patience);
    loop {
        if is_so() {
            return true;
        }
        if clock.now() >= end {
            return false;
        }
        thread::park_timeout(PAUSE);
    }
}
