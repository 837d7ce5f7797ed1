//! The cost of an operation: instructions per hit of ours, the memory tier, the whole cache and limits beside others, the Redis tier
//! beside its bare client.

mod cache;
mod instructions;
mod limit;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod timing;

use std::io::Write;

use crate::Outcome;

/// The command line of `bench`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(flatten)]
    instructions: instructions::Args,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Times the memory tier beside other caches, in turns
    Memory(memory::Args),
    /// Times a hit of get-or-load beside other caches with loaders, counts what it allocates, and wakes ten thousand waiters
    Cache(cache::Args),
    /// Times the Redis tier beside the bare client, on a server of its own
    #[cfg(feature = "redis")]
    Redis(redis::Args),
    /// Times decisions of limiters beside governor's and beside reads of Redis, and floods them with keys
    Limit(limit::Args),
}

/// Runs the part that was asked for; without one, counts the instructions of our hits.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    match &args.part {
        None => instructions::run(&args.instructions, out),
        Some(Part::Memory(args)) => memory::run(args, out),
        Some(Part::Cache(args)) => cache::run(args, out),
        #[cfg(feature = "redis")]
        Some(Part::Redis(args)) => redis::run(args, out),
        Some(Part::Limit(args)) => limit::run(args, out),
    }
}
