//! The tier with a million small entries: what it takes to know them, and what touches them all.

use std::fs;
use std::path::Path;
use std::time::Instant;

use cache_core::{Entry, Key, Store};
use cache_disk::Disk;

use crate::engine::Outcome;

const ENTRIES: usize = 1_000_000;

pub fn run(folder: &Path) -> Outcome {
    let open = || Disk::builder(folder).with_max_bytes(1 << 30).build();
    let disk = open()?;
    pollster::block_on(async {
        for first in (0..ENTRIES).step_by(1000) {
            let entry =
                |at: usize| Ok((Key::new(format!("user:profile:{at:08}"))?, Entry::new(vec![1; 100])));
            disk.put_many((first..first + 1000).map(entry).collect::<Outcome<_>>()?).await?;
        }
        disk.close().await?;
        Outcome::Ok(())
    })?;
    drop(disk);
    let before = resident();
    let begun = Instant::now();
    let disk = open()?;
    println!("start of {ENTRIES} entries: {:.2} s", begun.elapsed().as_secs_f64());
    println!("memory of an entry: {} bytes", (resident() - before) / ENTRIES as u64);
    pollster::block_on(async {
        let begun = Instant::now();
        let removed = disk.remove_prefix("user:profile:0000").await?;
        println!("removal of a prefix, {removed:?}: {:.2} s", begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        let removed = disk.clear().await?;
        println!("clear, {removed:?}: {:.2} s", begun.elapsed().as_secs_f64());
        Ok(())
    })
}

/// What this process holds in memory, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or_default() * 1024
}
