//! Speed, bytes written, what files take, and starts.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::engine::{self, Engine, NAMES, Outcome};

const ENTRIES: usize = 100_000;
const VALUE: usize = 1024;

/// Of single synced writes, so few: each takes as long as the disk wants.
const SYNCED: usize = 500;

/// Enough for all entries, and too little for all entries twice.
const LIMIT: u64 = 160 << 20;

pub fn run(folder: &Path) -> Outcome {
    println!(
        "{ENTRIES} entries of {VALUE} bytes; thousands of operations per second, and bytes written or taken per byte stored\n"
    );
    println!(
        "{:<12} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>8} {:>7} {:>8} {:>8}",
        "engine",
        "put",
        "put100",
        "get",
        "get100",
        "remove",
        "rem100",
        "written",
        "taken",
        "rewrite",
        "open ms"
    );
    for name in NAMES {
        let place = folder.join(name);
        let _old = fs::remove_dir_all(&place);
        one(name, &place)?;
        fs::remove_dir_all(&place)?;
    }
    Ok(())
}

fn one(name: &str, folder: &Path) -> Outcome {
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
    println!(
        "{name:<12} {put:>7.1} {put100:>7.1} {get:>7.1} {get100:>7.1} {remove:>7.1} {rem100:>7.1} {wrote:>8.2} {taken:>7.2} {rewrite:>8.2} {open:>8.1}"
    );
    Ok(())
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
