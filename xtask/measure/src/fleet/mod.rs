//! Fleet: real processes on one real Redis, a million writes, and the judgement of every answer; and how often a fleet loads a key.
//!
//! ```text
//! this process ──► node, node, node     this program again: a cache with tier, bus, lease and monitor, told by lines what to do
//!     ▲                │
//!     │                ▼
//!   judge ◄──────── logs                 what was written and answered when, by one clock
//! ```
//!
//! In each round every key has one process that writes it, and in the next round another one does; so what was written when is
//! certain. Some keys are written by all at once: of those it is only known that all have to agree in the end.

mod judge;
mod loads;
mod log;
mod node;
mod nodes;
mod report;
mod wire;

use std::io::Write;
use std::time::Duration;

use cache_core::{Clock, SystemClock};
use cache_testkit::redis::Server;
use clap::value_parser;
pub(crate) use log::Shared;
pub(crate) use node::{Args as NodeArgs, run as run_node};
use serde::{Deserialize, Serialize};

use crate::Outcome;
use judge::Judge;
use nodes::Nodes;
use report::{Loads, Report, Written};

/// The command line of `fleet`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many writes all processes make together; each is followed by two reads
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = value_parser!(u64).range(1..=100_000_000))]
    writes: u64,
    /// How many processes
    #[arg(long, value_name = "N", default_value = "3", value_parser = value_parser!(u32).range(2..=32))]
    processes: u32,
    /// Lets the buses notice sooner what they miss, and leases end sooner: for a quick look
    #[arg(long)]
    quick: bool,
    /// Gives the last process no bus, to see that the judge and the monitor notice
    #[arg(long)]
    deaf: bool,
    /// Prints one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// The times of buses and leases.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Pace {
    heartbeat: Duration,
    silence: Duration,
    doubt: Duration,
    hold: Duration,
}

impl Pace {
    /// The defaults.
    const USUAL: Self = Self {
        heartbeat: Duration::from_secs(1),
        silence: Duration::from_secs(3),
        doubt: Duration::from_secs(5),
        hold: Duration::from_secs(2),
    };
    const QUICK: Self = Self {
        heartbeat: Duration::from_millis(200),
        silence: Duration::from_millis(600),
        doubt: Duration::from_secs(1),
        hold: Duration::from_secs(2),
    };
    /// For calls on their way, and for a machine that is busy.
    const SPARE: Duration = Duration::from_millis(500);

    /// How long a change may go unnoticed by other processes.
    fn bound(self, has_doubted: bool) -> Duration {
        let doubt = if has_doubted { self.doubt } else { Duration::ZERO };
        self.silence + self.heartbeat + doubt + Self::SPARE
    }
}

/// How often each key gets another process that writes it.
const ROUNDS: u64 = 20;
/// The keys that one process at a time writes, and those that all write at once.
const KEYS: u32 = 600;
const CONTESTED: u32 = 60;

/// Runs the fleets, prints what was found, and fails if anything is not as promised.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    let pace = if args.quick { Pace::QUICK } else { Pace::USUAL };
    let writes = write(args, pace)?;
    let loads = if args.deaf { None } else { Some(load(args.processes, pace)?) };
    let report = Report { processes: args.processes, writes, loads };
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        write!(out, "{report}")?;
    }
    report.verdict()
}

/// Writes and reads, waits until all has settled, and judges.
fn write(args: &Args, pace: Pace) -> Outcome<Written> {
    let (clock, server) = (SystemClock::new(), Server::start());
    let mut nodes = Nodes::start(&server, args.processes, pace, args.deaf)?;
    let before = nodes.ask_all("tell")?;
    let begun = clock.now();
    let rounds = ROUNDS.min(args.writes);
    for round in 0..rounds {
        let writes = args.writes / rounds + u64::from(round < args.writes % rounds);
        let each = writes.div_ceil(u64::from(args.processes));
        nodes.ask_all(&format!("write {round} {each}"))?;
    }
    let took = clock.now().since(begun);
    let told = nodes.ask_all("tell")?;
    let doubts = report::sum(&told, "doubts") - report::sum(&before, "doubts");
    let bound = pace.bound(doubts > 0);
    let settling = clock.now();
    let settled = loop {
        let open = report::sum(&nodes.ask_all("compare")?, "open");
        let so_far = clock.now().since(settling);
        if open == 0 {
            break Some(so_far);
        }
        if so_far > bound {
            break None;
        }
    };
    let verdict = Judge::new(nodes.logs()?, bound).verdict();
    let contested = nodes.ask_all("contested")?;
    Ok(Written::new(&verdict, &nodes.ask_all("tell")?, &contested).lasted(took, bound, (doubts, settled)))
}

/// Counts how often a key is loaded: by all at once, and when whoever loads it is killed.
fn load(processes: u32, pace: Pace) -> Outcome<Loads> {
    let server = Server::start();
    let cold = loads::cold(&server, &mut Nodes::start(&server, processes, pace, false)?)?;
    let killed = loads::killed(&server, &mut Nodes::start(&server, processes, pace, false)?)?;
    let stale = loads::stale(&server, &mut Nodes::start(&server, processes, pace, false)?)?;
    Ok(Loads { hold_seconds: pace.hold.as_secs_f64(), cold, killed, stale })
}
