//! Notes and noted writes: between threads, through restarts and on a disk that fails.

use std::sync::Arc;

use cache_core::{Entry, Result, Store, StoreExt, Tags};
use cache_disk::{Builder, Disk, Durability};
use cache_testkit::clock::ManualClock;
use cache_testkit::race;

use crate::key;
use crate::sim::Sim;

fn simulated() -> (Builder, Sim) {
    let clock = ManualClock::new();
    let sim = Sim::new(&clock);
    let builder = Disk::builder("unused").with_medium(Arc::new(sim.clone())).with_clock(Arc::new(clock));
    (builder.with_max_bytes(1 << 20), sim)
}

#[test]
fn no_load_that_was_overtaken_leaves_its_value() {
    for durability in [Durability::Process, Durability::Power] {
        let (builder, _sim) = simulated();
        let disk = builder.with_durability(durability).build().expect("its own");
        race::of_threads(&disk, 500);
        assert!(disk.stats().refused > 0);
    }
}

#[pollster::test]
async fn a_note_does_not_outlive_the_tier_that_gave_it() -> Result<()> {
    let (builder, _sim) = simulated();
    let disk = builder.clone().build().expect("its own");
    let note = disk.note(&key("k"), &Tags::NONE).await?;
    disk.close().await?;
    drop(disk);
    let disk = builder.build().expect("its own");
    assert!(!disk.put_noted(key("k"), Entry::new("v"), &note).await?, "somebody may have removed it");
    assert_eq!((disk.get(&key("k")).await?, disk.stats().refused), (None, 1));
    Ok(())
}

#[pollster::test]
async fn a_removal_that_fails_refuses_all_the_same() -> Result<()> {
    let (builder, sim) = simulated();
    let disk = builder.build().expect("its own");
    for all in [false, true] {
        disk.put(key("k"), Entry::new("old")).await?;
        let note = disk.note(&key("k"), &Tags::NONE).await?;
        sim.set_read_only(true);
        let failed = if all { disk.clear().await.err() } else { disk.remove(&key("k")).await.err() };
        sim.set_read_only(false);
        assert!(failed.is_some(), "nothing can be written");
        assert!(!disk.put_noted(key("k"), Entry::new("old"), &note).await?, "of all: {all}");
        assert_eq!(disk.get(&key("k")).await?, None);
    }
    Ok(())
}
