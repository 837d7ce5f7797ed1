//! `cargo xtask test`: every test of the workspace, after fetching what they need.
//!
//! `--all-targets` covers unit, integration and bench targets, each once, but leaves out the examples in the docs;
//! they are the second command. Both run what users get who choose no features. The crates that have any are tested once
//! more with all of them, examples in their docs included, so that neither what a feature brings nor what it replaces
//! goes untested.

use std::ffi::OsString;

use crate::run::{self, Outcome};
use crate::tools;

/// Runs every test and stops at the first command that fails. The arguments go to the test binaries.
pub(crate) fn run(arguments: &[OsString]) -> Outcome {
    tools::ensure(&[tools::C_COMPILER])?;
    for selection in SELECTIONS {
        let mut command = run::cargo();
        command.arg("test").args(selection).arg("--locked");
        if !arguments.is_empty() {
            command.arg("--").args(arguments);
        }
        run::run(&mut command)?;
    }
    Ok(())
}

const SELECTIONS: [&[&str]; 8] = [
    &["--workspace", "--all-targets"],
    &["--workspace", "--doc"],
    &["--package", "cache-core", "--all-targets", "--all-features"],
    &["--package", "cache-core", "--doc", "--all-features"],
    &["--package", "cache-memory", "--all-targets", "--all-features"],
    &["--package", "cache-memory", "--doc", "--all-features"],
    &["--package", "strata", "--all-targets", "--all-features"],
    &["--package", "strata", "--doc", "--all-features"],
];
