//! Strata beside other caches: `hit-ratio` compares decisions, `bench` the cost of an operation, `races` what goes wrong.
//!
//! ```text
//! trace ──► hit_ratio   one thread, exact counts: our policies, theirs, and the optimum
//! seed  ──► bench       processor time, instructions and memory: ours, and others in turn
//! gates ──► races       loads against removals, drops and panics: who keeps what is old, who hangs
//! ```
//!
//! This is the only package that compiles competitors. Users reach it as `cargo xtask <tool>`. Results go to standard
//! output and can be piped; everything else goes to standard error.

mod bench;
mod capacity;
mod hit_ratio;
mod peer;
mod races;
mod scramble;
mod version;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a tool ends with. An error is one line for the user.
type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The comparing tools.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Subcommand)]
enum Tool {
    /// Replays traces against eviction policies and tells the share of hits.
    HitRatio(hit_ratio::Args),
    /// Counts the instructions of a hit; `bench memory` times the memory tier beside other caches.
    Bench(bench::Args),
    /// Runs the races between loads and invalidations against our cache and others.
    Races(races::Args),
}

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let outcome = match Cli::parse().tool {
        Tool::HitRatio(args) => hit_ratio::run(&args, &mut out),
        Tool::Bench(args) => bench::run(&args, &mut out),
        Tool::Races(args) => races::run(&args, &mut out),
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
        assert_eq!(tools, ["hit-ratio", "bench", "races"]);
    }
}
