//! Budget: a day of requests for the data of a metered source, in simulated time, for each of three ways to keep it fresh.

mod scenario;
mod world;

use std::io::Write;
use std::path::PathBuf;

use cache_core::Priority;
use serde::Serialize;

use self::scenario::Scenario;
use self::world::{Day, Way, live};
use crate::Outcome;

/// The command line of `budget`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The scenario, a TOML file like xtask/measure/scenarios/market-day.toml [default: that one]
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Prints one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// How much fresher the scheduler has to keep what is read than one interval for all, and what share of calls a cache has to save.
const FRESHER: f64 = 0.3;
const SAVED: f64 = 0.9;

#[derive(Serialize)]
struct Report {
    scenario: String,
    ways: Vec<Row>,
    /// By how much lower the scheduler's mean age is than that of one interval for all.
    fresher_than_interval: f64,
    holds: bool,
}

#[derive(Serialize)]
struct Row {
    way: &'static str,
    requests: u64,
    calls: u64,
    blocked: u64,
    refused: u64,
    refused_once_warm: u64,
    errors: u64,
    hit_ratio: f64,
    saved: f64,
    mean_age_seconds: f64,
    /// Critical first.
    ages: Vec<Age>,
}

#[derive(Serialize)]
struct Age {
    class: &'static str,
    p50_seconds: f64,
    p99_seconds: f64,
}

/// Runs the simulation and reports; fails if what is asked does not hold.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    let scenario = Scenario::read(args.scenario.as_deref())?;
    let row = |way: Way| Ok(Row::new(way, &live(&scenario, way)?));
    let ways: Vec<Row> = Way::ALL.into_iter().map(row).collect::<Outcome<_>>()?;
    let report = Report::new(scenario.name, ways);
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        report.table(out)?;
    }
    if report.holds { Ok(()) } else { Err("the scheduler does not reach what is asked of it".into()) }
}

#[expect(clippy::cast_precision_loss, reason = "counts and ages for people")]
impl Row {
    fn new(way: Way, day: &Day) -> Self {
        let seconds = |millis: u64| millis as f64 / 1000.0;
        let of = |count: u64, all: u64| count as f64 / all.max(1) as f64;
        let ages = Priority::ALL.iter().zip(&day.ages).rev().map(|(class, ages)| Age {
            class: class.as_str(),
            p50_seconds: seconds(ages.value_at_quantile(0.5)),
            p99_seconds: seconds(ages.value_at_quantile(0.99)),
        });
        let sum: f64 = day.ages.iter().map(|ages| ages.mean() * ages.len() as f64).sum();
        let answered: u64 = day.ages.iter().map(hdrhistogram::Histogram::len).sum();
        Self {
            way: way.as_str(),
            requests: day.requests,
            calls: day.calls,
            blocked: day.blocked,
            refused: day.refused,
            refused_once_warm: day.refused_warm,
            errors: day.errors,
            hit_ratio: of(day.hits, day.requests),
            saved: 1.0 - of(day.calls, day.requests),
            mean_age_seconds: sum / answered.max(1) as f64 / 1000.0,
            ages: ages.collect(),
        }
    }
}

impl Report {
    fn new(scenario: String, ways: Vec<Row>) -> Self {
        let mean = |way: Way| {
            let row = ways.iter().find(|row| row.way == way.as_str());
            row.map_or(f64::NAN, |row| row.mean_age_seconds)
        };
        let fresher = 1.0 - mean(Way::Scheduler) / mean(Way::Interval);
        let is_right = |row: &Row| row.refused_once_warm == 0 && row.saved >= SAVED;
        let holds =
            fresher >= FRESHER && ways.iter().filter(|row| row.way == Way::Scheduler.as_str()).all(is_right);
        Self { scenario, ways, fresher_than_interval: fresher, holds }
    }

    fn table(&self, out: &mut impl Write) -> Outcome {
        writeln!(out, "{}\n", self.scenario)?;
        writeln!(
            out,
            "{:<10}{:>10}{:>9}{:>9}{:>6}{:>6}{:>8}{:>7}{:>8}{:>10}  p50 and p99 of the age in seconds",
            "way", "requests", "calls", "blocked", "429", "warm", "errors", "hits", "saved", "mean age"
        )?;
        for row in &self.ways {
            write!(
                out,
                "{:<10}{:>10}{:>9}{:>9}{:>6}{:>6}{:>8}{:>6.1}%{:>7.1}%{:>10.1}",
                row.way,
                row.requests,
                row.calls,
                row.blocked,
                row.refused,
                row.refused_once_warm,
                row.errors,
                row.hit_ratio * 100.0,
                row.saved * 100.0,
                row.mean_age_seconds,
            )?;
            for Age { class, p50_seconds, p99_seconds } in &row.ages {
                write!(out, "  {class} {p50_seconds:.0} {p99_seconds:.0}")?;
            }
            writeln!(out)?;
        }
        let (fresher, asked) = (self.fresher_than_interval * 100.0, FRESHER * 100.0);
        writeln!(
            out,
            "\nscheduler: {fresher:.1} % fresher than one interval for all (asked {asked} %), no 429 once warm, {}% of calls saved (asked)",
            SAVED * 100.0
        )?;
        writeln!(out, "{}", if self.holds { "all of it holds" } else { "NOT all of it holds" })?;
        Ok(())
    }
}
