//! Load as a product has it: popular keys, a source that takes its time, a value for each miss; and the same while Redis is away.

use std::time::Duration;

use cache_core::{Clock, SystemClock, Time};
use cache_testkit::redis;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::super::tally::Failure;
use super::subject::{Caller, Subject, popular, value};
use super::{Scale, ms, rest};
use crate::Outcome;
use crate::figures::{Asked, Figures};

/// Hit rate, latency, speed, and what the cache is good for.
pub(super) async fn load(subject: &Subject, scale: &Scale, figures: &mut Figures) -> Outcome {
    // A product does not begin each day with an empty cache.
    put(subject, scale.load).await?;
    let found = put(subject, scale.load).await?;
    let mut add = |what: &str, figure: (f64, &'static str), asked, theirs| {
        figures.add(format!("{}: {what}", subject.name()), figure, Some(asked), Some(theirs));
    };
    let hit_rate = share(found.hits.len(), found.requests);
    add("1 hit rate", (hit_rate * 100.0, "%"), Asked::AtLeast(85.0), "96.7");
    add("2 latency of a hit, median", (found.hit_ms(0.5), "ms"), Asked::AtMost(5.0), "1.8");
    add("2 latency of a hit, 99 of 100", (found.hit_ms(0.99), "ms"), Asked::AtMost(5.0), "1.8");
    let rate = share(found.requests, 1) / found.took.as_secs_f64();
    add("3 sustained load", (rate, "a second"), Asked::AtLeast(999.0), "999");
    add("3 errors under it", (share(found.errors, 1), ""), Asked::AtMost(0.0), "0");
    let gain = (1.0 - found.mean_ms / source_ms().await) * 100.0;
    add("4 gain over no cache, a source of 5 ms", (gain, "%"), Asked::AtLeast(85.0), "97.1");
    Ok(())
}

/// Errors while Redis is away, and how long a hit takes then.
pub(super) async fn away(
    (subject, redis): (&Subject, &mut redis::Server),
    scale: &Scale,
    figures: &mut Figures,
) -> Outcome {
    // Blocks this thread until nobody listens there any more, which is a moment.
    redis.kill();
    let found = put(subject, scale.away).await?;
    let mut add = |what: &str, figure: (f64, &'static str), asked, theirs| {
        figures.add(format!("{}: {what}", subject.name()), figure, Some(asked), Some(theirs));
    };
    add("5 errors while Redis is away", (share(found.errors, 1), ""), Asked::AtMost(0.0), "0");
    add("5 requests meanwhile", (share(found.requests, 1), ""), Asked::AtLeast(1.0), "-");
    add("5 latency of a hit then, 99 of 100", (found.hit_ms(0.99), "ms"), Asked::AtMost(5.0), "-");
    redis.restart();
    Ok(())
}

/// What all clients have found.
struct Found {
    requests: u64,
    errors: u64,
    /// Latencies of hits, in nanoseconds.
    hits: Histogram<u64>,
    /// Of all requests.
    mean_ms: f64,
    took: Duration,
}

impl Found {
    fn hit_ms(&self, quantile: f64) -> f64 {
        ms(Duration::from_nanos(self.hits.value_at_quantile(quantile)))
    }
}

async fn put(subject: &Subject, time: Duration) -> Outcome<Found> {
    let clock = SystemClock::new();
    let end = clock.now().after(time);
    let mut clients = JoinSet::new();
    for seed in 0..CLIENTS {
        clients.spawn(client(subject.caller(), popular(seed)?, (clock, end)));
    }
    let begun = clock.now();
    let mut found = Found {
        requests: 0,
        errors: 0,
        hits: Histogram::new_with_max(LONGEST_NANOS, 3)?,
        mean_ms: 0.0,
        took: Duration::ZERO,
    };
    let mut waited = Duration::ZERO;
    while let Some(client) = clients.join_next().await {
        let Counts { requests, errors, hits, waited: by_client } = client?;
        found.requests += requests;
        found.errors += errors;
        for nanos in hits {
            found.hits.saturating_record(nanos);
        }
        waited += by_client;
    }
    found.took = clock.now().since(begun);
    found.mean_ms = ms(waited) / share(found.requests, 1);
    Ok(found)
}

/// What one client has seen.
#[derive(Default)]
struct Counts {
    requests: u64,
    errors: u64,
    hits: Vec<u64>,
    waited: Duration,
}

async fn client(
    mut caller: Caller,
    keys: impl Iterator<Item = u32>,
    (clock, end): (SystemClock, Time),
) -> Counts {
    let mut counts = Counts::default();
    for key in keys.map(u64::from) {
        let begun = clock.now();
        if begun >= end {
            break;
        }
        let outcome = request(&mut caller, key).await;
        let took = clock.now().since(begun);
        counts.requests += 1;
        counts.waited += took;
        match outcome {
            Ok(true) => counts.hits.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
            Ok(false) => {}
            Err(_) => counts.errors += 1,
        }
    }
    counts
}

/// Whether there was a value. If not, it is fetched from the source and stored.
async fn request(caller: &mut Caller, key: u64) -> Result<bool, Failure> {
    let expected = value(key, VALUE_BYTES);
    match caller.get(key).await? {
        Some(found) if found == expected => Ok(true),
        Some(_) => Err(Failure { kind: "wrong value", detail: format!("key {key} has another's value") }),
        None => {
            rest(SOURCE).await;
            caller.put(key, expected, TTL).await?;
            Ok(false)
        }
    }
}

/// What a caller waits for the source alone, as this machine keeps time.
async fn source_ms() -> f64 {
    const TIMES: u32 = 100;
    let clock = SystemClock::new();
    let begun = clock.now();
    for _ in 0..TIMES {
        rest(SOURCE).await;
    }
    ms(clock.now().since(begun) / TIMES)
}

#[expect(clippy::cast_precision_loss, reason = "a share of counts, far below 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

const CLIENTS: u64 = 16;
/// What takes longer is counted as this: a minute.
const LONGEST_NANOS: u64 = 60_000_000_000;
const VALUE_BYTES: usize = 1_000;
/// How long the source takes.
const SOURCE: Duration = Duration::from_millis(5);
const TTL: Duration = Duration::from_hours(1);
