//! Ten million operations by eight threads: both bounds after every insert, one value per key, and the fate of every entry.
//!
//! Each insert has a version of its own, and the ledger learns from the listener how that version ended. So an entry that
//! is lost without a cause, announced twice, or served under another key or after a newer one cannot hide.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use cache_core::{Clock, Tags, Ttl};
use cache_memory::{Cause, Inserted, Memory, Policy, Put, Stats};
use cache_testkit::clock::ManualClock;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::model::books_balance;

const OPERATIONS: usize = 10_000_000;
const THREADS: usize = 8;
/// One for looks that are always consistent, many for room that is taken from each other.
const SHARDS: [usize; 2] = [1, 8];

const KEYS: usize = 2048;
/// Keys below this are written by every thread, each of the others by one.
const SHARED: usize = KEYS / 2;
const MAX_ENTRIES: u64 = ROOM as u64;
const ROOM: usize = 500;
const MAX_BYTES: u64 = 20_000;

#[derive(Clone, Copy, Debug)]
struct Value {
    key: usize,
    version: usize,
    bytes: u64,
}

/// What became of each version: nothing yet, one more than the number of its cause, or still present.
struct Ledger(Vec<AtomicU8>);

const PRESENT: u8 = 9;

impl Ledger {
    fn close(&self, version: usize, fate: u8) {
        let before = self.0[version].swap(fate, SeqCst);
        assert_eq!(before, 0, "version {version} has ended twice: {before}, then {fate}");
    }

    fn count(&self, fate: u8) -> u64 {
        self.0.iter().filter(|held| held.load(SeqCst) == fate).count() as u64
    }
}

fn fate(cause: Cause) -> u8 {
    1 + Cause::ALL.iter().zip(0..).find(|(other, _)| **other == cause).map_or(0, |(_, number)| number)
}

struct Run {
    memory: Memory<usize, Value>,
    clock: ManualClock,
    ledger: Arc<Ledger>,
    tags: [Tags; 4],
}

impl Run {
    fn new(policy: Policy, shards: usize, versions: usize) -> Self {
        let ledger = Arc::new(Ledger((0..versions).map(|_| AtomicU8::new(0)).collect()));
        let (listening, clock) = (Arc::clone(&ledger), ManualClock::new());
        let memory = Memory::new()
            .with_policy(policy)
            .with_shards(shards)
            .with_max_entries(MAX_ENTRIES)
            .with_max_bytes(MAX_BYTES)
            .with_weigher(|_: &usize, value: &Value| value.bytes)
            .with_clock(Arc::new(clock.clone()))
            .with_sweep_every(None)
            .with_listener(move |_: &usize, value: &Value, cause| {
                listening.close(value.version, fate(cause));
            });
        let tags = ["a", "b", "c", "d"].map(|tag| Tags::new([tag]).expect("legal"));
        Self { memory, clock, ledger, tags }
    }

    /// What is held at one moment; `None` if something came or left while this was looking at one shard after another.
    fn look(&self) -> Option<Stats> {
        let moves = |mut stats: Stats| {
            // Reads move nothing.
            (stats.hits, stats.misses) = (0, 0);
            stats
        };
        let [first, second] = [self.memory.stats(), self.memory.stats()];
        (moves(first) == moves(second)).then_some(first)
    }

    fn check_bounds(&self) -> bool {
        let Some(stats) = self.look() else { return false };
        let entries = stats.entries + stats.unfreed;
        assert!(entries <= MAX_ENTRIES && stats.bytes <= MAX_BYTES, "{stats:?}");
        true
    }

    /// Looks on and frees what has expired until all are done.
    fn observe(&self, done: &AtomicBool) -> u64 {
        let mut looks = 0;
        while !done.load(SeqCst) {
            looks += u64::from(self.check_bounds());
            self.memory.remove_expired();
            thread::yield_now();
        }
        looks
    }

    /// Nothing is going on any more: every version has exactly one fate, and the figures tell the same.
    fn close(&self, reads: u64, policy: Policy) {
        self.memory.remove_expired();
        let room_is_given_back = (0..ROOM).all(|step| {
            let (key, version) = (KEYS + step, self.ledger.0.len() - ROOM + step);
            self.memory.insert(key, Value { key, version, bytes: 1 }).is_stored()
        });
        assert!(
            room_is_given_back && self.memory.len() == MAX_ENTRIES,
            "{policy}: {:?}",
            self.memory.stats()
        );
        self.memory.for_each(|found| self.ledger.close(found.value().version, PRESENT));
        let stats = self.memory.stats();
        books_balance(&stats);
        let told = [stats.expired, stats.evicted, stats.replaced, stats.removed, stats.entries];
        let causes = Cause::ALL.map(fate).into_iter().chain([PRESENT]);
        let known: Vec<u64> = causes.map(|fate| self.ledger.count(fate)).collect();
        assert_eq!(known, told, "{policy}: {stats:?}");
        assert_eq!(known.iter().sum::<u64>(), stats.inserts, "{policy}: every insert has its fate");
        assert_eq!(stats.hits + stats.misses, reads, "{policy}");
        assert_eq!(stats.listener_panics, 0, "{policy}: an entry was announced twice");
        assert!(told.iter().all(|count| *count > 0), "{policy}: everything has happened: {told:?}");
    }
}

struct Worker<'a> {
    run: &'a Run,
    number: usize,
    /// For each key with one writer: no older version may be seen any more.
    oldest: Vec<usize>,
    reads: u64,
    looks: u64,
}

impl<'a> Worker<'a> {
    fn new(run: &'a Run, number: usize) -> Self {
        Self { run, number, oldest: vec![0; KEYS], reads: 0, looks: 0 }
    }

    fn work(&mut self, versions: std::ops::Range<usize>) {
        let mut random = StdRng::seed_from_u64(self.number as u64);
        for version in versions {
            let draw: u64 = random.random();
            let key = (draw >> 32) as usize % KEYS;
            match draw % 128 {
                0..56 => self.insert(self.writable(key), version, draw >> 16),
                56..96 => self.read(key),
                96..104 => self.read_many(key),
                104..112 => self.remove(self.writable(key), version),
                112..120 => drop(self.run.memory.touch(&key, Ttl::from_millis(1 + draw % 30))),
                // By whole ticks, so that at the end nothing has expired and is not freed.
                120..122 => self.run.clock.advance(Duration::from_millis(1)),
                _ => self.rarely(draw >> 8),
            }
        }
    }

    fn writable(&self, key: usize) -> usize {
        if key < SHARED { key } else { key - key % THREADS + self.number }
    }

    fn insert(&mut self, key: usize, version: usize, draw: u64) {
        let mut put = Put::new();
        if draw.is_multiple_of(2) {
            put = put.with_ttl(Ttl::from_millis(1 + draw % 20));
        }
        if draw % 16 < 3 {
            put = put.with_tags(self.run.tags[key % 4].clone());
        }
        let value = Value { key, version, bytes: 1 + draw % 79 };
        assert_eq!(self.run.memory.insert_with(key, value, put), Inserted::Stored);
        self.oldest[key] = version;
        self.looks += u64::from(self.run.check_bounds());
    }

    fn read(&mut self, key: usize) {
        let before = self.run.clock.now();
        let found = self.run.memory.get_with(&key, |found| (*found.value(), found.expires()));
        self.reads += 1;
        let Some((value, expires)) = found else { return };
        assert!(expires > before, "served after its end");
        self.check(key, value);
    }

    fn read_many(&mut self, key: usize) {
        let keys: [usize; 4] = std::array::from_fn(|step| (key + step * 511) % KEYS);
        self.reads += 4;
        for (key, found) in keys.into_iter().zip(self.run.memory.get_many(&keys)) {
            if let Some(value) = found {
                self.check(key, value);
            }
        }
    }

    fn check(&mut self, key: usize, value: Value) {
        assert_eq!(value.key, key, "the value of another key");
        if key >= SHARED {
            assert!(value.version >= self.oldest[key], "{value:?} came back after {}", self.oldest[key]);
            self.oldest[key] = value.version;
        }
    }

    fn remove(&mut self, key: usize, version: usize) {
        if let Some(value) = self.run.memory.remove(&key) {
            self.check(key, value);
        }
        // The next one by this thread is newer than now.
        self.oldest[key] = version;
    }

    fn rarely(&self, draw: u64) {
        let memory = &self.run.memory;
        match draw % 512 {
            0..4 => drop(memory.remove_tag(["a", "b", "c", "d"][usize::from(draw % 8 < 4)])),
            4..6 => drop(memory.remove_if(|key, _| key % 16 == 0)),
            6 => drop(memory.clear()),
            _ => {}
        }
    }
}

#[test]
fn ten_million_operations_keep_both_bounds_and_lose_nothing() {
    let runs: Vec<_> =
        Policy::ALL.into_iter().flat_map(|policy| SHARDS.map(|shards| (policy, shards))).collect();
    let each = OPERATIONS.div_ceil(runs.len() * THREADS);
    for (policy, shards) in runs {
        let run = &Run::new(policy, shards, each * THREADS + ROOM);
        let done = AtomicBool::new(false);
        let (reads, looks) = thread::scope(|scope| {
            let observer = scope.spawn(|| run.observe(&done));
            let start = |number| {
                scope.spawn(move || {
                    let mut worker = Worker::new(run, number);
                    worker.work(number * each..(number + 1) * each);
                    (worker.reads, worker.looks)
                })
            };
            let workers: Vec<_> = (0..THREADS).map(start).collect();
            let outcomes: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
            done.store(true, SeqCst);
            let looks = observer.join().expect("the bounds held");
            outcomes
                .into_iter()
                .map(|outcome| outcome.expect("every promise was kept"))
                .fold((0, looks), |(reads, looks), (more_reads, more_looks)| {
                    (reads + more_reads, looks + more_looks)
                })
        });
        assert!(looks > 1000, "{policy}, {shards} shards: only {looks} consistent looks");
        run.close(reads, policy);
    }
}
