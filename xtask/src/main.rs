//! `cargo xtask`: the tasks of this repository, for a newcomer and for CI.
//!
//! `tidy` is the project's law, `test` runs every test, `readme` does what the README says, `ci` is what CI runs. `planted` shows that the simulation is not blind. `load`, `chaos`, `fleet`, `limits`, `clients`, `bus`, `hit-ratio`, `bench` and `races` only
//! open the door to the measuring tools, which are a package of their own, so that this one compiles in seconds.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task runner talks to its terminal")]

mod ci;
mod contract;
mod forward;
mod markdown;
mod planted;
mod readme;
mod run;
mod test;
mod tidy;
mod tools;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Checks the project's law: ranks, names, sizes, docs, seams, links.
    Tidy {
        /// The repository to check [default: this one].
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
        /// Checks this rule alone; may be given several times.
        #[arg(long, value_name = "RULE")]
        only: Vec<String>,
        /// Lists the rules and what each demands.
        #[arg(long)]
        list: bool,
    },
    /// Runs every test, installing what they need.
    Test {
        /// Arguments for the test binaries: `cargo xtask test -- --test-threads=1`.
        #[arg(last = true, value_name = "ARGS")]
        args: Vec<OsString>,
    },
    /// Does what the README says: runs its commands, checks its code.
    Readme {
        /// The repository that the file is in [default: this one].
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
        /// The file, from the repository's root.
        #[arg(default_value = readme::README)]
        file: String,
    },
    /// Runs what CI runs: format, tidy, lints, docs, feature combinations, tests, README.
    Ci {
        /// Runs this step alone; may be given several times.
        #[arg(long, value_name = "STEP")]
        only: Vec<String>,
        /// Lists the steps.
        #[arg(long)]
        list: bool,
    },
    /// Tests a server against the document of its API with schemathesis, which it installs by pip; fails if anything is found.
    Contract {
        /// How long to test.
        #[arg(long, value_name = "SECONDS", default_value_t = 120)]
        seconds: u32,
        /// Makes the requests of an earlier run again, which has printed it.
        #[arg(long, value_name = "SEED")]
        seed: Option<String>,
    },
    /// Breaks a copy of the code, one way after the other, and has the simulation of a fleet find it each time.
    Planted {
        /// In how many seeds it has to be found.
        #[arg(long, value_name = "SEEDS", default_value_t = 2000)]
        seeds: u64,
    },
    /// Puts load on the library or on a server (see `cargo xtask load --help`).
    #[command(disable_help_flag = true)]
    Load(Forwarded),
    /// Breaks the Redis of a fleet under load (see `cargo xtask chaos --help`).
    #[command(disable_help_flag = true)]
    Chaos(Forwarded),
    /// Writes through real processes on one Redis and judges their answers (see `cargo xtask fleet --help`).
    #[command(disable_help_flag = true)]
    Fleet(Forwarded),
    /// Shares limits among real processes while their Redis fails over (see `cargo xtask limits --help`).
    #[command(disable_help_flag = true)]
    Limits(Forwarded),
    /// Crowds a server with idle, slow and malformed clients (see `cargo xtask clients --help`).
    #[command(disable_help_flag = true)]
    Clients(Forwarded),
    /// Publishes events over one Redis to several buses (see `cargo xtask bus --help`).
    #[command(disable_help_flag = true)]
    Bus(Forwarded),
    /// Simulates a day of a metered source, for three ways to keep its data fresh (see `cargo xtask budget --help`).
    #[command(disable_help_flag = true)]
    Budget(Forwarded),
    /// Replays traces against eviction policies (see `cargo xtask hit-ratio --help`).
    #[command(disable_help_flag = true)]
    HitRatio(Forwarded),
    /// Times the library, and others beside it (see `cargo xtask bench --help`).
    #[command(disable_help_flag = true)]
    Bench(Forwarded),
    /// Runs the races between loads and invalidations against the library, and others beside it (see `cargo xtask races --help`).
    #[command(disable_help_flag = true)]
    Races(Forwarded),
}

/// Arguments that the measuring tool reads; here they only have to pass the parser.
#[derive(clap::Args)]
struct Forwarded {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

impl Forwarded {
    /// Whether this is the tool's first word.
    fn begins_with(&self, word: &str) -> bool {
        self.args.first().is_some_and(|first| first == word)
    }

    /// Whether this is one of the tool's words, perhaps with a value behind it.
    fn has(&self, flag: &str) -> bool {
        self.args.iter().any(|word| word.to_string_lossy().split('=').next() == Some(flag))
    }
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Tidy { list: true, .. } => {
            tidy::list();
            Ok(())
        }
        Task::Tidy { root, only, .. } => tidy::run(&root.unwrap_or_else(run::root), &only),
        Task::Test { args } => test::run(&args),
        Task::Readme { root, file } => readme::run(&root.unwrap_or_else(run::root), &file),
        Task::Ci { list: true, .. } => {
            ci::list();
            Ok(())
        }
        Task::Ci { only, .. } => ci::run(&only),
        Task::Contract { seconds, seed } => contract::run(seconds, seed.as_deref()),
        Task::Planted { seeds } => planted::run(seeds),
        Task::Bench(arguments) if arguments.begins_with("server") => forward::beside_the_server(),
        Task::Clients(_) => forward::beside_the_server(),
        Task::Load(arguments) if arguments.has("--suite") => forward::beside_the_server(),
        Task::Load(_)
        | Task::Chaos(_)
        | Task::Fleet(_)
        | Task::Limits(_)
        | Task::Bus(_)
        | Task::Budget(_) => forward::to("measure", &[]),
        Task::Bench(arguments) if arguments.begins_with("cache") => forward::to("peers", &["cache"]),
        Task::Bench(arguments) if arguments.begins_with("redis") => forward::to("peers", &["redis"]),
        Task::Bench(arguments) if arguments.begins_with("limit") => forward::to("peers", &["limit"]),
        Task::Races(_) => forward::to("peers", &["cache"]),
        Task::HitRatio(_) | Task::Bench(_) => forward::to("peers", &[]),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
