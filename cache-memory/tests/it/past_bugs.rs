//! Bugs that other caches have had, each with the test that would have caught it.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use allocation_counter::measure;
use cache_core::{Clock, Priority, Tags, Time, Ttl};
use cache_memory::{Cause, Inserted, Memory, Policy, Put};
use cache_testkit::clock::ManualClock;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::HANG;
use crate::model::books_balance;

const MILLI: Duration = Duration::from_millis(1);

/// A cache whose values are their own weights.
fn weighed() -> Memory<u64, u64> {
    Memory::new().with_weigher(|_: &u64, bytes: &u64| *bytes)
}

fn put(ttl: impl Into<Ttl>) -> Put {
    Put::new().with_ttl(ttl)
}

/// moka#590: with keys that came again while others were new, the eviction stalled, 66 times over the limit.
#[test]
fn writers_that_use_half_their_keys_again_never_stall_the_eviction() {
    const MAX_BYTES: u64 = 10_000;
    for policy in Policy::ALL {
        // One shard, so that its figures are one consistent look.
        let memory = weighed().with_shards(1).with_policy(policy).with_max_bytes(MAX_BYTES);
        let write = |writer: u64| {
            let mut random = StdRng::seed_from_u64(writer);
            for number in 0..4000 {
                let fresh = writer << 32 | number;
                let key = if number % 2 == 0 { random.random_range(0..500) } else { fresh };
                assert_eq!(memory.insert(key, random.random_range(1..100)), Inserted::Stored);
                let bytes = memory.stats().bytes;
                assert!(bytes <= MAX_BYTES, "{policy}: {bytes}");
            }
        };
        thread::scope(|scope| (0..16).for_each(|writer| drop(scope.spawn(move || write(writer)))));
        books_balance(&memory.stats());
    }
}

/// moka#565: an entry whose end was taken away stayed in the timer wheel.
#[test]
fn ends_that_are_set_and_taken_away_by_many_threads_at_once_are_kept() {
    let clock = ManualClock::new();
    let memory = Memory::new().with_shards(2).with_clock(Arc::new(clock.clone())).with_sweep_every(None);
    let change = |seed| {
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..10_000 {
            let key = random.random_range(0..64);
            let ttl =
                if random.random() { Ttl::FOREVER } else { Ttl::from_millis(random.random_range(1..9)) };
            match random.random_range(0..8) {
                0..3 => assert!(memory.insert_with(key, key, put(ttl)).is_stored()),
                3..7 => assert!(memory.touch(&key, ttl) || !ttl.is_zero()),
                _ => {
                    clock.advance(MILLI);
                    memory.remove_expired();
                }
            }
        }
    };
    let change = &change;
    thread::scope(|scope| (0..4).for_each(|seed| drop(scope.spawn(move || change(seed)))));
    books_balance(&memory.stats());
    (0..64).for_each(|key| assert!(memory.insert_with(key, key, put(MILLI)).is_stored()));
    (0..32).for_each(|key| assert!(memory.touch(&key, Ttl::FOREVER)));
    clock.advance(MILLI);
    assert_eq!(memory.remove_expired(), 32);
    clock.advance(Duration::from_hours(24));
    assert!((0..64).all(|key| memory.contains(&key) == (key < 32)));
}

/// moka#472: a life of an unusual length panicked.
#[test]
fn a_touch_takes_any_life() {
    let clock = ManualClock::new();
    let memory = Memory::new().with_clock(Arc::new(clock.clone())).with_sweep_every(None);
    let century = Duration::from_hours(100 * 366 * 24);
    let lives = [
        Ttl::from_secs(u64::MAX),
        Ttl::from_millis(u64::MAX),
        Ttl::from(century),
        Ttl::FOREVER,
        Ttl::from_secs(1),
    ];
    for (key, life) in (0..).zip(lives) {
        memory.insert_with(key, (), put(Duration::from_nanos(1)));
        assert!(memory.touch(&key, life));
    }
    clock.advance(Duration::from_nanos(999_999_999));
    assert!((0..5).all(|key| memory.contains(&key)));
    clock.advance(century.saturating_sub(Duration::from_secs(1)));
    memory.remove_expired();
    assert_eq!((0..5).filter(|key| memory.contains(key)).collect::<Vec<_>>(), [0, 1, 2, 3]);
    clock.advance(Duration::from_nanos(1));
    assert!(!memory.contains(&2));
}

/// moka#412: writers and maintenance kept each other busy for ever.
#[test]
fn writers_and_endless_maintenance_come_to_an_end() {
    let (tell, heard) = mpsc::channel();
    let running = thread::spawn(move || {
        let memory = weighed().with_shards(4).with_max_entries(100).with_max_bytes(5000);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let maintain = scope.spawn(|| {
                for policy in Policy::ALL.into_iter().cycle().take_while(|_| !done.load(SeqCst)) {
                    memory.remove_expired();
                    memory.set_policy(policy);
                    memory.set_limits(Some(10), Some(500));
                    memory.remove_if(|key, _| key % 64 == 0);
                    memory.set_limits(Some(100), Some(5000));
                }
            });
            let write = |writer: u64| {
                for number in 0..300 {
                    let outcome = memory.insert_with(writer << 32 | number, number % 100, put(MILLI));
                    assert_eq!(outcome, Inserted::Stored);
                }
            };
            let writers: Vec<_> = (0..64).map(|writer| scope.spawn(move || write(writer))).collect();
            for writer in writers {
                writer.join().expect("no panic");
            }
            done.store(true, SeqCst);
            maintain.join().expect("no panic");
        });
        books_balance(&memory.stats());
        tell.send(memory.stats().entries).expect("awaited");
    });
    let held = heard.recv_timeout(HANG).expect("writers and maintenance end");
    assert!(held <= 100, "{held}");
    running.join().expect("no panic");
}

/// moka#363: an entry with a new life shortly before its end was gone for a moment.
#[test]
fn an_entry_with_a_new_life_before_each_end_is_never_gone() {
    let clock = ManualClock::new();
    for policy in Policy::ALL {
        let memory =
            Memory::new().with_policy(policy).with_clock(Arc::new(clock.clone())).with_sweep_every(None);
        // Lives of all levels of the wheel but the highest.
        for (key, life) in
            (0..).zip([1, 60, 4000, 250_000, 16_000_000, 1_000_000_000].map(Duration::from_millis))
        {
            memory.insert_with(key, key, put(life));
            for _ in 0..200 {
                clock.advance(life.saturating_sub(Duration::from_nanos(1)));
                memory.remove_expired();
                assert_eq!(memory.get(&key), Some(key), "{policy}, {life:?}");
                assert!(memory.touch(&key, life));
            }
            clock.advance(life);
            assert_eq!(memory.get(&key), None);
        }
    }
}

/// moka#309: an insert that was broken off left an entry that no policy knew of.
#[test]
fn an_insert_that_panics_on_its_way_leaves_nothing_behind() {
    let departures = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&departures);
    let memory = weighed()
        .with_shards(4)
        .with_max_entries(16)
        .with_max_bytes(160)
        .with_listener(move |_: &u64, _: &u64, _| {
            counted.fetch_add(1, SeqCst);
        })
        // A hash without chance: so few keys may, under a seed in a hundred, all be of one shard.
        .with_hasher(BuildHasherDefault::<DefaultHasher>::default());
    (0..16).for_each(|key| assert!(memory.insert(key, 10).is_stored()));
    // Large enough to need what other shards hold, so that the permit is asked again after evictions.
    for asked in 1..5 {
        let calls = AtomicU64::new(0);
        let permit = || {
            assert!(calls.fetch_add(1, SeqCst) + 1 < asked, "a permit of the user");
            true
        };
        let attempt = || memory.insert_if(99, 160, Put::new(), permit);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt)).is_err(), "call {asked}");
        assert!(!memory.contains(&99));
        books_balance(&memory.stats());
        let stats = memory.stats();
        assert_eq!(departures.load(SeqCst), stats.inserts - stats.entries, "whoever left was announced");
    }
    let before = memory.stats().evicted;
    (100..116).for_each(|key| assert!(memory.insert(key, 10).is_stored()));
    assert_eq!((memory.len(), memory.stats().bytes), (16, 160), "no room was lost");
    assert!(memory.stats().evicted > before, "and all of it can be taken again");
}

/// moka#322: where a listener took long, lives were counted from another moment than that of the insert.
#[test]
fn a_slow_listener_shifts_no_life() {
    let clock = ManualClock::new();
    let slow = clock.clone();
    let memory = Memory::new()
        .with_max_entries(1)
        .with_clock(Arc::new(clock.clone()))
        .with_sweep_every(None)
        .with_listener(move |_: &u64, (): &(), _| slow.advance(Duration::from_secs(5)));
    for key in 0..10 {
        let begun = clock.now();
        memory.insert_with(key, (), put(Duration::from_mins(1)));
        let expires = memory.peek_with(&key, |found| found.expires());
        assert_eq!(expires, Some(begun.after(Duration::from_mins(1))), "insert {key}");
    }
    let begun = clock.now();
    memory.insert_with(9, (), put(Duration::from_mins(1)));
    assert_eq!(memory.peek_with(&9, |found| found.expires()), Some(begun.after(Duration::from_mins(1))));
}

/// moka#267: after some tens of millions of inserts the sketch of frequencies overflowed.
#[test]
fn what_a_policy_remembers_never_overflows() {
    for policy in Policy::ALL {
        // So small that everything counted ages many thousand times, and each key in its turn is all that counts.
        let memory = Memory::new().with_shards(1).with_max_entries(16).with_policy(policy);
        let mut random = StdRng::seed_from_u64(16);
        for number in 0..500_000 {
            let key = if number % 3 == 0 { random.random_range(0..64) } else { number / 100 % 64 };
            if number % 3 == 1 {
                memory.remove(&key);
            }
            if memory.get(&key).is_none() {
                memory.insert(key, key);
            }
        }
        assert_eq!(memory.len(), 16, "{policy}");
        books_balance(&memory.stats());
    }
}

/// moka#295: with a listener, a table beside the entries grew with every key that was ever seen.
#[test]
fn a_flood_of_a_million_tagged_keys_with_ends_leaves_no_memory_behind() {
    let clock = ManualClock::new();
    let memory = Memory::new()
        .with_shards(1)
        .with_max_entries(1000)
        .with_clock(Arc::new(clock.clone()))
        .with_sweep_every(None)
        .with_listener(|_: &u64, (): &(), _| {});
    let flood = |keys: std::ops::Range<u64>| {
        for key in keys {
            let tags = Tags::new([key.to_string()]).expect("legal");
            memory.insert_with(key, (), put(MILLI * 2000).with_tags(tags));
            clock.advance(Duration::from_micros(100));
        }
    };
    flood(0..10_000);
    let kept = measure(|| flood(10_000..1_010_000)).bytes_current;
    assert!(kept < 1_000_000, "{kept} bytes more than after ten thousand keys: one for each of a million");
    assert_eq!(memory.len(), 1000);
    // Who has been kept for two seconds may have ended just now, and is not counted.
    assert!(memory.clear() > 900);
    assert_eq!(memory.count_tag("1009999"), 0);
}

/// moka#408: where large values followed small ones, the limit was exceeded several times over for long.
#[test]
fn small_values_make_way_for_large_ones_at_every_step() {
    const MAX_BYTES: u64 = 1 << 20;
    for policy in Policy::ALL {
        let memory = weighed().with_shards(8).with_policy(policy).with_max_bytes(MAX_BYTES);
        (0..4096).for_each(|key| assert!(memory.insert(key, 512).is_stored()));
        for round in 1..4 {
            for key in 0..200 {
                // New keys, known keys, and both in turn.
                let key = if key % 2 == 0 { key } else { round << 32 | key };
                assert_eq!(memory.insert(key, 16 << 10), Inserted::Stored, "{policy}");
                assert_eq!(memory.get(&key), Some(16 << 10), "{policy}: a stored value is there at once");
                assert!(memory.stats().bytes <= MAX_BYTES, "{policy}: {}", memory.stats().bytes);
            }
        }
        books_balance(&memory.stats());
    }
}

/// `quick_cache`#98: where everything was in use or important, an insert never ended.
#[test]
fn entries_that_are_all_critical_and_in_use_make_room_all_the_same() {
    for policy in Policy::ALL {
        let memory = Memory::new().with_max_entries(50).with_policy(policy);
        let critical = Put::new().with_priority(Priority::Critical).with_cost(Duration::from_mins(1));
        let mut held = Vec::new();
        for key in 0..200 {
            assert_eq!(memory.insert_with(key, Arc::new(key), critical.clone()), Inserted::Stored);
            held.push(memory.get(&key).expect("just stored"));
        }
        assert_eq!(memory.len(), 50);
        assert!((0..200).zip(&held).all(|(key, value)| **value == key), "readers keep what they read");
    }
}

/// `quick_cache`#106: a cache for one entry held none.
#[test]
fn a_cache_for_none_one_or_two_holds_that_many() {
    for policy in Policy::ALL {
        for limit in 0..3 {
            let by_entries = weighed().with_policy(policy).with_max_entries(limit);
            let by_bytes = weighed().with_policy(policy).with_max_bytes(limit);
            for memory in [by_entries, by_bytes] {
                for key in 0..20 {
                    assert_eq!(memory.insert(key, 1).is_stored(), limit > 0, "{policy}, {limit}");
                    assert_eq!(memory.contains(&key), limit > 0, "{policy}, {limit}");
                }
                assert_eq!(memory.len(), limit, "{policy}");
            }
        }
    }
}

/// A clock that someone has set back, which the contract of clocks forbids.
#[derive(Debug)]
struct Unsteady(AtomicU64);

impl Clock for Unsteady {
    fn now(&self) -> Time {
        Time::ZERO.after(Duration::from_secs(self.0.load(SeqCst)))
    }
}

#[test]
fn a_clock_that_goes_back_neither_panics_nor_lengthens_a_life() {
    let clock = Arc::new(Unsteady(AtomicU64::new(10_000)));
    for policy in Policy::ALL {
        let memory = Memory::new().with_policy(policy).with_clock(clock.clone()).with_sweep_every(None);
        let at = |secs, key, alive: bool| {
            clock.0.store(secs, SeqCst);
            assert_eq!(memory.get(&key).is_some(), alive, "{policy}: key {key} at {secs}");
        };
        at(10_000, 0, false);
        memory.remove_expired();
        memory.insert_with(1, (), put(Duration::from_secs(10)));
        at(6400, 1, true);
        memory.insert_with(2, (), put(Duration::from_secs(10)));
        at(6409, 2, true);
        at(6410, 2, false);
        memory.remove_expired();
        at(10_009, 1, true);
        at(10_010, 1, false);
        memory.remove_expired();
        assert_eq!(memory.len(), 0, "{policy}");
    }
}

/// moka#391: a listener that had panicked once was never called again.
#[test]
fn a_listener_that_panics_each_time_hears_every_cause() {
    let clock = ManualClock::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&heard);
    let memory = Memory::new()
        .with_shards(1)
        .with_max_entries(1)
        .with_clock(Arc::new(clock.clone()))
        .with_sweep_every(None)
        .with_listener(move |_: &u64, (): &(), cause| {
            told.lock().expect("released before each panic").push(cause);
            panic!("a listener of the user");
        });
    memory.insert(1, ());
    memory.insert(1, ());
    memory.insert_with(2, (), put(MILLI));
    clock.advance(MILLI);
    memory.remove_expired();
    memory.insert(3, ());
    memory.remove(&3);
    let expected = [Cause::Replaced, Cause::Evicted, Cause::Expired, Cause::Removed];
    assert_eq!(*heard.lock().expect("released"), expected);
    assert_eq!(memory.stats().listener_panics, 4);
}
