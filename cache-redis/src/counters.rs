//! Counters on Redis: windows that slide in buckets, read, decided and charged by one script and the server's clock.
//!
//! ```text
//! prefix c:{group}:key ─► hash:  limit/window/buckets ─► 'bucket:charged bucket:charged ...'
//!                                limit/unit/smooth ────► 'when all has drained'
//! ```
//!
//! All keys of a group share a slot, because a script runs on one server of a Cluster and a call may charge any of them: two
//! steps on two servers would be two decisions. Each key ends when the last of its charges has left.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{Charge, Counters, Demand, Error, ErrorKind, Key, Quota, Receipt, Result, Shape, Verdict};

use crate::conn::Connection;
use crate::fault::PLACE;
use crate::script::{Call, Script};

static CHARGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("script/window.lua"), include_str!("script/charge.lua")))
});
static CHARGE_IF_WHOLE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("script/window.lua"),
        include_str!("script/takeover.lua"),
        include_str!("script/charge.lua")
    ))
});
static REFUND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("script/window.lua"), include_str!("script/refund.lua")))
});

/// Counts charges of all processes that share a Redis.
///
/// Limits are exact up to 2^53 - 1 units. A charge that timed out may have been taken. What Redis loses (by eviction, in a
/// failover, in a restart) is no longer charged, so keep counters where keys are not evicted if a limit must hold, and see
/// [`with_strict_takeover`](Self::with_strict_takeover).
///
/// ```no_run
/// use cache_core::{Charge, Counters, Key, Quota, Verdict};
/// use cache_redis::{Config, Connection, RedisCounters};
/// use std::time::Duration;
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let counters = RedisCounters::new(Connection::open(Config::from_url("redis://localhost")?)?);
/// let quota = Quota::new(100, Duration::from_secs(60))?;
/// let call = [Charge::new(Key::new("client:7")?, quota, 1)];
/// assert!(matches!(counters.charge(&call).await?.0, Verdict::Admitted { .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RedisCounters {
    connection: Connection,
    group: Arc<str>,
    /// Whether what another server has counted has to be waited for, and how much longer than that.
    strict_grace: Option<Duration>,
}

impl RedisCounters {
    /// Counters over this connection, in the group `all`.
    pub fn new(connection: Connection) -> Self {
        Self { connection, group: "all".into(), strict_grace: None }
    }

    /// The same in another group: a call charges keys of one group only, and in a Cluster each group is on one server. Braces
    /// are taken out of its name.
    #[must_use]
    pub fn with_group(mut self, group: &str) -> Self {
        self.group = group.replace(['{', '}'], "").into();
        self
    }

    /// Admits nothing for a window and this grace after another server has taken over, or this one has come back empty: what was
    /// admitted before, and is not known here, no longer counts then. So limits hold across a failover too, for the price of that
    /// wait, which a first start pays as well. Default: off, and what the replicas had not heard of may be admitted again.
    ///
    /// The grace is for processes that go by a share while nobody counts: how long they may take to notice that somebody does again.
    /// Half a second for the pause of their limiters, and what they need to connect; five seconds are plenty. Where nothing passes
    /// without counters, none is needed.
    ///
    /// Each decision asks the server who it is, so a user of it needs `+info`. Set it in all processes or in none. A primary that is cut
    /// off and does not know that it is none any more goes on admitting to those who still reach it, until its
    /// `min-replicas-to-write` stops it.
    #[must_use]
    pub fn with_strict_takeover(mut self, grace: Duration) -> Self {
        self.strict_grace = Some(grace);
        self
    }

    /// Where it stands who counts: a name that no key has.
    fn book(&self) -> Vec<u8> {
        self.connection.name('c', &format!("{{{}}}", self.group))
    }

    fn name(&self, key: &Key) -> Vec<u8> {
        self.connection.name('c', &format!("{{{}}}:{key}", self.group))
    }

    /// A call of a script with these demands. Keys come once each.
    fn call(&self, demands: &[Demand<'_>]) -> Call {
        let mut keys: Vec<&Key> = Vec::new();
        let mut call = Call::default();
        for Demand { key, quota, cost, spare } in demands {
            let known = keys.iter().position(|known| known == key);
            let at = known.unwrap_or_else(|| {
                keys.push(key);
                keys.len() - 1
            });
            let (window, bucket) = match quota.shape() {
                Shape::Smooth { each } => (each, Duration::ZERO),
                Shape::Buckets(_) | Shape::Exact => (quota.per(), quota.bucket()),
            };
            call = call.number(at as u64 + 1).arg(field(quota)).number(*cost).number(quota.limit());
            call = call.number(micros(window)).number(micros(bucket)).number(*spare);
        }
        keys.iter().fold(call, |call, key| call.key(self.name(key)))
    }
}

#[async_trait]
impl Counters for RedisCounters {
    async fn charge(&self, charges: &[Charge]) -> Result<(Verdict, Receipt)> {
        let Some(demands) = Demand::of(charges) else { return Ok((Verdict::Never, Receipt::default())) };
        if demands.is_empty() {
            return Ok((Verdict::Admitted { remaining: u64::MAX }, Receipt::default()));
        }
        let mut call = self.call(&demands);
        let mut script = &CHARGE;
        if let Some(grace) = self.strict_grace {
            call = call.key(self.book()).number(micros(grace));
            script = &CHARGE_IF_WHOLE;
        }
        let answer = self.connection.run("charge", script, &call).await?;
        let answer = redis::from_redis_value::<String>(answer).unwrap_or_default();
        verdict(&answer).ok_or_else(|| Error::new(ErrorKind::Corrupt, PLACE, "charge"))
    }

    async fn refund(&self, charges: &[Charge], receipt: Receipt) -> Result<()> {
        let mut demands = Demand::of(charges).unwrap_or_default();
        demands.truncate(receipt.marks().len());
        if demands.is_empty() {
            return Ok(());
        }
        let call = receipt
            .marks()
            .iter()
            .take(demands.len())
            .fold(self.call(&demands), |call, mark| call.number(*mark));
        self.connection.run("refund", &REFUND, &call).await.map(drop)
    }

    async fn reset(&self, key: &Key) -> Result<()> {
        let name = self.name(key);
        let mut command = redis::cmd("UNLINK");
        command.arg(&name);
        self.connection.call("reset", &name, command).await.map(drop)
    }
}

/// Under what a quota stands in the hash of a key.
fn field(quota: &Quota) -> String {
    let (limit, per) = (quota.limit(), quota.per().as_nanos());
    match quota.shape() {
        Shape::Buckets(buckets) => format!("{limit}/{per}/{buckets}"),
        Shape::Exact => format!("{limit}/{per}/exact"),
        Shape::Smooth { each } => format!("{limit}/{}/smooth", each.as_nanos()),
    }
}

/// Rounded up: a window that is too short would admit too much.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// What is left and where each demand was charged, or how long to wait below zero. More than a `u64` has comes from rounding up.
fn verdict(answer: &str) -> Option<(Verdict, Receipt)> {
    if let Some(wait) = answer.strip_prefix('-') {
        let wait = Duration::from_micros(wait.parse().ok()?);
        return Some((Verdict::Denied { wait }, Receipt::default()));
    }
    let mut words = answer.split(' ');
    let remaining =
        words.next().filter(|left| !left.is_empty() && left.bytes().all(|byte| byte.is_ascii_digit()))?;
    let marks = words.map(str::parse).collect::<Result<_, _>>().ok()?;
    Some((Verdict::Admitted { remaining: remaining.parse().unwrap_or(u64::MAX) }, Receipt::new(marks)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_script_are_verdicts() {
        let admitted = |remaining, marks| Some((Verdict::Admitted { remaining }, Receipt::new(marks)));
        assert_eq!(verdict("7"), admitted(7, vec![]));
        assert_eq!(verdict("0 1790000000 0"), admitted(0, vec![1_790_000_000, 0]));
        assert_eq!(verdict("18446744073709551616 5"), admitted(u64::MAX, vec![5]));
        let wait = Duration::from_micros(1500);
        assert_eq!(verdict("-1500"), Some((Verdict::Denied { wait }, Receipt::default())));
        for odd in ["", "-", "-x", "x", "inf", "1e5", " 5", "5 ", "5 x", "5 -1", "-5 1"] {
            assert_eq!(verdict(odd), None, "{odd}");
        }
    }

    #[test]
    fn windows_are_never_shorter_than_asked_for() {
        assert_eq!(micros(Duration::from_nanos(1_000_001)), 1001);
        assert_eq!(micros(Duration::from_millis(1)), 1000);
    }
}
