//! foyer's tier in memory: `get_or_fetch`.

use std::convert::Infallible;
use std::sync::Arc;

use foyer_memory::{Cache, CacheBuilder};

use super::{
    Act, Built, Entrant, Lacks, Loader, NO_HARD_TIMEOUT, NO_TAGS, ONE_NODE, Offered, Pair, Peer, Setting,
};
use crate::Outcome;

pub(super) const ENTRANT: Entrant = Entrant { name: "foyer", package: "foyer-memory", build, pair };

struct Foyer(Cache<u64, u64>);

fn build(setting: Setting) -> Outcome<Built> {
    if setting.hard_timeout.is_some() {
        return Ok(Err(NO_HARD_TIMEOUT));
    }
    Ok(Ok(Arc::new(Foyer(CacheBuilder::new(100_000).build()))))
}

fn pair() -> Outcome<Result<Pair, Lacks>> {
    Ok(Err(ONE_NODE))
}

impl Peer for Foyer {
    fn load(&self, key: u64, _tag: Option<&'static str>, loader: Loader) -> Act<'_, Result<u64, String>> {
        Box::pin(async move {
            let load = || async { Ok::<_, Infallible>(loader().await) };
            let entry = self.0.get_or_fetch(&key, load).await;
            entry.map(|entry| *entry.value()).map_err(|error| error.to_string())
        })
    }

    fn get(&self, key: u64) -> Act<'_, Option<u64>> {
        Box::pin(async move { self.0.get(&key).map(|entry| *entry.value()) })
    }

    fn insert(&self, key: u64, value: u64) -> Offered<'_> {
        Ok(Box::pin(async move {
            self.0.insert(key, value);
        }))
    }

    fn remove(&self, key: u64) -> Offered<'_> {
        Ok(Box::pin(async move {
            self.0.remove(&key);
        }))
    }

    fn clear(&self) -> Offered<'_> {
        Ok(Box::pin(async move { self.0.clear() }))
    }

    fn remove_tag(&self, _tag: &'static str) -> Offered<'_> {
        Err(NO_TAGS)
    }
}
