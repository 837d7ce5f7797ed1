//! The seam of exclusiveness: only one of us, for a while.
//!
//! A lease saves work; alone it cannot make anything correct, because a holder may be paused past its end. What makes
//! it safe is the fencing number of each grant: it only grows, and whoever accepts the protected write refuses a
//! number smaller than one it has seen (M. Kleppmann, "How to do distributed locking", 2016).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Key, Result};

/// Grants the exclusive right to something, for a limited time.
#[async_trait]
pub trait Lease: fmt::Debug + Send + Sync + 'static {
    /// Takes the lease if nobody holds it: `None` while someone else does, at once, without waiting.
    async fn acquire(&self, key: &Key, ttl: Duration) -> Result<Option<Grant>>;

    /// Extends a lease to `ttl` from now and says whether it was still held by this grant.
    async fn renew(&self, grant: &Grant, ttl: Duration) -> Result<bool>;

    /// Gives the lease back and says whether it was still held by this grant. Never ends someone else's.
    async fn release(&self, grant: Grant) -> Result<bool>;
}

/// A granted lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    key: Key,
    fence: u64,
}

impl Grant {
    /// A grant of this key with this fencing number. For implementations of [`Lease`].
    pub fn new(key: Key, fence: u64) -> Self {
        Self { key, fence }
    }

    /// What is leased.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Larger than the number of every earlier grant of this key.
    pub fn fence(&self) -> u64 {
        self.fence
    }
}
