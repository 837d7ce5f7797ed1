//! multi-tier-cache, over moka alone: its second tier and its bus between nodes are Redis.

use std::sync::Arc;

use bytes::Bytes;
use multi_tier_cache::{
    CacheManager, CacheStrategy, CacheSystemBuilder, L1Cache, MokaCacheConfig, TierConfig,
};

use super::{Act, Built, Entrant, Lacks, Loader, NO_HARD_TIMEOUT, NO_TAGS, Offered, Pair, Peer, Setting};
use crate::Outcome;

pub(super) const ENTRANT: Entrant = Entrant { name: "multi-tier", package: "multi-tier-cache", build, pair };

struct MultiTier(Arc<CacheManager>);

fn build(setting: Setting) -> Outcome<Built> {
    if setting.hard_timeout.is_some() {
        return Ok(Err(NO_HARD_TIMEOUT));
    }
    let memory = Arc::new(L1Cache::new(MokaCacheConfig::default())?);
    let builder = CacheSystemBuilder::new().with_tier(memory, TierConfig::as_l1());
    let system = pollster::block_on(builder.build())?;
    Ok(Ok(Arc::new(MultiTier(Arc::clone(system.cache_manager())))))
}

fn pair() -> Outcome<Result<Pair, Lacks>> {
    Ok(Err(Lacks("its bus needs Redis")))
}

impl Peer for MultiTier {
    fn load(&self, key: u64, _tag: Option<&'static str>, loader: Loader) -> Act<'_, Result<u64, String>> {
        Box::pin(async move {
            let load = || async { Ok(loader().await) };
            let value = self.0.get_or_compute_typed(&key.to_string(), CacheStrategy::LongTerm, load).await;
            value.map_err(|error| error.to_string())
        })
    }

    fn get(&self, key: u64) -> Act<'_, Option<u64>> {
        Box::pin(async move { self.0.get_typed(&key.to_string()).await.ok().flatten() })
    }

    fn insert(&self, key: u64, value: u64) -> Offered<'_> {
        Ok(Box::pin(async move {
            let (key, value) = (key.to_string(), Bytes::from(value.to_string()));
            let _set = self.0.set_with_strategy(&key, value, CacheStrategy::LongTerm).await;
        }))
    }

    fn remove(&self, key: u64) -> Offered<'_> {
        Ok(Box::pin(async move {
            let _removed = self.0.invalidate(&key.to_string()).await;
        }))
    }

    fn clear(&self) -> Offered<'_> {
        Err(Lacks("no clear without Redis"))
    }

    fn remove_tag(&self, _tag: &'static str) -> Offered<'_> {
        Err(NO_TAGS)
    }
}
