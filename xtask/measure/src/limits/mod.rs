//! Limits: real processes that share limits in a Redis which fails over in the middle, and the judgement of every admission.
//!
//! ```text
//! this process ──► node, node, node, node     this program again: a limiter, asked for the same few keys as often as it answers
//!     │ kills the primary in the middle │
//!     ▼                                 ▼
//!   judge ◄──────────────────────── admissions      who was admitted when, by one clock, that of the machine and of its servers
//! ```
//!
//! Nobody but the server knows the moment at which it charged, only that it lies between question and answer. So what counts as
//! admitted within a window is what was asked and answered within it.

mod judge;
mod node;

use std::fmt;
use std::io::{Read as _, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cache_core::{Clock, SystemClock};
use cache_testkit::redis::Sentinels;
use clap::value_parser;
pub(crate) use node::{Args as NodeArgs, run as run_node};
use serde::Serialize;

use crate::Outcome;
use judge::{Admission, Judged};

/// The command line of `limits`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each run lasts; the primary is killed in the middle
    #[arg(long, value_name = "S", default_value = "60", value_parser = value_parser!(u64).range(4..=3600))]
    seconds: u64,
    /// How many processes
    #[arg(long, value_name = "N", default_value = "4", value_parser = value_parser!(u32).range(1..=32))]
    processes: u32,
    /// How much each key may in a window
    #[arg(long, value_name = "N", default_value = "200", value_parser = value_parser!(u64).range(1..=1_000_000))]
    limit: u64,
    /// How long a window is
    #[arg(long, value_name = "MS", default_value = "5000", value_parser = value_parser!(u64).range(60..=3_600_000))]
    window_ms: u64,
    /// What is decided while no counters answer, and whether a new primary is believed; may be given several times [default: all]
    #[arg(long, value_name = "CHOICE")]
    choice: Vec<Choice>,
    /// Prints one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// What a limiter does when its counters go and others come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Choice {
    /// Closed, and a new primary waits for a window
    StrictClosed,
    /// Nothing for a window, then a part of each limit; and a new primary waits for a window
    StrictLateShare,
    /// Closed
    Closed,
    /// A part of each limit at once
    Share,
    /// Everything passes
    Open,
}

impl Choice {
    const ALL: [Self; 5] = [Self::StrictClosed, Self::StrictLateShare, Self::Closed, Self::Share, Self::Open];

    fn name(self) -> &'static str {
        match self {
            Self::StrictClosed => "strict-closed",
            Self::StrictLateShare => "strict-late-share",
            Self::Closed => "closed",
            Self::Share => "share",
            Self::Open => "open",
        }
    }

    /// Whether no window may have more than the limit.
    fn is_strict(self) -> bool {
        matches!(self, Self::StrictClosed | Self::StrictLateShare)
    }
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    seconds: u64,
    processes: u32,
    limit: u64,
    window_ms: u64,
    runs: Vec<Run>,
}

/// One choice.
#[derive(Debug, Serialize)]
struct Run {
    choice: Choice,
    /// How long the failover took, until all Sentinels agreed.
    failover_seconds: f64,
    #[serde(flatten)]
    judged: Judged,
}

/// Runs each choice, prints what was found, and fails if a strict one has admitted too much.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    let choices = if args.choice.is_empty() { &Choice::ALL[..] } else { &args.choice };
    let runs = choices.iter().map(|choice| fail_over(args, *choice)).collect::<Outcome<Vec<_>>>()?;
    let Args { seconds, processes, limit, window_ms, .. } = *args;
    let report = Report { seconds, processes, limit, window_ms, runs };
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        write!(out, "{report}")?;
    }
    report.verdict()
}

/// A life of the processes, with the end of the primary in the middle.
fn fail_over(args: &Args, choice: Choice) -> Outcome<Run> {
    let mut group = Sentinels::start();
    let lasts = Duration::from_secs(args.seconds);
    let nodes: Vec<Node> =
        (0..args.processes).map(|_| Node::start(args, choice, &group)).collect::<Outcome<_>>()?;
    let clock = SystemClock::new();
    let half = clock.now().after(lasts / 2);
    while clock.now() < half {
        std::thread::park_timeout(half.since(clock.now()));
    }
    let killed = clock.now();
    group.kill_primary();
    let failover_seconds = clock.now().since(killed).as_secs_f64();
    let mut admissions = Vec::new();
    for node in nodes {
        admissions.extend(node.admissions()?);
    }
    let judged = Judged::new(admissions, args.limit, Duration::from_millis(args.window_ms));
    Ok(Run { choice, failover_seconds, judged })
}

/// A process that ends by itself, and with this.
struct Node(Child);

impl Node {
    fn start(args: &Args, choice: Choice, group: &Sentinels) -> Outcome<Self> {
        let addresses: Vec<String> = group.addresses().iter().map(ToString::to_string).collect();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["limits-node", "--choice", choice.name(), "--sentinels", &addresses.join(",")]);
        for (name, number) in [
            ("--seconds", args.seconds),
            ("--processes", u64::from(args.processes)),
            ("--limit", args.limit),
            ("--window-ms", args.window_ms),
        ] {
            command.args([name, &number.to_string()]);
        }
        Ok(Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?))
    }

    /// What was admitted to it, once it has ended.
    fn admissions(mut self) -> Outcome<Vec<Admission>> {
        let mut text = String::new();
        self.0.stdout.take().ok_or("it has no output")?.read_to_string(&mut text)?;
        if !self.0.wait()?.success() {
            return Err("a process has failed".into());
        }
        Ok(serde_json::from_str(&text)?)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Report {
    fn verdict(&self) -> Outcome {
        for Run { choice, judged, .. } in &self.runs {
            if choice.is_strict() && judged.most > self.limit {
                let (most, limit) = (judged.most, self.limit);
                return Err(format!("{}: {most} admitted within a window, of {limit}", choice.name()).into());
            }
            if judged.admitted == 0 {
                return Err(format!("{}: nothing was admitted, so nothing is shown", choice.name()).into());
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, processes, limit, window_ms, .. } = self;
        writeln!(
            f,
            "{processes} processes, {seconds} s, {limit} per {window_ms} ms and key, {} keys; the primary killed in the middle",
            node::KEYS
        )?;
        writeln!(
            f,
            "{:<18} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10} {:>10}",
            "choice", "most", "answered", "admitted", "without", "failover s", "idle s", "too many"
        )?;
        for Run { choice, failover_seconds, judged } in &self.runs {
            let Judged { most, most_answered, admitted, without_counters, longest_idle_seconds, too_full } =
                judged;
            writeln!(
                f,
                "{:<18} {most:>9} {most_answered:>9} {admitted:>9} {without_counters:>9} {failover_seconds:>10.2} {longest_idle_seconds:>10.2} {too_full:>10}",
                choice.name(),
            )?;
        }
        Ok(())
    }
}
