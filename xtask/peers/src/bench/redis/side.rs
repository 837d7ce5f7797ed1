//! Who is called: the bare client, or our tier over it.

use cache_core::{Entry, Key, Store, StoreExt, Ttl};
use cache_redis::{Address, Config, Connection, Driver, Mode, RedisStore};
use cache_testkit::redis::Server;
use redis::aio::MultiplexedConnection;
use std::time::Duration;

use super::{Act, VALUE};
use crate::Outcome;

/// A side of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Name {
    /// The client alone: a command, and its answer as it is.
    Bare,
    /// `RedisStore`: a frame with a checksum, a life and a place for tags around each value, a deadline around each call.
    Ours,
    /// The same over the crate `fred`.
    Fred,
}

/// One side, connected.
#[derive(Clone)]
pub(super) enum Side {
    Bare(MultiplexedConnection),
    Ours(RedisStore),
}

/// All sides on one server.
pub(super) struct Sides(Vec<(Name, Side)>);

impl Name {
    pub(super) const ALL: [Self; 3] = [Self::Bare, Self::Ours, Self::Fred];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Ours => "ours",
            Self::Fred => "fred",
        }
    }

    async fn open(self, server: &Server) -> Outcome<Side> {
        let address = server.address();
        let address = Address::new(address.ip().to_string(), address.port());
        // Busy as the machine is, no call shall fail.
        let config = Config::new(Mode::Standalone, [address]).with_command_timeout(Duration::from_secs(10));
        Ok(match self {
            Self::Bare => {
                let client = redis::Client::open(server.url())?;
                Side::Bare(client.get_multiplexed_async_connection().await?)
            }
            Self::Ours => Side::Ours(RedisStore::new(Connection::open(config)?)),
            Self::Fred => {
                let config = config.with_driver(Driver::Fred);
                Side::Ours(RedisStore::new(Connection::open(config)?))
            }
        })
    }
}

impl Sides {
    pub(super) async fn open(server: &Server) -> Outcome<Self> {
        let mut sides = Vec::new();
        for name in Name::ALL {
            sides.push((name, name.open(server).await?));
        }
        Ok(Self(sides))
    }

    pub(super) async fn only(name: Name, server: &Server) -> Outcome<Self> {
        Ok(Self(vec![(name, name.open(server).await?)]))
    }

    pub(super) fn all(&self) -> &[(Name, Side)] {
        &self.0
    }

    pub(super) fn store(&self, wanted: Name) -> Option<&RedisStore> {
        self.0.iter().find_map(|(name, side)| match side {
            Side::Ours(store) if *name == wanted => Some(store),
            _ => None,
        })
    }

    /// Writes every key once, in each side's own form.
    pub(super) async fn fill(&self, keys: usize) -> Outcome {
        for (_, side) in &self.0 {
            for number in 0..keys {
                side.clone().make(Act::Set, number).await?;
            }
        }
        Ok(())
    }
}

impl Side {
    /// Makes one call, on the key of this number. An answer that is not there is an error.
    pub(super) async fn make(&mut self, act: Act, number: usize) -> Outcome {
        match self {
            Self::Bare(connection) => bare(connection, act, number).await,
            Self::Ours(store) => ours(store, act, number).await,
        }
    }
}

async fn bare(connection: &mut MultiplexedConnection, act: Act, number: usize) -> Outcome {
    let name = format!("bare:{number}");
    match act {
        Act::Get => {
            let found = redis::cmd("GET").arg(name).query_async::<Option<Vec<u8>>>(connection).await?;
            found.map(drop).ok_or_else(|| "a value was lost".into())
        }
        Act::Set => {
            let mut command = redis::cmd("SET");
            command.arg(name).arg(&VALUE[..]).arg("PX").arg(LIFE_MS);
            Ok(command.query_async::<()>(connection).await?)
        }
    }
}

async fn ours(store: &RedisStore, act: Act, number: usize) -> Outcome {
    let key = key(number)?;
    match act {
        Act::Get => store.get(&key).await?.map(drop).ok_or_else(|| "an entry was lost".into()),
        Act::Set => Ok(store.put(key, entry()).await?),
    }
}

pub(super) fn key(number: usize) -> Outcome<Key> {
    Ok(Key::new(format!("bench:{number}"))?)
}

pub(super) fn entry() -> Entry {
    Entry::new(&VALUE[..]).with_ttl(Ttl::from_millis(LIFE_MS))
}

/// Writes entries under `prefix` in pieces, so that no deadline has to hold for all of them.
pub(super) async fn write(store: &RedisStore, prefix: &str, count: usize, entry: &Entry) -> Outcome {
    for first in (0..count).step_by(PIECE) {
        let numbers = first..count.min(first + PIECE);
        let keys = numbers.map(|number| Ok((Key::new(format!("{prefix}{number}"))?, entry.clone())));
        store.put_many(keys.collect::<Outcome<Vec<_>>>()?).await?;
    }
    Ok(())
}

const LIFE_MS: u64 = 3_600_000;
const PIECE: usize = 5_000;
