//! The process around the library: hands over the command line and the environment.

use std::process::ExitCode;

fn main() -> ExitCode {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
    cache_cli::run(std::env::args_os(), &variables)
}
