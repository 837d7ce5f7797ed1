//! amalgam-cache: `get_or_set`; two nodes share its second tier in memory and its bus in the process.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use amalgam::provider::{
    Backplane, DistributedBytes, DistributedCache, InMemoryDistributedCache, InProcessBackplane,
    JsonSerializer, SystemClock,
};
use amalgam::{Cache, ClearMode, EntryOptions, Timeout};
use async_trait::async_trait;

use super::{Act, Built, Entrant, Hold, Lacks, Loader, Offered, Pair, Peer, Setting};
use crate::Outcome;

pub(super) const ENTRANT: Entrant = Entrant { name: "amalgam", package: "amalgam-cache", build, pair };

struct Amalgam(Cache<u64>);

fn build(setting: Setting) -> Outcome<Built> {
    let mut options = EntryOptions::new(HOUR);
    if let Some(timeout) = setting.hard_timeout {
        options = options.with_factory_timeouts(Timeout::Infinite, Timeout::After(timeout), true);
    }
    Ok(Ok(Arc::new(Amalgam(Cache::builder().default_options(options).try_build()?))))
}

fn pair() -> Outcome<Result<Pair, Lacks>> {
    let below = Arc::new(InMemoryDistributedCache::new(Arc::new(SystemClock)));
    let bus: Arc<dyn Backplane> = Arc::new(InProcessBackplane::default());
    let hold = Hold::new();
    let node = |id: &str, tier: Arc<dyn DistributedCache>| -> Outcome<Arc<dyn Peer>> {
        let cache = Cache::builder()
            .distributed(tier)
            .serializer(Arc::new(JsonSerializer))
            .backplane(Arc::clone(&bus))
            .default_options(EntryOptions::new(HOUR))
            .instance_id(id);
        Ok(Arc::new(Amalgam(cache.try_build()?)))
    };
    let above = Held { below: Arc::clone(&below), hold: hold.clone() };
    Ok(Ok(Pair { first: node("first", below)?, second: node("second", Arc::new(above))?, hold }))
}

/// A second tier whose reads are held when they have their answer.
struct Held {
    below: Arc<InMemoryDistributedCache>,
    hold: Hold,
}

#[async_trait]
impl DistributedCache for Held {
    async fn get(&self, key: &str) -> amalgam::Result<Option<DistributedBytes>> {
        let found = self.below.get(key).await;
        if matches!(&found, Ok(Some(_))) {
            self.hold.stop().await;
        }
        found
    }

    async fn set(&self, key: &str, value: Vec<u8>, ttl: Option<Duration>) -> amalgam::Result<()> {
        self.below.set(key, value, ttl).await
    }

    async fn remove(&self, key: &str) -> amalgam::Result<()> {
        self.below.remove(key).await
    }
}

impl Peer for Amalgam {
    fn load(&self, key: u64, tag: Option<&'static str>, loader: Loader) -> Act<'_, Result<u64, String>> {
        Box::pin(async move {
            let load = |_| async move { Ok::<_, Infallible>(loader().await) };
            let value = self.0.get_or_set(key.to_string(), load).tags(tag).await;
            value.map_err(|error| error.to_string())
        })
    }

    fn get(&self, key: u64) -> Act<'_, Option<u64>> {
        Box::pin(async move { self.0.try_get(key.to_string()).await.ok().flatten() })
    }

    fn insert(&self, key: u64, value: u64) -> Offered<'_> {
        Ok(Box::pin(async move {
            let _set = self.0.set(key.to_string(), value).await;
        }))
    }

    fn remove(&self, key: u64) -> Offered<'_> {
        Ok(Box::pin(async move {
            let _removed = self.0.remove(key.to_string()).await;
        }))
    }

    fn clear(&self) -> Offered<'_> {
        Ok(Box::pin(async move {
            let _cleared = self.0.clear(ClearMode::Remove).await;
        }))
    }

    fn remove_tag(&self, tag: &'static str) -> Offered<'_> {
        Ok(Box::pin(async move {
            let _removed = self.0.remove_by_tag(tag).await;
        }))
    }
}

const HOUR: Duration = Duration::from_hours(1);
