//! The memory tier beside other caches: the processor time of an operation, and the memory of an entry.
//!
//! ```text
//! workload ──► batch of keys ──► every cache in turn ──► quartile of many rounds ──► table, JSON
//! ```
//!
//! All caches of a workload are alive at the same time and take turns of one batch, so whatever else the machine does
//! meets all of them. Making a key and a value is part of every insert, for all alike; drawing keys is part of nothing.

mod engine;
mod footprint;
pub(super) mod kind;
mod lane;
mod report;
mod workload;

use std::io::{self, Write};
use std::num::NonZeroU32;

use self::engine::Name;
use self::footprint::Footprint;
use self::kind::{Integers, Kind, Strings};
use self::lane::{Cost, Lane, Operation};
use self::report::{Report, Row};
use self::workload::{Group, Workload};
use super::instructions;
use super::timing::lower_quartile;
use crate::Outcome;
use crate::scramble::scrambled;

/// The command line of `bench memory`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Prints one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Runs everything briefly, with fewer keys: to see that it works, not to believe the numbers
    #[arg(long)]
    quick: bool,
    /// The caches to time, separated by commas [default: all]
    #[arg(long = "engine", value_name = "E,E", value_delimiter = ',')]
    engines: Vec<Name>,
    /// The workloads to time, by name or by its beginning: read, read-zipf, insert-1m; separated by commas [default: all]
    #[arg(long = "workload", value_name = "W,W", value_delimiter = ',')]
    workloads: Vec<String>,
    /// Counts the instructions of a hit of every cache instead, by callgrind
    #[arg(long, conflicts_with_all = ["quick", "workloads"])]
    instructions: bool,
    /// Makes so many hits and measures nothing
    #[arg(long, hide = true)]
    hits: Option<u64>,
    /// Fills a cache and tells the bytes of an entry
    #[arg(long, hide = true)]
    footprint: Option<Footprint>,
}

/// Times everything that was asked for and prints it.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    let engines = if args.engines.is_empty() { Name::ALL.to_vec() } else { args.engines.clone() };
    if let Some(footprint) = args.footprint {
        return footprint.print(out);
    }
    if let Some(hits) = args.hits {
        return engines.iter().try_for_each(|name| only_hit(*name, hits));
    }
    if args.instructions {
        return count(&engines, args.json, out);
    }
    let scale = if args.quick { QUICK } else { FULL };
    let mut rows = Vec::new();
    for keys in scale.keys {
        rows.extend(time::<Integers>(keys, false, args, &engines)?);
    }
    for keys in scale.keys {
        rows.extend(time::<Strings>(keys, true, args, &engines)?);
    }
    if rows.is_empty() {
        let wanted = args.workloads.join(", ");
        return Err(format!("--workload {wanted}: no such workload, expected for example read-zipf").into());
    }
    // Who asks for some workloads wants to see those alone.
    let footprints =
        if args.workloads.is_empty() { footprint::all(&engines, scale.entries)? } else { Vec::new() };
    let report = Report::new(engines, rows, footprints);
    if args.json { report.json(out) } else { report.tables(out) }
}

/// How much is done.
#[derive(Clone, Copy)]
struct Scale {
    keys: [NonZeroU32; 2],
    batch: usize,
    rounds: usize,
    entries: u64,
}

/// Every workload over so many keys.
fn time<K: Kind>(keys: NonZeroU32, main_only: bool, args: &Args, engines: &[Name]) -> Outcome<Vec<Row>> {
    let scale = if args.quick { QUICK } else { FULL };
    let mut rows = Vec::new();
    for mut group in workload::groups(keys, main_only) {
        let wanted = |workload: &Workload| args.workloads.iter().any(|name| workload.is_called(name));
        group.workloads.retain(|workload| args.workloads.is_empty() || wanted(workload));
        if group.workloads.is_empty() {
            continue;
        }
        let able = engines.iter().filter(|name| group.without_eviction || name.evicts());
        let mut lanes =
            able.map(|&name| lane::build::<K>(name, group.capacity)).collect::<Outcome<Vec<_>>>()?;
        fill(&mut lanes, &group);
        for workload in &group.workloads {
            writeln!(io::stderr(), "{}, {} thread(s)", workload.name, workload.threads)?;
            rows.push(race(&mut lanes, &group, workload, scale)?);
        }
    }
    Ok(rows)
}

/// Inserts every key in an order that has nothing to do with how often it will be asked for.
fn fill<K: Kind>(lanes: &mut [Box<dyn Lane<K>>], group: &Group) {
    let mut ids: Vec<u64> = (0..group.filled).collect();
    ids.sort_unstable_by_key(|&id| scrambled(!id));
    let batch = [K::batch(ids.into_iter())];
    for lane in lanes {
        lane.run(Operation::Insert, &batch);
    }
}

/// Lets all lanes run the same batches in turn.
fn race<K: Kind>(
    lanes: &mut [Box<dyn Lane<K>>],
    group: &Group,
    workload: &Workload,
    scale: Scale,
) -> Outcome<Row> {
    let mut draws = workload.draw()?;
    let per_round = scale.batch * workload.threads;
    let untimed = 1 + usize::try_from(group.warm_up)?.div_ceil(per_round);
    let mut costs: Vec<Vec<Cost>> = lanes.iter().map(|_| Vec::new()).collect();
    for round in 0..untimed + scale.rounds {
        let batches: Vec<K::Batch> = draws.iter_mut().map(|draw| draw.batch::<K>(scale.batch)).collect();
        // Another one begins each time, so that nobody always finds the processor's caches as the same other left them.
        for turn in 0..lanes.len() {
            let at = (turn + round) % lanes.len();
            let cost = lanes[at].run(workload.operation, &batches);
            if round >= untimed {
                costs[at].push(cost);
            }
        }
    }
    let names = lanes.iter().map(|lane| lane.name());
    let mut times = Vec::new();
    for (name, costs) in names.zip(costs) {
        let lost: u64 = costs.iter().map(|cost| cost.operations - cost.hits).sum();
        if lost > 0 && group.without_eviction {
            writeln!(io::stderr(), "  {} missed {lost} times though there is room for all", name.as_str())?;
        }
        times.push((name, lower_quartile(costs.iter().map(per_operation).collect())));
    }
    Ok(Row { name: workload.name.clone(), threads: workload.threads, keys: K::NAME, times })
}

/// In nanoseconds.
fn per_operation(cost: &Cost) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand operations")]
    let operations = cost.operations.max(1) as f64;
    cost.time.as_secs_f64() * 1e9 / operations
}

/// Makes so many hits, rounded up to whole batches, so that callgrind can count them.
fn only_hit(name: Name, hits: u64) -> Outcome {
    let mut lane = lane::build::<Integers>(name, FEW_KEYS * 2)?;
    lane.run(Operation::Insert, &[Integers::batch(0..FEW_KEYS)]);
    // Always the same batch, because drawing the keys would be counted too.
    let batch = [Integers::batch((0..HITS_PER_BATCH).map(|hit| hit % FEW_KEYS))];
    for _ in 0..hits.div_ceil(HITS_PER_BATCH) {
        if lane.run(Operation::Read, &batch).hits < HITS_PER_BATCH {
            return Err("a key that was inserted is not there".into());
        }
    }
    Ok(())
}

fn count(engines: &[Name], json: bool, out: &mut impl Write) -> Outcome {
    let mut counts = serde_json::Map::new();
    for name in engines {
        let path = ["bench", "memory", "--engine", name.as_str()];
        let per_hit = instructions::per_hit(&path, HITS)?;
        counts.insert(name.as_str().to_owned(), per_hit.into());
        if !json {
            writeln!(out, "{:<14} {per_hit:>5} instructions per hit", name.as_str())?;
        }
    }
    if json {
        writeln!(out, "{}", serde_json::json!({ "instructions": counts }))?;
    }
    Ok(())
}

const fn keys(count: u32) -> NonZeroU32 {
    match NonZeroU32::new(count) {
        Some(keys) => keys,
        None => NonZeroU32::MIN,
    }
}

const FULL: Scale =
    Scale { keys: [keys(16_384), keys(1_000_000)], batch: 50_000, rounds: 30, entries: 1_000_000 };
const QUICK: Scale = Scale { keys: [keys(2_048), keys(16_384)], batch: 500, rounds: 2, entries: 50_000 };
const FEW_KEYS: u64 = 256;
const HITS_PER_BATCH: u64 = 4_096;
const HITS: u64 = 5 * HITS_PER_BATCH;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn disturbed_rounds_do_not_count() {
        assert!((lower_quartile(vec![9.0, 3.0, 100.0, 2.0, 50.0, 4.0, 8.0, 7.0]) - 4.0).abs() < 1e-9);
        let cost = Cost { operations: 4, hits: 0, time: Duration::from_nanos(10) };
        assert!((per_operation(&cost) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn every_engine_hits_what_it_was_given_and_keeps_its_limit() {
        fn check<K: Kind>() {
            for name in Name::ALL {
                let mut lane = lane::build::<K>(name, 2_000).unwrap();
                lane.run(Operation::Insert, &[K::batch(0..1_000)]);
                for operation in [Operation::Read, Operation::Write { one_in: 4 }] {
                    let cost = lane.run(operation, &[K::batch(0..1_000), K::batch(0..1_000)]);
                    assert_eq!((cost.operations, cost.hits), (2_000, 2_000), "{}", name.as_str());
                }
                let cost = lane.run(Operation::ReadMany, &[K::batch(0..1_000)]);
                assert_eq!((cost.operations, cost.hits), (992, 992), "{}", name.as_str());
                lane.run(Operation::GetOrInsert, &[K::batch(0..9_000)]);
                let most = if name.evicts() { 2_000 } else { 9_000 };
                assert!((1_000..=most).contains(&lane.entries()), "{}: {}", name.as_str(), lane.entries());
            }
        }
        check::<Integers>();
        check::<Strings>();
    }

    #[test]
    fn every_engine_can_be_counted() {
        for name in Name::ALL {
            only_hit(name, 1_000).unwrap();
        }
    }
}
