//! Suites: what a team would want to know before it deploys a cache server, measured with servers that are started for it.
//!
//! ```text
//! production   ten figures, in process and through the server, over a Redis: steady (hits, speed, Redis away), exact (lives, callers
//!              at once), cost (memory, removals, batches)
//! bounds       a million entries out of one server and into another one (transfer); scrapes, deaf clients, hot keys and what they cost, overload
//! ```

mod bounds;
mod cost;
mod exact;
mod overload;
mod steady;
mod subject;
mod transfer;

use std::pin::pin;
use std::time::Duration;

use cache_testkit::redis;
use clap::ValueEnum;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::Outcome;
use crate::child::Server;
use crate::figures::Figures;
use subject::Subject;

/// What is measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Suite {
    /// Hit rate, latency, sustained load, gain, errors while Redis is away, lives, callers at once, memory, removals and batches
    Production,
    /// Export and import of a million entries, scrapes of them, a client that never reads, the names of hot keys, ten times as many clients as places
    Bounds,
}

impl Suite {
    /// Measures all of it; briefly if it is only to be seen that it works.
    pub(super) fn run(self, is_quick: bool) -> Outcome<Figures> {
        let scale = if is_quick { &QUICK } else { &FULL };
        let runtime = Runtime::new()?;
        match self {
            Self::Production => runtime.block_on(production(scale)),
            Self::Bounds => runtime.block_on(bounds(scale)),
        }
    }
}

async fn production(scale: &Scale) -> Outcome<Figures> {
    let mut figures = Figures::default();
    for through_server in [false, true] {
        let mut redis = redis::Server::start();
        let (one, other) = if through_server {
            let start = || Server::strata(&[("REDIS_URL", &redis.url())], None);
            (Subject::server(start()?)?, Subject::server(start()?)?)
        } else {
            (Subject::library(&redis.url())?, Subject::library(&redis.url())?)
        };
        one.settle().await;
        other.settle().await;
        // First, as what is freed later is kept by the process; and what breaks Redis, last.
        cost::memory(&one, scale, &mut figures).await?;
        steady::load(&one, scale, &mut figures).await?;
        exact::lives(&one, scale, &mut figures).await?;
        exact::callers(&one, scale, &mut figures).await?;
        cost::removals((&one, &other), scale, &mut figures).await?;
        cost::batches((&one, &other), scale, &mut figures).await?;
        steady::away((&one, &mut redis), scale, &mut figures).await?;
    }
    Ok(figures)
}

async fn bounds(scale: &Scale) -> Outcome<Figures> {
    let mut figures = Figures::default();
    let full = transfer::measure(scale.transferred, &mut figures).await?;
    bounds::scrape(&full, &mut figures).await?;
    drop(full);
    bounds::deaf_client(&mut figures).await?;
    bounds::hot_keys(&mut figures).await?;
    overload::measure(scale, &mut figures).await?;
    Ok(figures)
}

/// How much of everything.
#[derive(Debug)]
struct Scale {
    /// How long load is put on.
    load: Duration,
    /// How long Redis is away.
    away: Duration,
    /// How many entries have their lives watched.
    lives: u64,
    /// How many operations callers do at once, each.
    operations: u64,
    /// How often what is timed singly is done.
    times: u64,
    /// How many entries have their memory measured.
    entries: u64,
    /// How many entries go from server to server.
    transferred: u64,
}

const FULL: Scale = Scale {
    load: Duration::from_secs(10),
    away: Duration::from_secs(5),
    lives: 200,
    operations: 2_000,
    times: 200,
    entries: 10_000,
    transferred: 1_000_000,
};
const QUICK: Scale = Scale {
    load: Duration::from_millis(300),
    away: Duration::from_millis(300),
    lives: 10,
    operations: 20,
    times: 5,
    entries: 500,
    transferred: 2_000,
};

/// Waits for so long.
async fn rest(time: Duration) {
    let never = pin!(std::future::pending::<()>());
    // That it ends is what is waited for.
    let _ = timeout(time, never).await;
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
