//! No operation takes longer.

use std::time::Duration;

use cache_core::{Error, ErrorKind, Result};

use super::{Layer, Operation};
use crate::sync::timeout;

/// Gives an operation up after a while: it fails with [`ErrorKind::TimedOut`], and may have taken effect or still do so.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimit(Duration);

impl TimeLimit {
    /// Waits no longer than this.
    pub fn new(limit: Duration) -> Self {
        Self(limit)
    }
}

impl Layer for TimeLimit {
    async fn around<T, F>(&self, operation: Operation, attempt: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let Operation { place, name } = operation;
        let late = |_| Err(Error::new(ErrorKind::TimedOut, place, name));
        timeout(self.0, attempt()).await.unwrap_or_else(late)
    }
}
