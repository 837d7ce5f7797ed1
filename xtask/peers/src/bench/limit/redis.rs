//! Decisions over Redis beside reads of it: by the same connection, from as many callers, whose commands share packets.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Clock, Entry, Key, Quota, StoreExt as _, SystemClock, Time};
use cache_ratelimit::{By, SharedLimiter};
use cache_redis::{Config, Connection, RedisCounters, RedisStore};
use cache_testkit::redis::{Reply, Server};
use tokio::runtime;

use super::lane::MINUTE;
use super::report::Shared;
use crate::Outcome;
use crate::bench::timing::lower_quartile;

/// So many ask at the same time.
const CALLERS: u64 = 256;
const KEYS: u64 = 10_000;
const ROUNDS: usize = 7;

pub(super) fn run(calls: u64) -> Outcome<Shared> {
    writeln!(io::stderr(), "{calls} decisions over Redis")?;
    let server = Server::start();
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(compared(&server, calls / CALLERS))
}

async fn compared(server: &Server, each: u64) -> Outcome<Shared> {
    let config = Config::from_url(&server.url())?.with_command_timeout(Duration::from_secs(10));
    let connection = Connection::open(config)?;
    let store = Arc::new(RedisStore::new(connection.clone()));
    let keys: Arc<Vec<Key>> =
        Arc::new((0..KEYS).map(|key| Key::new(format!("client:{key}"))).collect::<Result<_, _>>()?);
    for key in keys.iter() {
        store.put(key.clone(), Entry::new(vec![b'x'; 100])).await?;
    }
    let quota = Quota::new(1_000_000, MINUTE)?;
    let counters = Arc::new(RedisCounters::new(connection));
    let limiter = Arc::new(SharedLimiter::new("bench", quota, counters));
    let (mut reads, mut decisions) = (Vec::new(), Vec::new());
    let scripts_before = scripts(server);
    for _ in 0..ROUNDS {
        let store = Arc::clone(&store);
        let of_store = move |key: Key| {
            let store = Arc::clone(&store);
            async move { matches!(store.get(&key).await, Ok(Some(_))) }
        };
        reads.push(seconds_per_call(&keys, each, of_store).await?);
        let limiter = Arc::clone(&limiter);
        let of_limiter = move |key: Key| {
            let limiter = Arc::clone(&limiter);
            async move {
                let decision = limiter.take(&key).await;
                decision.is_admitted() && decision.by == By::Shared
            }
        };
        decisions.push(seconds_per_call(&keys, each, of_limiter).await?);
    }
    let decided = u64::try_from(ROUNDS)? * CALLERS * each;
    #[expect(clippy::cast_precision_loss, reason = "some hundred thousand")]
    let commands = (scripts(server) - scripts_before) as f64 / decided as f64;
    Ok(Shared { reads: 1.0 / lower_quartile(reads), decisions: 1.0 / lower_quartile(decisions), commands })
}

/// All callers at once, each so many calls, of keys that have nothing to do with each other.
async fn seconds_per_call<F>(
    keys: &Arc<Vec<Key>>,
    each: u64,
    call: impl Fn(Key) -> F + Clone + Send + 'static,
) -> Outcome<f64>
where
    F: Future<Output = bool> + Send,
{
    let clock = SystemClock::new();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (keys, call) = (Arc::clone(keys), call.clone());
            tokio::spawn(async move {
                for number in 0..each {
                    let at = usize::try_from((caller * each + number) * 7919 % KEYS).unwrap_or(0);
                    if !call(keys[at].clone()).await {
                        return false;
                    }
                }
                true
            })
        })
        .collect();
    for caller in callers {
        if !caller.await? {
            return Err("a call over Redis has failed".into());
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "some hundred thousand")]
    let calls = (CALLERS * each) as f64;
    Ok(clock.now().since(Time::ZERO).as_secs_f64() / calls)
}

/// How many scripts the server has run.
fn scripts(server: &Server) -> u64 {
    let Reply::Text(told) = server.call(&["INFO", "commandstats"]) else { return 0 };
    let line = told.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0)
}
