//! `cargo xtask planted`: breaks a copy of the code, one way after the other, and has the simulation find it each time.
//!
//! ```text
//! files of this repository ─► target/planted/tree ─ one bug of planted.toml ─► cargo test -p sim ─► the seed that found it
//! ```
//!
//! A check that finds nothing may be blind. This one shows that it is not, for the bugs that it was made to find. First the copy is
//! tried as it is, and has to be found right.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cargo_metadata::MetadataCommand;
use toml::Value;

use crate::run::{self, Failure, Outcome};
use crate::tidy::tree;

const BUGS: &str = include_str!("planted.toml");
/// What the simulation says of the life that went wrong.
const REPLAY: &str = "STRATA_SIM_SEED=";

#[derive(Debug)]
struct Bug {
    name: String,
    file: String,
    from: String,
    to: String,
}

/// Plants each, and fails if the simulation does not find one of them in so many seeds.
pub(crate) fn run(seeds: u64) -> Outcome {
    let (root, bugs) = (run::root(), bugs()?);
    let metadata = MetadataCommand::new().current_dir(&root).no_deps().exec();
    let target = metadata.map_err(|error| Failure::new(format!("cargo metadata: {error}")))?.target_directory;
    let place = target.as_std_path().join("planted");
    let field = Field { folder: copied(&root, &place.join("tree"))?, target: place.join("build"), seeds };
    if let Some(seed) = field.found()? {
        return Err(Failure::new(format!(
            "the simulation finds a bug that nobody has planted, with {REPLAY}{seed}"
        )));
    }
    println!("{:<72} found by seed", "planted");
    let mut missed = Vec::new();
    for bug in &bugs {
        let seed = field.with(bug, || field.found())?;
        println!("{:<72} {}", bug.name, seed.as_deref().unwrap_or("NOT FOUND"));
        if seed.is_none() {
            missed.push(bug.name.as_str());
        }
    }
    println!("{} of {} found", bugs.len() - missed.len(), bugs.len());
    if missed.is_empty() { Ok(()) } else { Err(Failure::new(format!("not found: {}", missed.join("; ")))) }
}

fn bugs() -> Result<Vec<Bug>, Failure> {
    let wrong = |what: &str| Failure::new(format!("xtask/src/planted.toml: {what}"));
    let table: toml::Table = toml::from_str(BUGS).map_err(|error| wrong(&error.to_string()))?;
    let bugs = table.get("bug").and_then(Value::as_array).ok_or_else(|| wrong("has no [[bug]]"))?;
    let read = |bug: &Value| {
        let of = |field: &str| {
            let text = bug.get(field).and_then(Value::as_str).map(str::to_owned);
            text.ok_or_else(|| wrong(&format!("a [[bug]] has no text {field}")))
        };
        Ok(Bug { name: of("name")?, file: of("file")?, from: of("from")?, to: of("to")? })
    };
    bugs.iter().map(read).collect()
}

/// Copies all files of the repository, so that nobody who edits it is disturbed, and no bug is left in it.
fn copied(root: &Path, folder: &Path) -> Result<PathBuf, Failure> {
    for path in tree::paths(root) {
        let (from, to) = (root.join(&path), folder.join(&path));
        let failed =
            |error| Failure::new(format!("cannot copy {} to {}: {error}", from.display(), to.display()));
        let bytes = fs::read(&from).map_err(failed)?;
        // What is as it was keeps its time, and need not be compiled again.
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        to.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
        fs::write(&to, bytes).map_err(failed)?;
    }
    Ok(folder.to_owned())
}

impl Bug {
    fn planted_in(&self, text: &str) -> Result<String, Failure> {
        match text.matches(&self.from).count() {
            1 => Ok(text.replacen(&self.from, &self.to, 1)),
            times => Err(Failure::new(format!(
                "xtask/src/planted.toml: {:?} stands in {} {times} times, and has to once: {:?}",
                self.from, self.file, self.name
            ))),
        }
    }
}

/// Where bugs are planted.
struct Field {
    folder: PathBuf,
    /// What is compiled there: cargo takes a copy for the repository that it is of, so the two must not share it.
    target: PathBuf,
    seeds: u64,
}

impl Field {
    /// Does something while a bug is there.
    fn with<T>(&self, bug: &Bug, act: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let path = self.folder.join(&bug.file);
        let failed = |error| Failure::new(format!("{}: {error}", path.display()));
        let text = fs::read_to_string(&path).map_err(failed)?;
        fs::write(&path, bug.planted_in(&text)?).map_err(failed)?;
        let done = act();
        fs::write(&path, text).map_err(failed)?;
        done.map_err(|failure| failure.at(&bug.name))
    }

    /// The first seed with which the simulation finds something.
    fn found(&self) -> Result<Option<String>, Failure> {
        let built = self.tests(&["--no-run"])?;
        if !built.status.success() {
            return Err(Failure::new(format!("it does not compile:\n{}", text(&built.stderr))));
        }
        let ran = self.tests(&["--", "a_fleet_keeps_its_promises"])?;
        let said = text(&ran.stdout) + &text(&ran.stderr);
        let seed =
            said.split_once(REPLAY).map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect());
        match (ran.status.success(), seed) {
            (true, _) => Ok(None),
            (false, Some(seed)) => Ok(Some(seed)),
            (false, None) => {
                Err(Failure::new(format!("the simulation has failed and names no seed:\n{said}")))
            }
        }
    }

    fn tests(&self, arguments: &[&str]) -> Result<Output, Failure> {
        let mut command: Command = run::cargo();
        command.current_dir(&self.folder).env("CARGO_TARGET_DIR", &self.target);
        command.env("STRATA_SIM_SEEDS", self.seeds.to_string()).env_remove("STRATA_SIM_SEED");
        command.args(["test", "--quiet", "--package", "sim", "--test", "it", "--locked"]).args(arguments);
        command.output().map_err(|error| Failure::new(format!("cargo cannot be run: {error}")))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bug_can_still_be_planted() {
        let bugs = bugs().expect("legal");
        assert!(bugs.len() >= 12);
        for bug in bugs {
            let text = fs::read_to_string(run::root().join(&bug.file)).expect("it is there");
            let planted = bug.planted_in(&text).unwrap_or_else(|failure| panic!("{failure:?}"));
            assert_ne!(planted, text);
        }
    }
}
