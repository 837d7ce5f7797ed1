//! Taking a lease: here first, so that one of a process asks the others, and then among all.
//!
//! Whoever is dropped on the way gives back what he has taken by then, and those who wait are told.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{CacheKey, Grant, Lease, Result};
use futures_util::FutureExt as _;

use super::LeaseToken;
use crate::cache::Shared;
use crate::fleet::Fleet;
use crate::sync::Handle;
use crate::tiers::Notes;

/// A lease that is being taken, which nobody knows of yet: if it is dropped, the next one has it.
pub(super) struct Taken<'a, K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    shared: &'a Arc<Shared<K, V>>,
    pub(super) key: K,
    pub(super) token: LeaseToken,
    /// What stands for the key in this process, so that giving it back runs no code of the key's type, which may just have panicked.
    pub(super) hash: u64,
    here: Option<Grant>,
    everywhere: Option<(Arc<Fleet>, Grant)>,
}

impl<K, V> Taken<'_, K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Takes it among all who take turns as well, and says whether it is this caller's: also where nobody can tell.
    pub(super) async fn take_everywhere(&mut self, hold: Duration) -> bool {
        let Some((fleet, rendered)) = self.shared.fleet_of(&self.key) else { return true };
        match fleet.take(&rendered, hold).await {
            Ok(Some(grant)) => {
                self.token.everywhere = grant.fence();
                self.everywhere = Some((Arc::clone(fleet), grant));
            }
            Ok(None) => return false,
            Err(error) => tracing::debug!(%error, "no lease can be had: this process gives its own"),
        }
        true
    }

    /// It is another process's. Whoever waits here is told nothing: all would ask there in turn, again and again.
    pub(super) fn leave(mut self) {
        self.release_here();
    }

    pub(super) async fn give_back(mut self) -> Result<()> {
        self.shared.end_lease(&self.key, &self.token).await?;
        (self.here, self.everywhere) = (None, None);
        Ok(())
    }

    pub(super) fn keep(mut self) -> LeaseToken {
        (self.here, self.everywhere) = (None, None);
        self.token.clone()
    }

    /// Says whether there was anything to give back in this process.
    fn release_here(&mut self) -> bool {
        let Some(here) = self.here.take() else { return false };
        // In memory, which waits for nothing.
        drop(self.shared.leases().lease.release(here).now_or_never());
        true
    }
}

impl<K, V> Drop for Taken<'_, K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    fn drop(&mut self) {
        if self.release_here() {
            self.shared.fence.unmark(self.hash, self.token.here);
            self.shared.leases().waiters.tell(self.hash);
        }
        if let (Some((fleet, grant)), Ok(runtime)) = (self.everywhere.take(), Handle::try_current()) {
            runtime.spawn(async move { fleet.give_back(grant).await });
        }
    }
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// The lease of a key in this process, if nobody has it; with nothing in it yet that keeps an old value out.
    pub(super) async fn take_here(
        self: &Arc<Self>,
        key: K,
        hold: Duration,
    ) -> Result<Option<Taken<'_, K, V>>> {
        let leases = self.leases();
        let Some(here) = leases.lease.acquire(&self.lease_key(leases, &key)?, hold).await? else {
            return Ok(None);
        };
        let (hash, ticket, notes) = (self.fence.hash(&key), self.fence.ticket(&key), Notes::default());
        let token = LeaseToken { of: leases.of, here: here.fence(), everywhere: 0, ticket, notes };
        Ok(Some(Taken { shared: self, key, token, hash, here: Some(here), everywhere: None }))
    }
}
