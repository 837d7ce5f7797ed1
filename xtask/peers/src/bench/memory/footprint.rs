//! The memory of an entry: what a fresh process grows by when it fills a cache, divided by the entries that are there.
//!
//! The kernel's count of anonymous memory takes everything in: tables, slack, the allocator's own, and what a cache
//! keeps of entries that have left. Pages of the program's own file, a megabyte of code that is first run meanwhile, are no entry's. Each cache is filled with three times what it holds, so that it is as it will be.

use std::env;
use std::fmt;
use std::fs;
use std::io::Write;
use std::process::Command;
use std::str::FromStr;

use cache_core::Tags;

use super::engine::{Name, Strata};
use super::kind::{Integers, Kind, Strings};
use super::lane::{self, Lane, Operation};
use crate::Outcome;

/// What a child process of this program measures: `ENGINE:VARIANT:KIND:ENTRIES`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Footprint {
    name: Name,
    /// Of ours: whether every entry has a lifetime, a cost and a tag.
    all_on: bool,
    strings: bool,
    entries: u64,
}

/// The bytes of an entry of one kind, by cache.
pub(super) struct Measured {
    pub(super) kind: &'static str,
    pub(super) bytes: Vec<(&'static str, f64)>,
}

/// Measures every cache, each in a process of its own.
pub(super) fn all(engines: &[Name], entries: u64) -> Outcome<Vec<Measured>> {
    let mut measured = Vec::new();
    for (strings, kind) in [(false, "8+8"), (true, "32+100")] {
        let mut bytes = Vec::new();
        for &name in engines.iter().filter(|name| **name != Name::StrataTtl) {
            let variants: &[bool] = if name == Name::Strata { &[false, true] } else { &[false] };
            for &all_on in variants {
                let shown = if all_on { ALL_ON } else { name.as_str() };
                bytes.push((shown, Footprint { name, all_on, strings, entries }.in_child()?));
            }
        }
        measured.push(Measured { kind, bytes });
    }
    Ok(measured)
}

impl Footprint {
    fn in_child(self) -> Outcome<f64> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["bench", "memory", "--footprint", &self.to_string()]);
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let bytes = said.trim().parse().ok().filter(|_| output.status.success());
        let failed = || format!("{self}: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(bytes.ok_or_else(failed)?)
    }

    /// Fills the cache in this process and prints the bytes of an entry.
    pub(super) fn print(self, out: &mut impl Write) -> Outcome {
        let bytes = if self.strings { self.fill::<Strings>()? } else { self.fill::<Integers>()? };
        writeln!(out, "{bytes:.1}")?;
        Ok(())
    }

    fn fill<K: Kind>(self) -> Outcome<f64> {
        let tags = self.tags()?;
        let before = anonymous()?;
        let mut lane = match self.name {
            Name::Strata if self.all_on => lane::on_lane(self.name, Strata::tagged(self.entries, tags)),
            Name::Strata => lane::on_lane(self.name, Strata::plain(self.entries)),
            _ => lane::build::<K>(self.name, self.entries)?,
        };
        let inserts = if self.name.evicts() { self.entries * 3 } else { self.entries };
        insert::<K>(lane.as_mut(), inserts);
        let held = lane.entries().max(1);
        let grown = anonymous()?.saturating_sub(before);
        #[expect(clippy::cast_precision_loss, reason = "bytes of this process, printed with one digit")]
        let bytes = grown as f64 / held as f64;
        Ok(bytes)
    }

    fn tags(self) -> Outcome<Vec<Tags>> {
        let count = if self.all_on { TAGS } else { 0 };
        Ok((0..count).map(|tag| Tags::new([format!("team:{tag}")])).collect::<Result<_, _>>()?)
    }
}

/// In small batches, because the keys of a batch count, too.
fn insert<K: Kind>(lane: &mut dyn Lane<K>, inserts: u64) {
    let mut next = 0;
    while next < inserts {
        let end = (next + BATCH).min(inserts);
        lane.run(Operation::Insert, &[K::batch(next..end)]);
        next = end;
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = if self.all_on { "all" } else { "plain" };
        let kind = if self.strings { "strings" } else { "integers" };
        write!(f, "{}:{variant}:{kind}:{}", self.name.as_str(), self.entries)
    }
}

impl FromStr for Footprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not ENGINE:plain|all:integers|strings:ENTRIES");
        let [name, variant, kind, entries] = text.split(':').collect::<Vec<_>>()[..] else {
            return Err(wrong());
        };
        Ok(Self {
            name: name.parse::<Name>().map_err(|error| error.to_string())?,
            all_on: variant == "all",
            strings: kind == "strings",
            entries: entries.parse().map_err(|_| wrong())?,
        })
    }
}

/// The memory that this process has been given and has written to.
fn anonymous() -> Outcome<u64> {
    let missing = "bytes per entry are read from /proc/self/status, which this system does not have";
    let text = fs::read_to_string("/proc/self/status").map_err(|_| missing)?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes: Option<u64> = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok());
    Ok(kibibytes.ok_or(missing)? * 1024)
}

const ALL_ON: &str = "strata+ttl+cost+tags";
const TAGS: u32 = 1_000;
const BATCH: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_told_what_to_measure_and_understands_it() {
        let footprint = Footprint { name: Name::FoyerLru, all_on: true, strings: false, entries: 7 };
        assert_eq!(footprint.to_string(), "foyer-lru:all:integers:7");
        assert_eq!(footprint.to_string().parse::<Footprint>().unwrap().to_string(), footprint.to_string());
        assert!("foyer-lru:all".parse::<Footprint>().is_err());
        assert!("fifo:all:integers:7".parse::<Footprint>().unwrap_err().contains("quick_cache"));
    }
}
