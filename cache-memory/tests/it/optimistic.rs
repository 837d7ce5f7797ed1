//! Reads without a lock, by real threads beside whatever else can happen to a shard. What a key may hold is written into its
//! values, so that one that is half of one and half of another cannot pass for either.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cache_core::{Tags, Ttl};
use cache_memory::{Memory, Policy, Put};

/// A value that is larger than what a processor writes at once.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Wide {
    key: u64,
    version: u64,
    rest: [u64; 6],
}

impl Wide {
    fn new(key: u64, version: u64) -> Self {
        Self { key, version, rest: [key ^ version; 6] }
    }

    fn check(self, key: u64) -> u64 {
        assert_eq!(self, Self::new(key, self.version), "half of one value and half of another");
        self.version
    }
}

fn memory() -> Memory<u64, Wide> {
    Memory::new().with_lock_free_reads()
}

/// Each thread has keys of its own, of which it knows what they hold, and reads all others'.
const THREADS: u64 = 4;
const KEYS: u64 = 64;
const ROUNDS: u64 = 30_000;

struct Owner<'a> {
    memory: &'a Memory<u64, Wide>,
    number: u64,
    /// The version of each of its keys; 0 where it was removed.
    versions: Vec<u64>,
    /// The latest version seen of each of the others'.
    seen: Vec<u64>,
    random: u64,
}

impl<'a> Owner<'a> {
    fn new(memory: &'a Memory<u64, Wide>, number: u64) -> Self {
        let seen = vec![0; usize::try_from(KEYS * THREADS).expect("few")];
        Self { memory, number, versions: vec![0; 64], seen, random: number + 1 }
    }

    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn step(&mut self, round: u64) {
        let random = self.next();
        let own = usize::try_from(random % KEYS).expect("few");
        let key = self.number * KEYS + random % KEYS;
        match random >> 32 & 15 {
            0 => {
                self.memory.insert(key, Wide::new(key, round));
                self.versions[own] = round;
            }
            1 => {
                let put =
                    Put::new().with_ttl(Ttl::from_secs(3600)).with_tags(Tags::new(["t"]).expect("legal"));
                self.memory.insert_with(key, Wide::new(key, round), put);
                self.versions[own] = round;
            }
            2 => {
                self.memory.remove(&key);
                self.versions[own] = 0;
            }
            3 | 4 => {
                let held = self.memory.get(&key).map(|wide| wide.check(key));
                assert_eq!(
                    held,
                    Some(self.versions[own]).filter(|version| *version > 0),
                    "{key} in round {round}"
                );
            }
            5 => {
                let keys: Vec<u64> = (0..20).map(|step| (random + step * 37) % (KEYS * THREADS)).collect();
                for (key, wide) in keys.iter().zip(self.memory.get_many(&keys)) {
                    if let Some(wide) = wide {
                        self.see(*key, wide);
                    }
                }
            }
            _ => {
                let other = random % (KEYS * THREADS);
                if let Some(wide) = self.memory.get(&other) {
                    self.see(other, wide);
                }
            }
        }
    }

    /// What was seen once does not become older.
    fn see(&mut self, key: u64, wide: Wide) {
        let latest = &mut self.seen[usize::try_from(key).expect("few")];
        let version = wide.check(key);
        assert!(version >= *latest, "{key}: {version} after {latest}");
        *latest = version;
    }
}

#[test]
fn every_thread_reads_whole_values_and_what_it_has_written() {
    let memory = memory().with_shards(1);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Tables that grow and are returned, under keys that nobody else reads.
        let churn = scope.spawn(|| {
            while !is_over.load(Relaxed) {
                (1000..6000).for_each(|key| assert!(memory.insert(key, Wide::new(key, 1)).is_stored()));
                assert_eq!(memory.remove_if(|key, _| *key >= 1000), 5000);
                memory.remove_expired();
            }
        });
        let owners: Vec<_> = (0..THREADS)
            .map(|number| {
                let memory = &memory;
                scope.spawn(move || {
                    let mut owner = Owner::new(memory, number);
                    (1..ROUNDS).for_each(|round| owner.step(round));
                })
            })
            .collect();
        let outcomes: Vec<_> = owners.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Relaxed);
        churn.join().expect("nothing was lost");
        assert!(outcomes.iter().all(Result::is_ok), "what was read was not true");
    });
}

#[test]
fn nothing_that_was_removed_is_seen_again() {
    let memory = memory().with_max_entries(4096).with_shards(2);
    let generation = AtomicU64::new(1);
    let ends = |round: u64| match round % 3 {
        0 => memory.clear(),
        1 => memory.remove_tag("t"),
        _ => memory.remove_if(|_, _| true),
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut reads = 0_u64;
                    loop {
                        let least = generation.load(Relaxed);
                        if least == 0 {
                            return reads;
                        }
                        for key in 0..100 {
                            // All that was of an older generation had gone before this one was announced.
                            let seen = memory.get(&key).map(|wide| wide.check(key));
                            assert!(seen.is_none_or(|version| version >= least), "{seen:?} in {least}");
                            reads += u64::from(seen.is_some());
                        }
                    }
                })
            })
            .collect();
        for round in 1..400 {
            let put = || Put::new().with_tags(Tags::new(["t"]).expect("legal"));
            (0..100)
                .for_each(|key| assert!(memory.insert_with(key, Wide::new(key, round), put()).is_stored()));
            (0..100).for_each(|key| assert!(memory.get(&key).is_some()));
            assert_eq!(ends(round), 100);
            generation.store(round + 1, Relaxed);
        }
        generation.store(0, Relaxed);
        let reads = readers.into_iter().map(|reader| reader.join().expect("nothing old was seen"));
        assert!(reads.sum::<u64>() > 0);
    });
}

#[test]
fn hits_and_misses_are_counted_exactly() {
    for policy in [Policy::Adaptive, Policy::Lru, Policy::Sieve, Policy::S3Fifo, Policy::Lfu] {
        let memory = Memory::<u64, u64>::new().with_max_entries(1000).with_policy(policy);
        (0..500).for_each(|key| assert!(memory.insert(key, key).is_stored()));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for round in 0..20_u64 {
                        (0..600).for_each(|key| assert_eq!(memory.get(&key), (key < 500).then_some(key)));
                        let keys: Vec<u64> = (490 + round..510 + round).collect();
                        assert_eq!(
                            memory.get_many(&keys).iter().flatten().count() as u64,
                            10_u64.saturating_sub(round)
                        );
                    }
                });
            }
        });
        let many: u64 = (0..20).map(|round| 10_u64.saturating_sub(round)).sum();
        let stats = memory.stats();
        assert_eq!(
            (stats.hits, stats.misses),
            (3 * (20 * 500 + many), 3 * (20 * 100 + 400 - many)),
            "{policy:?}"
        );
    }
}

#[test]
fn beside_full_buckets_all_is_read_and_counted() {
    let memory = Memory::<u64, u64>::new().with_shards(1);
    // Keys that follow each other are spread too evenly by some hashes.
    let key = |at: u64| BuildHasherDefault::<DefaultHasher>::new().hash_one(at);
    // As full as its index ever is before it grows, at some of these lengths.
    for length in 1..=1000 {
        assert!(memory.insert(key(length), length).is_stored());
        let (old, absent) = (length.saturating_sub(9).max(1)..=length, 1_000_000 + 10 * length..);
        old.for_each(|at| assert_eq!(memory.get(&key(at)), Some(at)));
        absent.take(10).for_each(|at| assert_eq!(memory.get(&key(at)), None));
    }
    let stats = memory.stats();
    assert_eq!((stats.hits, stats.misses), (10 * 1000 - 45, 10 * 1000));
}

#[test]
fn hits_are_noted_from_the_moment_that_this_is_wanted() {
    let memory = Memory::<u64, u64>::new();
    memory.insert(7, 70);
    let read = |times| (0..times).for_each(|_| assert_eq!(memory.get(&7), Some(70)));
    read(100);
    memory.set_sampling(1);
    read(50);
    assert_eq!((memory.sampled(1).hits, memory.sampled(1).top[0].hits), (50, 50));
    memory.set_sampling(0);
    read(100);
    assert_eq!((memory.stats().hits, memory.sampled(1).hits), (250, 0));
}

#[test]
fn what_is_read_is_not_what_is_evicted() {
    // Marked as used by a read under the lock first, and not again: eviction takes the mark, and the next read sets it again.
    for policy in [Policy::Adaptive, Policy::Sieve, Policy::S3Fifo, Policy::Lru, Policy::Lfu] {
        let memory = Memory::<u64, u64>::new().with_max_entries(1000).with_shards(1).with_policy(policy);
        (0..1000).for_each(|key| assert!(memory.insert(key, key).is_stored()));
        // S3-FIFO keeps who was used twice.
        (0..30).for_each(|read| assert_eq!(memory.get(&(read % 10)), Some(read % 10)));
        for round in 0..3000 {
            (0..10).for_each(|key| assert_eq!(memory.get(&key), Some(key), "{policy:?} in round {round}"));
            memory.insert(1000 + round, 0);
        }
    }
}

#[test]
fn an_entry_ends_in_time_though_nobody_asks_a_lock() {
    let clock = std::sync::Arc::new(cache_testkit::clock::ManualClock::default());
    let memory = Memory::<u64, u64>::new().with_clock(clock.clone());
    memory.insert_with(1, 10, Put::new().with_ttl(Ttl::from_secs(5)));
    for second in 0..5 {
        assert_eq!((memory.get(&1), memory.get(&1)), (Some(10), Some(10)), "after {second} s");
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(memory.get(&1), None);
}
