//! The suite, limits, what a restart keeps, who goes and who stays, and what is refused.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Entry, ErrorKind, Meta, Priority, Removed, Result, Store, StoreExt, Tag, Tags, Ttl};
use cache_disk::{BuildError, Builder, Disk, Durability, Start};
use cache_testkit::clock::ManualClock;
use cache_testkit::suite;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::{TempDir, tempdir};

use crate::key;

/// A tier in a folder of its own that lives by a clock that stands still.
fn by_hand() -> (TempDir, Builder, ManualClock) {
    let (folder, clock) = (tempdir().expect("a folder"), ManualClock::new());
    let builder = Disk::builder(folder.path().join("cache")).with_clock(Arc::new(clock.clone()));
    (folder, builder, clock)
}

fn build(builder: &Builder) -> Disk {
    builder.clone().build().expect("a folder of its own")
}

fn tagged(value: &'static str, tag: &str) -> Entry {
    Entry::new(value).with_tags(Tags::new([tag]).expect("legal"))
}

async fn there(disk: &Disk, name: &str) -> Result<bool> {
    Ok(disk.get(&key(name)).await?.is_some())
}

// conformance: Store for Disk
#[pollster::test]
async fn disk_keeps_every_promise() {
    for durability in [Durability::Process, Durability::Power] {
        let (_folder, builder, clock) = by_hand();
        let disk: Disk = build(&builder.with_max_bytes(64 << 20).with_durability(durability));
        suite::store::all(&disk, &clock).await;
    }
}

#[pollster::test]
async fn a_restart_keeps_values_lives_and_groups_and_no_more() -> Result<()> {
    let (_folder, builder, clock) = by_hand();
    let disk = build(&builder);
    disk.put(key("plain"), Entry::new("1")).await?;
    disk.put(key("tagged:1"), tagged("2", "t")).await?;
    disk.put(key("tagged:2"), tagged("3", "t")).await?;
    disk.put(key("touched"), tagged("4", "t").with_ttl(Ttl::from_millis(1))).await?;
    assert!(disk.touch(&key("touched"), Ttl::from_secs(60)).await?);
    disk.put(key("ended"), Entry::new("5").with_ttl(Ttl::from_millis(1))).await?;
    assert!(disk.remove(&key("tagged:2")).await?);
    clock.advance(Duration::from_millis(1));
    // The first time in order, the second time by the last clone that is dropped.
    disk.close().await?;
    for _ in 0..2 {
        let disk = build(&builder);
        assert_eq!((disk.start(), disk.stats().loaded), (Start::Whole, 3));
        assert_eq!(disk.get(&key("plain")).await?, Some(Entry::new("1")));
        let life = disk.get(&key("touched")).await?.expect("it was touched").meta.ttl;
        assert!(life > Ttl::from_secs(50) && life <= Ttl::from_secs(60), "{life}");
        assert!(!there(&disk, "tagged:2").await? && !there(&disk, "ended").await?);
    }
    let disk = build(&builder);
    assert_eq!(disk.remove_tag(&Tag::new("t").expect("legal")).await?, Removed::Exactly(2));
    assert_eq!(disk.remove_prefix("pl").await?, Removed::Exactly(1));
    drop(disk);
    assert_eq!(build(&builder).stats().entries, 0);
    Ok(())
}

#[pollster::test]
async fn a_removal_in_parts_finds_what_is_written_once_more_meanwhile_and_another_store_begins_anew()
-> Result<()> {
    let (_folder, builder, _clock) = by_hand();
    let disk = build(&builder.with_max_bytes(400_000).with_segment_bytes(4096));
    let all: Vec<_> = (0..3000).map(|number| key(format!("p:{number}"))).collect();
    disk.put_many(all.iter().map(|key| (key.clone(), Entry::new("x"))).collect()).await?;
    let first = disk.remove_prefix_part("p:", None).await?;
    assert!(first.removed != Removed::Exactly(3000) && first.rest.is_some(), "{first:?}");
    let late = all.last().expect("many");
    let mut number = 0;
    // Those that the first part has not looked at are used, and others make that room is needed.
    while disk.stats().kept == 0 {
        assert!(disk.get(late).await?.is_some(), "it was used");
        disk.put(key(format!("q:{number}")), Entry::new("y".repeat(1000))).await?;
        number += 1;
    }
    let (_other_folder, builder, _clock) = by_hand();
    let other = build(&builder);
    other.put_many((0..10).map(|number| (key(format!("p:{number}")), Entry::new("x"))).collect()).await?;
    let part = other.remove_prefix_part("p:", first.rest.as_ref()).await?;
    assert!(
        part.removed == Removed::Exactly(10) && part.rest.is_none(),
        "it knows nothing of the rest: {part:?}"
    );
    let part = disk.remove_prefix_part("q:", first.rest.as_ref()).await?;
    assert_ne!(part.removed, Removed::Exactly(0), "that was the rest of another prefix");
    let mut rest = first.rest;
    while rest.is_some() {
        rest = disk.remove_prefix_part("p:", rest.as_ref()).await?.rest;
    }
    assert_eq!(disk.get_many(&all).await?, vec![None; all.len()]);
    Ok(())
}

fn bytes_in(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).expect("it is there").map(|file| file.expect("it can be listed"));
    files.map(|file| file.metadata().expect("it is there").len()).sum()
}

#[pollster::test]
async fn the_files_never_take_more_than_the_limit_and_stats_say_what_they_take() -> Result<()> {
    let (folder, builder, _clock) = by_hand();
    let folder = folder.path().join("cache");
    let mut rng = StdRng::seed_from_u64(1);
    // Other limits from start to start, smaller ones too.
    for (max_bytes, segment_bytes) in [(100_000, 8192), (100_000, 40_000), (20_000, 4096), (60_000, 4096)] {
        let disk = build(&builder.clone().with_max_bytes(max_bytes).with_segment_bytes(segment_bytes));
        assert!(bytes_in(&folder) <= max_bytes, "at the start");
        for number in 0..300 {
            let name = key(rng.random_range(0..200).to_string());
            match rng.random_range(0..10) {
                0 => drop(disk.remove(&name).await?),
                1 => drop(disk.get(&name).await?),
                _ => disk.put(name, Entry::new(vec![1; rng.random_range(0..3500)])).await?,
            }
            let stats = disk.stats();
            assert_eq!(stats.bytes, bytes_in(&folder), "after {number}: {stats:?}");
            assert!(stats.bytes <= max_bytes, "after {number}: {stats:?}");
        }
        assert!(disk.stats().entries > 3 && disk.stats().evicted > 100, "{:?}", disk.stats());
    }
    Ok(())
}

#[pollster::test]
async fn who_was_read_or_matters_stays_and_the_others_go() -> Result<()> {
    let (_folder, builder, _clock) = by_hand();
    let disk = build(&builder.with_max_bytes(100_000).with_segment_bytes(10_000));
    let important = Meta { priority: Priority::High, ..Meta::default() };
    disk.put(key("important"), Entry { value: "x".into(), meta: important }).await?;
    disk.put(key("read"), Entry::new("x").with_ttl(Ttl::from_secs(1000))).await?;
    assert!(disk.touch(&key("read"), Ttl::from_secs(500)).await?);
    disk.put(key("unread"), Entry::new("x")).await?;
    for number in 0..2000 {
        disk.put(key(format!("flood:{number}")), Entry::new(vec![0; 400])).await?;
        assert!(there(&disk, "read").await?, "it was read until now, {number}");
    }
    assert!(there(&disk, "important").await? && !there(&disk, "unread").await?);
    let found = disk.get(&key("read")).await?.map(|entry| (entry.value, entry.meta.ttl));
    assert_eq!(found, Some(("x".into(), Ttl::from_secs(500))));
    let stats = disk.stats();
    assert!(stats.kept >= 2 && stats.evicted > 1500, "{stats:?}");
    Ok(())
}

#[pollster::test]
async fn what_has_ended_gives_its_room_back() -> Result<()> {
    let (_folder, builder, clock) = by_hand();
    let disk = build(&builder.with_max_bytes(1 << 20).with_segment_bytes(10_000));
    for number in 0..1000 {
        let entry = Entry::new(vec![0; 400]).with_ttl(Ttl::from_secs(1));
        disk.put(key(number.to_string()), entry).await?;
    }
    let before = disk.stats();
    clock.advance(Duration::from_secs(1));
    disk.put(key("last"), Entry::new("x")).await?;
    let after = disk.stats();
    assert_eq!((before.entries, after.entries, after.expired), (1000, 1, 1000));
    assert!(before.bytes > 400_000 && after.bytes < 20_000, "{} and {}", before.bytes, after.bytes);
    Ok(())
}

#[pollster::test]
async fn an_entry_that_is_too_large_takes_the_older_one_with_it() -> Result<()> {
    let (_folder, builder, _clock) = by_hand();
    let builder = builder.with_max_bytes(100_000).with_segment_bytes(10_000);
    let disk = build(&builder);
    disk.put(key("k"), Entry::new("small")).await?;
    disk.put(key("k"), Entry::new(vec![0; 10_000])).await?;
    disk.put(key("largest"), Entry::new(vec![0; 9700])).await?;
    assert!(!there(&disk, "k").await?, "the older value is no longer true");
    assert!(there(&disk, "largest").await?);
    assert_eq!(disk.stats().too_large, 1);
    drop(disk);
    assert!(!there(&build(&builder), "k").await?);
    Ok(())
}

#[pollster::test]
async fn an_entry_that_no_frame_holds_is_refused_and_removes_the_older_one() -> Result<()> {
    let (_folder, builder, _clock) = by_hand();
    let disk = build(&builder);
    disk.put(key("k"), Entry::new("old")).await?;
    let labels = (0..65).map(|number| (number.to_string(), String::new())).collect();
    let entry = Entry { value: "x".into(), meta: Meta { labels: Arc::new(labels), ..Meta::default() } };
    let error = disk.put(key("k"), entry).await.expect_err("65 labels");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!there(&disk, "k").await?);
    assert_eq!(disk.stats().io_errors, 0);
    Ok(())
}

#[pollster::test]
async fn a_folder_belongs_to_one_store_until_that_is_closed() -> Result<()> {
    let (folder, builder, _clock) = by_hand();
    let disk = build(&builder);
    let error = builder.clone().build().expect_err("it is in use");
    assert!(matches!(error, BuildError::InUse { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(&folder.path().join("cache").display().to_string()) && text.contains("in use"),
        "{text}"
    );
    disk.put(key("k"), Entry::new("v")).await?;
    disk.close().await?;
    let next = build(&builder);
    assert!(there(&next, "k").await? && !there(&disk, "k").await?);
    let error = disk.put(key("k"), Entry::new("w")).await.expect_err("it is closed");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    disk.close().await?;
    assert_eq!(next.get(&key("k")).await?, Some(Entry::new("v")));
    Ok(())
}

#[test]
fn settings_that_cannot_work_are_named_with_what_would() {
    let builder = || Disk::builder("never made");
    let wrong = [
        (builder().with_max_bytes(8000), "max_bytes is 8000; it has to be at least two segments"),
        (builder().with_segment_bytes(4095), "segment_bytes is 4095; it has to be 4096 to 1073741824"),
        (builder().with_segment_bytes(1 << 31), "segment_bytes is 2147483648"),
        (builder().with_max_bytes(1 << 30).with_segment_bytes(4096), "at least max_bytes / 4096"),
        (builder().with_readers(0), "readers is 0; it has to be 1 to 256"),
        (builder().with_queue(0), "queue is 0; it has to be 1 to 1048576"),
    ];
    for (builder, expected) in wrong {
        let text = builder.build().expect_err("it cannot work").to_string();
        assert!(text.contains(expected), "{text}");
    }
    assert!(!Path::new("never made").exists());
}

#[test]
fn a_folder_that_can_never_be_one_is_waited_for() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let disk = Disk::open(file.path().join("below a file")).expect("a cache is no reason not to start");
    assert_eq!((disk.start(), disk.stats().bytes), (Start::Waiting, 0));
    pollster::block_on(async {
        assert_eq!(disk.get(&key("k")).await.expect("reads do not fail"), None);
        let error = disk.put(key("k"), Entry::new("v")).await.expect_err("there is no folder");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    });
}

#[cfg(unix)]
#[pollster::test]
async fn files_are_for_their_owner_and_know_no_key() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let (folder, builder, _clock) = by_hand();
    let disk = build(&builder);
    for name in ["../../escape", "/etc/passwd", "a/b?c", "%00", &"ü".repeat(500)] {
        disk.put(key(name), Entry::new("x")).await?;
        assert!(there(&disk, name).await?, "{name}");
    }
    let cache = folder.path().join("cache");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&cache), 0o700);
    let mut names = Vec::new();
    for file in fs::read_dir(&cache).expect("it is there") {
        let file = file.expect("it can be listed");
        assert_eq!(mode(&file.path()), 0o600, "{file:?}");
        names.push(file.file_name().into_string().expect("ASCII"));
    }
    names.sort();
    assert_eq!(names, ["0000000000000001.segment", "LOCK", "STATE"]);
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_link_in_the_folder_is_not_followed() {
    let (folder, builder, _clock) = by_hand();
    let (cache, victim) = (folder.path().join("cache"), folder.path().join("victim"));
    fs::create_dir(&cache).expect("a folder");
    fs::write(&victim, "precious").expect("a file");
    for name in ["LOCK", "STATE", "0000000000000001.segment"] {
        std::os::unix::fs::symlink(&victim, cache.join(name)).expect("a link");
        let disk = build(&builder);
        // A folder whose state is missing is emptied, and the link with it; in the way of another file it stays.
        let start = if name.ends_with("segment") { Start::Unreadable } else { Start::Waiting };
        assert_eq!(disk.start(), start, "{name}");
        drop(disk);
        let left = fs::remove_file(cache.join(name)).is_ok();
        assert_eq!(left, start == Start::Waiting, "{name}");
        assert_eq!(fs::read(&victim).expect("it is there"), b"precious", "{name}");
    }
}
