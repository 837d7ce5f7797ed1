//! The disk tier beside embedded stores that could stand in its place. How to run it: `results/disk.md`.
//!
//! ```text
//! stores FOLDER                 speed, bytes written, what files take, starts
//! stores million FOLDER         a million entries in the tier alone: memory, start, removals
//! stores full ENGINE FOLDER     what a full disk does; FOLDER is on a small file system
//! ```
//!
//! The stores do less than the tier: they know no lives, no tags and no limit in bytes, which would have to be built
//! around them and would cost them more. The tier is asked through its seam, with its threads between.

mod engine;
mod full;
mod measure;
mod million;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["full", engine, folder] => full::run(engine, Path::new(folder)),
        ["million", folder] => million::run(Path::new(folder)),
        [folder] => measure::run(Path::new(folder)),
        _ => Err("usage: stores FOLDER, stores million FOLDER, or stores full ENGINE FOLDER".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
