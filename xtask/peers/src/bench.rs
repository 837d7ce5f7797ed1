//! The cost of an operation: instructions per hit of ours, and the memory tier beside other caches.

mod instructions;
mod memory;

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
}

/// Runs the part that was asked for; without one, counts the instructions of our hits.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    match &args.part {
        None => instructions::run(&args.instructions, out),
        Some(Part::Memory(args)) => memory::run(args, out),
    }
}
