//! The memory tier against the obvious one: a map and a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Clock, Tags, Time, Ttl};
use cache_memory::{Inserted, Memory, Policy, Put, Stats};
use cache_testkit::clock::ManualClock;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Insert { key: u8, ttl: Option<u64>, tags: Vec<u8> },
    Refuse { key: u8 },
    Get(u8),
    Touch { key: u8, ttl: u64 },
    Remove(u8),
    RemoveTag(u8),
    RemovePrefix(u8),
    Advance(u64),
    RemoveExpired,
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0_u8..24;
    let millis = prop_oneof![Just(0), 1_u64..5, 1_u64..5000, Just(u64::MAX)];
    prop_oneof![
        8 => (key.clone(), prop::option::of(millis.clone()), prop::collection::vec(0_u8..3, 0..3))
            .prop_map(|(key, ttl, tags)| Op::Insert { key, ttl, tags }),
        1 => key.clone().prop_map(|key| Op::Refuse { key }),
        8 => key.clone().prop_map(Op::Get),
        2 => (key.clone(), millis).prop_map(|(key, ttl)| Op::Touch { key, ttl }),
        2 => key.prop_map(Op::Remove),
        1 => (0_u8..4).prop_map(Op::RemoveTag),
        1 => (0_u8..3).prop_map(Op::RemovePrefix),
        3 => prop_oneof![1_u64..5, 1_u64..5000].prop_map(Op::Advance),
        1 => Just(Op::RemoveExpired),
        1 => Just(Op::Clear),
    ]
}

/// The obvious cache: it forgets nothing but what has expired or was removed.
#[derive(Default)]
struct Model {
    entries: BTreeMap<String, (u32, Time, BTreeSet<String>)>,
}

impl Model {
    fn alive(&self, key: &str, now: Time) -> Option<u32> {
        self.entries.get(key).filter(|(_, expires, _)| now < *expires).map(|(value, ..)| *value)
    }

    fn remove_if(&mut self, now: Time, doomed: impl Fn(&str, &BTreeSet<String>) -> bool) -> u64 {
        let mut removed = 0;
        self.entries.retain(|key, (_, expires, tags)| {
            let goes = doomed(key, tags);
            removed += u64::from(goes && now < *expires);
            !goes
        });
        removed
    }
}

fn key_text(key: u8) -> String {
    format!("{}:{key}", key % 3)
}

fn end(now: Time, ttl: Ttl) -> Time {
    ttl.finite().map_or(Time::NEVER, |ttl| now.after(ttl))
}

struct Pair {
    clock: ManualClock,
    memory: Memory<String, u32>,
    model: Model,
}

impl Pair {
    fn new(policy: Policy, shards: usize) -> Self {
        let clock = ManualClock::new();
        let memory = Memory::new()
            .with_policy(policy)
            .with_shards(shards)
            .with_clock(Arc::new(clock.clone()))
            .with_sweep_every(None);
        Self { clock, memory, model: Model::default() }
    }

    fn apply(&mut self, number: u32, op: &Op) -> Result<(), TestCaseError> {
        let now = self.clock.now();
        match op {
            Op::Insert { key, ttl, tags } => self.insert(number, *key, *ttl, tags)?,
            Op::Refuse { key } => {
                let outcome = self.memory.insert_if(key_text(*key), number, Put::new(), || false);
                prop_assert_eq!(outcome, Inserted::Refused);
            }
            Op::Get(key) => {
                let key = key_text(*key);
                let expected = self.model.alive(&key, now);
                prop_assert_eq!(self.memory.get(&key), expected);
                prop_assert_eq!(self.memory.contains(&key), expected.is_some());
                let left = expected.map(|_| Ttl::between(now, self.model.entries[&key].1));
                prop_assert_eq!(self.memory.ttl(&key), left);
            }
            Op::Touch { key, ttl } => {
                let (key, ttl) = (key_text(*key), Ttl::from_millis(*ttl));
                let alive = self.model.alive(&key, now).is_some();
                prop_assert_eq!(self.memory.touch(&key, ttl), alive);
                if alive && ttl.is_zero() {
                    self.model.entries.remove(&key);
                } else if alive {
                    self.model.entries.get_mut(&key).expect("alive").1 = end(now, ttl);
                }
            }
            Op::Remove(key) => {
                let key = key_text(*key);
                prop_assert_eq!(self.memory.remove(&key), self.model.alive(&key, now));
                self.model.entries.remove(&key);
            }
            Op::RemoveTag(tag) => {
                let tag = tag.to_string();
                let expected = self.model.remove_if(now, |_, tags| tags.contains(&tag));
                prop_assert_eq!(self.memory.remove_tag(&tag), expected);
            }
            Op::RemovePrefix(prefix) => {
                let prefix = format!("{prefix}:");
                let expected = self.model.remove_if(now, |key, _| key.starts_with(&prefix));
                prop_assert_eq!(self.memory.remove_prefix(&prefix), expected);
            }
            Op::Advance(millis) => self.clock.advance(Duration::from_millis(*millis)),
            Op::RemoveExpired => {
                self.memory.remove_expired();
                self.model.entries.retain(|_, (_, expires, _)| now < *expires);
                prop_assert_eq!(self.memory.len(), self.model.entries.len() as u64);
            }
            Op::Clear => {
                prop_assert_eq!(self.memory.clear(), self.model.remove_if(now, |_, _| true));
                prop_assert_eq!(self.memory.len(), 0);
            }
        }
        Ok(())
    }

    fn insert(&mut self, number: u32, key: u8, ttl: Option<u64>, tags: &[u8]) -> Result<(), TestCaseError> {
        let now = self.clock.now();
        let ttl = ttl.map_or(Ttl::FOREVER, Ttl::from_millis);
        let names: Vec<_> = tags.iter().map(u8::to_string).collect();
        let put = Put::new().with_ttl(ttl).with_tags(Tags::new(&names).expect("legal"));
        let stored = self.memory.insert_with(key_text(key), number, put).is_stored();
        prop_assert_eq!(stored, !ttl.is_zero());
        if stored {
            self.model.entries.insert(key_text(key), (number, end(now, ttl), names.into_iter().collect()));
        } else {
            self.model.entries.remove(&key_text(key));
        }
        Ok(())
    }
}

/// What is true of the figures whenever nothing is going on.
#[track_caller]
pub(crate) fn books_balance(stats: &Stats) {
    let left = stats.expired + stats.evicted + stats.replaced + stats.removed + stats.entries;
    assert_eq!(stats.inserts, left, "{stats:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_a_map_and_a_clock(
        ops in prop::collection::vec(op(), 0..120),
        policy in prop::sample::select(Policy::ALL.to_vec()),
        shards in prop::sample::select(vec![1, 4]),
    ) {
        let mut pair = Pair::new(policy, shards);
        for (number, op) in (0..).zip(&ops) {
            pair.apply(number, op)?;
        }
        books_balance(&pair.memory.stats());
        let now = pair.clock.now();
        let mut found = BTreeMap::new();
        pair.memory.for_each(|entry| {
            found.insert(entry.key().clone(), *entry.value());
        });
        let expected = pair.model.entries.iter().filter(|(_, (_, expires, _))| now < *expires);
        let expected: BTreeMap<_, _> = expected.map(|(key, (value, ..))| (key.clone(), *value)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_small_lru_holds_exactly_the_latest(
        keys in prop::collection::vec((0_u8..12, any::<bool>()), 0..300),
        capacity in 0_usize..6,
    ) {
        let memory =
            Memory::new().with_max_entries(capacity as u64).with_shards(1).with_policy(Policy::Lru);
        let mut latest: Vec<u8> = Vec::new();
        for (key, write) in keys {
            let known = latest.iter().position(|held| *held == key);
            prop_assert_eq!(memory.get(&key).is_some(), known.is_some());
            if known.is_some() || write {
                known.map(|at| latest.remove(at));
                latest.insert(0, key);
            }
            if write {
                prop_assert_eq!(memory.insert(key, ()).is_stored(), capacity > 0);
                latest.truncate(capacity);
            }
            prop_assert_eq!(memory.len(), latest.len() as u64);
        }
    }

    #[test]
    fn bytes_and_entries_never_exceed_their_bounds(
        writes in prop::collection::vec((0_u8..16, 0_u64..40, 0_u64..5), 1..300),
        max_entries in 0_u64..8,
        max_bytes in 0_u64..60,
        policy in prop::sample::select(Policy::ALL.to_vec()),
        shards in prop::sample::select(vec![1, 2, 8]),
    ) {
        let clock = ManualClock::new();
        let memory = Memory::new()
            .with_policy(policy)
            .with_shards(shards)
            .with_max_entries(max_entries)
            .with_max_bytes(max_bytes)
            .with_weigher(|_: &u8, bytes: &u64| *bytes)
            .with_clock(Arc::new(clock.clone()))
            .with_sweep_every(None);
        for (key, bytes, ttl) in writes {
            let ttl = if ttl == 0 { Ttl::FOREVER } else { Ttl::from_millis(ttl) };
            let stored = memory.insert_with(key, bytes, Put::new().with_ttl(ttl)).is_stored();
            prop_assert_eq!(stored, max_entries > 0 && bytes <= max_bytes);
            prop_assert_eq!(memory.get(&key), stored.then_some(bytes), "a stored value is there at once");
            let stats = memory.stats();
            prop_assert!(stats.entries <= max_entries && stats.bytes <= max_bytes, "{stats:?}");
            books_balance(&stats);
            clock.advance(Duration::from_millis(1));
        }
    }
}
