//! The Redis tier beside the bare client: what a call through it costs more, and what it does better.
//!
//! ```text
//! a server of its own ──► the bare client and ours in turns, at 1, 32 and 256 callers ──► medians ──► table, JSON
//!                     └─► many keys at once │ a removal by tag │ others during a removal by prefix │ redis-benchmark
//! ```
//!
//! Whatever else the machine does meets all, as they take turns: a round of one and the round of the bare client beside it
//! are a pair, and pairs are what is compared. The processor time is that of this process, the server's not included.

mod calls;
mod carriers;
mod instructions;
mod removals;
mod report;
mod side;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use cache_testkit::redis::Server;
use tokio::runtime;

use self::report::Report;
use self::side::{Name, Sides};
use crate::Outcome;

/// The command line of `bench redis`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Args {
    /// Prints one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Runs everything briefly, with fewer keys: to see that it works, not to believe the numbers
    #[arg(long)]
    quick: bool,
    /// Counts the instructions of a call instead, one caller at a time
    #[arg(long)]
    instructions: bool,
    /// Compares what could carry news between nodes instead: a channel, a stream, the server's own news of keys
    #[arg(long, conflicts_with = "instructions")]
    carriers: bool,
    /// Makes the calls of this side and counts nothing
    #[arg(long, hide = true)]
    only: Option<Name>,
    /// Which calls those are
    #[arg(long, hide = true, default_value = "get")]
    act: Act,
    #[arg(long, hide = true, default_value = "0")]
    hits: u64,
}

impl Args {
    const fn scale(&self) -> &'static Scale {
        if self.quick { &QUICK } else { &FULL }
    }
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Act {
    /// One key is read.
    Get,
    /// One key is written.
    Set,
}

impl Act {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
        }
    }
}

/// How much of everything.
struct Scale {
    rounds: usize,
    round: Duration,
    members: [usize; 3],
    removed: usize,
    benchmark: &'static str,
}

/// Starts a server, times everything and prints it.
pub(super) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    if let Some(name) = args.only {
        return instructions::make(name, args.act, args.hits);
    }
    let mut report = Report::default();
    if args.instructions {
        instructions::count(&mut report)?;
    } else if args.carriers {
        runtime()?.block_on(carriers::compare(args.scale(), &mut report))?;
    } else {
        let scale = args.scale();
        let server = Server::start();
        runtime()?.block_on(time(&server, scale, &mut report))?;
        benchmark(&server, scale.benchmark, &mut report);
    }
    if args.json { report.json(out) } else { report.table(out) }
}

async fn time(server: &Server, scale: &Scale, report: &mut Report) -> Outcome {
    let sides = Sides::open(server).await?;
    sides.fill(KEYS).await?;
    for act in [Act::Get, Act::Set] {
        for callers in CALLERS {
            calls::compare(&sides, (act, callers), scale, report).await?;
        }
    }
    let store = sides.store(Name::Ours).ok_or("ours takes no part")?;
    calls::many(store, scale, report).await?;
    removals::tags(store, scale, report).await?;
    removals::others(store, server, scale, report).await
}

fn runtime() -> Outcome<runtime::Runtime> {
    Ok(runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// What the server's own tool gets, one command at a time and sixteen; nothing where it is not installed.
fn benchmark(server: &Server, requests: &str, report: &mut Report) {
    let port = server.port().to_string();
    for pipeline in ["1", "16"] {
        let mut command = Command::new("redis-benchmark");
        command.args(["-p", &port, "-t", "get,set", "-d", "100", "-r", "10000", "-c", "32", "--csv"]);
        command.args(["-n", requests, "-P", pipeline]);
        let Ok(output) = command.stdin(Stdio::null()).stderr(Stdio::null()).output() else { return };
        let text = String::from_utf8_lossy(&output.stdout);
        for line in text.lines().skip(1) {
            let mut cells = line.split(',').map(|cell| cell.trim_matches('"'));
            if let (Some(act), Some(Ok(rate))) = (cells.next(), cells.next().map(str::parse)) {
                report.told(
                    format!("redis-benchmark -c 32 -P {pipeline}: {}", act.to_lowercase()),
                    rate,
                    "a second",
                );
            }
        }
    }
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

const FULL: Scale = Scale {
    // Many and short: what else the machine does for a moment spoils one of them, and the middle one is none of those.
    rounds: 25,
    round: Duration::from_millis(150),
    members: [10, 10_000, 1_000_000],
    removed: 100_000,
    benchmark: "200000",
};
const QUICK: Scale = Scale {
    rounds: 1,
    round: Duration::from_millis(20),
    members: [10, 100, 1_000],
    removed: 2_000,
    benchmark: "1000",
};
const CALLERS: [usize; 3] = [1, 32, 256];
/// How many keys are read and written: as many as `redis-benchmark` is told to use.
const KEYS: usize = 10_000;
const VALUE: [u8; 100] = [7; 100];
