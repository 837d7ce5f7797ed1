//! Speed, bytes written, what files take, and starts.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::engine::{self, Engine, NAMES, Outcome};

const ENTRIES: usize = 100_000;
const VALUE: usize = 1024;

const ROUNDS: usize = 3;

/// Of single synced writes, so few: each takes as long as the disk wants.
const SYNCED: usize = 500;

/// Enough for all entries, and too little for all entries twice.
const LIMIT: u64 = 160 << 20;

const COLUMNS: [&str; 10] =
    ["put", "put100", "get", "get100", "remove", "rem100", "written", "taken", "rewrite", "open ms"];

pub fn run(folder: &Path) -> Outcome {
    let mut rounds: Vec<Vec<[f64; 10]>> = NAMES.map(|_| Vec::new()).to_vec();
    for _ in 0..ROUNDS {
        for (name, rounds) in NAMES.into_iter().zip(&mut rounds) {
            let place = folder.join(name);
            let _old = fs::remove_dir_all(&place);
            rounds.push(one(name, &place)?);
            fs::remove_dir_all(&place)?;
        }
    }
    println!("{ENTRIES} entries of {VALUE} bytes, median of {ROUNDS} rounds;");
    println!("thousands of entries per second, and bytes written or taken per byte stored\n");
    println!("{:<12}{}", "engine", COLUMNS.map(|column| format!("{column:>9}")).concat());
    for (name, rounds) in NAMES.into_iter().zip(rounds) {
        let cell = |column: usize| {
            format!("{:>9.*}", if (6..9).contains(&column) { 2 } else { 1 }, median(&rounds, column))
        };
        println!("{name:<12}{}", (0..COLUMNS.len()).map(cell).collect::<String>());
    }
    Ok(())
}

fn median(rounds: &[[f64; 10]], column: usize) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(|round| round[column]).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn one(name: &str, folder: &Path) -> Outcome<[f64; 10]> {
    let store = engine::open(name, folder, LIMIT)?;
    let sync = name.ends_with("-sync");
    let singles = if sync { SYNCED } else { ENTRIES / 5 };
    let before = written();
    let put = speed(singles, |at| store.put(&[pair(at, 0)]))?;
    let put100 =
        batches(singles..ENTRIES, |range| store.put(&range.map(|at| pair(at, 0)).collect::<Vec<_>>()))?;
    let keys: Vec<String> = scrambled(ENTRIES / 2).map(key).collect();
    let get = speed(keys.len(), |at| all(&*store, &keys[at..=at]))?;
    let get100 = batches(0..keys.len(), |range| all(&*store, &keys[range]))?;
    drop(store);
    let stored = (ENTRIES * (VALUE + key(0).len())) as f64;
    let (wrote, taken) = ((written() - before) / stored, taken(folder)? / stored);

    let begun = Instant::now();
    let store = engine::open(name, folder, LIMIT)?;
    all(&*store, &[key(7)])?;
    let open = begun.elapsed().as_secs_f64() * 1000.0;

    let before = written();
    batches(0..ENTRIES, |range| store.put(&range.map(|at| pair(at, 1)).collect::<Vec<_>>()))?;
    let rewrite = (written() - before) / stored;
    let removed = singles.min(ENTRIES / 10);
    let remove = speed(removed, |at| store.remove(&[key(at)]))?;
    let rem100 = batches(removed..ENTRIES, |range| store.remove(&range.map(key).collect::<Vec<_>>()))?;
    Ok([put, put100, get, get100, remove, rem100, wrote, taken, rewrite, open])
}

/// Thousands of acts per second.
fn speed(acts: usize, act: impl Fn(usize) -> Outcome) -> Outcome<f64> {
    let begun = Instant::now();
    (0..acts).try_for_each(act)?;
    Ok(acts as f64 / begun.elapsed().as_secs_f64() / 1000.0)
}

/// Thousands of entries per second, a hundred at a time.
fn batches(range: std::ops::Range<usize>, act: impl Fn(std::ops::Range<usize>) -> Outcome) -> Outcome<f64> {
    let begun = Instant::now();
    let (entries, end) = (range.len(), range.end);
    range.step_by(100).try_for_each(|at| act(at..end.min(at + 100)))?;
    Ok(entries as f64 / begun.elapsed().as_secs_f64() / 1000.0)
}

fn all(store: &dyn Engine, keys: &[String]) -> Outcome {
    let found = store.get(keys)?;
    if found == keys.len() { Ok(()) } else { Err(format!("found {found} of {}", keys.len()).into()) }
}

fn key(at: usize) -> String {
    format!("bench:key:{at:08}")
}

/// A value that does not compress, so that all write the same.
fn pair(at: usize, round: u64) -> (String, Vec<u8>) {
    let mut state = (at as u64 + 1) * 0x9E37_79B9_7F4A_7C15 + round;
    let bytes = (0..VALUE / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    (key(at), bytes.collect())
}

/// So many numbers below all entries, in no order.
fn scrambled(many: usize) -> impl Iterator<Item = usize> {
    (0..many).map(|at| at * 61_967 % ENTRIES)
}

/// What this process has handed to the system to write.
fn written() -> f64 {
    let text = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(f64::NAN)
}

/// What the files take, as the file system counts it.
fn taken(folder: &Path) -> Outcome<f64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0.0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { taken(&entry.path())? } else { metadata.blocks() as f64 * 512.0 };
    }
    Ok(bytes)
}
