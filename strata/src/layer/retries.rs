//! Trying again.

use cache_core::{ErrorKind, Result};
use cache_policy::Backoff;

use super::{Layer, Operation};
use crate::sync::pause;
use crate::write::Chance;

/// Tries again what failed because its place was away for a moment, after a pause. What was given up because it took too long is not tried
/// again: whoever waits has waited as long as he is to.
///
/// Every operation of a store may be repeated: it comes to the same. Only the number that a removal answers is that of its last try, and a
/// noted write whose answer was lost is refused by what it has written itself: then the refused value is there, unless it was removed since.
#[derive(Debug)]
pub struct Retries {
    tries: u32,
    backoff: Backoff,
    chance: Chance,
}

impl Retries {
    /// So many tries in all (0 counts as 1), with these pauses in between.
    pub fn new(tries: u32, backoff: Backoff) -> Self {
        Self { tries, backoff, chance: Chance::new(None) }
    }
}

impl Layer for Retries {
    async fn around<T, F>(&self, _: Operation, attempt: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let mut failures = 0;
        loop {
            match attempt().await {
                Err(error) if error.kind() == ErrorKind::Unavailable && failures + 1 < self.tries => {
                    failures += 1;
                    pause(self.backoff.pause(failures, self.chance.draw())).await;
                }
                outcome => return outcome,
            }
        }
    }
}
