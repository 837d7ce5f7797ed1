//! What many entries at once leave behind when they are removed by tag or by clear: nobody sees it, it goes first, and in
//! the end nothing of it is held.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use cache_core::{Clock, Tags, Time, Ttl};
use cache_memory::{Cause, Memory, Policy, Put};
use cache_testkit::clock::ManualClock;
use proptest::prelude::*;

use crate::model::books_balance;

fn tagged(names: &[&str]) -> Put {
    Put::new().with_tags(Tags::new(names).expect("legal"))
}

fn fill<V: Clone + Send + Sync + 'static>(memory: &Memory<u32, V>, keys: Range<u32>, value: &V, put: &Put) {
    keys.for_each(|key| assert!(memory.insert_with(key, value.clone(), put.clone()).is_stored()));
}

/// A way to remove many entries of a kind.
type Removal<V> = fn(&Memory<u32, V>) -> u64;

/// Both ways to remove all entries that are [`tagged`] with "t".
const WAYS: [Removal<Arc<()>>; 2] = [|memory| memory.remove_tag("t"), Memory::clear];

#[test]
fn a_part_that_was_removed_goes_before_the_rest() {
    for policy in Policy::ALL {
        let memory = Memory::new().with_max_entries(1000).with_shards(1).with_policy(policy);
        fill(&memory, 0..500, &(), &Put::new());
        fill(&memory, 500..1000, &(), &tagged(&["t"]));
        assert_eq!(memory.remove_tag("t"), 500);
        fill(&memory, 1000..1500, &(), &Put::new());
        let kept = (0..500).chain(1000..1500).filter(|key| memory.contains(key)).count();
        assert_eq!((kept, memory.stats().evicted, memory.stats().unfreed), (1000, 0, 0), "{policy}");
    }
}

#[test]
fn what_was_removed_is_dropped_and_its_room_given_back_though_nobody_comes() {
    for way in WAYS {
        let memory = Memory::new().with_max_entries(10_000).with_shards(2);
        let value = Arc::new(());
        fill(&memory, 0..10_000, &value, &tagged(&["t"]));
        assert_eq!(way(&memory), 10_000);
        assert!(memory.is_empty(), "nobody counts it any more");
        while memory.stats().unfreed > 0 || Arc::strong_count(&value) > 1 {
            thread::yield_now();
        }
        assert_eq!(memory.stats().bytes, 0);
        books_balance(&memory.stats());
    }
}

#[test]
fn who_listens_has_heard_of_each_when_the_call_returns() {
    for sweep in [None, Some(Duration::from_millis(1))] {
        for way in WAYS {
            let heard: Arc<Vec<AtomicU64>> = Arc::new((0..3000).map(|_| AtomicU64::new(0)).collect());
            let listening = Arc::clone(&heard);
            let memory = Memory::new().with_shards(2).with_sweep_every(sweep).with_listener(
                move |key: &u32, _: &Arc<()>, cause| {
                    assert_eq!(cause, Cause::Removed);
                    listening[*key as usize].fetch_add(1, SeqCst);
                },
            );
            fill(&memory, 0..3000, &Arc::new(()), &tagged(&["t"]));
            assert_eq!(way(&memory), 3000);
            // The sweeping thread may be in the middle of a slice that it took.
            while heard.iter().any(|heard| heard.load(SeqCst) == 0) {
                assert!(sweep.is_some(), "nobody else could tell");
                thread::yield_now();
            }
            assert!(heard.iter().all(|heard| heard.load(SeqCst) == 1), "each is told of once");
            assert_eq!((memory.stats().unfreed, memory.stats().listener_panics), (0, 0));
        }
    }
}

#[test]
fn a_newer_value_of_a_removed_key_takes_its_place() {
    for put in [Put::new(), tagged(&["t"]), tagged(&["u"]).with_ttl(Ttl::from_secs(60))] {
        let memory = Memory::new().with_shards(1);
        fill(&memory, 0..100, &1, &tagged(&["t"]));
        assert_eq!(memory.remove_tag("t"), 100);
        fill(&memory, 0..100, &2, &put);
        assert!((0..100).all(|key| memory.get(&key) == Some(2)));
        let stats = memory.stats();
        assert_eq!((stats.entries, stats.unfreed, stats.removed, stats.replaced), (100, 0, 100, 0));
        books_balance(&stats);
        memory.remove_expired();
        assert_eq!(memory.len(), 100, "whoever frees the dead does not take the living");
    }
}

#[test]
fn none_of_the_expired_counts_as_removed() {
    let ways: [Removal<()>; 2] = [|memory| memory.remove_tag("t"), Memory::clear];
    for way in ways {
        let clock = ManualClock::new();
        let memory = Memory::new().with_shards(1).with_clock(Arc::new(clock.clone()));
        fill(&memory, 0..1000, &(), &tagged(&["t"]).with_ttl(Ttl::from_secs(1)));
        fill(&memory, 1000..1500, &(), &tagged(&["t"]));
        clock.advance(Duration::from_secs(1));
        assert_eq!(way(&memory), 500);
        let stats = memory.stats();
        assert_eq!((stats.removed, stats.expired, stats.entries), (500, 1000, 0));
    }
}

#[test]
fn what_was_removed_before_is_no_matter_for_who_removes_next() {
    let memory = Memory::new().with_shards(1);
    fill(&memory, 0..2000, &(), &tagged(&["a", "b"]));
    fill(&memory, 2000..2100, &(), &tagged(&["b"]));
    assert_eq!((memory.remove_tag("a"), memory.count_tag("b")), (2000, 100));
    assert_eq!(memory.remove_if(|key, ()| *key < 2001), 1);
    assert_eq!((memory.remove_tag("b"), memory.clear()), (99, 0));
    books_balance(&memory.stats());
}

/// A map and a clock; what is removed many at a time, from caches that free it behind.
struct Pair {
    clock: ManualClock,
    memory: Memory<u32, u32>,
    model: BTreeMap<u32, (u32, Time, u8)>,
}

impl Pair {
    fn remove_if(&mut self, doomed: impl Fn(u32, u8) -> bool) -> u64 {
        let now = self.clock.now();
        let mut removed = 0;
        self.model.retain(|key, (_, end, bits)| {
            let goes = doomed(*key, *bits);
            removed += u64::from(goes && now < *end);
            !goes
        });
        removed
    }

    fn apply(&mut self, number: u32, (what, key, bits): (u32, u32, u8)) -> Result<(), TestCaseError> {
        let (now, tag) = (self.clock.now(), bits % 3);
        match what {
            0..4 => {
                let ttl = [Ttl::FOREVER, Ttl::from_millis(u64::from(bits) + 1)][usize::from(bits > 60)];
                let names = (0..3_u8).filter(|tag| bits >> tag & 1 == 1).map(|tag| tag.to_string());
                let put = Put::new().with_ttl(ttl).with_tags(Tags::new(names).expect("legal"));
                for key in key..key + 90 {
                    self.memory.insert_with(key, number, put.clone());
                    let end = ttl.finite().map_or(Time::NEVER, |ttl| now.after(ttl));
                    self.model.insert(key, (number, end, bits));
                }
            }
            4 | 5 => {
                let expected = self.remove_if(|_, bits| bits >> tag & 1 == 1);
                prop_assert_eq!(self.memory.remove_tag(&tag.to_string()), expected);
            }
            6 => {
                let expected = self.remove_if(|key, _| key % 3 == u32::from(tag));
                prop_assert_eq!(self.memory.remove_if(|key, _| key % 3 == u32::from(tag)), expected);
            }
            7 => {
                let expected = self.remove_if(|key, bits| key % 2 != 1 && bits >> tag & 1 == 1);
                let doomed = |key: &u32, _: &u32| key % 2 != 1;
                prop_assert_eq!(self.memory.remove_tag_if(&tag.to_string(), doomed), expected);
            }
            8 => {
                let expected = self.model.get(&key).filter(|(_, end, _)| now < *end).map(|held| held.0);
                self.model.remove(&key);
                prop_assert_eq!(self.memory.remove(&key), expected);
            }
            9 => {
                let ttl = [Ttl::FOREVER, Ttl::from_millis(50)][usize::from(bits % 2)];
                let alive = self.model.get_mut(&key).filter(|(_, end, _)| now < *end);
                prop_assert_eq!(self.memory.touch(&key, ttl), alive.is_some());
                if let Some((_, end, _)) = alive {
                    *end = ttl.finite().map_or(Time::NEVER, |ttl| now.after(ttl));
                }
            }
            10 => self.clock.advance(Duration::from_millis(u64::from(bits))),
            11 => {
                let expected = self.remove_if(|_, _| true);
                prop_assert_eq!(self.memory.clear(), expected);
            }
            _ => {
                self.memory.remove_expired();
                prop_assert_eq!(self.memory.stats().unfreed, 0);
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let now = self.clock.now();
        let living = |tag: Option<u8>| -> BTreeMap<u32, u32> {
            let alive = self
                .model
                .iter()
                .filter(|(_, (_, end, bits))| now < *end && tag.is_none_or(|tag| bits >> tag & 1 == 1));
            alive.map(|(key, held)| (*key, held.0)).collect()
        };
        let all = living(None);
        for (key, found) in (0..300).zip(self.memory.get_many(&(0..300).collect::<Vec<_>>())) {
            let expected = all.get(&key).copied();
            prop_assert_eq!((found, self.memory.get(&key)), (expected, expected), "{}", key);
            prop_assert_eq!(self.memory.contains(&key), expected.is_some());
        }
        let mut seen = BTreeMap::new();
        self.memory.for_each(|found| _ = seen.insert(*found.key(), *found.value()));
        prop_assert_eq!(seen, all);
        for tag in 0..3 {
            let mut seen = BTreeMap::new();
            let name = tag.to_string();
            self.memory.for_each_with_tag(&name, |found| _ = seen.insert(*found.key(), *found.value()));
            prop_assert_eq!(seen, living(Some(tag)));
        }
        books_balance(&self.memory.stats());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn agrees_with_a_map_whoever_frees_and_whenever(
        ops in prop::collection::vec((0_u32..13, 0_u32..200, 0_u8..80), 0..30),
        policy in prop::sample::select(Policy::ALL.to_vec()),
        shards in prop::sample::select(vec![1, 2]),
        sweeps in any::<bool>(),
    ) {
        let clock = ManualClock::new();
        let memory = Memory::new()
            .with_policy(policy)
            .with_shards(shards)
            .with_clock(Arc::new(clock.clone()))
            .with_sweep_every(sweeps.then_some(Duration::from_hours(1)));
        let mut pair = Pair { clock, memory, model: BTreeMap::new() };
        for (number, op) in (0..).zip(ops) {
            pair.apply(number, op)?;
            pair.check()?;
        }
        pair.memory.remove_expired();
        let alive = pair.model.values().filter(|(_, end, _)| pair.clock.now() < *end).count();
        prop_assert_eq!(pair.memory.len(), alive as u64);
    }
}

#[test]
fn no_reader_sees_what_was_removed_before_it_looked() {
    const KEYS: u32 = 1000;
    let ways: [Removal<u64>; 2] = [|memory| memory.remove_tag("t"), Memory::clear];
    for (remove, ttl) in ways.into_iter().flat_map(|way| [(way, Ttl::FOREVER), (way, Ttl::from_secs(3600))]) {
        let memory = Memory::new().with_max_entries(1500).with_shards(2);
        let (floor, done) = (AtomicU64::new(0), AtomicBool::new(false));
        let read = |from: u32| {
            let mut key = from;
            while !done.load(SeqCst) {
                let removed = floor.load(SeqCst);
                key = (key + 7) % KEYS;
                let found = memory.get_many(&[key, (key + 1) % KEYS]);
                assert!(found.into_iter().flatten().all(|version| version > removed));
                let peeked = memory.peek_with(&key, |found| *found.value());
                assert!(peeked.is_none_or(|version| version > removed), "{peeked:?} after {removed}");
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| read(0));
            scope.spawn(|| read(1));
            scope.spawn(|| {
                // Untagged and many, so that the others are evicted and the dead freed in between.
                let mut key = 0;
                while !done.load(SeqCst) {
                    key = (key + 1) % 4000;
                    memory.insert(KEYS + key, u64::MAX);
                }
            });
            for version in 1..=60 {
                fill(&memory, 0..KEYS, &version, &tagged(&["t"]).with_ttl(ttl));
                remove(&memory);
                floor.store(version, SeqCst);
            }
            done.store(true, SeqCst);
        });
        let stats = memory.stats();
        assert!(stats.entries + stats.unfreed <= 1500, "{stats:?}");
        books_balance(&stats);
    }
}
