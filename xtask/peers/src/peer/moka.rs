//! moka for tasks: `try_get_with`, and `invalidate` for what is removed.

use std::convert::Infallible;
use std::sync::Arc;

use moka::future::Cache;

use super::{
    Act, Built, Entrant, Lacks, Loader, NO_HARD_TIMEOUT, NO_TAGS, ONE_NODE, Offered, Pair, Peer, Setting,
};
use crate::Outcome;

pub(super) const ENTRANT: Entrant = Entrant { name: "moka", package: "moka", build, pair };

struct Moka(Cache<u64, u64>);

fn build(setting: Setting) -> Outcome<Built> {
    if setting.hard_timeout.is_some() {
        return Ok(Err(NO_HARD_TIMEOUT));
    }
    Ok(Ok(Arc::new(Moka(Cache::new(100_000)))))
}

fn pair() -> Outcome<Result<Pair, Lacks>> {
    Ok(Err(ONE_NODE))
}

impl Peer for Moka {
    fn load(&self, key: u64, _tag: Option<&'static str>, loader: Loader) -> Act<'_, Result<u64, String>> {
        Box::pin(async move {
            let load = async { Ok::<_, Infallible>(loader().await) };
            self.0.try_get_with(key, load).await.map_err(|error| error.to_string())
        })
    }

    fn get(&self, key: u64) -> Act<'_, Option<u64>> {
        Box::pin(async move { self.0.get(&key).await })
    }

    fn insert(&self, key: u64, value: u64) -> Offered<'_> {
        Ok(Box::pin(self.0.insert(key, value)))
    }

    fn remove(&self, key: u64) -> Offered<'_> {
        Ok(Box::pin(async move { self.0.invalidate(&key).await }))
    }

    fn clear(&self) -> Offered<'_> {
        self.0.invalidate_all();
        Ok(Box::pin(async move { self.0.run_pending_tasks().await }))
    }

    fn remove_tag(&self, _tag: &'static str) -> Offered<'_> {
        Err(NO_TAGS)
    }
}
