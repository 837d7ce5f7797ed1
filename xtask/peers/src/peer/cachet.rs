//! cachet, over its own memory tier and with its protection against stampedes.

use std::convert::Infallible;
use std::sync::Arc;

use cachet::Cache;
use tick::Clock;

use super::{Act, Built, Entrant, Lacks, Loader, NO_HARD_TIMEOUT, NO_TAGS, Offered, Pair, Peer, Setting};
use crate::Outcome;

pub(super) const ENTRANT: Entrant = Entrant { name: "cachet", package: "cachet", build, pair };

struct Cachet(Cache<u64, u64>);

fn build(setting: Setting) -> Outcome<Built> {
    if setting.hard_timeout.is_some() {
        return Ok(Err(NO_HARD_TIMEOUT));
    }
    let builder = Cache::builder::<u64, u64>(Clock::new_tokio());
    Ok(Ok(Arc::new(Cachet(builder.memory().stampede_protection().build()))))
}

fn pair() -> Outcome<Result<Pair, Lacks>> {
    Ok(Err(Lacks("tiers, but no word between nodes")))
}

impl Peer for Cachet {
    fn load(&self, key: u64, _tag: Option<&'static str>, loader: Loader) -> Act<'_, Result<u64, String>> {
        Box::pin(async move {
            let load = || async { Ok::<_, Infallible>(loader().await) };
            let entry = self.0.try_get_or_insert(&key, load).await;
            entry.map(|entry| *entry.value()).map_err(|error| error.to_string())
        })
    }

    fn get(&self, key: u64) -> Act<'_, Option<u64>> {
        Box::pin(async move { self.0.get(&key).await.ok().flatten().map(|entry| *entry.value()) })
    }

    fn insert(&self, key: u64, value: u64) -> Offered<'_> {
        Ok(Box::pin(async move {
            let _inserted = self.0.insert(key, value).await;
        }))
    }

    fn remove(&self, key: u64) -> Offered<'_> {
        Ok(Box::pin(async move {
            let _removed = self.0.invalidate(&key).await;
        }))
    }

    fn clear(&self) -> Offered<'_> {
        Ok(Box::pin(async move {
            let _cleared = self.0.clear().await;
        }))
    }

    fn remove_tag(&self, _tag: &'static str) -> Offered<'_> {
        Err(NO_TAGS)
    }
}
