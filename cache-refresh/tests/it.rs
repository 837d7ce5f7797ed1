//! Keeping caches warm: when what is due begins, in which order, under which budget, and that it stops.

#![cfg(test)]

#[path = "it/scheduler.rs"]
mod scheduler;
#[path = "it/warming.rs"]
mod warming;

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Clock, Time};
use tokio::time::Instant;

/// The paused clock of tokio, which passes when nobody has anything to do.
#[derive(Debug)]
struct Paused(Instant);

impl Paused {
    fn new() -> Arc<Self> {
        Arc::new(Self(Instant::now()))
    }
}

impl Clock for Paused {
    fn now(&self) -> Time {
        Time::ZERO.after(Duration::from_secs(1) + self.0.elapsed())
    }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Lets so much time pass, and everything happen that waits for it.
async fn passes(time: Duration) {
    drop(tokio::time::timeout(time, std::future::pending::<()>()).await);
}
