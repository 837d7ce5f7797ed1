//! The share of hits: a trace, a policy and a capacity in, exact counts out.
//!
//! The replay is what an application does: get, and insert on a miss, in one thread, through the real memory tier.

use std::io::Write;
use std::path::PathBuf;

use cache_memory::{Memory, Policy};
use cache_testkit::trace::Trace;
use clap::value_parser;
use serde::Serialize;

use crate::Outcome;
use crate::capacity::Capacities;

/// The command line of `hit-ratio`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A trace file; may be given several times
    #[arg(long = "trace", value_name = "FILE", required = true)]
    traces: Vec<PathBuf>,
    #[command(flatten)]
    capacities: Capacities,
    /// Eviction policies, separated by commas
    #[arg(long = "policy", value_name = "P,P", value_delimiter = ',', required = true)]
    policies: Vec<Policy>,
    /// Into how many parts the memory is cut, rounded up to a power of two; with one, the decisions are the policy's own
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u16).range(1..=4096))]
    shards: u16,
    /// Prints one JSON object per line instead of a table
    #[arg(long)]
    json: bool,
}

/// One cell: what a policy made of a trace.
#[derive(Debug, Serialize)]
struct Cell<'a> {
    trace: &'a str,
    policy: &'static str,
    capacity: u64,
    requests: u64,
    hits: u64,
    hit_ratio: f64,
}

/// Prints one line for each trace, capacity and policy, as soon as it is known.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    let traces: Vec<Trace> = args.traces.iter().map(Trace::open).collect::<Result<_, _>>()?;
    let widest = traces.iter().map(|trace| trace.name().len()).max().unwrap_or(0).max("trace".len());
    if !args.json {
        let (trace, policy, hits) = ("trace", "policy", "hits");
        writeln!(out, "{trace:widest$}  {policy:<12}  capacity    requests  {hits:>10}  hit ratio")?;
    }
    for trace in &traces {
        for capacity in args.capacities.of(trace.unique().into()) {
            for &policy in &args.policies {
                let cell = replay(trace, policy, capacity, args.shards);
                if args.json {
                    writeln!(out, "{}", serde_json::to_string(&cell)?)?;
                } else {
                    cell.line(out, widest)?;
                }
            }
        }
    }
    Ok(())
}

fn replay(trace: &Trace, policy: Policy, capacity: u64, shards: u16) -> Cell<'_> {
    let memory = Memory::new().with_max_entries(capacity).with_policy(policy).with_shards(shards.into());
    let mut hits = 0;
    for &key in trace.keys() {
        if memory.get(&key).is_some() {
            hits += 1;
        } else {
            memory.insert(key, ());
        }
    }
    let requests = trace.len() as u64;
    let (trace, policy, hit_ratio) = (trace.name(), policy.as_str(), ratio(hits, requests));
    Cell { trace, policy, capacity, requests, hits, hit_ratio }
}

impl Cell<'_> {
    fn line(&self, out: &mut impl Write, widest: usize) -> Outcome {
        let Self { trace, policy, capacity, requests, hits, hit_ratio } = self;
        let percent = hit_ratio * 100.0;
        writeln!(
            out,
            "{trace:widest$}  {policy:<12}  {capacity:>8}  {requests:>10}  {hits:>10}  {percent:>7.2} %"
        )?;
        Ok(())
    }
}

/// `part` of `whole`; 0 where there is nothing.
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share of requests, far below 2^53")]
    let share = part as f64 / whole.max(1) as f64;
    share
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, VecDeque};
    use std::path::Path;

    use super::*;

    /// The textbook: a queue in order of use, searched from end to end.
    fn reference_lru(keys: &[u32], capacity: usize) -> u64 {
        let (mut queue, mut hits) = (VecDeque::new(), 0);
        for key in keys {
            if let Some(position) = queue.iter().position(|held| held == key) {
                queue.remove(position);
                hits += 1;
            } else if queue.len() == capacity {
                queue.pop_back();
            }
            queue.push_front(*key);
        }
        hits
    }

    /// Algorithm 1 of the SIEVE paper: the newest entry first, the hand walks towards it.
    fn reference_sieve(keys: &[u32], capacity: usize) -> u64 {
        let (mut queue, mut visited, mut hand, mut hits) = (VecDeque::new(), HashMap::new(), None, 0);
        for key in keys {
            if let Some(visited) = visited.get_mut(key) {
                *visited = true;
                hits += 1;
                continue;
            }
            if queue.len() == capacity {
                let mut at: usize = hand.unwrap_or(capacity - 1);
                while std::mem::replace(visited.get_mut(&queue[at]).unwrap(), false) {
                    at = at.checked_sub(1).unwrap_or(capacity - 1);
                }
                visited.remove(&queue.remove(at).unwrap());
                hand = at.checked_sub(1);
            }
            // What is pushed in front moves everyone one place back.
            queue.push_front(*key);
            visited.insert(*key, false);
            hand = hand.map(|at| at + 1);
        }
        hits
    }

    #[track_caller]
    fn check(file: &str, policy: Policy, reference: fn(&[u32], usize) -> u64, capacities: &[usize]) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../traces");
        let trace = Trace::open(folder.join(file)).unwrap();
        for &capacity in capacities {
            let cell = replay(&trace, policy, capacity as u64, 1);
            assert_eq!(cell.hits, reference(trace.keys(), capacity), "{file}, {policy}, {capacity} entries");
        }
    }

    #[test]
    fn lru_agrees_with_the_textbook_in_every_hit() {
        check("multi3.ctr.zst", Policy::Lru, reference_lru, &[1, 2, 75, 745, 1_864, 7_454, 9_000]);
        check("web07.ctr.zst", Policy::Lru, reference_lru, &[205]);
    }

    #[test]
    fn sieve_agrees_with_the_paper_in_every_hit() {
        check("multi3.ctr.zst", Policy::Sieve, reference_sieve, &[1, 2, 75, 745, 1_864, 7_454, 9_000]);
        check("web07.ctr.zst", Policy::Sieve, reference_sieve, &[205]);
    }
}
