//! The memory tier at its edges: permits, lives, rooms, and code of the user that panics or comes back.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use allocation_counter::measure;
use cache_core::{Clock, Tags, Time, Ttl};
use cache_memory::{Cause, Inserted, Memory, Policy, Put};
use cache_testkit::clock::ManualClock;

use crate::HANG;
use crate::model::books_balance;

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
    let slot: Arc<OnceLock<Memory<u8, u8>>> = Arc::default();
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
fn an_end_beyond_all_that_can_be_waited_for_is_known_all_the_same() {
    let memory = Memory::new();
    let centuries = Duration::from_hours(200 * 365 * 24);
    memory.insert_with(1, (), Put::new().with_ttl(Ttl::from(centuries)));
    let ends = memory.get_with(&1, |found| found.expires()).expect("there");
    assert!(ends < Time::NEVER && ends >= Time::ZERO.after(centuries), "{ends:?}");
    assert_eq!(memory.peek_with(&1, |found| found.expires()), Some(ends));
}

#[test]
fn a_touched_entry_is_a_used_one() {
    let memory = Memory::new().with_shards(1).with_max_entries(2).with_policy(Policy::Lru);
    memory.insert(1, ());
    memory.insert(2, ());
    memory.touch(&1, Ttl::FOREVER);
    memory.insert(3, ());
    assert!(memory.contains(&1) && !memory.contains(&2));
    assert_eq!(memory.get_and_touch_with(&1, Ttl::from_secs(5), |found| *found.key()), Some(1));
    assert_eq!(memory.get_and_touch_with(&2, Ttl::from_secs(5), |found| *found.key()), None);
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

/// Empties a cache of eight entries.
type WayOut = fn(&Memory<String, u64>, &ManualClock);

#[test]
fn every_way_out_gives_the_room_back() {
    let ways: [(&str, WayOut); 8] = [
        ("clear", |memory, _| assert_eq!(memory.clear(), 8)),
        ("remove", |memory, _| assert!((0..8).all(|key| memory.remove(&format!("k{key}")).is_some()))),
        ("remove_tag", |memory, _| assert_eq!(memory.remove_tag("t"), 8)),
        ("remove_prefix", |memory, _| assert_eq!(memory.remove_prefix("k"), 8)),
        ("remove_if", |memory, _| assert_eq!(memory.remove_if(|_, _| true), 8)),
        ("touch", |memory, _| assert!((0..8).all(|key| memory.touch(&format!("k{key}"), Ttl::ZERO)))),
        ("insert", |memory, _| {
            let gone = |key| memory.insert_with(format!("k{key}"), 10, Put::new().with_ttl(Ttl::ZERO));
            assert!((0..8).all(|key| gone(key) == Inserted::Expired));
        }),
        ("time", |memory, clock| {
            clock.advance(Duration::from_mins(1));
            assert_eq!(memory.remove_expired(), 8);
        }),
    ];
    let clock = ManualClock::new();
    let memory = Memory::new()
        .with_shards(4)
        .with_max_entries(8)
        .with_max_bytes(80)
        .with_weigher(|_: &String, bytes: &u64| *bytes)
        .with_clock(Arc::new(clock.clone()))
        .with_sweep_every(None);
    for (way, empty) in ways.iter().flat_map(|way| [way, way]) {
        let put = Put::new().with_ttl(Duration::from_mins(1)).with_tags(Tags::new(["t"]).expect("legal"));
        let stored = |key| memory.insert_with(format!("k{key}"), 10, put.clone()).is_stored();
        assert!((0..8).all(stored), "{way}");
        assert_eq!((memory.len(), memory.stats().evicted), (8, 0), "before {way}");
        empty(&memory, &clock);
        assert_eq!((memory.len(), memory.stats().bytes), (0, 0), "after {way}");
    }
}

/// A clock that lowers the limit of a cache when it is read next: after an insert has begun, before it has the lock.
#[derive(Debug, Default)]
struct Lowering {
    is_armed: AtomicBool,
    memory: OnceLock<Memory<u64, u64>>,
}

impl Clock for Lowering {
    fn now(&self) -> Time {
        if self.is_armed.swap(false, SeqCst)
            && let Some(memory) = self.memory.get()
        {
            memory.set_limits(None, Some(100));
        }
        Time::from_nanos(1)
    }
}

#[test]
fn an_entry_that_has_become_too_large_on_its_way_evicts_nobody() {
    let clock = Arc::new(Lowering::default());
    let memory = Memory::new().with_weigher(|_: &u64, bytes: &u64| *bytes).with_max_bytes(1000);
    let memory = memory.with_shards(4).with_clock(Arc::<Lowering>::clone(&clock)).with_sweep_every(None);
    assert!(clock.memory.set(memory.clone()).is_ok());
    (0..100).for_each(|key| assert!(memory.insert(key, 1).is_stored()));
    clock.is_armed.store(true, SeqCst);
    assert_eq!(memory.insert_with(100, 500, Put::new().with_ttl(Ttl::from_secs(9))), Inserted::TooLarge);
    assert_eq!((memory.len(), memory.stats().too_large), (100, 1));
    books_balance(&memory.stats());
}

#[test]
fn what_has_left_by_itself_is_not_remembered_for_ever() {
    for policy in Policy::ALL {
        let memory: Memory<u64, u64> = Memory::new().with_shards(1).with_policy(policy);
        let pass = |keys: Range<u64>| {
            for key in keys {
                assert!(memory.insert(key, key).is_stored());
                memory.remove(&key.wrapping_sub(100));
            }
        };
        pass(0..10_000);
        let kept = measure(|| pass(10_000..110_000)).bytes_current;
        assert!(kept < 100_000, "{policy}: {kept} bytes for a hundred thousand keys that left");
    }
}

/// What a panic carries, and panics itself when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("what a panic carried");
    }
}

#[test]
fn a_panic_whose_payload_panics_too_goes_no_further() {
    let memory = Memory::new().with_listener(|_: &u64, _: &u64, _| std::panic::panic_any(Bomb));
    (0..3).for_each(|value| assert!(memory.insert(7, value).is_stored()));
    assert_eq!((memory.get(&7), memory.stats().listener_panics), (Some(2), 2));
}
