//! Ours.

use std::convert::Infallible;
use std::sync::Arc;

use strata::{Cache, Memory, Options, Tags};

use super::{Act, Built, Entrant, Lacks, Loader, Offered, Pair, Peer, Setting};
use crate::Outcome;

pub(super) const ENTRANT: Entrant = Entrant { name: "strata", package: "strata", build, pair };

struct Strata(Cache<u64, u64>);

fn build(setting: Setting) -> Outcome<Built> {
    let mut options = Options::new();
    if let Some(timeout) = setting.hard_timeout {
        options = options.with_hard_timeout(timeout);
    }
    let memory = Memory::new().with_max_entries(100_000);
    let cache = Cache::builder("races").memory(memory).options(options).max_abandoned(MAX_ABANDONED);
    Ok(Ok(Arc::new(Strata(cache.build()?))))
}

fn pair() -> Outcome<Result<Pair, Lacks>> {
    Ok(Err(Lacks("no second tier yet")))
}

impl Peer for Strata {
    fn load(&self, key: u64, tag: Option<&'static str>, loader: Loader) -> Act<'_, Result<u64, String>> {
        Box::pin(async move {
            let tags = Tags::new(tag).map_err(|error| error.to_string())?;
            let load = || async { Ok::<_, Infallible>(loader().await) };
            let hit = self.0.get_or_load(&key, load).with(Options::new().with_tags(tags)).await;
            hit.map(|hit| *hit).map_err(|error| error.to_string())
        })
    }

    fn get(&self, key: u64) -> Act<'_, Option<u64>> {
        Box::pin(async move { self.0.get_local(&key).map(|hit| *hit) })
    }

    fn insert(&self, key: u64, value: u64) -> Offered<'_> {
        Ok(Box::pin(async move {
            let _stored = self.0.insert(key, value).await;
        }))
    }

    fn remove(&self, key: u64) -> Offered<'_> {
        Ok(Box::pin(async move {
            let _was_there = self.0.remove(&key).await;
        }))
    }

    fn clear(&self) -> Offered<'_> {
        Ok(Box::pin(async move {
            let _removed = self.0.clear().await;
        }))
    }

    fn remove_tag(&self, tag: &'static str) -> Offered<'_> {
        Ok(Box::pin(async move {
            let _removed = self.0.remove_tag(tag).await;
        }))
    }
}

/// Low enough to be reached by a race.
const MAX_ABANDONED: u64 = 16;
