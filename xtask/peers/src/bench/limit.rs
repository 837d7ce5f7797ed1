//! Decisions of limiters: ours beside governor's, and over Redis beside reads of it; their memory, and floods of keys.
//!
//! ```text
//! keys at random ──► batch ──► every limiter in turn ──► quartile of many rounds ──► table, JSON
//! ten million keys ──► one limiter of a million ──► the longest decision
//! ```
//!
//! Both mixes ask for the same: one of which nearly all is admitted, and one of which nearly all is denied. Without the
//! feature `limit` only ours take part, so that CI need not compile the others.

mod flood;
mod lane;
#[cfg(feature = "limit")]
mod redis;
mod report;

use std::io::{self, Write};
use std::thread;

use self::flood::Flood;
use self::lane::{Lane, Mix};
use self::report::{Report, Row};
use super::timing::{lower_quartile, processor_time};
use crate::Outcome;
use crate::scramble::scrambled;

/// The command line of `bench limit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Prints one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Runs everything briefly, with fewer keys: to see that it works, not to believe the numbers
    #[arg(long)]
    quick: bool,
}

/// How much is done.
#[derive(Clone, Copy)]
struct Scale {
    keys: [u64; 3],
    batch: u64,
    rounds: u64,
    /// How many keys the limiter of the flood holds, and how many come.
    flood: (usize, u64),
    /// Whether a server is started.
    #[cfg_attr(not(feature = "limit"), expect(dead_code, reason = "without the feature there is none"))]
    redis: Option<u64>,
}

const FULL: Scale = Scale {
    keys: [1, 10_000, 1_000_000],
    batch: 100_000,
    rounds: 24,
    flood: (1_000_000, 10_000_000),
    redis: Some(200_000),
};
const QUICK: Scale =
    Scale { keys: [1, 1_000, 10_000], batch: 2_000, rounds: 3, flood: (10_000, 100_000), redis: None };

/// Measures everything and prints it.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    let scale = if args.quick { QUICK } else { FULL };
    // First, while the process holds nothing else.
    writeln!(io::stderr(), "a flood of {} keys", scale.flood.1)?;
    let flood = Flood::run(scale.flood.0, scale.flood.1)?;
    let mut rows = Vec::new();
    for keys in scale.keys {
        for threads in [1, 2] {
            for mix in [Mix::Admitted, Mix::Denied] {
                writeln!(io::stderr(), "{keys} keys, {threads} thread(s), {}", mix.name())?;
                rows.push(race(keys, threads, mix, scale)?);
            }
        }
    }
    #[cfg(feature = "limit")]
    let shared = scale.redis.map(redis::run).transpose()?;
    #[cfg(not(feature = "limit"))]
    let shared = None;
    let report = Report { rows, flood, shared };
    if args.json { report.json(out) } else { report.tables(out) }
}

/// Lets all limiters decide about the same keys in turn.
fn race(keys: u64, threads: u64, mix: Mix, scale: Scale) -> Outcome<Row> {
    let lanes = lane::all(mix)?;
    let mut times: Vec<Vec<f64>> = lanes.iter().map(|_| Vec::new()).collect();
    for lane in &lanes {
        lane.decide_all(&mut (0..keys));
    }
    let mut admitted = vec![0; lanes.len()];
    for round in 0..=scale.rounds {
        // Another one begins each time, so that nobody always finds the processor's caches as the same other left them.
        for turn in 0..lanes.len() {
            let at = usize::try_from((turn as u64 + round) % lanes.len() as u64)?;
            let (took, passed) = timed(&*lanes[at], keys, threads, (round, scale.batch));
            admitted[at] += passed;
            // The first round only warms up.
            if round > 0 {
                times[at].push(took);
            }
        }
    }
    let asked = scale.batch * threads * (scale.rounds + 1);
    for (lane, admitted) in lanes.iter().zip(admitted) {
        let expected =
            if mix == Mix::Admitted { admitted == asked } else { keys > asked / 100 || admitted < asked };
        if !expected {
            return Err(format!("{} admitted {admitted} of {asked}, {}", lane.name(), mix.name()).into());
        }
    }
    let cells = lanes.iter().zip(times).map(|(lane, times)| (lane.name(), lower_quartile(times))).collect();
    Ok(Row { keys, threads, mix: mix.name(), cells })
}

/// Processor time per decision, and how many were admitted.
fn timed(lane: &dyn Lane, keys: u64, threads: u64, (round, batch): (u64, u64)) -> (f64, u64) {
    let run = |thread: u64| {
        let first = (round * threads + thread) * batch;
        let begin = processor_time();
        let admitted = lane.decide_all(&mut (first..first + batch).map(|draw| scrambled(draw) % keys));
        (processor_time().saturating_sub(begin), admitted)
    };
    let runs: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let took: f64 = runs.iter().map(|(took, _)| took.as_secs_f64()).sum();
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand decisions")]
    let decisions = (batch * threads) as f64;
    (took * 1e9 / decisions, runs.iter().map(|(_, admitted)| admitted).sum())
}
