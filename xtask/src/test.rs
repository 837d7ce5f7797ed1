//! `cargo xtask test`: every test of the workspace, after fetching what they need.
//!
//! `--all-targets` covers unit, integration and bench targets, each once, but leaves out the examples in the docs;
//! they are the second command. All features are on, so that no test hides behind one.

use std::ffi::OsString;

use crate::run::{self, Outcome};
use crate::tools;

/// Runs every test and stops at the first command that fails. The arguments go to the test binaries.
pub(crate) fn run(arguments: &[OsString]) -> Outcome {
    tools::ensure(&[tools::C_COMPILER])?;
    for target in ["--all-targets", "--doc"] {
        let mut command = run::cargo();
        command.args(["test", "--workspace", target, "--all-features", "--locked"]);
        if !arguments.is_empty() {
            command.arg("--").args(arguments);
        }
        run::run(&mut command)?;
    }
    Ok(())
}
