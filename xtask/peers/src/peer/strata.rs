//! Ours; two nodes share a second tier in memory and a bus in the process.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache_core::Store;
use cache_memory::{MemoryStore, MemoryTransport};
use cache_testkit::hold::HeldReads;
use strata::codec::{Codec, CodecFailure, Framer};
use strata::{Bus, Cache, Memory, Options, Tags, Tier};

use super::{Act, Built, Entrant, Hold, Lacks, Loader, Offered, Pair, Peer, Setting};
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
    let below = Arc::new(MemoryStore::new(MOST_BYTES));
    let link = Arc::new(MemoryTransport::new());
    let hold = Hold::new();
    let node = |seed, store: Arc<dyn Store>| -> Outcome<Arc<dyn Peer>> {
        let bus = Bus::builder(Arc::<MemoryTransport>::clone(&link)).with_seed(seed).open()?;
        let cache = Cache::builder("races")
            .memory(Memory::new().with_max_entries(100_000))
            .options(Options::new().with_ttl(HOUR))
            .framer(Framer::new("number", BigEndian))
            .tier(Tier::new(store).without_guards())
            .bus(bus);
        Ok(Arc::new(Strata(cache.build()?)))
    };
    let above = HeldReads::new(Arc::<MemoryStore>::clone(&below), hold.clone());
    Ok(Ok(Pair { first: node(1, below)?, second: node(2, Arc::new(above))?, hold }))
}

/// A number as it stands in the second tier.
#[derive(Debug)]
struct BigEndian;

impl Codec<u64> for BigEndian {
    fn id(&self) -> u8 {
        200
    }

    fn encode(&self, value: &u64) -> Result<Bytes, CodecFailure> {
        Ok(Bytes::copy_from_slice(&value.to_be_bytes()))
    }

    fn decode(&self, bytes: &Bytes) -> Result<u64, CodecFailure> {
        Ok(u64::from_be_bytes(bytes[..].try_into()?))
    }
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

const HOUR: Duration = Duration::from_hours(1);
const MOST_BYTES: u64 = 1 << 20;
/// Low enough to be reached by a race.
const MAX_ABANDONED: u64 = 16;
