//! A process that asks a limiter for a few keys, over and over, and tells in the end what was admitted when.

use std::io::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Key, Quota};
use cache_memory::MemoryCounters;
use cache_redis::{Config, Connection, RedisCounters};
use cache_testkit::redis::Sentinels;
use futures_util::future::join_all;
use strata::ratelimit::{By, Fallback, SharedLimiter};

use super::Choice;
use super::judge::Admission;
use crate::Outcome;
use crate::fleet::Shared;

/// How many keys are asked for.
pub(super) const KEYS: u32 = 4;
/// How many tasks of each process ask for each key.
const TASKS: u32 = 2;
/// How long a process may take to notice that a new primary counts.
const GRACE: Duration = Duration::from_secs(5);
/// How long each rests between two questions.
const REST: Duration = Duration::from_millis(2);

/// The command line of a node, which this program writes itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    choice: Choice,
    /// The addresses of the Sentinels, with commas
    #[arg(long)]
    sentinels: String,
    #[arg(long)]
    seconds: u64,
    #[arg(long)]
    processes: NonZeroU32,
    #[arg(long)]
    limit: u64,
    #[arg(long)]
    window_ms: u64,
}

/// Asks until the time is over, and prints the admissions as JSON.
pub(crate) fn run(args: &Args) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let admissions = runtime.block_on(async {
        let limiter = limiter(args)?;
        let clock = Shared::new();
        let end = clock.now() + args.seconds * 1_000_000_000;
        let tasks = (0..KEYS * TASKS).map(|task| ask(&limiter, task % KEYS, &clock, end));
        let admitted: Vec<Vec<Admission>> = join_all(tasks).await.into_iter().collect::<Outcome<_>>()?;
        Outcome::Ok(admitted.concat())
    })?;
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(&admissions)?)?;
    Ok(())
}

fn limiter(args: &Args) -> Outcome<SharedLimiter> {
    let url = format!("redis+sentinel://{}/{}", args.sentinels, Sentinels::NAME);
    let counters = RedisCounters::new(Connection::open(Config::from_url(&url)?)?);
    let counters = match args.choice {
        Choice::StrictClosed => counters.with_strict_takeover(Duration::ZERO),
        Choice::StrictLateShare => counters.with_strict_takeover(GRACE),
        Choice::Closed | Choice::Share | Choice::Open => counters,
    };
    let own = Arc::new(MemoryCounters::new());
    let fallback = match args.choice {
        Choice::StrictClosed | Choice::Closed => Fallback::Closed,
        Choice::StrictLateShare => Fallback::late_share(own, args.processes),
        Choice::Share => Fallback::share(own, args.processes),
        Choice::Open => Fallback::Open,
    };
    let quota = Quota::new(args.limit, Duration::from_millis(args.window_ms))?;
    Ok(SharedLimiter::new("limits", quota, Arc::new(counters)).with_fallback(fallback))
}

async fn ask(limiter: &SharedLimiter, key: u32, clock: &Shared, end: u64) -> Outcome<Vec<Admission>> {
    let (name, mut admissions) = (Key::new(format!("key:{key}"))?, Vec::new());
    loop {
        let asked = clock.now();
        if asked >= end {
            return Ok(admissions);
        }
        let decision = limiter.take(&name).await;
        if decision.is_admitted() {
            let is_counted = decision.by == By::Shared;
            admissions.push(Admission { key, asked, answered: clock.now(), is_counted });
        }
        let _ = tokio::time::timeout(REST, std::future::pending::<()>()).await;
    }
}
