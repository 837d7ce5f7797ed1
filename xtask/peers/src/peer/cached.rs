//! `cached`: the macro, with `sync_writes = "by_key"`, its protection against stampedes.
//!
//! The macro puts the cache into a static, so all who are set up share one; each begins with it empty.

use std::sync::Arc;

use cached::Cached as _;
use cached::macros::cached;

use super::{
    Act, Built, Entrant, Lacks, Loader, NO_HARD_TIMEOUT, NO_TAGS, ONE_NODE, Offered, Pair, Peer, Setting,
};
use crate::Outcome;

pub(super) const ENTRANT: Entrant = Entrant { name: "cached", package: "cached", build, pair };

struct Static;

#[cached(max_size = 100_000, sync_writes = "by_key", key = "u64", convert = { key }, name = "LOADED")]
async fn loaded(key: u64, loader: Loader) -> u64 {
    // Only the cache needs it.
    let _ = key;
    loader().await
}

fn build(setting: Setting) -> Outcome<Built> {
    if setting.hard_timeout.is_some() {
        return Ok(Err(NO_HARD_TIMEOUT));
    }
    pollster::block_on(async { LOADED.write().await.cache_clear() });
    Ok(Ok(Arc::new(Static)))
}

fn pair() -> Outcome<Result<Pair, Lacks>> {
    Ok(Err(ONE_NODE))
}

impl Peer for Static {
    fn load(&self, key: u64, _tag: Option<&'static str>, loader: Loader) -> Act<'_, Result<u64, String>> {
        Box::pin(async move { Ok(loaded(key, loader).await) })
    }

    fn get(&self, key: u64) -> Act<'_, Option<u64>> {
        Box::pin(async move { LOADED.write().await.cache_get(&key).copied() })
    }

    fn insert(&self, key: u64, value: u64) -> Offered<'_> {
        Ok(Box::pin(async move {
            LOADED.write().await.cache_set(key, value);
        }))
    }

    fn remove(&self, key: u64) -> Offered<'_> {
        Ok(Box::pin(async move {
            let _removed = LOADED.write().await.cache_remove(&key);
        }))
    }

    fn clear(&self) -> Offered<'_> {
        Ok(Box::pin(async move { LOADED.write().await.cache_clear() }))
    }

    fn remove_tag(&self, _tag: &'static str) -> Offered<'_> {
        Err(NO_TAGS)
    }
}
