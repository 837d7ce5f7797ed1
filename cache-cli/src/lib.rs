//! `strata`: the cache server from a command line.
//!
//! ```text
//! args      what was said            target   which server, which region, by which right: flags, then the environment
//!   │                                   │
//! command   one file per command  ──►  http    one request, one answer, every error a sentence with what to do
//!   │
//! output    the one place that writes: plain or JSON, tables, colour where a person looks
//! ```
//!
//! Everything goes through the routes that everybody may use: this crate depends on none of the others.

mod args;
mod clock;
mod command;
mod error;
mod http;
mod output;
mod progress;
mod report;
mod sse;
mod table;
mod target;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::error::Error;
use crate::output::Out;

/// Runs a command line, the program's name first, with these environment variables, and returns the code to exit with:
///
/// | code | meaning |
/// |---|---|
/// | 0 | done |
/// | 1 | what was asked for is not there |
/// | 2 | the command line is wrong |
/// | 3 | the server cannot be reached, or has failed |
/// | 4 | the server refuses the request |
/// | 5 | a file, or a standard stream, cannot be read or written |
pub fn run(line: impl IntoIterator<Item = OsString>, variables: &BTreeMap<String, String>) -> ExitCode {
    let args = match Args::try_parse_from(line) {
        Ok(args) => args,
        Err(help_or_error) => {
            // If it cannot be written, nobody reads it.
            let _ = help_or_error.print();
            return ExitCode::from(u8::try_from(help_or_error.exit_code()).unwrap_or(2));
        }
    };
    let mut out = Out::new(args.options.json, args.options.color, variables);
    let done = command::run(&args, variables, &mut out).and_then(|()| out.flush());
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has enough of it, such as `head`.
        Err(Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            out.complain(&error);
            ExitCode::from(error.code())
        }
    }
}
