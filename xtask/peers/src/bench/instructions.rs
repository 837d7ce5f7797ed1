//! Instructions per hit, counted by callgrind: a figure that a busy machine cannot blur.
//!
//! This program runs itself twice, with so many hits and with twice as many; the difference in instructions, divided
//! by the hits, is what one hit costs, and start, end and filling cancel out. The loop around a hit is included.

use std::convert::Infallible;
use std::env;
use std::hint::black_box;
use std::io::{ErrorKind, Write};
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use cache_memory::Memory;
use clap::value_parser;
use strata::Cache;
use tokio::runtime;

use crate::Outcome;

/// The command line of `bench` alone.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// How many hits the shorter run makes
    #[arg(long, value_name = "N", default_value = "20000", value_parser = value_parser!(u64).range(1..=1_000_000_000))]
    hits: u64,
    /// Makes the hits of this path and counts nothing
    #[arg(long, hide = true)]
    only: Option<Path>,
}

/// Whose hits are counted.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Path {
    /// `Memory::get`
    Memory,
    /// `Cache::get_local`
    Local,
    /// `Cache::get_or_load`
    Load,
}

/// Prints the instructions of each path, one line each.
pub(super) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    let hits = args.hits;
    if let Some(path) = args.only {
        return path.make(hits);
    }
    for path in [Path::Memory, Path::Local, Path::Load] {
        let instructions = per_hit(&["bench", "--only", path.argument()], hits)?;
        writeln!(out, "{:<18} {:>5} instructions per hit", path.name(), instructions)?;
    }
    Ok(())
}

/// The instructions of one hit, where this program with these arguments and `--hits N` makes so many.
pub(super) fn per_hit(arguments: &[&str], hits: u64) -> Outcome<u64> {
    Ok(count(arguments, hits * 2)?.saturating_sub(count(arguments, hits)?) / hits)
}

impl Path {
    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "Memory::get",
            Self::Local => "Cache::get_local",
            Self::Load => "Cache::get_or_load",
        }
    }

    /// As it is written on the command line.
    const fn argument(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Local => "local",
            Self::Load => "load",
        }
    }

    fn make(self, hits: u64) -> Outcome {
        match self {
            Self::Memory => {
                let memory = Memory::new();
                for key in 0..KEYS {
                    // Shared, as the other paths share it.
                    memory.insert(key, Arc::new(key));
                }
                all_hit(hits, |key| memory.get(key).is_some())
            }
            Self::Local => {
                let cache = filled()?;
                all_hit(hits, |key| cache.get_local(key).is_some())
            }
            Self::Load => {
                let cache = filled()?;
                let mut context = Context::from_waker(Waker::noop());
                all_hit(hits, |key| {
                    let load = pin!(cache.get_or_load(key, || async { Ok::<u64, Infallible>(0) }));
                    matches!(load.poll(&mut context), Poll::Ready(Ok(_)))
                })
            }
        }
    }
}

fn filled() -> Outcome<Cache<u64, u64>> {
    let cache = Cache::builder("bench").build()?;
    let runtime = runtime::Builder::new_current_thread().build()?;
    for key in 0..KEYS {
        runtime.block_on(cache.insert(key, key))?;
    }
    Ok(cache)
}

fn all_hit(hits: u64, mut get: impl FnMut(&u64) -> bool) -> Outcome {
    for hit in 0..hits {
        if !get(black_box(&(hit % KEYS))) {
            return Err("a key that was inserted is not there, so this run counts something else".into());
        }
    }
    Ok(())
}

/// The instructions of a whole run of this program with so many hits.
fn count(arguments: &[&str], hits: u64) -> Outcome<u64> {
    let mut command = Command::new("valgrind");
    // Valgrind runs one thread at a time, and would starve the one that says how late it is: then every hit asks a clock.
    command.args(["--tool=callgrind", "--fair-sched=yes", "--callgrind-out-file=/dev/null"]);
    command.arg(env::current_exe()?);
    command.args(arguments).args(["--hits", &hits.to_string()]);
    let output = command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            "valgrind is not installed; install it with: sudo apt-get install valgrind".to_owned()
        }
        _ => format!("cannot run valgrind: {error}"),
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    match collected(&said) {
        Some(instructions) if output.status.success() => Ok(instructions),
        _ => Err(format!("valgrind ended with {} and said:\n{said}", output.status).into()),
    }
}

/// The total that callgrind prints at the end: `==123== Collected : 4567`.
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

/// Few enough for the first-level cache of any processor.
const KEYS: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found_in_what_callgrind_says() {
        let said = "==7== Events    : Ir\n==7== Collected : 123456\n==7==\n";
        assert_eq!(collected(said), Some(123_456));
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }

    #[test]
    fn both_paths_only_hit() {
        assert!(Path::Memory.make(1_000).is_ok());
        assert!(Path::Local.make(1_000).is_ok());
        assert!(Path::Load.make(1_000).is_ok());
    }
}
