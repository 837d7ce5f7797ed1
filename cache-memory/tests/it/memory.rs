//! The memory tier where a map cannot follow: threads, listeners, time's own hand, and code of the user that panics.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use cache_core::{Clock, Tags, Ttl};
use cache_memory::{Cause, Inserted, Memory, Policy, Put};
use cache_testkit::clock::ManualClock;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::model::books_balance;

/// Far beyond any scheduling delay: only a hang reaches it.
const HANG: Duration = Duration::from_secs(30);

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
    let memory = Memory::new().with_max_entries(300).with_hasher(Seven);
    for key in 0..400_u32 {
        memory.insert(key, key);
    }
    assert_eq!(memory.len(), 300);
    assert!((100..400).all(|key| memory.get(&key) == Some(key)));
    assert!((0..100).all(|key| memory.get(&key).is_none()));
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

/// A key whose comparison panics on demand.
#[derive(Clone, Debug)]
struct Fragile(u8, Arc<AtomicBool>);

impl PartialEq for Fragile {
    fn eq(&self, other: &Self) -> bool {
        assert!(!self.1.load(SeqCst), "a comparison of the user");
        self.0 == other.0
    }
}

impl Eq for Fragile {}

impl Hash for Fragile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[test]
fn user_code_that_panics_leaves_the_cache_usable() {
    let armed = Arc::new(AtomicBool::new(false));
    let key = |number| Fragile(number, Arc::clone(&armed));
    let memory = Memory::new().with_shards(1).with_max_entries(4).with_weigher(|_: &Fragile, value: &u8| {
        assert!(*value != 99, "a weigher of the user");
        1
    });
    for number in 0..4 {
        memory.insert(key(number), number);
    }
    armed.store(true, SeqCst);
    let attempts: [&dyn Fn(); 5] = [
        &|| {
            memory.get(&key(1));
        },
        &|| {
            memory.insert(key(1), 7);
        },
        &|| {
            memory.remove(&key(1));
        },
        &|| {
            memory.insert(key(9), 99);
        },
        &|| {
            memory.remove_if(|_, _| panic!("a predicate of the user"));
        },
    ];
    for attempt in attempts {
        assert!(catch_unwind(AssertUnwindSafe(attempt)).is_err());
    }
    armed.store(false, SeqCst);
    assert!((0..4).all(|number| memory.get(&key(number)) == Some(number)));
    assert_eq!(memory.insert(key(5), 5), Inserted::Stored);
    assert_eq!(memory.len(), 4);
    books_balance(&memory.stats());
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

#[test]
fn a_touch_starts_the_sweeper_and_a_zero_one_gives_the_room_back() {
    let clock = ManualClock::new();
    let (tell, heard) = mpsc::channel();
    let memory = Memory::new()
        .with_max_entries(2)
        .with_clock(Arc::new(clock.clone()))
        .with_sweep_every(Some(Duration::from_millis(1)))
        .with_listener(move |key: &u8, (): &(), cause| tell.send((*key, cause)).expect("heard"));
    memory.insert(1, ());
    assert!(memory.touch(&1, Ttl::from_secs(1)));
    clock.advance(Duration::from_secs(1));
    assert_eq!(heard.recv_timeout(HANG), Ok((1, Cause::Expired)));
    memory.insert(2, ());
    memory.insert(3, ());
    assert!(memory.touch(&2, Ttl::ZERO));
    assert_eq!(heard.recv_timeout(HANG), Ok((2, Cause::Removed)));
    memory.insert(4, ());
    assert_eq!(
        (memory.len(), memory.stats().evicted),
        (2, 0),
        "the room of the one that went was free again"
    );
}

#[test]
fn without_its_permit_an_insert_that_cannot_be_kept_changes_nothing_either() {
    let memory = Memory::new().with_max_bytes(10).with_weigher(|_: &u8, bytes: &u64| *bytes);
    memory.insert(1, 5);
    assert_eq!(memory.insert_if(1, 99, Put::new(), || false), Inserted::Refused);
    assert_eq!(memory.insert_if(1, 1, Put::new().with_ttl(Ttl::ZERO), || false), Inserted::Refused);
    assert_eq!(memory.get(&1), Some(5));
}

#[test]
fn the_listener_may_use_the_cache_that_calls_it() {
    let slot: Arc<std::sync::OnceLock<Memory<u8, u8>>> = Arc::default();
    let own = Arc::clone(&slot);
    let memory =
        Memory::new().with_shards(1).with_max_entries(4).with_listener(move |key: &u8, _: &u8, _| {
            let cache = own.get().expect("set before the first departure");
            assert!(!cache.contains(key) || cache.get(key) == Some(100));
        });
    slot.set(memory.clone()).expect("first");
    for key in 0..8 {
        memory.insert(key, key);
    }
    memory.insert(7, 100);
    memory.remove(&7);
    memory.remove_if(|key, _| *key == 6);
    memory.clear();
    assert_eq!((memory.len(), memory.stats().listener_panics), (0, 0));
}

#[test]
fn weights_without_a_limit_may_sum_to_anything() {
    let memory = Memory::new().with_shards(2).with_weigher(|_: &u8, bytes: &u64| *bytes);
    for key in 0..10 {
        assert_eq!(memory.insert(key, u64::MAX), Inserted::Stored);
    }
    assert!((0..10).all(|key| memory.contains(&key)));
    assert_eq!(memory.clear(), 10);
    assert_eq!((memory.stats().entries, memory.stats().bytes), (0, 0));
}

/// Panics when it is dropped, if it is told to.
struct Unruly(bool);

impl Drop for Unruly {
    fn drop(&mut self) {
        assert!(!self.0, "a drop of the user");
    }
}

#[test]
fn a_drop_that_panics_ends_neither_the_sweeper_nor_the_reports() {
    let clock = ManualClock::new();
    let (tell, heard) = mpsc::channel();
    let memory = Memory::new()
        .with_shards(1)
        .with_clock(Arc::new(clock.clone()))
        .with_sweep_every(Some(Duration::from_millis(1)))
        .with_listener(move |key: &u8, _: &Unruly, _| tell.send(*key).expect("heard"));
    for round in 0..3 {
        for key in 0..4 {
            memory.insert_with(key, Unruly(key == 1), Put::new().with_ttl(Ttl::from_secs(1)));
        }
        clock.advance(Duration::from_secs(1));
        let mut keys: Vec<u8> = (0..4).map(|_| heard.recv_timeout(HANG).expect("reported")).collect();
        keys.sort_unstable();
        assert_eq!(keys, [0, 1, 2, 3], "round {round}");
    }
}

#[test]
fn nothing_is_freed_before_its_time() {
    let clock = ManualClock::new();
    let memory = Memory::new().with_clock(Arc::new(clock.clone())).with_sweep_every(None);
    memory.insert_with(1, (), Put::new().with_ttl(Duration::from_micros(1500)));
    clock.advance(Duration::from_nanos(1_499_999));
    assert_eq!((memory.remove_expired(), memory.contains(&1)), (0, true));
    clock.advance(Duration::from_nanos(1));
    assert!(!memory.contains(&1), "not served after its time, though it is freed with the next tick");
    clock.advance(Duration::from_millis(1));
    assert_eq!(memory.remove_expired(), 1);
}

#[test]
fn a_touched_entry_is_a_used_one() {
    let memory = Memory::new().with_shards(1).with_max_entries(2);
    memory.insert(1, ());
    memory.insert(2, ());
    memory.touch(&1, Ttl::FOREVER);
    memory.insert(3, ());
    assert!(memory.contains(&1) && !memory.contains(&2));
    assert_eq!(memory.get_and_touch_with(&1, Ttl::from_secs(5), |found| *found.key), Some(1));
    assert_eq!(memory.get_and_touch_with(&2, Ttl::from_secs(5), |found| *found.key), None);
    assert_eq!((memory.stats().hits, memory.stats().misses), (1, 1));
    assert!(memory.ttl(&1).expect("there") <= Ttl::from_secs(5));
}

#[test]
fn a_cleared_cache_has_no_tags_left() {
    let memory = Memory::new().with_shards(1);
    let tagged = |tag: &str| Put::new().with_tags(Tags::new([tag]).expect("legal"));
    memory.insert_with(1, (), tagged("old"));
    memory.clear();
    memory.insert_with(2, (), tagged("new"));
    assert_eq!(memory.remove_tag("old"), 0, "the slot is someone else's now");
    assert!(memory.contains(&2));
}
