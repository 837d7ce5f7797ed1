//! The door to the measuring tools, in release mode: `load`, `bench server`, `chaos`, `fleet`, `limits`, `clients`, `bus` and `budget` go to the package `measure`, `hit-ratio`,
//! all other `bench` and `races` to `peers`, which alone compiles what Strata is compared with. The caches with loaders are many crates, so `peers` compiles them only
//! for who compares with them: `races` and `bench cache`. So it does with the Redis tier, for `bench redis`, and the limiters of `bench limit`.
//!
//! Every argument passes unread, `--help` too. The tool runs where the user stands, so relative paths keep working.

use std::env;
use std::ffi::OsStr;

use crate::run::{self, Outcome};

/// Builds the server, and hands this program's whole command line to the tool that starts it: `measure` looks for it beside itself.
pub(crate) fn beside_the_server() -> Outcome {
    run::run(run::cargo().args(["build", "--release", "--quiet", "--package", "cache-server"]))?;
    to("measure", &[])
}

/// Hands this program's whole command line to a package, compiled with these features.
pub(crate) fn to(package: &str, features: &[&str]) -> Outcome {
    let mut command = run::cargo();
    // Taken from the environment because a parser would swallow a `--`.
    let arguments = env::args_os().skip(1);
    let manifest = run::root().join("Cargo.toml");
    command
        .args(["run", "--release", "--quiet", "--manifest-path"])
        .arg(manifest)
        .args(["--package", package])
        .args(features.iter().flat_map(|feature| ["--features", feature]))
        .arg("--")
        .args(arguments);
    command.current_dir(env::current_dir().as_deref().map_or(OsStr::new("."), AsRef::as_ref));
    run::run(&mut command)
}
