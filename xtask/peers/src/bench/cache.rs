//! A hit of get-or-load beside other caches with loaders: its processor time, its allocations, and who waits for one load.
//!
//! ```text
//! Zipf ──► batch of keys ──► every cache in turn ──► quartile of many rounds ──► table, JSON
//! ```
//!
//! Every key is there, every loader would fail, and every hit reads a field of the value. Each future is polled once by hand: on a
//! hit all of them are ready then. Allocations are counted where the feature `cache` is on, which the peers need too.

mod keys;
mod lane;
#[cfg(feature = "cache")]
mod others;
mod report;
mod subject;
mod waiters;

use std::io::{self, Write};
use std::num::NonZeroU32;

use cache_testkit::load::{Shape, Workload as Drawing};
use clap::ValueEnum;
use tokio::runtime;

use self::keys::Keys;
use self::lane::{Lane, Name};
use self::report::{Report, Row};
use super::memory::kind::{Integers, Strings};
use super::{instructions, timing};
use crate::Outcome;
use crate::scramble::scrambled;

/// The command line of `bench cache`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Prints one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Runs everything briefly, with fewer keys: to see that it works, not to believe the numbers
    #[arg(long)]
    quick: bool,
    /// What to time, separated by commas [default: all]
    #[arg(long = "lane", value_name = "L,L", value_delimiter = ',')]
    lanes: Vec<Name>,
    /// Counts the instructions of a hit instead, by callgrind
    #[arg(long, conflicts_with = "quick")]
    instructions: bool,
    /// Makes so many hits and measures nothing
    #[arg(long, hide = true)]
    hits: Option<u64>,
}

/// Times everything that was asked for and prints it.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    let names = if args.lanes.is_empty() { Name::value_variants().to_vec() } else { args.lanes.clone() };
    // Some begin a task of their own, or ask the runtime's clock, when they are made.
    let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
    let _entered = runtime.enter();
    if let Some(hits) = args.hits {
        return names.iter().try_for_each(|name| only_hit(*name, hits));
    }
    if args.instructions {
        return count(&names, args.json, out);
    }
    let scale = if args.quick { QUICK } else { FULL };
    let mut rows = Vec::new();
    for keys in scale.keys {
        rows.push(race::<Integers>(keys, &names, scale)?);
        rows.push(race::<Strings>(keys, &names, scale)?);
    }
    let crowds = if args.lanes.is_empty() { waiters::all(scale.waiters)? } else { Vec::new() };
    let report = Report { names, rows, crowds };
    if args.json { report.json(out) } else { report.tables(out) }
}

/// How much is done.
#[derive(Clone, Copy)]
struct Scale {
    keys: [NonZeroU32; 2],
    batch: usize,
    rounds: usize,
    waiters: usize,
}

/// Lets all lanes run the same batches in turn.
fn race<K: Keys>(keys: NonZeroU32, names: &[Name], scale: Scale) -> Outcome<Row> {
    let count = u64::from(keys.get());
    writeln!(io::stderr(), "{count} keys of {}", K::NAME)?;
    let mut lanes = filled::<K>(count, names)?;
    let drawing = Drawing::new(Shape::Zipf, keys).with_skew(SKEW)?;
    let mut ids = drawing.ids().map(u64::from);
    let mut times: Vec<Vec<f64>> = lanes.iter().map(|_| Vec::new()).collect();
    for round in 0..=scale.rounds {
        let batch = K::batch(ids.by_ref().take(scale.batch));
        // Another one begins each time, so that nobody always finds the processor's caches as the same other left them.
        for turn in 0..lanes.len() {
            let at = (turn + round) % lanes.len();
            let begin = timing::processor_time();
            let hits = lanes[at].hit_all(&batch);
            let took = timing::processor_time().saturating_sub(begin);
            all_hit(&*lanes[at], hits, scale.batch)?;
            // The first round only warms up.
            if round > 0 {
                times[at].push(per_hit(took.as_secs_f64() * 1e9, scale.batch));
            }
        }
    }
    let batch = K::batch(ids.by_ref().take(scale.batch));
    let mut cells = Vec::new();
    for (lane, times) in lanes.iter_mut().zip(times) {
        let allocations = allocations(&mut **lane, &batch).map(|count| per_hit(count, scale.batch));
        cells.push((lane.name(), timing::lower_quartile(times), allocations));
    }
    Ok(Row { keys: count, kind: K::NAME, cells })
}

/// Those of the caches that take such keys, with room and an entry for each key.
fn filled<K: Keys>(count: u64, names: &[Name]) -> Outcome<Vec<Box<dyn Lane<K>>>> {
    // A quarter more than is needed, since some caches divide their limit into parts that fill unevenly; more if they are few.
    let capacity = (count + count / 4).max(LEAST_CAPACITY);
    let able = names.iter().filter_map(|name| K::lane(*name, capacity).transpose());
    let mut lanes = able.collect::<Outcome<Vec<_>>>()?;
    let mut ids: Vec<u64> = (0..count).collect();
    // In an order that has nothing to do with how often each will be asked for.
    ids.sort_unstable_by_key(|&id| scrambled(!id));
    let batch = K::batch(ids.into_iter());
    for lane in &mut lanes {
        lane.fill(&batch);
    }
    Ok(lanes)
}

fn all_hit<K: Keys>(lane: &dyn Lane<K>, hits: usize, wanted: usize) -> Outcome {
    // Who admits by popularity may have turned a few away while it was filled.
    if hits * 1_000 < wanted * 999 {
        return Err(format!("{} missed {} of {wanted} times", lane.name().as_str(), wanted - hits).into());
    }
    Ok(())
}

fn per_hit(sum: f64, hits: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand hits")]
    let hits = hits.max(1) as f64;
    sum / hits
}

/// How often these hits allocate, if that is counted.
#[cfg(feature = "cache")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature there is nothing to count with")]
fn allocations<K: Keys>(lane: &mut dyn Lane<K>, batch: &K::Batch) -> Option<f64> {
    let counted = allocation_counter::measure(|| {
        lane.hit_all(batch);
    });
    #[expect(clippy::cast_precision_loss, reason = "some million allocations")]
    let count = counted.count_total as f64;
    Some(count)
}

#[cfg(not(feature = "cache"))]
fn allocations<K: Keys>(_lane: &mut dyn Lane<K>, _batch: &K::Batch) -> Option<f64> {
    None
}

/// Makes so many hits, rounded up to whole batches, so that callgrind can count them.
fn only_hit(name: Name, hits: u64) -> Outcome {
    if name.takes_text_alone() { hit_few::<Strings>(name, hits) } else { hit_few::<Integers>(name, hits) }
}

fn hit_few<K: Keys>(name: Name, hits: u64) -> Outcome {
    let mut lanes = filled::<K>(FEW_KEYS, &[name])?;
    // Always the same batch, because drawing the keys would be counted too.
    let batch = K::batch((0..HITS_PER_BATCH as u64).map(|hit| hit % FEW_KEYS));
    for lane in &mut lanes {
        for _ in 0..hits.div_ceil(HITS_PER_BATCH as u64) {
            let hits = lane.hit_all(&batch);
            all_hit(&**lane, hits, HITS_PER_BATCH)?;
        }
    }
    Ok(())
}

fn count(names: &[Name], json: bool, out: &mut impl Write) -> Outcome {
    let mut counts = Vec::new();
    for &name in names {
        let path = ["bench", "cache", "--lane", name.as_str()];
        let per_hit = instructions::per_hit(&path, HITS)?;
        counts.push((name, per_hit));
        if !json {
            let keys = if name.takes_text_alone() { "text keys" } else { "u64 keys" };
            writeln!(
                out,
                "{:<18} {per_hit:>6} instructions per hit, {keys}: {}",
                name.as_str(),
                name.does()
            )?;
        }
    }
    if json { report::instructions_json(&counts, out) } else { report::instructions_bound(&counts, out) }
}

const fn keys(count: u32) -> NonZeroU32 {
    match NonZeroU32::new(count) {
        Some(keys) => keys,
        None => NonZeroU32::MIN,
    }
}

const FULL: Scale =
    Scale { keys: [keys(16_384), keys(1_000_000)], batch: 20_000, rounds: 30, waiters: 10_000 };
const QUICK: Scale = Scale { keys: [keys(512), keys(4_096)], batch: 1_000, rounds: 2, waiters: 500 };
/// The exponent of YCSB's Zipf.
const SKEW: f64 = 0.99;
const FEW_KEYS: u64 = 256;
const LEAST_CAPACITY: u64 = 4_096;
const HITS_PER_BATCH: usize = 4_096;
/// So many that what threads do behind the hits does not show.
const HITS: u64 = 100 * HITS_PER_BATCH as u64;
