//! A measurement of the server, bounded in requests, connections and time.
//!
//! It has a region of its own, so that nothing else is evicted for it, and removes it at the end. What it measures is this client and the
//! way to the server as well: it compares settings and machines, and is no record.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use serde_json::json;

use super::lines::Batch;
use super::{import, regions};
use crate::args::Bench;
use crate::clock::now;
use crate::error::Error;
use crate::http::Client;
use crate::output::Out;
use crate::progress;
use crate::table::{self, Table};

/// What is left behind by a bench that was interrupted ends by itself.
const TTL: &str = "15m";

pub(super) fn run(client: &Client, out: &mut Out, bench: &Bench) -> Result<(), Error> {
    let name = format!("bench-{}", std::process::id());
    // An entry takes some bytes more than its value.
    let max_bytes = bench.keys.saturating_mul(bench.value_bytes + 1024).max(1 << 20);
    let settings = json!({"max_entries": bench.keys, "max_bytes": max_bytes, "ttl": TTL});
    client.server("PUT", &regions::path(&name)).json(&settings)?.checked()?;
    let measured = measure(client, &name, bench);
    // Whatever has become of it, the region goes; the first error is the one to tell.
    let removed =
        client.server("DELETE", &regions::path(&name)).send().and_then(crate::http::Answer::checked);
    let tally = measured?;
    removed?;
    tally.write(out)
}

fn measure(client: &Client, region: &str, bench: &Bench) -> Result<Tally, Error> {
    let clients: Vec<Client> = (0..bench.connections)
        .map(|_| Client::new(client.target().of_region(region)))
        .collect::<Result<_, _>>()?;
    if let Some(first) = clients.first() {
        fill(first, bench)?;
    }
    let (left, bar) = (AtomicU64::new(bench.requests), progress::bar(Some(bench.requests), false));
    let begun = now();
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let work = |(seed, client)| {
            let work = Work { client, bench, left: &left, bar: &bar, ends: begun + bench.time_limit };
            scope.spawn(move || work.run(seed))
        };
        let threads: Vec<_> = (1..).zip(&clients).map(work).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut sum = Tally::new();
    for tally in &tallies {
        sum.add(tally);
    }
    sum.took = now().duration_since(begun);
    bar.finish_and_clear();
    // A server that answers none of the requests was not measured.
    match (sum.requests(), sum.first_error.take()) {
        (0, Some(error)) => Err(error),
        _ => Ok(sum),
    }
}

/// Stores all keys, so that reads find them.
fn fill(client: &Client, bench: &Bench) -> Result<(), Error> {
    let value = "x".repeat(usize::try_from(bench.value_bytes).unwrap_or(usize::MAX));
    let mut batch = Batch::default();
    for key in 0..bench.keys {
        batch.text.extend_from_slice(json!({"key": key.to_string(), "value": value}).to_string().as_bytes());
        batch.text.push(b'\n');
        if batch.text.len() >= 512 << 10 || key + 1 == bench.keys {
            import::send(client, &batch)?;
            batch.text.clear();
        }
    }
    Ok(())
}

/// What one connection does.
struct Work<'a> {
    client: &'a Client,
    bench: &'a Bench,
    left: &'a AtomicU64,
    bar: &'a ProgressBar,
    ends: Instant,
}

impl Work<'_> {
    fn run(&self, seed: u64) -> Tally {
        let mut tally = Tally::new();
        let mut random = Random(seed);
        let value = vec![b'x'; usize::try_from(self.bench.value_bytes).unwrap_or(usize::MAX)];
        let take = |left: u64| left.checked_sub(1);
        while now() < self.ends && self.left.fetch_update(Relaxed, Relaxed, take).is_ok() {
            let path = format!("/entries/{}", random.next_below(self.bench.keys));
            let is_read = random.next_below(100) < u64::from(self.bench.reads);
            let begun = now();
            let answer = if is_read {
                self.client.region("GET", &path).send()
            } else {
                self.client.region("PUT", &path).bytes(&value)
            };
            // A connection is used again only when all of an answer was read.
            let outcome =
                answer.and_then(|answer| if answer.is_miss() { Ok(answer) } else { answer.checked() });
            let outcome = outcome.and_then(crate::http::Answer::whole);
            tally.note(is_read, now().duration_since(begun), outcome);
            self.bar.inc(1);
        }
        tally
    }
}

/// Pseudo-random numbers, by Vigna's `SplitMix64`: keys have to be spread, no more.
struct Random(u64);

impl Random {
    fn next_below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

/// What was done, and how long it took.
struct Tally {
    gets: Times,
    sets: Times,
    errors: u64,
    first_error: Option<Error>,
    took: Duration,
}

impl Tally {
    fn new() -> Self {
        Self { gets: Times::new(), sets: Times::new(), errors: 0, first_error: None, took: Duration::ZERO }
    }

    fn note<T>(&mut self, is_read: bool, took: Duration, outcome: Result<T, Error>) {
        match outcome {
            Ok(_) if is_read => self.gets.note(took),
            Ok(_) => self.sets.note(took),
            Err(error) => {
                self.errors += 1;
                self.first_error.get_or_insert(error);
            }
        }
    }

    fn add(&mut self, other: &Self) {
        self.gets.add(&other.gets);
        self.sets.add(&other.sets);
        self.errors += other.errors;
    }

    fn requests(&self) -> u64 {
        self.gets.count() + self.sets.count()
    }

    #[expect(clippy::cast_precision_loss, reason = "a count up to 2^53 is exact enough")]
    fn per_second(&self, requests: u64) -> f64 {
        requests as f64 / self.took.as_secs_f64().max(1e-9)
    }

    fn write(&self, out: &mut Out) -> Result<(), Error> {
        let rows = [("get", &self.gets), ("set", &self.sets)];
        if out.is_json {
            let [get, set] = rows.map(|(_, times)| times.shape());
            return out.json(&json!({
                "seconds": self.took.as_secs_f64(),
                "requests": self.requests(),
                "requests_per_second": self.per_second(self.requests()),
                "errors": self.errors,
                "get": get,
                "set": set,
            }));
        }
        let mut table = Table::new(&["request", ">done", ">per second", ">p50", ">p99", ">longest"]);
        for (name, times) in rows.into_iter().filter(|(_, times)| times.count() > 0) {
            let time = |of| table::millis(times.millis(of));
            let rate = format!("{:.0}", self.per_second(times.count()));
            table.row(vec![
                name.to_owned(),
                times.count().to_string(),
                rate,
                time(0.5),
                time(0.99),
                time(1.0),
            ]);
        }
        table.write(out)?;
        let (seconds, rate) = (self.took.as_secs_f64(), self.per_second(self.requests()));
        out.line(format!(
            "{} requests in {seconds:.1} s: {rate:.0} a second, {} errors",
            self.requests(),
            self.errors
        ))
    }
}

/// How long requests of one kind took.
struct Times(Histogram<u64>);

/// Microseconds up to the longest that is told, with three digits.
const LONGEST_MICROS: u64 = 600_000_000;

impl Times {
    fn new() -> Self {
        #[expect(clippy::expect_used, reason = "these bounds are legal, whatever was said")]
        Self(Histogram::new_with_max(LONGEST_MICROS, 3).expect("three digits up to ten minutes"))
    }

    fn note(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST_MICROS).max(1));
    }

    fn add(&mut self, other: &Self) {
        // They are all made alike, so that all of one fits into another.
        let _ = self.0.add(&other.0);
    }

    fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time within which this share of them was done; nothing where none was.
    #[expect(clippy::cast_precision_loss, reason = "microseconds of minutes are exact")]
    fn millis(&self, share: f64) -> Option<f64> {
        (self.count() > 0).then(|| self.0.value_at_quantile(share) as f64 / 1000.0)
    }

    fn shape(&self) -> serde_json::Value {
        let [p50, p99, longest] = [0.5, 0.99, 1.0].map(|share| self.millis(share));
        json!({"requests": self.count(), "p50_ms": p50, "p99_ms": p99, "max_ms": longest})
    }
}
