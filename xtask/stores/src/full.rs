//! What a full disk does to a store, step by step.

use std::path::Path;

use crate::engine::{self, Outcome};

/// More than fits on the small file system, and more than the limit of who knows one.
const MOST: usize = 200_000;

pub fn run(name: &str, folder: &Path) -> Outcome {
    let cache = folder.join("cache");
    let store = engine::open(name, &cache, 1 << 30)?;
    let value =
        |at: usize| (0..1000_usize).map(|byte| (at * 31 + byte * byte).to_le_bytes()[0]).collect::<Vec<_>>();
    let put = |at: usize| store.put(&[(at.to_string(), value(at))]);
    let first = (0..MOST).find_map(|at| put(at).err().map(|error| (at, error)));
    match &first {
        None => println!("{name}: {MOST} writes, no error"),
        Some((at, error)) => println!("{name}: write {at} fails: {error}"),
    }
    let last = first.map_or(MOST, |(at, _)| at);
    let readable = (0..last).filter(|at| store.get(&[at.to_string()]).is_ok_and(|found| found == 1)).count();
    println!("{name}: then {readable} of {last} can be read");
    let told = |done: Outcome| done.map_or_else(|error| error.to_string(), |()| "ok".to_owned());
    println!("{name}: a removal: {}", told(store.remove(&[(last - 1).to_string()])));
    println!("{name}: a write: {}", told(put(1)));
    let removals = (0..last - 1).try_for_each(|at| store.remove(&[at.to_string()]));
    println!("{name}: removal of all: {}", told(removals));
    println!("{name}: a write: {}", told(put(2)));
    drop(store);
    let again =
        engine::open(name, &cache, 1 << 30).and_then(|store| store.put(&[("x".to_owned(), value(3))]));
    println!("{name}: opened again, a write: {}", told(again));
    Ok(())
}
