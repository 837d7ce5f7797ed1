//! The memory tier where a map cannot follow: threads, listeners, time's own hand, and code of the user that panics.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use cache_core::{Clock, Tags, Ttl};
use cache_memory::{Cause, Inserted, Memory, Policy, Put};
use cache_testkit::clock::ManualClock;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::HANG;
use crate::model::books_balance;

#[test]
fn bounds_hold_under_many_writers() {
    for policy in Policy::ALL {
        let memory = Memory::new()
            .with_policy(policy)
            .with_shards(8)
            .with_max_entries(64)
            .with_max_bytes(2000)
            .with_weigher(|_: &u32, bytes: &u64| *bytes);
        let start = Barrier::new(8);
        thread::scope(|scope| {
            for seed in 0..8 {
                let (memory, start) = (&memory, &start);
                scope.spawn(move || {
                    let mut random = StdRng::seed_from_u64(seed);
                    start.wait();
                    for _ in 0..20_000 {
                        let key = random.random_range(0..200);
                        match random.random_range(0..10) {
                            0..6 => {
                                memory.insert(key, random.random_range(0..100));
                            }
                            6..9 => {
                                memory.get(&key);
                            }
                            _ => {
                                memory.remove(&key);
                            }
                        }
                    }
                });
            }
        });
        let stats = memory.stats();
        assert!(stats.entries <= 64 && stats.bytes <= 2000, "{stats:?}");
        books_balance(&stats);
        let room_is_given_back = (0..64).all(|key| memory.insert(1000 + key, 0) == Inserted::Stored);
        assert!(room_is_given_back && memory.len() <= 64);
    }
}

#[test]
fn the_bound_holds_at_every_moment() {
    // One shard, so that its figures are one consistent look.
    let memory = Memory::new().with_shards(1).with_max_entries(10);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut looks = 0_u64;
            while !done.load(SeqCst) || looks == 0 {
                assert!(memory.len() <= 10);
                looks += 1;
            }
        });
        for key in 0..200_000_u64 {
            memory.insert(key, key);
        }
        done.store(true, SeqCst);
        watcher.join().expect("the bound held");
    });
    assert_eq!(memory.len(), 10);
}

#[test]
fn an_entry_may_take_all_room_of_all_shards() {
    let memory =
        Memory::new().with_shards(16).with_max_bytes(160).with_weigher(|_: &u64, bytes: &u64| *bytes);
    for key in 0..160 {
        memory.insert(key, 1);
    }
    assert_eq!(memory.insert(1000, 160), Inserted::Stored);
    assert_eq!((memory.len(), memory.get(&1000)), (1, Some(160)));
    assert_eq!(memory.insert(1001, 161), Inserted::TooLarge);
    assert_eq!(memory.get(&1000), Some(160));
}

#[test]
fn a_value_that_is_too_large_takes_the_older_one_with_it() {
    let memory = Memory::new().with_max_bytes(10).with_weigher(|_: &u8, bytes: &u64| *bytes);
    memory.insert(1, 5);
    assert_eq!(memory.insert(1, 11), Inserted::TooLarge);
    assert_eq!(memory.get(&1), None, "the older value is no longer true");
    assert_eq!(memory.stats().too_large, 1);
}

#[test]
fn the_listener_hears_every_departure_with_its_cause() {
    let (tell, heard) = mpsc::channel();
    let clock = ManualClock::new();
    let memory = Memory::new()
        .with_shards(1)
        .with_policy(Policy::Lru)
        .with_max_entries(2)
        .with_clock(Arc::new(clock.clone()))
        .with_sweep_every(None)
        .with_listener(move |key: &u8, value: &char, cause| tell.send((*key, *value, cause)).expect("heard"));
    memory.insert(1, 'a');
    memory.insert(1, 'b');
    memory.insert_with(2, 'c', Put::new().with_ttl(Ttl::from_millis(5)));
    memory.insert(3, 'd');
    clock.advance(Duration::from_millis(5));
    memory.insert(4, 'e');
    memory.remove(&3);
    memory.clear();
    let expected = [
        (1, 'a', Cause::Replaced),
        (1, 'b', Cause::Evicted),
        (2, 'c', Cause::Expired),
        (3, 'd', Cause::Removed),
        (4, 'e', Cause::Removed),
    ];
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_listener_that_panics_is_counted_and_still_called() {
    let memory = Memory::new().with_listener(|_: &u8, (): &(), _| panic!("a listener of the user"));
    for _ in 0..3 {
        memory.insert(1, ());
    }
    assert_eq!(memory.stats().listener_panics, 2);
    assert!(memory.contains(&1));
}

#[test]
fn a_listener_may_use_the_cache() {
    let other: Memory<u8, u8> = Memory::new().with_shards(1).with_max_entries(100);
    let archive = other.clone();
    let memory =
        Memory::new().with_shards(1).with_max_entries(1).with_listener(move |key: &u8, value: &u8, _| {
            archive.insert(*key, *value);
        });
    for key in 0..10 {
        memory.insert(key, key);
    }
    assert_eq!(other.len(), 9);
}

#[test]
fn expired_entries_are_freed_by_time_though_nobody_touches_them() {
    let clock = ManualClock::new();
    let (tell, heard) = mpsc::channel();
    let memory = Memory::new()
        .with_clock(Arc::new(clock.clone()))
        .with_sweep_every(Some(Duration::from_millis(1)))
        .with_listener(move |key: &u32, (): &(), cause| tell.send((*key, cause)).expect("heard"));
    for key in 0..5000 {
        memory.insert_with(key, (), Put::new().with_ttl(Ttl::from(Duration::from_mins(1))));
    }
    memory.insert(9000, ());
    clock.advance(Duration::from_mins(1));
    let freed: HashSet<u32> = (0..5000)
        .map(|_| heard.recv_timeout(HANG).expect("the sweeper frees what has expired"))
        .inspect(|(_, cause)| assert_eq!(*cause, Cause::Expired))
        .map(|(key, _)| key)
        .collect();
    assert_eq!(freed.len(), 5000);
    assert!(memory.contains(&9000));
}

/// Says when it is dropped.
struct Told(mpsc::Sender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[test]
fn a_dropped_cache_drops_its_entries_and_ends_its_thread() {
    let (tell, heard) = mpsc::channel();
    for round in 0..200 {
        let memory = Memory::new().with_sweep_every(Some(Duration::from_micros(50)));
        let put = Put::new().with_ttl(Ttl::from_secs(3600));
        memory.insert_with(round, Arc::new(Told(tell.clone())), put);
        drop(memory);
        // A thread that is just sweeping holds the cache for that moment; one that never ends would for ever.
        heard.recv_timeout(HANG).expect("the entry is dropped with its cache");
    }
}

#[test]
fn every_value_is_dropped_exactly_once() {
    static ALIVE: AtomicI64 = AtomicI64::new(0);
    #[derive(Debug)]
    struct Counted;
    impl Counted {
        fn new() -> Arc<Self> {
            ALIVE.fetch_add(1, SeqCst);
            Arc::new(Self)
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, SeqCst);
        }
    }
    let clock = ManualClock::new();
    let memory =
        Memory::new().with_max_entries(50).with_clock(Arc::new(clock.clone())).with_sweep_every(None);
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..20_000 {
        let key: u8 = random.random();
        let put = Put::new()
            .with_ttl(Ttl::from_millis(random.random_range(0..30)))
            .with_tags(Tags::new([(key % 5).to_string()]).expect("legal"));
        match random.random_range(0..9) {
            0..5 => {
                memory.insert_with(key, Counted::new(), put);
            }
            5 => {
                memory.remove(&key);
            }
            6 => clock.advance(Duration::from_millis(1)),
            7 if random.random_ratio(1, 20) => {
                memory.remove_tag("3");
            }
            _ => {
                memory.get(&key);
            }
        }
        assert_eq!(ALIVE.load(SeqCst), i64::try_from(memory.len()).expect("small"));
    }
    drop(memory);
    assert_eq!(ALIVE.load(SeqCst), 0);
}

/// Everything collides.
#[derive(Clone, Default)]
struct Seven;

impl BuildHasher for Seven {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        Self
    }
}

impl Hasher for Seven {
    fn write(&mut self, _: &[u8]) {}
    fn finish(&self) -> u64 {
        7
    }
}

#[test]
fn keys_whose_hashes_collide_stay_apart() {
    let memory = Memory::new().with_max_entries(300).with_policy(Policy::Lru).with_hasher(Seven);
    for key in 0..400_u32 {
        memory.insert(key, key);
    }
    assert_eq!(memory.len(), 300);
    assert!((100..400).all(|key| memory.get(&key) == Some(key)));
    assert!((0..100).all(|key| memory.get(&key).is_none()));
}

#[test]
fn nothing_of_a_victim_stays_with_who_comes_in_its_place() {
    let mut random = StdRng::seed_from_u64(7);
    let hour = Put::new().with_ttl(Ttl::from_secs(3600));
    let tagged = Put::new().with_tags(Tags::new(["t"]).expect("legal"));
    for policy in Policy::ALL {
        let memory: Memory<u64, u64> =
            Memory::new().with_policy(policy).with_shards(1).with_max_entries(32).with_sweep_every(None);
        let mut put = [(false, false); 64];
        for _ in 0..20_000 {
            let key = random.random_range(0..64);
            let (ends, is_tagged) =
                [(false, false), (false, false), (true, false), (false, true)][random.random_range(0..4)];
            let how = if ends {
                hour.clone()
            } else if is_tagged {
                tagged.clone()
            } else {
                Put::new()
            };
            assert!(memory.insert_with(key, key, how).is_stored());
            put[usize::try_from(key).expect("small")] = (ends, is_tagged);
            let held = || (0..64).zip(put).filter(|(key, _)| memory.contains(key));
            assert!(
                held().all(|(key, (ends, _))| memory.ttl(&key).is_some_and(|ttl| ttl.is_forever() != ends)),
                "{policy}"
            );
            assert_eq!(
                memory.count_tag("t"),
                held().filter(|(_, (_, is_tagged))| *is_tagged).count() as u64,
                "{policy}"
            );
        }
        let stats = memory.stats();
        assert_eq!((stats.entries, stats.bytes), (32, 32 * 16), "{policy}");
        books_balance(&stats);
    }
}

#[test]
fn readers_of_every_shard_know_what_its_policy_has_learned_by_evictions() {
    for policy in Policy::ALL {
        let memory: Memory<u32, u32> =
            Memory::new().with_policy(policy).with_shards(4).with_max_entries(8192).with_sweep_every(None);
        (0..16_384).for_each(|key| assert!(memory.insert(key, key).is_stored()));
        // A build for tests compares at each read what a shard believes with what its policy says.
        let found = (0..16_384).filter(|key| memory.get_with(key, |_| ()).is_some()).count();
        assert_eq!((found, memory.stats().hits), (8192, 8192), "{policy}");
    }
}

#[test]
fn an_entry_that_was_declined_was_not_used() {
    // The one is told of a use, the other finds it in the node.
    for (policy, accepted) in
        [Policy::Lru, Policy::Sieve].into_iter().flat_map(|it| [(it, false), (it, true)])
    {
        let memory = Memory::new().with_policy(policy).with_shards(1).with_max_entries(2);
        for key in 0..2 {
            memory.insert(key, key);
        }
        assert_eq!(memory.get_if(&0, |found| accepted.then(|| *found.value())), accepted.then_some(0));
        memory.insert(2, 2);
        assert_eq!(memory.contains(&0), accepted, "a use saves it from being the next to go");
        let stats = memory.stats();
        assert_eq!((stats.hits, stats.misses), (u64::from(accepted), 0));
        assert_eq!(memory.get_if(&9, |_| Some(())), None);
        assert_eq!(memory.stats().misses, 1, "what is not there is missed");
    }
}

#[test]
fn extremes_of_time_neither_panic_nor_wrap() {
    let clock = ManualClock::new();
    let memory = Memory::new().with_clock(Arc::new(clock.clone())).with_sweep_every(None);
    let lives = [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(u64::MAX), Duration::MAX];
    for (key, life) in (0..).zip(lives) {
        memory.insert_with(key, (), Put::new().with_ttl(life));
    }
    assert_eq!((0..4).filter(|key| memory.contains(key)).collect::<Vec<_>>(), [1, 2, 3]);
    clock.advance(Duration::from_nanos(1));
    assert!(!memory.contains(&1), "it lived for a nanosecond");
    clock.advance(Duration::from_hours(24 * 365 * 1000));
    memory.remove_expired();
    assert!(memory.contains(&3), "for ever is for ever");
    memory.insert_with(9, (), Put::new().with_ttl(Ttl::from_secs(1)));
    assert!(clock.now() > cache_core::Time::ZERO && memory.contains(&3));
}

#[test]
fn a_second_insert_without_a_life_ends_the_first_ones() {
    let clock = ManualClock::new();
    let memory = Memory::new().with_clock(Arc::new(clock.clone())).with_sweep_every(None);
    memory.insert_with(1, 'a', Put::new().with_ttl(Ttl::from_secs(1)));
    memory.insert(1, 'b');
    clock.advance(Duration::from_secs(10));
    memory.remove_expired();
    assert_eq!(memory.get(&1), Some('b'));
}

#[test]
fn clear_is_seen_at_once_in_the_same_instant() {
    let clock = ManualClock::new();
    let memory = Memory::new().with_clock(Arc::new(clock)).with_sweep_every(None);
    memory.insert(1, ());
    assert_eq!(memory.clear(), 1);
    assert!(!memory.contains(&1));
    assert_eq!(memory.insert(1, ()), Inserted::Stored);
    assert!(memory.contains(&1));
}

#[test]
fn a_tag_is_removed_while_others_write_it() {
    let memory: Memory<u32, ()> = Memory::new().with_max_entries(5000);
    let tagged = |tag: &str| Put::new().with_tags(Tags::new([tag]).expect("legal"));
    for key in 0..3000 {
        memory.insert_with(key, (), tagged("old"));
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            for key in 10_000..12_000 {
                memory.insert_with(key, (), tagged("old"));
            }
        });
        let removed = memory.remove_tag("old");
        assert!(removed >= 3000 - memory.stats().evicted, "{removed}");
    });
    assert!((0..3000).all(|key| !memory.contains(&key)), "whatever was there before is gone");
}

/// One shard tries the rules, the others have to go by what it found out: a loop that is larger than the cache is lost to
/// whoever stays with the rule that all begin with.
#[test]
fn all_shards_go_by_what_one_has_learned() {
    const SHARDS: usize = 8;
    const ENTRIES: u64 = 8_000;
    let memory = Memory::new().with_shards(SHARDS).with_max_entries(ENTRIES).with_policy(Policy::Adaptive);
    let mut hits = 0_u64;
    for round in 0..60 {
        for key in 0..ENTRIES * 5 / 2 {
            let hit = memory.get(&key).is_some();
            if !hit {
                memory.insert(key, ());
            }
            hits += u64::from(hit && round >= 30);
        }
    }
    assert!(hits > 30 * ENTRIES * 5 / 6, "{hits}: without advice it is some 160,000");
}
