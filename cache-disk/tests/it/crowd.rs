//! Many at once: threads that read and write the same keys while segments come and go, callers that go away, and a queue
//! that is full.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::thread;

use cache_core::{Entry, ErrorKind, Result, Store, StoreExt};
use cache_disk::{Disk, Durability};
use cache_testkit::clock::ManualClock;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::tempdir;

use crate::key;
use crate::sim::Sim;

const KEYS: usize = 16;

/// For each key: the newest version that was acknowledged as written, and as removed.
#[derive(Default)]
struct Board {
    written: [AtomicU64; KEYS],
    removed: [AtomicU64; KEYS],
}

fn name(at: usize) -> cache_core::Key {
    key(format!("key:{at}"))
}

/// A value that says which key and version it belongs to, all through.
fn value(at: usize, version: u64, bytes: usize) -> Vec<u8> {
    [at as u64, version].map(u64::to_le_bytes).concat().repeat(1 + bytes / 16)
}

fn version(at: usize, value: &[u8]) -> u64 {
    let version = u64::from_le_bytes(value[8..16].try_into().expect("eight bytes"));
    assert!(value == self::value(at, version, value.len() - 16), "key {at} holds a mixture");
    version
}

/// The only writer of its keys, so that versions are acknowledged in order.
fn write(disk: &Disk, board: &Board, mine: &[usize], seed: u64) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    for version in 1..1500 {
        let at = mine[rng.random_range(0..mine.len())];
        if rng.random_range(0..4) == 0 {
            pollster::block_on(disk.remove(&name(at)))?;
            board.removed[at].store(version, SeqCst);
        } else {
            let entry = Entry::new(value(at, version, rng.random_range(0..2000)));
            pollster::block_on(disk.put(name(at), entry))?;
            board.written[at].store(version, SeqCst);
        }
    }
    Ok(())
}

fn read(disk: &Disk, board: &Board, done: &AtomicBool, seed: u64) -> Result<u64> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut hits = 0;
    while !done.load(SeqCst) {
        let at = rng.random_range(0..KEYS);
        let (written, removed) = (board.written[at].load(SeqCst), board.removed[at].load(SeqCst));
        if let Some(entry) = pollster::block_on(disk.get(&name(at)))? {
            let found = version(at, &entry.value);
            assert!(
                found >= written && found > removed,
                "key {at}: {found}, {written} written, {removed} removed"
            );
            hits += 1;
        }
    }
    Ok(hits)
}

#[test]
fn readers_see_whole_values_and_nothing_older_than_what_was_acknowledged() -> Result<()> {
    let folder = tempdir().expect("a folder");
    // So little room that segments go all the time.
    let disk = Disk::builder(folder.path())
        .with_max_bytes(40_000)
        .with_segment_bytes(8192)
        .build()
        .expect("its own");
    let (board, done) = (Board::default(), AtomicBool::new(false));
    let hits: u64 = thread::scope(|scope| {
        let (disk, board, done) = (&disk, &board, &done);
        let readers: Vec<_> = (0..2).map(|seed| scope.spawn(move || read(disk, board, done, seed))).collect();
        let writers = [(0..KEYS / 2).collect::<Vec<_>>(), (KEYS / 2..KEYS).collect()].into_iter().zip(10..);
        let writers: Vec<_> =
            writers.map(|(mine, seed)| scope.spawn(move || write(disk, board, &mine, seed))).collect();
        let written = writers.into_iter().try_for_each(|writer| writer.join().expect("no panic"));
        done.store(true, SeqCst);
        let hits = readers.into_iter().map(|reader| reader.join().expect("no panic"));
        written.and(hits.sum::<Result<u64>>())
    })?;
    let stats = disk.stats();
    assert!(hits > 100 && stats.evicted + stats.kept > 0, "{hits} hits, {stats:?}");
    assert_eq!((stats.io_errors, stats.corrupt), (0, 0), "{stats:?}");
    Ok(())
}

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_full_queue_refuses_at_once_and_keeps_what_it_took() {
    let clock = ManualClock::new();
    let sim = Sim::new(&clock);
    let builder = Disk::builder("unused").with_medium(Arc::new(sim.clone())).with_max_bytes(1 << 20);
    let disk = builder.with_queue(4).with_readers(1).build().expect("its own");
    let names: Vec<_> = (0..6).map(|at| key(at.to_string())).collect();
    let put = |at: usize| {
        let mut call: Pin<Box<_>> = Box::pin(disk.put(names[at].clone(), Entry::new("x")));
        (poll(&mut call), at, call)
    };
    let stopped = sim.stop();
    // One is being written, four wait.
    let (mut waiting, mut refused) = (Vec::new(), Vec::new());
    for at in 0..6 {
        match put(at) {
            (Poll::Pending, at, call) => waiting.push((at, call)),
            (Poll::Ready(outcome), at, _) => {
                refused.push((at, outcome.expect_err("it cannot be done").kind()));
            }
        }
    }
    drop(stopped);
    assert!(
        !refused.is_empty() && refused.iter().all(|(_, kind)| *kind == ErrorKind::Unavailable),
        "{refused:?}"
    );
    assert_eq!(disk.stats().overflows, refused.len() as u64);
    for (at, call) in waiting {
        pollster::block_on(call).expect("it was taken");
        assert!(pollster::block_on(disk.get(&names[at])).expect("reads do not fail").is_some());
    }
    for (at, _) in refused {
        assert_eq!(pollster::block_on(disk.get(&names[at])).expect("reads do not fail"), None);
    }
}

#[test]
fn writes_that_wait_together_share_a_sync() {
    let clock = ManualClock::new();
    let sim = Sim::new(&clock);
    let builder = Disk::builder("unused").with_medium(Arc::new(sim.clone())).with_max_bytes(1 << 20);
    let disk = builder.with_durability(Durability::Power).build().expect("its own");
    let before = sim.syncs();
    let stopped = sim.stop();
    let mut calls: Vec<_> =
        (0..50).map(|at| Box::pin(disk.put(key(at.to_string()), Entry::new("x")))).collect();
    assert!(calls.iter_mut().all(|call| poll(call).is_pending()));
    drop(stopped);
    for call in calls {
        pollster::block_on(call).expect("it was taken");
    }
    // One for whoever was first, one for all that waited for it.
    assert!((1..=2).contains(&(sim.syncs() - before)), "{} syncs", sim.syncs() - before);
}

#[test]
fn values_that_wait_take_bounded_memory() {
    let clock = ManualClock::new();
    let sim = Sim::new(&clock);
    let builder = Disk::builder("unused").with_medium(Arc::new(sim.clone())).with_max_bytes(1 << 30);
    let disk = builder.with_readers(1).build().expect("its own");
    let value = bytes::Bytes::from(vec![0; 30 << 20]);
    let stopped = sim.stop();
    let mut calls: Vec<_> = (0..5)
        .map(|at| Box::pin(disk.put(key(at.to_string()), Entry::new(value.clone()))))
        .map(|mut call| (poll(&mut call), call))
        .collect();
    drop(stopped);
    // One may have been taken out of the queue already; two more are below the bound.
    let refused = calls.iter().filter(|(polled, _)| matches!(polled, Poll::Ready(Err(_)))).count();
    assert!((2..=3).contains(&refused), "{refused} of 5 times 30 MiB were refused");
    calls.retain(|(polled, _)| polled.is_pending());
    for (_, call) in calls {
        pollster::block_on(call).expect("it was taken");
    }
}

#[test]
fn callers_that_go_away_leave_nothing_half_done() -> Result<()> {
    let folder = tempdir().expect("a folder");
    let disk = Disk::builder(folder.path()).with_max_bytes(1 << 20).build().expect("its own");
    for round in 0..300_u64 {
        let name = key(format!("{}", round % 5));
        let entry = Entry::new(value(0, round, 500));
        let mut put = disk.put_many(vec![(name.clone(), entry)]);
        let _unheard = poll(&mut put);
        drop(put);
        let names = [name];
        let mut get = disk.get_many(&names);
        let _unheard = poll(&mut get);
        drop(get);
    }
    // What was asked for before is done before.
    pollster::block_on(async {
        disk.put(key("last"), Entry::new("x")).await?;
        for at in 0..5 {
            let found = disk.get(&key(at.to_string())).await?.expect("it was asked for");
            assert_eq!(version(0, &found.value), 295 + at);
        }
        Ok(())
    })
}

#[test]
fn a_drop_waits_for_what_was_asked_for() -> Result<()> {
    let folder = tempdir().expect("a folder");
    for round in 0..20_u64 {
        let disk =
            Disk::builder(folder.path()).with_max_bytes(1 << 20).build().expect("the last one is closed");
        let mut put = disk.put_many(vec![(key("k"), Entry::new(value(0, round, 100)))]);
        let _unheard = poll(&mut put);
        drop(put);
        drop(disk);
        let disk =
            Disk::builder(folder.path()).with_max_bytes(1 << 20).build().expect("the last one is closed");
        let found = pollster::block_on(disk.get(&key("k")))?.expect("it was asked for");
        assert_eq!(version(0, &found.value), round);
    }
    Ok(())
}
