//! A disk that is full, read-only, away or slow to sync: reads go on, writes fail and say so, and all is well once it is.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Entry, ErrorKind, Result, Store, StoreExt, Tag, Ttl};
use cache_disk::{BuildError, Disk, Durability, Start};
use cache_testkit::clock::ManualClock;

use crate::key;
use crate::sim::Sim;

struct Bench {
    clock: ManualClock,
    sim: Sim,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::new();
        Self { sim: Sim::new(&clock), clock }
    }

    fn build(&self, durability: Durability) -> Result<Disk, BuildError> {
        let builder = Disk::builder("unused").with_medium(Arc::new(self.sim.clone()));
        let builder = builder.with_clock(Arc::new(self.clock.clone())).with_durability(durability);
        builder.with_max_bytes(1 << 20).with_segment_bytes(4096).with_readers(1).build()
    }

    fn start(&self) -> Disk {
        self.build(Durability::Process).expect("every start succeeds")
    }
}

async fn value(disk: &Disk, name: &str) -> Option<bytes::Bytes> {
    disk.get(&key(name)).await.expect("reads do not fail").map(|entry| entry.value)
}

fn kind<T: std::fmt::Debug>(outcome: Result<T>) -> ErrorKind {
    outcome.expect_err("it cannot succeed").kind()
}

#[pollster::test]
async fn a_full_disk_refuses_writes_serves_reads_and_recovers() -> Result<()> {
    let bench = Bench::new();
    let disk = bench.start();
    disk.put(key("kept"), Entry::new("kept")).await?;
    disk.put(key("changed"), Entry::new("old")).await?;
    bench.sim.set_room(Some(bench.sim.bytes()));
    assert_eq!(kind(disk.put(key("new"), Entry::new("new")).await), ErrorKind::Refused);
    assert_eq!(value(&disk, "kept").await, Some("kept".into()));
    assert_eq!(value(&disk, "new").await, None);
    assert!(disk.stats().io_errors > 0);
    bench.sim.set_room(None);
    disk.put(key("new"), Entry::new("new")).await?;
    assert_eq!(value(&disk, "new").await, Some("new".into()));
    assert_eq!(value(&disk, "kept").await, Some("kept".into()));
    Ok(())
}

#[pollster::test]
async fn what_a_full_disk_cannot_note_as_removed_is_removed_with_its_file() -> Result<()> {
    let bench = Bench::new();
    let disk = bench.start();
    for name in ["removed", "changed", "tagged"] {
        disk.put(key(name), Entry::new("old").with_tags(Tag::new(name).expect("legal").into())).await?;
    }
    bench.sim.set_room(Some(bench.sim.bytes()));
    assert!(disk.remove(&key("removed")).await?, "it is acknowledged");
    bench.sim.set_room(Some(0));
    assert_eq!(kind(disk.put(key("changed"), Entry::new("new")).await), ErrorKind::Refused);
    let after = Bench { sim: bench.sim.kill(), clock: bench.clock.clone() };
    after.sim.set_room(None);
    let disk = after.start();
    for name in ["removed", "changed"] {
        assert_eq!(value(&disk, name).await, None, "{name} has come back");
    }
    Ok(())
}

#[pollster::test]
async fn a_medium_that_becomes_read_only_refuses_writes_and_acknowledges_no_removal() -> Result<()> {
    let bench = Bench::new();
    let disk = bench.start();
    disk.put_many(vec![(key("a"), Entry::new("a")), (key("b"), Entry::new("b"))]).await?;
    bench.sim.set_read_only(true);
    assert_eq!(kind(disk.put(key("c"), Entry::new("c")).await), ErrorKind::Refused);
    assert_eq!(kind(disk.remove(&key("a")).await), ErrorKind::Refused);
    assert_eq!(value(&disk, "a").await, None, "here it is gone in any case");
    assert_eq!(kind(disk.remove(&key("a")).await), ErrorKind::Refused, "it is still owed");
    assert_eq!(value(&disk, "b").await, Some("b".into()));
    bench.sim.set_read_only(false);
    disk.remove(&key("a")).await?;
    let after = Bench { sim: bench.sim.kill(), clock: bench.clock.clone() };
    let disk = after.start();
    assert_eq!(value(&disk, "a").await, None, "it was acknowledged the second time");
    Ok(())
}

#[pollster::test]
async fn a_write_that_fails_in_the_middle_leaves_no_trace() -> Result<()> {
    for undone in [true, false] {
        let mut bench = Bench::new();
        let disk = bench.start();
        disk.put(key("a"), Entry::new("a")).await?;
        // Where even the half that was written cannot be taken back, the next start does it.
        if undone {
            bench.sim.set_room(Some(bench.sim.bytes() + 500));
        } else {
            bench.sim.set_fuse(Some(0));
        }
        assert!(disk.put(key("large"), Entry::new(vec![1; 1000])).await.is_err());
        bench.sim.set_room(None);
        bench.sim.set_fuse(None);
        if !undone {
            bench.sim = bench.sim.kill();
        }
        let disk = if undone { disk } else { bench.start() };
        disk.put(key("b"), Entry::new("b")).await?;
        assert_eq!(disk.stats().bytes, bench.sim.bytes() as u64);
        bench.sim = bench.sim.kill();
        let disk = bench.start();
        assert_eq!(disk.start(), Start::Whole, "undone at once: {undone}");
        assert_eq!(value(&disk, "a").await, Some("a".into()));
        assert_eq!((value(&disk, "large").await, value(&disk, "b").await), (None, Some("b".into())));
    }
    Ok(())
}

#[pollster::test]
async fn a_power_cut_in_the_middle_of_a_batch_takes_nothing_that_was_acknowledged_before() -> Result<()> {
    for changes in 0..16 {
        for seed in 0..20 {
            let bench = Bench::new();
            let disk = bench.build(Durability::Power).expect("it starts");
            disk.put(key("a"), Entry::new("a")).await?;
            bench.sim.set_fuse(Some(changes));
            let batch = (0..12).map(|at| (key(at.to_string()), Entry::new(vec![1; 1200]))).collect();
            let _failed = disk.put_many(batch).await;
            let bench = Bench { sim: bench.sim.cut_power(seed), clock: bench.clock.clone() };
            bench.sim.set_fuse(None);
            let found = value(&bench.start(), "a").await;
            assert_eq!(found, Some("a".into()), "after {changes} changes, seed {seed}");
        }
    }
    Ok(())
}

#[pollster::test]
async fn a_removal_that_is_owed_is_written_before_anything_else() -> Result<()> {
    let bench = Bench::new();
    let disk = bench.start();
    disk.put(key("a"), Entry::new("a")).await?;
    bench.sim.set_read_only(true);
    assert_eq!(kind(disk.remove(&key("a")).await), ErrorKind::Refused);
    bench.sim.set_read_only(false);
    disk.put(key("b"), Entry::new("b")).await?;
    let after = Bench { sim: bench.sim.kill(), clock: bench.clock.clone() };
    let disk = after.start();
    assert_eq!((value(&disk, "a").await, value(&disk, "b").await), (None, Some("b".into())));
    Ok(())
}

#[pollster::test]
async fn a_start_without_a_usable_folder_waits_for_it() -> Result<()> {
    let bench = Bench::new();
    bench.sim.set_read_only(true);
    let disk = bench.start();
    assert_eq!((disk.start(), disk.stats().bytes), (Start::Waiting, 0));
    assert_eq!(value(&disk, "a").await, None);
    assert_eq!(kind(disk.put(key("a"), Entry::new("a")).await), ErrorKind::Unavailable);
    assert!(disk.stats().io_errors > 0);
    bench.sim.set_read_only(false);
    bench.clock.advance(Duration::from_secs(1));
    disk.put(key("a"), Entry::new("a")).await?;
    assert_eq!((disk.start(), value(&disk, "a").await), (Start::New, Some("a".into())));
    Ok(())
}

#[pollster::test]
async fn every_change_of_a_start_may_fail_and_the_next_start_finds_everything() -> Result<()> {
    for changes in 0..12 {
        let bench = Bench::new();
        let disk = bench.start();
        disk.put(key("a"), Entry::new("a")).await?;
        let bench = Bench { sim: bench.sim.kill(), clock: bench.clock.clone() };
        bench.sim.set_fuse(Some(changes));
        drop(bench.start());
        bench.sim.set_fuse(None);
        let bench = Bench { sim: bench.sim.kill(), clock: bench.clock.clone() };
        let disk = bench.start();
        assert_eq!((disk.start(), value(&disk, "a").await), (Start::Whole, Some("a".into())), "{changes}");
    }
    Ok(())
}

#[pollster::test]
async fn a_failed_sync_acknowledges_nothing_and_later_ones_do() -> Result<()> {
    let bench = Bench::new();
    let disk = bench.build(Durability::Power).expect("it starts");
    disk.put(key("a"), Entry::new("a")).await?;
    bench.sim.set_fuse(Some(1));
    assert_eq!(kind(disk.put(key("b"), Entry::new("b")).await), ErrorKind::Unavailable);
    bench.sim.set_fuse(None);
    disk.put(key("c"), Entry::new("c")).await?;
    for seed in 0..50 {
        let cut = Bench { sim: bench.sim.fork().cut_power(seed), clock: bench.clock.clone() };
        let disk = cut.build(Durability::Power).expect("it starts");
        assert_eq!(value(&disk, "c").await, Some("c".into()), "seed {seed}");
    }
    Ok(())
}

#[pollster::test]
async fn nothing_acknowledged_stands_behind_what_a_failed_sync_lost_not_even_after_a_restart() -> Result<()> {
    for (killed, starts) in [(true, 1), (false, 1), (false, 2)] {
        for seed in 0..20 {
            let mut bench = Bench::new();
            let disk = bench.build(Durability::Power).expect("it starts");
            disk.put(key("removed"), Entry::new("x")).await?;
            bench.sim.set_fuse(Some(1));
            assert_eq!(kind(disk.put(key("lost"), Entry::new("x")).await), ErrorKind::Unavailable);
            bench.sim.set_fuse(None);
            if killed {
                bench.sim = bench.sim.kill();
            } else {
                assert_eq!(
                    kind(disk.close().await),
                    ErrorKind::Unavailable,
                    "nobody can vouch for all of it"
                );
            }
            // One who knows nothing of it any more closes the folder in order.
            (1..starts).for_each(|_| drop(bench.build(Durability::Power)));
            let disk = bench.build(Durability::Power).expect("it starts");
            assert!(disk.remove(&key("removed")).await?);
            disk.put(key("kept"), Entry::new("x")).await?;
            bench.sim = bench.sim.cut_power(seed);
            let disk = bench.build(Durability::Power).expect("it starts");
            assert_eq!(value(&disk, "removed").await, None, "killed: {killed}, {starts} starts, seed {seed}");
            assert!(value(&disk, "kept").await.is_some(), "killed: {killed}, {starts} starts, seed {seed}");
        }
    }
    Ok(())
}

#[pollster::test]
async fn who_was_told_that_all_is_synced_when_it_was_not_believes_nothing_that_was_removed() -> Result<()> {
    for seed in 0..40 {
        let mut bench = Bench::new();
        let disk = bench.start();
        disk.put(key("removed"), Entry::new("x")).await?;
        disk.put(key("padding"), Entry::new("x")).await?;
        assert!(disk.remove(&key("removed")).await?);
        bench.sim = bench.sim.kill();
        // The first start that is to sync what is there fails in that, the second is told that there is nothing to sync.
        bench.sim.set_fuse(Some(1));
        let disk = bench.build(Durability::Power).expect("it starts");
        assert_eq!(disk.start(), Start::Waiting);
        bench.sim.set_fuse(None);
        bench.clock.advance(Duration::from_secs(1));
        assert!(!disk.remove(&key("removed")).await?, "it is gone, and this opens the folder");
        assert_eq!(disk.start(), Start::Whole);
        bench.sim = bench.sim.cut_power(seed);
        let disk = bench.build(Durability::Power).expect("it starts");
        assert_eq!(value(&disk, "removed").await, None, "seed {seed}");
    }
    Ok(())
}

#[pollster::test]
async fn starts_that_all_end_in_a_crash_do_not_add_up_to_many_files() -> Result<()> {
    let mut bench = Bench::new();
    for round in 0..700 {
        let disk = bench.build(Durability::Power).expect("it starts");
        disk.put(key(round.to_string()), Entry::new("x")).await?;
        bench.sim = bench.sim.kill();
    }
    // A limit of 256 segments.
    let files = bench.sim.files().len();
    assert!((300..=2 * 256 + 16 + 2).contains(&files), "{files} files");
    let disk = bench.start();
    assert!(value(&disk, "699").await.is_some() && value(&disk, "0").await.is_none());
    Ok(())
}

#[pollster::test]
async fn after_a_power_cut_only_what_was_synced_or_closed_is_believed() -> Result<()> {
    for (durability, closed, start) in [
        (Durability::Process, false, Start::Unsynced),
        (Durability::Process, true, Start::Whole),
        (Durability::Power, false, Start::Whole),
    ] {
        for seed in 0..20 {
            let bench = Bench::new();
            let disk = bench.build(durability).expect("it starts");
            disk.put(key("a"), Entry::new("a")).await?;
            disk.put(key("b"), Entry::new("b")).await?;
            disk.remove(&key("b")).await?;
            if closed {
                disk.close().await?;
            }
            let bench = Bench { sim: bench.sim.cut_power(seed), clock: bench.clock.clone() };
            let disk = bench.start();
            let kept = (start == Start::Whole).then(|| "a".into());
            assert_eq!((disk.start(), value(&disk, "a").await), (start, kept), "{durability:?}, {seed}");
            assert_eq!(value(&disk, "b").await, None, "{durability:?}, {seed}");
        }
    }
    Ok(())
}

#[pollster::test]
async fn what_a_weaker_promise_wrote_is_synced_before_a_stronger_one_is_made() -> Result<()> {
    for seed in 0..50 {
        let bench = Bench::new();
        let disk = bench.start();
        disk.put(key("a"), Entry::new("a")).await?;
        disk.put(key("a"), Entry::new("newer")).await?;
        let bench = Bench { sim: bench.sim.kill(), clock: bench.clock.clone() };
        drop(bench.build(Durability::Power).expect("it starts"));
        let bench = Bench { sim: bench.sim.cut_power(seed), clock: bench.clock.clone() };
        let found = value(&bench.start(), "a").await;
        assert_eq!(found, Some("newer".into()), "seed {seed}");
    }
    Ok(())
}

#[pollster::test]
async fn a_clock_that_was_set_back_lets_nothing_live_longer() -> Result<()> {
    for shift in [-1, -3_600_000] {
        let bench = Bench::new();
        let disk = bench.start();
        disk.put(key("mortal"), Entry::new("x").with_ttl(Ttl::from_secs(3600))).await?;
        disk.put(key("immortal"), Entry::new("x")).await?;
        disk.close().await?;
        bench.sim.shift_wall(shift);
        let disk = bench.start();
        assert_eq!((value(&disk, "mortal").await, disk.stats().entries), (None, 1));
        assert!(value(&disk, "immortal").await.is_some());
        assert!(!disk.remove(&key("mortal")).await?, "it is gone");
        // Right again, and what was removed meanwhile stays so.
        let bench = Bench { sim: bench.sim.kill(), clock: bench.clock.clone() };
        bench.sim.shift_wall(-shift);
        assert_eq!(value(&bench.start(), "mortal").await, None);
    }
    Ok(())
}

#[pollster::test]
async fn what_had_ended_when_it_was_removed_stays_so_when_the_clock_is_set_back() -> Result<()> {
    let bench = Bench::new();
    let disk = bench.start();
    disk.put(key("a"), Entry::new("x").with_ttl(Ttl::from_secs(1))).await?;
    bench.clock.advance(Duration::from_secs(2));
    assert!(!disk.remove(&key("a")).await?, "it had ended");
    let bench = Bench { sim: bench.sim.kill(), clock: bench.clock.clone() };
    bench.sim.shift_wall(-1500);
    assert_eq!(value(&bench.start(), "a").await, None);
    Ok(())
}

#[pollster::test]
async fn a_process_that_runs_on_lives_by_its_own_clock() -> Result<()> {
    let bench = Bench::new();
    let disk = bench.start();
    disk.put(key("a"), Entry::new("x").with_ttl(Ttl::from_secs(10))).await?;
    bench.sim.shift_wall(3_600_000);
    let found = disk.get(&key("a")).await?.map(|entry| entry.meta.ttl);
    assert_eq!(found, Some(Ttl::from_secs(10)));
    Ok(())
}
