//! Benchmarks of the server. Those of the library, beside other libraries, are in the package `peers`.

mod bare;
mod crew;
mod server;

use std::io::Write;

use clap::Subcommand;

use crate::Outcome;

/// The command line of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Times hits over HTTP beside a bare axum handler that answers the same bytes, and beside Redis.
    Server(server::Args),
    /// The bare handler.
    #[command(hide = true)]
    Bare(bare::Args),
}

/// Runs the benchmark and prints it.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    match &args.what {
        What::Server(args) => server::run(args, out),
        What::Bare(args) => bare::run(args),
    }
}
