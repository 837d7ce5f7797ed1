//! Leases on Redis: who holds what until when, by the server's clock, with fencing numbers that come from it.
//!
//! A number is the server's time of the grant in microseconds, or one more than the last one if that is larger. So numbers grow
//! although Redis may forget anything at any moment: by eviction, in a failover, in a restart. What was given back or has
//! ended is remembered for a minute longer, which bridges a clock that was set back or a new primary whose clock is behind by
//! less than that. Neither lets anybody wait for longer: what is held then ends its length after the first one has asked for it. A counter that is kept for ever would leave one behind for each key ever leased, and be evicted anyway.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{Error, ErrorKind, Grant, Key, Lease, Result};
use redis::Value;

use crate::conn::Connection;
use crate::fault::PLACE;
use crate::marks::number;
use crate::script::{Call, Script};

/// What is longer is cut to this: 100 years, which is exact in a script's numbers.
const LONGEST: Duration = Duration::from_hours(100 * 366 * 24);
/// How long a lease is remembered after its end.
const MEMORY: Duration = Duration::from_mins(1);

static LEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("script/lease.lua")));

/// Exclusive rights between processes that share a Redis.
///
/// As any lock on Redis it can be lost with the primary before a replica has heard of it, so two may hold it for a while: the
/// fencing number is what tells them apart. A call that timed out may have been granted; the lease then ends by itself.
///
/// ```no_run
/// use cache_core::{Key, Lease};
/// use cache_redis::{Config, Connection, RedisLease};
/// use std::time::Duration;
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let lease = RedisLease::new(Connection::open(Config::from_url("redis://localhost")?)?);
/// let report = Key::new("jobs:report")?;
/// if let Some(grant) = lease.acquire(&report, Duration::from_secs(30)).await? {
///     assert!(lease.release(grant).await?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RedisLease {
    connection: Connection,
}

impl RedisLease {
    /// Leases over this connection.
    pub fn new(connection: Connection) -> Self {
        Self { connection }
    }

    async fn act(&self, act: &'static str, key: &Key, ttl: Duration, fence: u64) -> Result<Option<u64>> {
        let micros = u64::try_from(ttl.min(LONGEST).as_micros()).unwrap_or(u64::MAX);
        let memory = u64::try_from(MEMORY.as_millis()).unwrap_or(u64::MAX);
        let call = Call::on(self.connection.name('l', key.as_str()));
        let call = call.arg(act).number(micros).number(memory).number(fence);
        match self.connection.run(act, &LEASE, &call).await? {
            Value::Nil => Ok(None),
            answer => {
                let fence = number(&answer).ok_or_else(|| Error::new(ErrorKind::Corrupt, PLACE, act));
                fence.map(Some)
            }
        }
    }
}

#[async_trait]
impl Lease for RedisLease {
    async fn acquire(&self, key: &Key, ttl: Duration) -> Result<Option<Grant>> {
        let fence = self.act("acquire", key, ttl, 0).await?;
        Ok(fence.map(|fence| Grant::new(key.clone(), fence)))
    }

    async fn renew(&self, grant: &Grant, ttl: Duration) -> Result<bool> {
        Ok(self.act("renew", grant.key(), ttl, grant.fence()).await?.is_some())
    }

    async fn release(&self, grant: Grant) -> Result<bool> {
        Ok(self.act("release", grant.key(), Duration::ZERO, grant.fence()).await?.is_some())
    }
}
