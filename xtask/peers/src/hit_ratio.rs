//! The share of hits: traces, policies and capacities in, exact counts out.
//!
//! ```text
//! trace ──► course ──► replay ──► ours | others      optimum      ──► table, JSON lines, plot
//! ```
//!
//! A replay is what an application does: get, and insert on a miss, in one thread. Our policies run in the real memory
//! tier, other caches in their own.

mod course;
mod entrant;
mod optimum;
mod others;
mod ours;
mod plot;
mod replay;

use std::io::Write;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;

use cache_testkit::trace::{Format, ReadOptions, Trace};
use clap::value_parser;
use serde::Serialize;

use crate::Outcome;
use crate::capacity::Capacities;
use course::{By, Course};
use entrant::{Choice, Entrant};
use replay::{Score, ratio};

/// The command line of `hit-ratio`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A trace file; may be given several times
    #[arg(long = "trace", value_name = "FILE", required = true)]
    traces: Vec<PathBuf>,
    /// The format of every trace: ctr, arc, keys or csv [default: what the name says]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    #[command(flatten)]
    capacities: Capacities,
    /// Our policies, other caches (moka, foyer-lru, ...), opt for what is possible at all, or all; separated by commas
    #[arg(long = "policy", value_name = "P,P", value_delimiter = ',', required = true)]
    choices: Vec<Choice>,
    /// What decides; with bytes and cost the capacity is in bytes, and opt is a bound that nothing may reach
    #[arg(long, value_enum, default_value_t)]
    by: By,
    /// Ends entries by the trace's times and times-to-live
    #[arg(long)]
    ttl: bool,
    /// Into how many parts our memory is cut, rounded up to a power of two; with one, the decisions are the policy's own
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u16).range(1..=4096))]
    shards: u16,
    /// Prints one JSON object per line instead of a table
    #[arg(long)]
    json: bool,
    /// Draws one picture per trace into this folder
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    byte_hit_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_saved_ratio: Option<f64>,
}

/// Prints one line for each trace, capacity and policy, each capacity as soon as it is known.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    let traces = args.open()?;
    let entrants = args.entrants()?;
    let widest = traces.iter().map(|trace| trace.name().len()).max().unwrap_or(0).max("trace".len());
    if !args.json {
        let (trace, policy, hits) = ("trace", "policy", "hits");
        let (capacity, more) = match args.by {
            By::Requests => ("capacity", ""),
            By::Bytes | By::Cost => ("   bytes", "       bytes        cost"),
        };
        writeln!(
            out,
            "{trace:widest$}  {policy:<12}  {capacity:>12}    requests  {hits:>10}  hit ratio{more}"
        )?;
    }
    for trace in &traces {
        let course = Course { trace, by: args.by, lifetimes: args.ttl };
        let mut cells = Vec::new();
        for capacity in args.capacities.of(course.whole()) {
            let scores = in_parallel(&entrants, |entrant| {
                entrant.run(&course, capacity, args.shards).map_err(|error| error.to_string())
            });
            for (entrant, score) in entrants.iter().zip(scores) {
                let cell = Cell::new(&course, *entrant, capacity, score?);
                cell.print(args.json, widest, out)?;
                cells.push(cell);
            }
        }
        if let Some(folder) = &args.plot {
            plot::save(folder, &course, &cells)?;
        }
    }
    Ok(())
}

impl Args {
    fn open(&self) -> Outcome<Vec<Trace>> {
        let options = ReadOptions::new();
        let options = self.format.map_or(options, |format| options.with_format(format));
        Ok(self.traces.iter().map(|path| options.open(path)).collect::<Result<_, _>>()?)
    }

    /// Everyone who was asked for, once each, in the order of asking.
    fn entrants(&self) -> Outcome<Vec<Entrant>> {
        let mut entrants: Vec<Entrant> = Vec::new();
        for choice in &self.choices {
            match choice {
                // Nobody knows the optimum with lifetimes, and who asks for all does not mean to fail by that.
                Choice::All => {
                    entrants.extend(Entrant::all().filter(|it| !self.ttl || *it != Entrant::Optimum));
                }
                Choice::One(entrant) => entrants.push(*entrant),
            }
        }
        let mut seen = Vec::new();
        entrants.retain(|entrant| {
            !seen.contains(entrant) && {
                seen.push(*entrant);
                true
            }
        });
        if self.ttl && entrants.contains(&Entrant::Optimum) {
            return Err("--policy opt knows no lifetimes; leave it out, or --ttl".into());
        }
        Ok(entrants)
    }
}

impl<'a> Cell<'a> {
    fn new(course: &Course<'a>, entrant: Entrant, capacity: u64, score: Score) -> Self {
        let weighed = course.by != By::Requests;
        Self {
            trace: course.trace.name(),
            policy: entrant.name(),
            capacity,
            requests: score.requests,
            hits: score.hits,
            hit_ratio: ratio(score.hits, score.requests),
            byte_hit_ratio: weighed.then_some(score.byte_hit_ratio),
            cost_saved_ratio: weighed.then_some(score.cost_saved_ratio),
        }
    }

    /// The ratio that decides.
    fn decisive(&self, by: By) -> f64 {
        let ratio = match by {
            By::Requests => Some(self.hit_ratio),
            By::Bytes => self.byte_hit_ratio,
            By::Cost => self.cost_saved_ratio,
        };
        ratio.unwrap_or_default()
    }

    fn print(&self, json: bool, widest: usize, out: &mut impl Write) -> Outcome {
        if json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
            return Ok(());
        }
        let Self { trace, policy, capacity, requests, hits, .. } = self;
        write!(out, "{trace:widest$}  {policy:<12}  {capacity:>12}  {requests:>10}  {hits:>10}")?;
        write!(out, "  {:>7.2} %", self.hit_ratio * 100.0)?;
        for ratio in [self.byte_hit_ratio, self.cost_saved_ratio].into_iter().flatten() {
            write!(out, "   {:>7.2} %", ratio * 100.0)?;
        }
        writeln!(out)?;
        Ok(())
    }
}

/// Does the work for each, as many at a time as there are cores, and gives the results in their order.
fn in_parallel<T: Sync, R: Send>(jobs: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let mut results = Vec::with_capacity(jobs.len());
    for some in jobs.chunks(cores) {
        thread::scope(|scope| {
            let work = &work;
            let running: Vec<_> = some.iter().map(|job| scope.spawn(move || work(job))).collect();
            results.extend(
                running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))),
            );
        });
    }
    results
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, VecDeque};
    use std::path::Path;

    use cache_memory::Policy;

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
            let course = Course { trace: &trace, by: By::Requests, lifetimes: false };
            let score = Entrant::Ours(policy).run(&course, capacity as u64, 1).unwrap();
            assert_eq!(score.hits, reference(trace.keys(), capacity), "{file}, {policy}, {capacity} entries");
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
