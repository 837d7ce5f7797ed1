//! The measuring tools that push the library or a server: `load`, `bench server`, `chaos`, `fleet`, `limits`, `clients`, `bus`, `budget`.
//!
//! ```text
//! source (trace or workload) ──► load    many threads or connections, time and memory
//! hits over HTTP ────────────► bench   a server, a bare handler and Redis, processor time
//! faults of real servers ──────► chaos   a fleet, and what its callers notice
//! processes on a real server ► fleet   a million writes, and what each process answers
//! limits in a real server ─────► limits  what is admitted while it fails over
//! ten thousand connections ────► clients what the good ones among them notice
//! events over a real server ───► bus     how many arrive
//! a simulated day of requests ─► budget  calls of a metered source, and how old what is read is
//! ```
//!
//! What is compared with others, hit ratios and the time of an operation, is in the package `peers`.
//!
//! Users reach them as `cargo xtask load` and so on. Results go to standard output and can be piped; everything else goes to
//! standard error.

mod bench;
mod budget;
mod bus;
mod capacity;
mod chaos;
mod child;
mod clients;
mod figures;
mod fleet;
mod limits;
mod load;
mod proc;
mod source;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a tool ends with. An error is one line for the user.
type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The measuring tools.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Subcommand)]
enum Tool {
    /// Puts load on the library or on a server; tells speed, latency, hits, errors and memory.
    Load(Box<load::Args>),
    /// Times the server beside a bare handler.
    Bench(bench::Args),
    /// Breaks the Redis of a fleet under load, in ten ways; tells errors, wrong answers, stalls and recovery.
    Chaos(chaos::Args),
    /// Runs real processes on one Redis, writes through all of them, and judges every answer; counts how often they load a key.
    Fleet(fleet::Args),
    /// One process of a fleet.
    #[command(hide = true)]
    FleetNode(fleet::NodeArgs),
    /// Runs real processes that share limits in a Redis, kills its primary, and judges every admission, for each choice of what happens meanwhile.
    Limits(limits::Args),
    /// One process of those.
    #[command(hide = true)]
    LimitsNode(limits::NodeArgs),
    /// Holds ten thousand idle connections of a server, and slow, oversize and malformed ones; tells what its good clients notice.
    Clients(clients::Args),
    /// The process that holds those.
    #[command(hide = true)]
    ClientsCrowd(clients::CrowdArgs),
    /// Publishes events over one Redis to several buses; tells how many arrive in a second.
    Bus(bus::Args),
    /// Simulates a day of requests for the data of a metered source; tells calls, refusals and how old answers are, for three ways.
    Budget(budget::Args),
}

fn main() -> ExitCode {
    let out = || io::stdout().lock();
    let outcome = match Cli::parse().tool {
        Tool::Load(args) => load::run(&args, &mut out()),
        Tool::Bench(args) => bench::run(&args, &mut out()),
        Tool::Chaos(args) => chaos::run(&args, &mut out()),
        Tool::Fleet(args) => fleet::run(&args, &mut out()),
        // Its lines come from many threads, so none of them keeps the output.
        Tool::FleetNode(args) => fleet::run_node(args),
        Tool::Limits(args) => limits::run(&args, &mut out()),
        Tool::LimitsNode(args) => limits::run_node(&args),
        Tool::Clients(args) => clients::run(&args, &mut out()),
        Tool::ClientsCrowd(args) => clients::run_crowd(&args),
        Tool::Bus(args) => bus::run(&args, &mut out()),
        Tool::Budget(args) => budget::run(&args, &mut out()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output may stop early, as `head` does.
        Err(error) if is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        Cli::command().debug_assert();
        let tools: Vec<_> = Cli::command().get_subcommands().map(|tool| tool.get_name().to_owned()).collect();
        assert_eq!(
            tools,
            [
                "load",
                "bench",
                "chaos",
                "fleet",
                "fleet-node",
                "limits",
                "limits-node",
                "clients",
                "clients-crowd",
                "bus",
                "budget"
            ]
        );
    }
}
