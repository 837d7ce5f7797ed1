//! Load: many requests at once, until they end or the time is up; then what it took.
//!
//! ```text
//! source ──► library   threads, one round of prepared requests at a time    strata, or its memory tier alone
//!        └─► server    connections, one request after another on each       http (the only file that knows paths)
//!                └───► tally (what one worker counted) ──► report
//! ```

mod http;
mod library;
mod report;
mod server;
mod tally;

use std::io::Write;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use cache_core::{Clock, SystemClock, Time};
use cache_memory::Policy;
use clap::value_parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::Outcome;
use crate::capacity::Capacity;
use crate::source::{Source, SourceArgs};
use tally::Tally;

/// The command line of `load`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    capacity: Capacity,
    /// The eviction policy [default: lru]
    #[arg(long, value_name = "P")]
    policy: Option<Policy>,
    /// Threads [default: 2], or connections to a server [default: 16]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    concurrency: Option<u16>,
    /// Ends after so many seconds, finished or not
    #[arg(long, value_name = "N", default_value = "60", value_parser = value_parser!(u64).range(1..))]
    seconds: u64,
    /// The server's token, sent as a bearer token
    #[arg(long, requires = "server")]
    token: Option<String>,
    /// A region of the server that takes the load as it is [default: one made for the run, and removed after it]
    #[arg(long, value_name = "NAME", requires = "server", conflicts_with_all = ["capacity", "fraction", "policy"])]
    region: Option<String>,
    /// The server's process on this machine, to tell its peak memory
    #[arg(long, value_name = "PID", requires = "server")]
    server_pid: Option<u32>,
    /// Prints one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Target {
    /// Loads the library in this process (the default)
    #[arg(long)]
    library: bool,
    /// Loads the library's memory tier alone
    #[arg(long)]
    memory: bool,
    /// Loads a running server, for example <http://127.0.0.1:7400>
    #[arg(long, value_name = "URL")]
    server: Option<http::Url>,
}

/// Runs the load and prints the report. It is an error if any operation failed.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    let source = Source::open(&args.source)?;
    let report = match &args.target.server {
        Some(url) => server::run(args, url, &source)?,
        None => library::run(args, &source)?,
    };
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        write!(out, "{report}")?;
    }
    match report.errors() {
        0 => Ok(()),
        errors => Err(format!("{errors} operations failed").into()),
    }
}

/// What all workers of a run share: when to stop, and the bar to move.
struct Run {
    clock: SystemClock,
    until: Time,
    bar: ProgressBar,
}

impl Run {
    fn start(args: &Args, source: &Source) -> Self {
        let clock = SystemClock::new();
        let bar = ProgressBar::new(source.len()).with_style(style());
        Self { until: clock.now().after(Duration::from_secs(args.seconds)), clock, bar }
    }

    fn is_over(&self) -> bool {
        self.clock.now() >= self.until
    }
}

/// What a worker's thread ended with. Errors cross threads as text.
fn joined(thread: ScopedJoinHandle<'_, Result<Tally, String>>) -> Outcome<Tally> {
    let outcome = thread.join().map_err(|_| "a worker panicked; what it said stands above")?;
    Ok(outcome?)
}

/// The bar shows itself on a terminal only: that is indicatif's own rule for standard error.
fn style() -> ProgressStyle {
    let template = "{bar:40} {human_pos} of {human_len} requests, {per_sec}, {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
