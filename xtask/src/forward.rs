//! The door to the measuring tools: `load`, `hit-ratio` and `bench` go to the package `measure`, in release mode.
//!
//! Every argument passes unread, `--help` too. The tool runs where the user stands, so relative paths keep working.

use std::env;
use std::ffi::OsStr;

use crate::run::{self, Outcome};

/// Hands this program's whole command line to `measure`.
pub(crate) fn to_measure() -> Outcome {
    let mut command = run::cargo();
    // Taken from the environment because a parser would swallow a `--`.
    let arguments = env::args_os().skip(1);
    let manifest = run::root().join("Cargo.toml");
    command
        .args(["run", "--release", "--quiet", "--manifest-path"])
        .arg(manifest)
        .args(["--package", "measure", "--"])
        .args(arguments);
    command.current_dir(env::current_dir().as_deref().map_or(OsStr::new("."), AsRef::as_ref));
    run::run(&mut command)
}
