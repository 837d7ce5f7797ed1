//! `cargo xtask test`: every test of the workspace, after fetching what they need.
//!
//! `--all-targets` covers unit, integration and bench targets, each once, but leaves out the examples in the docs;
//! they are the second command. Both have the features that only add something. That what users get who choose no features compiles, another step of CI tells.

use std::ffi::OsString;

use crate::run::{self, Outcome};
use crate::tools;

/// Runs every test and stops at the first command that fails. The arguments go to the test binaries.
pub(crate) fn run(arguments: &[OsString]) -> Outcome {
    tools::ensure(&[tools::C_COMPILER, tools::REDIS, tools::OPENSSL])?;
    for selection in SELECTIONS {
        let mut command = run::cargo();
        command.arg("test").args(selection).arg("--locked").arg("--").args(arguments);
        run::run(&mut command)?;
    }
    Ok(())
}

/// Builds the tests, and runs none.
pub(crate) fn build() -> Outcome {
    tools::ensure(&[tools::C_COMPILER])?;
    run::run(run::cargo().arg("test").args(SELECTIONS[0]).args(["--locked", "--no-run"]))
}

/// What only adds, but for what compares with others, each of which is a cache of its own to be compiled, and has its own command in
/// CONTRIBUTING.md.
const ADDED: &str = "cache-core/frame,cache-http/cache,cache-http/limit,cache-http/tower-sessions,cache-invalidation/toml,cache-memory/moka,cache-redis/fred,cache-redis/tls,cache-testkit/redis,measure/fred,strata/disk,\
                     strata/json,strata/lz4,strata/macros,strata/msgpack,strata/ratelimit,strata/redis,strata/seal,strata/zstd";

/// What is built and run together. The other lock of `cache-memory` stands in place of its own, and is tested by itself.
const SELECTIONS: [&[&str]; 3] = [
    &["--workspace", "--exclude", "peers", "--all-targets", "--features", ADDED],
    &["--workspace", "--exclude", "peers", "--doc", "--features", ADDED],
    &["--package", "cache-memory", "--features", "parking", "--lib"],
];
