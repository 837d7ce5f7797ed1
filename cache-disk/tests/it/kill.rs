//! Real kills: a child process writes into a real folder, says what was acknowledged, and is killed at any moment. What the
//! next process finds has to fit to what it said.
//!
//! The child is this test binary again. It works through numbered steps, each about one of a few keys, and
//! notes the number of each step in a file before it begins and after it was acknowledged. As the steps follow from their
//! numbers, these two numbers tell all: everything up to the second is done, one step may be, nothing later is.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cache_core::{Entry, StoreExt};
use cache_disk::{Builder, Disk, Durability, Start};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::tempdir;

use crate::key;

/// How many times, unless the environment says another number.
const KILLS: u64 = 240;
const MORE: &str = "STRATA_DISK_KILLS";
const KEYS: u64 = 24;
const FOLDER: &str = "STRATA_DISK_KILL_FOLDER";
const READY: &str = "ready to be killed";
const SEED: &str = "STRATA_DISK_KILL_SEED";

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Put(u64, Vec<u8>),
    Remove(u64),
    Clear,
}

/// The step of this number, which depends on nothing else.
fn step(number: u64) -> Step {
    let mut rng = StdRng::seed_from_u64(number);
    let name = rng.random_range(0..KEYS);
    match rng.random_range(0..1000) {
        0 => Step::Clear,
        1..300 => Step::Remove(name),
        _ => {
            let bytes = rng.random_range(0..3000);
            Step::Put(name, (0..bytes).map(|at| (number.wrapping_mul(31) + at).to_le_bytes()[0]).collect())
        }
    }
}

fn builder(folder: &Path) -> Builder {
    Disk::builder(folder.join("cache")).with_max_bytes(1 << 20).with_segment_bytes(16 << 10).with_readers(1)
}

fn name(name: u64) -> cache_core::Key {
    key(format!("key:{name}"))
}

/// What the child does until it is killed. Run as a test of its own it does nothing.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let first: u64 = std::env::var(SEED).expect("it is set with the folder").parse().expect("a number");
    let durability = if first.is_multiple_of(2) { Durability::Process } else { Durability::Power };
    let disk = builder(folder).with_durability(durability).build().expect("no start fails");
    let notes = OpenOptions::new().write(true).open(folder.join("notes")).expect("the parent has made it");
    println!("{READY}");
    for number in first.. {
        note(&notes, 0, number);
        pollster::block_on(async {
            match step(number) {
                Step::Put(at, value) => disk.put(name(at), Entry::new(value)).await,
                Step::Remove(at) => disk.remove(&name(at)).await.map(drop),
                Step::Clear => cache_core::Store::clear(&disk).await.map(drop),
            }
        })
        .expect("nothing fails but this process");
        note(&notes, 8, number);
        println!("{number}");
    }
}

/// A number is written in one step, which a kill lets happen or not.
fn note(notes: &File, at: u64, number: u64) {
    std::os::unix::fs::FileExt::write_all_at(notes, &number.to_le_bytes(), at)
        .expect("the notes are written");
}

fn noted(folder: &Path) -> [u64; 2] {
    let notes = fs::read(folder.join("notes")).expect("the notes are there");
    let number = |at: usize| u64::from_le_bytes(notes[at..at + 8].try_into().expect("eight bytes"));
    [number(0), number(8)]
}

fn start(folder: &Path, first: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
    command.args(["kill::child", "--exact", "--nocapture"]);
    command.env(FOLDER, folder).env(SEED, first.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the child starts")
}

/// Waits until the child has done some steps, or not even until it has started, and kills it.
fn work_and_die(folder: &Path, first: u64, steps: Option<usize>, spins: u32) {
    let mut child = start(folder, first);
    let said = BufReader::new(child.stdout.take().expect("it is piped"));
    let lines = said.lines().map_while(Result::ok).skip_while(|line| !line.contains(READY));
    let awaited = steps.map_or(0, |steps| 1 + steps);
    let heard = lines.take(awaited).count();
    // Somewhere in the middle of what it does next.
    (0..spins).for_each(|_| std::hint::spin_loop());
    child.kill().expect("it can be killed");
    let output = child.wait_with_output().expect("it has ended");
    assert_eq!(heard, awaited, "the child ended by itself: {}", String::from_utf8_lossy(&output.stderr));
}

/// What each key may hold: one thing, or, where a step may have happened or not, several.
#[derive(Debug, Default)]
struct Possible(BTreeMap<u64, Vec<Option<Vec<u8>>>>);

impl Possible {
    fn step(&mut self, step: Step, surely: bool) {
        let mut holds = |at, value| {
            let before = self.0.entry(at).or_insert_with(|| vec![None]);
            if surely {
                before.clear();
            }
            before.push(value);
        };
        match step {
            Step::Put(at, value) => holds(at, Some(value)),
            Step::Remove(at) => holds(at, None),
            Step::Clear => (0..KEYS).for_each(|at| holds(at, None)),
        }
    }

    /// Checks what was found, which from now on is what is there.
    fn found(&mut self, at: u64, value: Option<Vec<u8>>) {
        let possible = self.0.entry(at).or_insert_with(|| vec![None]);
        assert!(possible.contains(&value), "key {at} holds {value:?}; it may hold {possible:?}");
        *possible = vec![value];
    }
}

#[test]
fn a_kill_at_any_moment_leaves_what_was_acknowledged_and_nothing_wrong() {
    let folder = tempdir().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("notes"), [0; 16]).expect("the notes are made");
    let mut rng = StdRng::seed_from_u64(20_261_128);
    let (mut possible, mut first) = (Possible::default(), 1);
    let (mut found_values, mut steps_done) = (0_u64, 0);
    let kills = std::env::var(MORE).map_or(KILLS, |kills| kills.parse().expect("a number"));
    for kill in 1..=kills {
        let most = if first % 2 == 0 { 200 } else { 12 };
        // Some are killed while they open the folder.
        let (steps, spins) =
            if kill % 6 == 1 { (None, 600_000) } else { (Some(rng.random_range(0..most)), 10_000) };
        work_and_die(folder, first, steps, rng.random_range(0..spins));
        let [begun, done] = noted(folder);
        (first..=done).for_each(|number| possible.step(step(number), true));
        (first.max(done + 1)..=begun).for_each(|number| possible.step(step(number), false));
        steps_done += (done + 1).saturating_sub(first);
        first = first.max(begun + 1);
        // The next child begins where this one was killed, or after somebody has looked and closed in order.
        if kill % 3 > 0 {
            continue;
        }
        let disk = builder(folder).build().expect("no start fails");
        assert_eq!(disk.start(), Start::Whole, "after kill {kill}");
        for at in 0..KEYS {
            let found = pollster::block_on(disk.get(&name(at))).expect("reads do not fail");
            found_values += u64::from(found.is_some());
            possible.found(at, found.map(|entry| entry.value.to_vec()));
        }
        let stats = disk.stats();
        assert_eq!((stats.corrupt, stats.io_errors), (0, 0), "{stats:?}");
    }
    assert!(steps_done > kills * 20 && found_values > kills * 2, "{steps_done} steps, {found_values} values");
}
