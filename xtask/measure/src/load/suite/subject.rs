//! Who is measured: a cache in this process, or a cache server, each over the same Redis; and one caller of it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache_redis::{Config, Connection as Redis, RedisStore, RedisTransport};
use cache_testkit::load::{Ids, Shape, Workload};
use strata::codec::{Framer, Raw};
use strata::{Bus, Cache, Options};

use super::super::http::{Connection, Region};
use super::super::tally::Failure;
use super::rest;
use crate::child::Server;
use crate::{Outcome, proc};

/// A cache.
#[derive(Debug)]
pub(super) enum Subject {
    Library { cache: Cache<u64, Bytes>, bus: Bus },
    Server { process: Server, region: Region },
}

/// Somebody who uses it: with a connection of his own, where it takes one.
#[derive(Debug)]
pub(super) enum Caller {
    Library(Cache<u64, Bytes>),
    Server(Box<Connection>),
}

impl Subject {
    pub(super) fn library(redis: &str) -> Outcome<Self> {
        let connection = Redis::open(Config::from_url(redis)?)?;
        let bus = Bus::builder(Arc::new(RedisTransport::new(connection.clone()))).open()?;
        let cache = Cache::builder("production")
            .framer(Framer::new("value", Raw))
            .tier(Arc::new(RedisStore::new(connection)))
            .bus(bus.clone())
            .options(Options::new().with_ttl(HOUR).with_fail_safe_for(HOUR))
            .build()?;
        Ok(Self::Library { cache, bus })
    }

    pub(super) fn server(process: Server) -> Outcome<Self> {
        let url = format!("http://{}", process.address()).parse()?;
        Ok(Self::Server { process, region: Region { url, name: "default".into(), token: None } })
    }

    /// Waits until it hears of others.
    pub(super) async fn settle(&self) {
        match self {
            Self::Library { bus, .. } => {
                while !bus.is_whole() {
                    rest(Duration::from_millis(5)).await;
                }
            }
            // It does not tell; its bus needs some milliseconds.
            Self::Server { .. } => rest(Duration::from_secs(1)).await,
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Library { .. } => "in process",
            Self::Server { .. } => "through the server",
        }
    }

    pub(super) fn caller(&self) -> Caller {
        match self {
            Self::Library { cache, .. } => Caller::Library(cache.clone()),
            Self::Server { region, .. } => Caller::Server(Box::new(Connection::new(region.clone()))),
        }
    }

    /// The memory that its process holds.
    pub(super) fn resident(&self) -> Outcome<u64> {
        match self {
            Self::Library { .. } => Ok(proc::own_now().ok_or("the memory of this process is not to be had")?),
            Self::Server { process, .. } => process.resident(),
        }
    }
}

const HOUR: Duration = Duration::from_hours(1);

/// What went wrong with a call.
type Answer<T> = Result<T, Failure>;

impl Caller {
    pub(super) async fn get(&mut self, key: u64) -> Answer<Option<Bytes>> {
        match self {
            Self::Library(cache) => Ok(cache.get(&key).await.map_err(failed)?.map(|hit| Bytes::clone(&hit))),
            Self::Server(connection) => connection.get(key).await,
        }
    }

    pub(super) async fn put(&mut self, key: u64, value: Bytes, ttl: Duration) -> Answer<()> {
        match self {
            Self::Library(cache) => {
                cache.insert_with(key, value, Options::new().with_ttl(ttl)).await.map(drop).map_err(failed)
            }
            Self::Server(connection) => connection.put_for(key, value, ttl).await,
        }
    }

    pub(super) async fn remove(&mut self, key: u64) -> Answer<()> {
        match self {
            Self::Library(cache) => cache.remove(&key).await.map(drop).map_err(failed),
            Self::Server(connection) => connection.remove(key).await,
        }
    }

    /// Stores a text under each of these keys, in one call.
    pub(super) async fn put_many(&mut self, keys: &[u64], text: &str) -> Answer<()> {
        match self {
            Self::Library(cache) => {
                let entries = keys.iter().map(|key| (*key, Bytes::copy_from_slice(text.as_bytes())));
                cache.insert_many(entries, Options::new()).await.map(drop).map_err(failed)
            }
            Self::Server(connection) => connection.put_many(keys, text).await,
        }
    }

    /// How many of these keys have a value, by one call.
    pub(super) async fn get_many(&mut self, keys: &[u64]) -> Answer<usize> {
        match self {
            Self::Library(cache) => {
                Ok(cache.get_many(keys).await.map_err(failed)?.into_iter().flatten().count())
            }
            Self::Server(connection) => connection.get_many(keys).await,
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: strata::Error) -> Failure {
    Failure { kind: "cache", detail: error.to_string() }
}

/// The key, again and again, so that the value of another key is noticed.
pub(super) fn value(key: u64, bytes: usize) -> Bytes {
    key.to_le_bytes().into_iter().cycle().take(bytes).collect()
}

/// Keys as users ask for them: few of them often.
pub(super) fn popular(seed: u64) -> Outcome<Ids> {
    Ok(Workload::new(Shape::Zipf, POPULAR_KEYS).with_skew(1.0)?.with_seed(seed).ids())
}

const POPULAR_KEYS: NonZeroU32 = NonZeroU32::new(10_000).unwrap();
