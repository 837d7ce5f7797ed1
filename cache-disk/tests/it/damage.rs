//! Files that somebody has damaged, cut, lost, exchanged or made up: misses, counted, and never anything else.
//!
//! And files that an earlier release has written: they lie in `tests/golden`, a folder per version, and stay readable. A
//! release that writes another version adds a folder and leaves the others as they are. Files that are missing are written by
//! `STRATA_WRITE_GOLDEN=1 cargo test -p cache-disk golden`; no file is ever written again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Entry, Meta, Priority, Store, StoreExt, Tag, Tags, Ttl};
use cache_disk::{Disk, Start};
use cache_testkit::clock::ManualClock;
use proptest::prelude::*;

use crate::key;
use crate::sim::Sim;

type Files = BTreeMap<String, Vec<u8>>;

fn build(sim: &Sim, clock: &ManualClock) -> Disk {
    let builder =
        Disk::builder("unused").with_medium(Arc::new(sim.clone())).with_clock(Arc::new(clock.clone()));
    let builder = builder.with_max_bytes(1 << 20).with_segment_bytes(4096).with_readers(1);
    builder.build().expect("no file makes a start fail")
}

/// What is there at the end: two segments with puts, a replacement, removals of all kinds, a touch and an end that came.
fn story(disk: &Disk, clock: &ManualClock) -> cache_core::Result<()> {
    pollster::block_on(async {
        let tagged = |value: &'static str, tag: &str| Entry::new(value).with_tags(tag_set(&[tag]));
        disk.put(key("removed"), Entry::new("must not come back")).await?;
        disk.put(key("replaced"), Entry::new("the old one")).await?;
        disk.put(key("tagged:gone"), tagged("must not come back", "a")).await?;
        disk.put(key("large"), Entry::new(vec![7; 3300])).await?;
        disk.put(key("ended"), Entry::new("must not come back").with_ttl(Ttl::from_millis(5))).await?;
        disk.put(key("replaced"), Entry::new("the new one")).await?;
        disk.remove(&key("removed")).await?;
        disk.remove_tag(&Tag::new("a").expect("legal")).await?;
        disk.put(key("rich"), Entry { value: "größe".into(), meta: rich() }).await?;
        disk.put(key("mortal"), Entry::new("x").with_ttl(Ttl::from_secs(1))).await?;
        disk.touch(&key("mortal"), Ttl::from_secs(1000)).await?;
        disk.put(key("prefix:1"), Entry::new("must not come back")).await?;
        disk.remove_prefix("prefix:").await?;
        clock.advance(Duration::from_millis(5));
        disk.put(key("tagged:kept"), tagged("kept", "b")).await
    })
}

fn rich() -> Meta {
    let labels = [("who".to_owned(), "große".to_owned())].into();
    Meta {
        ttl: Ttl::FOREVER,
        stale_for: Duration::from_secs(90),
        version: 7,
        tags: tag_set(&["a:1", "b:ü"]),
        priority: Priority::High,
        cost: Duration::from_millis(1500),
        labels: Arc::new(labels),
    }
}

fn tag_set(names: &[&str]) -> Tags {
    Tags::new(names).expect("legal")
}

/// What the story leaves.
fn kept() -> BTreeMap<&'static str, Entry> {
    BTreeMap::from([
        ("replaced", Entry::new("the new one")),
        ("large", Entry::new(vec![7; 3300])),
        ("rich", Entry { value: "größe".into(), meta: rich() }),
        ("mortal", Entry::new("x").with_ttl(Ttl::from_millis(999_995))),
        ("tagged:kept", Entry::new("kept").with_tags(tag_set(&["b"]))),
    ])
}

const GONE: [&str; 4] = ["removed", "tagged:gone", "ended", "prefix:1"];

/// The files of the story, and the clock at its end.
fn written(closed: bool) -> (Files, ManualClock) {
    let clock = ManualClock::new();
    let sim = Sim::new(&clock);
    let disk = build(&sim, &clock);
    story(&disk, &clock).expect("nothing fails");
    if closed {
        pollster::block_on(disk.close()).expect("nothing fails");
    }
    (sim.files(), clock)
}

fn filled(files: &Files, clock: &ManualClock) -> Sim {
    let sim = Sim::new(clock);
    for (name, bytes) in files {
        sim.overwrite(name, bytes.clone());
    }
    sim
}

/// Opens a folder with these files and looks for everything that was ever stored there.
fn found(files: &Files, clock: &ManualClock) -> (Disk, usize) {
    found_in(&filled(files, clock), clock)
}

fn found_in(sim: &Sim, clock: &ManualClock) -> (Disk, usize) {
    let disk = build(sim, clock);
    let get = |name: &str| pollster::block_on(disk.get(&key(name))).expect("reads do not fail");
    let mut hits = 0;
    for (name, expected) in kept() {
        let found = get(name);
        hits += usize::from(found.is_some());
        assert!(found.is_none_or(|it| it == expected), "{name} is wrong");
    }
    for name in GONE {
        assert_eq!(get(name), None, "{name} has come back");
    }
    (disk, hits)
}

fn segments(files: &Files) -> Vec<&String> {
    files.keys().filter(|name| name.ends_with(".segment")).collect()
}

#[test]
fn whole_files_hold_everything() {
    for closed in [true, false] {
        let (files, clock) = written(closed);
        assert_eq!(segments(&files).len(), 2);
        let (disk, hits) = found(&files, &clock);
        assert_eq!((disk.start(), hits), (Start::Whole, 5));
    }
}

#[test]
fn a_damaged_byte_anywhere_takes_entries_and_brings_none_back() {
    for closed in [true, false] {
        let (files, clock) = written(closed);
        let (mut noticed, mut unnoticed) = (0, 0);
        for (name, bytes) in &files {
            for at in (0..bytes.len()).filter(|at| !inside_the_large_value(bytes, *at)) {
                let mut damaged = files.clone();
                damaged.get_mut(name).expect("it is there")[at] ^= 1 << (at % 8);
                let sim = filled(&damaged, &clock);
                // Half of it is found after the machine was started again.
                let sim = if closed && at % 2 == 0 { sim.cut_power(0) } else { sim };
                let (disk, hits) = found_in(&sim, &clock);
                let counted = disk.start() != Start::Whole || disk.stats().corrupt > 0;
                assert_eq!(hits < 5, counted, "{name}, byte {at}: what is missing is counted");
                if counted { noticed += 1 } else { unnoticed += 1 }
            }
        }
        // Only in the values of entries that were replaced or removed is damage nobody's business.
        assert!(noticed > 1000 && unnoticed < 300, "{noticed} noticed, {unnoticed} not");
    }
}

/// Most of it may be damaged in one place for all.
fn inside_the_large_value(bytes: &[u8], at: usize) -> bool {
    !at.is_multiple_of(97)
        && at > 16
        && bytes.get(at - 16..at + 16).is_some_and(|around| around.iter().all(|byte| *byte == 7))
}

#[test]
fn a_file_that_was_cut_anywhere_takes_entries_and_brings_none_back() {
    let (files, clock) = written(true);
    for (name, bytes) in &files {
        for end in (0..bytes.len()).filter(|at| !inside_the_large_value(bytes, *at)) {
            let mut cut = files.clone();
            cut.get_mut(name).expect("it is there").truncate(end);
            let sim = filled(&cut, &clock);
            let sim = if end % 2 == 0 { sim.cut_power(0) } else { sim };
            let (disk, hits) = found_in(&sim, &clock);
            assert!(hits < 5 && disk.start() != Start::Whole, "{name}, cut at {end}, was not noticed");
        }
    }
}

#[test]
fn a_lost_file_takes_what_is_older_and_brings_nothing_back() {
    let (files, clock) = written(true);
    for name in files.keys() {
        let mut fewer = files.clone();
        fewer.remove(name);
        let (_, hits) = found(&fewer, &clock);
        let is_first = segments(&files).first() == Some(&name);
        assert!(if is_first { hits > 0 } else { hits == 0 }, "{name}: {hits}");
    }
}

#[test]
fn of_files_that_look_alike_none_may_be_missing_between_others() {
    let (clock, names) = (ManualClock::new(), |at: usize| key(format!("key:{at:02}")));
    let sim = Sim::new(&clock);
    let disk = build(&sim, &clock);
    pollster::block_on(async {
        // Three puts and a removal to a segment, of which each removes what the segment before holds.
        for at in 0..12 {
            disk.put(names(at), Entry::new(vec![1; 1200])).await.expect("nothing fails");
            if at % 3 == 2 {
                disk.remove(&names(at.saturating_sub(3))).await.expect("nothing fails");
            }
        }
        disk.close().await.expect("nothing fails");
    });
    let files = sim.files();
    let [_, second, third, _] = segments(&files)[..] else { panic!("four segments: {:?}", files.keys()) };
    assert_eq!(files[second].len(), files[third].len());
    let mut fewer = files.clone();
    fewer.remove(second);
    let disk = build(&filled(&fewer, &clock), &clock);
    let there = |at| pollster::block_on(disk.get(&names(at))).expect("reads do not fail").is_some();
    let found: Vec<usize> = (0..12).filter(|at| there(*at)).collect();
    assert_eq!((disk.start(), found), (Start::Damaged, vec![6, 7, 9, 10, 11]));
}

#[test]
fn a_file_of_another_folder_or_name_is_not_believed() {
    let (files, clock) = written(true);
    let [first, second] = segments(&files)[..] else { panic!("two segments") };
    let exchanged = Files::from([
        ("STATE".to_owned(), files["STATE"].clone()),
        (first.clone(), files[second].clone()),
        (second.clone(), files[first].clone()),
    ]);
    assert_eq!(found(&exchanged, &clock).1, 0);
    let mut more = files.clone();
    more.insert("00000000000000ff.segment".to_owned(), files[second].clone());
    more.insert("ffffffffffffffff.segment".to_owned(), files[second].clone());
    assert_eq!(found(&more, &clock).1, 0, "what is newer than the end may have removed anything");
    let mut others = files.clone();
    others.insert("notes.txt".to_owned(), b"somebody's own".to_vec());
    others.insert("STATE.new".to_owned(), vec![1; 9]);
    assert_eq!(found(&others, &clock).1, 5, "other names are nobody's business");
}

#[test]
fn another_version_is_an_empty_start_with_a_reason() {
    let (mut files, clock) = written(true);
    files.get_mut("STATE").expect("it is there")[8] = 2;
    let (disk, hits) = found(&files, &clock);
    assert_eq!((disk.start(), hits, disk.stats().bytes), (Start::OtherVersion, 0, 64));
    pollster::block_on(disk.put(key("k"), Entry::new("v"))).expect("it works on");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_do_harm(
        closed in any::<bool>(),
        restarted in any::<bool>(),
        wounds in prop::collection::vec((any::<prop::sample::Index>(), any::<u16>(), Wound::any()), 1..4),
    ) {
        let (mut files, clock) = written(closed);
        let names: Vec<String> = files.keys().cloned().collect();
        for (which, at, wound) in &wounds {
            let bytes = files.get_mut(which.get(&names)).expect("it is there");
            wound.strike(bytes, usize::from(*at));
        }
        let sim = filled(&files, &clock);
        let sim = if closed && restarted { sim.cut_power(0) } else { sim };
        let disk = build(&sim, &clock);
        for (name, expected) in kept() {
            let found = pollster::block_on(disk.get(&key(name))).expect("reads do not fail");
            // A file that was not closed may have been cut where a process was killed: then it tells of an earlier time.
            prop_assert!(found.is_none_or(|it| it == expected || !closed), "{name}");
        }
        if closed {
            for name in GONE {
                let found = pollster::block_on(disk.get(&key(name))).expect("reads do not fail");
                prop_assert_eq!(found, None, "{} has come back", name);
            }
        }
        pollster::block_on(disk.put(key("next"), Entry::new("works"))).expect("it works on");
    }
}

/// What happens to a file at some place.
#[derive(Clone, Debug)]
enum Wound {
    Overwrite(Vec<u8>),
    Insert(Vec<u8>),
    Cut,
}

impl Wound {
    fn any() -> impl Strategy<Value = Self> {
        let bytes = prop::collection::vec(any::<u8>(), 1..40);
        prop_oneof![3 => bytes.clone().prop_map(Self::Overwrite), 1 => bytes.prop_map(Self::Insert), 1 => Just(Self::Cut)]
    }

    fn strike(&self, bytes: &mut Vec<u8>, at: usize) {
        let at = at % (bytes.len() + 1);
        match self {
            Self::Overwrite(new) => {
                let end = bytes.len().min(at + new.len());
                bytes.splice(at..end, new.iter().copied());
            }
            Self::Insert(new) => drop(bytes.splice(at..at, new.iter().copied())),
            Self::Cut => bytes.truncate(at),
        }
    }
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

#[test]
fn golden_files_of_version_1_are_readable_and_written_as_they_were() {
    let (files, clock) = written(true);
    if std::env::var_os("STRATA_WRITE_GOLDEN").is_some() && !golden().exists() {
        std::fs::create_dir_all(golden()).expect("a folder");
        for (name, bytes) in &files {
            std::fs::write(golden().join(name), bytes).expect("a file");
        }
    }
    let read = std::fs::read_dir(golden()).expect("the golden files are there").map(|entry| {
        let entry = entry.expect("it can be listed");
        (
            entry.file_name().into_string().expect("ASCII"),
            std::fs::read(entry.path()).expect("it can be read"),
        )
    });
    let golden: Files = read.collect();
    let (disk, hits) = found(&golden, &clock);
    assert_eq!((disk.start(), hits), (Start::Whole, 5));
    assert!(golden == files, "the format has changed without its version");
}
