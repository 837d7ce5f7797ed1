//! Taking a lease: here first, so that one of a process asks the others, and then among all.
//!
//! Whoever is dropped on the way gives back what he has taken by then, and those who wait are told.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{CacheKey, Grant, Lease, Result};
use futures_util::FutureExt as _;

use super::LeaseToken;
use crate::cache::Shared;
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
    is_over: bool,
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
            Ok(Some(grant)) => self.token.everywhere = grant.fence(),
            Ok(None) => return false,
            Err(error) => tracing::debug!(%error, "no lease can be had: this process gives its own"),
        }
        true
    }

    /// It is another process's. Whoever waits here is told nothing: all would ask there in turn, again and again.
    pub(super) fn leave(mut self) {
        self.is_over = true;
        self.release_here();
    }

    pub(super) async fn give_back(mut self) -> Result<()> {
        self.shared.end_lease(&self.key, &self.token).await?;
        self.is_over = true;
        Ok(())
    }

    pub(super) fn keep(mut self) -> LeaseToken {
        self.is_over = true;
        self.token.clone()
    }

    fn release_here(&self) {
        let leases = self.shared.leases.get();
        let name = leases.and_then(|leases| Some((leases, self.shared.lease_key(leases, &self.key).ok()?)));
        if let Some((leases, name)) = name {
            // In memory, which waits for nothing.
            drop(leases.lease.release(Grant::new(name, self.token.here)).now_or_never());
        }
    }
}

impl<K, V> Drop for Taken<'_, K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.release_here();
        self.shared.fence.unmark(&self.key, self.token.here);
        self.shared.tell_waiters(&self.key);
        let fleet = self.shared.fleet_of(&self.key).filter(|_| self.token.everywhere > 0);
        if let (Some((fleet, rendered)), Ok(runtime)) = (fleet, Handle::try_current()) {
            let (fleet, grant) = (Arc::clone(fleet), Grant::new(rendered, self.token.everywhere));
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
        let (ticket, notes) = (self.fence.ticket(&key), Notes::default());
        let token = LeaseToken { of: leases.of, here: here.fence(), everywhere: 0, ticket, notes };
        Ok(Some(Taken { shared: self, key, token, is_over: false }))
    }
}
