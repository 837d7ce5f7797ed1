//! Chaos: a fleet over real servers under load, one fault after another, and what the callers noticed of each.
//!
//! ```text
//! callers ──► three caches ──► a tier, messages and leases, each node by its own proxies ──► a server, which breaks
//!    └─► book   what may be answered, what was, how long it took
//! ```

mod book;
mod fault;
mod fleet;
mod report;

use std::io::Write;
use std::time::Duration;

use cache_core::{Clock, SystemClock};
use clap::{ValueEnum, value_parser};
use tokio::runtime::Runtime;

use crate::Outcome;
use book::Book;
use fault::{Fault, Place};
use fleet::{Fleet, Pace};
use report::{Report, Row};

/// The command line of `chaos`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// These faults alone, separated by commas [default: all]
    #[arg(long, value_name = "FAULT", value_delimiter = ',')]
    only: Vec<Fault>,
    /// How long a fault lasts, if its length is ours to choose; a bus that is cut stays so for three times as long
    #[arg(long, value_name = "N", default_value = "10", value_parser = value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Lets the buses notice sooner what they miss, and all faults happen at once, each to a fleet of its own: for a quick look
    #[arg(long)]
    quick: bool,
    /// Prints one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// How long everything works before something breaks.
const BEFORE: Duration = Duration::from_secs(2);

/// Breaks what there is, prints what was noticed, and fails if somebody saw what nobody may see.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    let runtime = Runtime::new()?;
    let faults = if args.only.is_empty() { Fault::value_variants() } else { &args.only };
    let pace = if args.quick { Pace::QUICK } else { Pace::USUAL };
    let row = |fault: &Fault| trial(*fault, args.seconds, pace, &runtime).map_err(|error| error.to_string());
    let rows: Result<Vec<Row>, String> = if args.quick {
        std::thread::scope(|scope| {
            let trials: Vec<_> = faults.iter().map(|fault| scope.spawn(move || row(fault))).collect();
            let joined = |trial: std::thread::ScopedJoinHandle<'_, _>| {
                trial.join().unwrap_or_else(|_| Err("a trial panicked; what it said stands above".into()))
            };
            trials.into_iter().map(joined).collect()
        })
    } else {
        faults.iter().map(row).collect()
    };
    let report = Report::new(rows?, pace);
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        write!(out, "{report}")?;
    }
    report.verdict()
}

/// One fault, from a fleet that works to one that works again.
fn trial(fault: Fault, seconds: u64, pace: Pace, runtime: &Runtime) -> Outcome<Row> {
    let clock = SystemClock::new();
    let mut shared = Place::start(fault);
    let book = Book::new(pace.bound());
    let mut fleet = Fleet::start(&shared, pace, &book, runtime.handle())?;
    if fleet.recovers(&clock).is_none() {
        return Err(format!("{}: the fleet does not even begin to work", fault.name()).into());
    }
    pass(BEFORE);
    let (begun, before) = (clock.now(), fleet.tally());
    book.breaks(fault.mute());
    shared.suffer(fault, Duration::from_secs(if fault == Fault::BusCut { 3 * seconds } else { seconds }));
    book.heals();
    let lasted = clock.now().since(begun);
    let recovery = fleet.recovers(&clock);
    // So that what all have to know by then is asked for.
    pass(pace.bound() + Duration::from_secs(1));
    fleet.stop(runtime.handle());
    Ok(Row::new(fault, lasted, recovery, &book, &fleet.tally().since(&before)))
}

fn pass(duration: Duration) {
    let clock = SystemClock::new();
    let end = clock.now().after(duration);
    while clock.now() < end {
        std::thread::park_timeout(end.since(clock.now()));
    }
}
