//! Clients: ten thousand that are idle, hundreds that are slow, some that send what nobody may send, and a few good ones among them.
//!
//! ```text
//! this process ──► good clients: so many requests a second each, every answer checked ──┐
//!      │                                                                                ├──► the server, as it is built for use
//!      └─► crowd, this program again: idle, slow with headers, bodies and reading, ─────┘
//!          oversize, malformed
//! ```
//!
//! What is judged: how long the good ones wait, alone and in the crowd; what the server's memory grows by; whether whatever was acknowledged is
//! still there. The crowd is a process of its own, so that what it costs is not taken for what the server does.

mod crowd;
mod good;
mod handles;
mod malformed;
mod report;

use std::io::Write;
use std::time::Duration;

use clap::value_parser;
pub(crate) use crowd::{Args as CrowdArgs, run as run_crowd};
use tokio::runtime;

use crate::child::Server;
use crate::{Outcome, proc};
use crowd::Crowd;
use good::Good;
use report::{Memory, Report};

/// The command line of `clients`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many connections are idle
    #[arg(long, value_name = "N", default_value = "10000", value_parser = value_parser!(u32).range(1..=50_000))]
    idle: u32,
    /// How many are slow: a third each with headers, with bodies and with reading
    #[arg(long, value_name = "N", default_value = "500", value_parser = value_parser!(u32).range(3..=10_000))]
    slow: u32,
    /// How many good clients there are
    #[arg(long, value_name = "N", default_value = "8", value_parser = value_parser!(u16).range(1..=256))]
    good: u16,
    /// How many requests a second each of them makes
    #[arg(long, value_name = "N", default_value = "200", value_parser = value_parser!(u16).range(1..=10_000))]
    rate: u16,
    /// How long each of three stretches lasts: alone, in the crowd, and alone again
    #[arg(long, value_name = "S", default_value = "15", value_parser = value_parser!(u64).range(2..=600))]
    seconds: u64,
    /// Prints one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Handles of a process that are none of a connection of the crowd or of a good client.
const OTHER_HANDLES: u64 = 300;
/// Who only idles is kept for longer than this takes.
const HEADER_TIMEOUT: &str = "300s";
/// The bodies of the slow, and what they do not read, come to an end meanwhile.
const BODY_TIMEOUT: &str = "5s";

/// Runs all three stretches, prints what was found, and fails if the good clients have noticed too much.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    let connections = u64::from(args.idle) + u64::from(args.slow) + u64::from(args.good) + OTHER_HANDLES;
    handles::ensure(connections + OTHER_HANDLES)?;
    let most = connections.to_string();
    let variables = [
        ("CACHE_MAX_CONNECTIONS", most.as_str()),
        ("CACHE_HEADER_TIMEOUT", HEADER_TIMEOUT),
        ("CACHE_BODY_TIMEOUT", BODY_TIMEOUT),
        ("CACHE_LOG", "info"),
    ];
    let server = Server::strata(&variables, None)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let good = Good::new(server.address(), args.good, args.rate);
    let lasts = Duration::from_secs(args.seconds);
    runtime.block_on(good.fill())?;

    let before = runtime.block_on(good.drive(lasts))?;
    let alone = server.resident()?;
    let mut crowd = Crowd::start(server.address(), args.idle, args.slow)?;
    let with_idle = server.resident()?;
    crowd.begin()?;
    let among = runtime.block_on(good.drive(lasts))?;
    let with_all = proc::peak_of(server.pid()).ok_or("the memory of the server is not to be had")?;
    let crowd = crowd.end()?;
    let after = runtime.block_on(good.drive(lasts))?;
    let lost = runtime.block_on(good.lost())?;

    let memory = Memory { alone, with_idle, with_all };
    let report = Report::new((args.idle, args.slow), &[before, among, after], memory, (crowd, lost));
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        write!(out, "{report}")?;
    }
    report.verdict()
}
