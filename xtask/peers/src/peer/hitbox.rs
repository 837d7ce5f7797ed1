//! hitbox, as its macro for functions over moka, one caller per key at a time. It stores bytes, and removes nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hitbox::concurrency::BroadcastConcurrencyManager;
use hitbox::policy::PolicyConfig;
use hitbox_core::DisabledOffload;
use hitbox_fn::Cache;
use hitbox_fn::prelude::*;
use hitbox_moka::MokaBackend;
use parking_lot::Mutex;

use super::{Act, Built, Entrant, Lacks, Loader, NO_HARD_TIMEOUT, NO_TAGS, Offered, Pair, Peer, Setting};
use crate::Outcome;

pub(super) const ENTRANT: Entrant = Entrant { name: "hitbox", package: "hitbox", build, pair };

struct Hitbox(Cache<MokaBackend, BroadcastConcurrencyManager<u64>, DisabledOffload>);

/// A loader that can be handed through the macro, which wants to clone its arguments.
#[derive(Clone)]
struct Once(Arc<Mutex<Option<Loader>>>);

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once")
    }
}

#[cached(skip(loader))]
async fn loaded(key: u64, loader: Once) -> u64 {
    // Only the cache needs it.
    let _ = key;
    let taken = loader.0.lock().take();
    match taken {
        Some(load) => load().await,
        None => 0,
    }
}

fn build(setting: Setting) -> Outcome<Built> {
    if setting.hard_timeout.is_some() {
        return Ok(Err(NO_HARD_TIMEOUT));
    }
    let cache = Cache::builder()
        .backend(MokaBackend::builder().max_entries(100_000).build())
        .policy(PolicyConfig::builder().ttl(Duration::from_hours(1)).concurrency(1.try_into()?).build())
        .concurrency_manager(BroadcastConcurrencyManager::new())
        .build();
    Ok(Ok(Arc::new(Hitbox(cache))))
}

fn pair() -> Outcome<Result<Pair, Lacks>> {
    Ok(Err(NO_REMOVAL))
}

impl Peer for Hitbox {
    fn load(&self, key: u64, _tag: Option<&'static str>, loader: Loader) -> Act<'_, Result<u64, String>> {
        Box::pin(
            async move { Ok(loaded(key, Once(Arc::new(Mutex::new(Some(loader))))).cache(&self.0).await) },
        )
    }

    fn get(&self, key: u64) -> Act<'_, Option<u64>> {
        Box::pin(async move {
            let nothing: Loader = Box::new(|| Box::pin(async { NOTHING }));
            let value = loaded(key, Once(Arc::new(Mutex::new(Some(nothing))))).cache(&self.0).await;
            (value != NOTHING).then_some(value)
        })
    }

    fn insert(&self, _key: u64, _value: u64) -> Offered<'_> {
        Err(Lacks("no insert"))
    }

    fn remove(&self, _key: u64) -> Offered<'_> {
        Err(NO_REMOVAL)
    }

    fn clear(&self) -> Offered<'_> {
        Err(NO_REMOVAL)
    }

    fn remove_tag(&self, _tag: &'static str) -> Offered<'_> {
        Err(NO_TAGS)
    }
}

const NO_REMOVAL: Lacks = Lacks("no removal");
/// What no loader makes.
const NOTHING: u64 = u64::MAX;
