//! The cache against the obvious one: a map and a clock. Ten thousand random lives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cache_testkit::clock::ManualClock;
use cache_testkit::history::Books;
use proptest::prelude::*;
use strata::{Cache, Clock, LoadError, Loaded, Memory, Options, Pattern, Source, Stats, Tags, Time, Ttl};

use crate::Down;

#[derive(Clone, Debug)]
enum Op {
    Get(u8),
    GetMany(Vec<u8>),
    Insert(u8, Life),
    Load(u8, Life, bool),
    LoadMany(Vec<u8>, u8),
    Fail(u8),
    Touch(u8, u64),
    GetAndTouch(u8, u64),
    Remove(u8),
    RemoveMany(Vec<u8>),
    RemoveTag(u8),
    RemovePrefix(u8),
    RemovePattern(u8),
    Advance(u64),
    Clear,
}

#[derive(Clone, Debug)]
struct Life {
    ttl: Option<u64>,
    tags: Vec<u8>,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0_u8..10;
    let millis = prop_oneof![Just(0), 1_u64..200];
    let life = (prop::option::of(millis.clone()), prop::collection::vec(0_u8..3, 0..3))
        .prop_map(|(ttl, tags)| Life { ttl, tags });
    let keys = prop::collection::vec(0_u8..10, 0..4);
    prop_oneof![
        5 => key.clone().prop_map(Op::Get),
        1 => keys.clone().prop_map(Op::GetMany),
        4 => (key.clone(), life.clone()).prop_map(|(key, life)| Op::Insert(key, life)),
        5 => (key.clone(), life, any::<bool>()).prop_map(|(key, life, force)| Op::Load(key, life, force)),
        2 => (keys.clone(), key.clone()).prop_map(|(keys, absent)| Op::LoadMany(keys, absent)),
        1 => key.clone().prop_map(Op::Fail),
        1 => (key.clone(), millis.clone()).prop_map(|(key, ttl)| Op::Touch(key, ttl)),
        1 => (key.clone(), millis).prop_map(|(key, ttl)| Op::GetAndTouch(key, ttl)),
        2 => key.prop_map(Op::Remove),
        1 => keys.prop_map(Op::RemoveMany),
        1 => (0_u8..3).prop_map(Op::RemoveTag),
        1 => (0_u8..3).prop_map(Op::RemovePrefix),
        1 => (0_u8..3).prop_map(Op::RemovePattern),
        3 => (1_u64..100).prop_map(Op::Advance),
        1 => Just(Op::Clear),
    ]
}

struct Held {
    value: u32,
    expires: Time,
    tags: BTreeSet<String>,
}

struct Pair {
    clock: ManualClock,
    cache: Cache<(u8, u8), u32>,
    model: BTreeMap<(u8, u8), Held>,
    /// The number of the operation, which is what it stores.
    number: u32,
}

/// Keys in three groups, so that prefixes mean something.
fn key(number: u8) -> (u8, u8) {
    (number % 3, number)
}

impl Pair {
    fn new() -> Self {
        let clock = ManualClock::new();
        let memory = Memory::new().with_shards(2).with_clock(Arc::new(clock.clone())).with_sweep_every(None);
        let cache = Cache::builder("model").memory(memory).build().expect("legal");
        Self { clock, cache, model: BTreeMap::new(), number: 0 }
    }

    fn alive(&self, key: (u8, u8)) -> Option<u32> {
        let now = self.clock.now();
        self.model.get(&key).filter(|held| now < held.expires).map(|held| held.value)
    }

    fn store(&mut self, key: (u8, u8), value: u32, life: &Life) {
        let ttl = life.ttl.map_or(Ttl::FOREVER, Ttl::from_millis);
        if ttl.is_zero() {
            self.model.remove(&key);
            return;
        }
        let expires = ttl.finite().map_or(Time::NEVER, |ttl| self.clock.now().after(ttl));
        self.model.insert(key, Held { value, expires, tags: life.tags.iter().map(u8::to_string).collect() });
    }

    fn remove_if(&mut self, doomed: impl Fn(&(u8, u8), &Held) -> bool) -> u64 {
        let now = self.clock.now();
        let mut removed = 0;
        self.model.retain(|key, held| {
            let goes = doomed(key, held);
            removed += u64::from(goes && now < held.expires);
            !goes
        });
        removed
    }

    fn touched(&mut self, key: (u8, u8), ttl: u64) -> bool {
        if self.alive(key).is_none() {
            return false;
        }
        let now = self.clock.now();
        if ttl == 0 {
            self.model.remove(&key);
        } else if let Some(held) = self.model.get_mut(&key) {
            held.expires = now.after(Duration::from_millis(ttl));
        }
        true
    }

    async fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        self.number += 1;
        let cache = self.cache.clone();
        match op {
            Op::Get(k) => prop_assert_eq!(value(cache.get(&key(k)).await), self.alive(key(k))),
            Op::GetMany(ks) => {
                let keys: Vec<_> = ks.into_iter().map(key).collect();
                let found: Vec<_> = cache
                    .get_many(&keys)
                    .await
                    .expect("memory")
                    .iter()
                    .map(|hit| hit.as_deref().copied())
                    .collect();
                let expected: Vec<_> = keys.iter().map(|key| self.alive(*key)).collect();
                prop_assert_eq!(found, expected);
            }
            Op::Insert(k, life) => {
                let stored = cache.insert_with(key(k), self.number, options(&life)).await.expect("memory");
                self.store(key(k), self.number, &life);
                prop_assert_eq!(stored.is_stored(), self.alive(key(k)).is_some());
            }
            Op::Load(k, life, force) => self.load(&cache, key(k), &life, force).await?,
            Op::LoadMany(ks, absent) => self.load_many(&cache, ks, key(absent)).await?,
            Op::Fail(k) => {
                let number = self.number;
                let load = move || async move { Err::<u32, _>(Down(number)) };
                let answer = cache.get_or_load(&key(k), load).await;
                match (answer, self.alive(key(k))) {
                    (Ok(hit), Some(value)) => prop_assert_eq!(*hit, value),
                    (Err(LoadError::Failed(error)), None) => prop_assert_eq!(&*error, &Down(number)),
                    (answer, model) => prop_assert!(false, "{answer:?} but {model:?}"),
                }
            }
            Op::Touch(k, ttl) => {
                let there = cache.touch(&key(k), Ttl::from_millis(ttl)).await.expect("memory");
                prop_assert_eq!(there, self.touched(key(k), ttl));
            }
            Op::GetAndTouch(k, ttl) => {
                let expected = self.alive(key(k));
                prop_assert_eq!(value(cache.get_and_touch(&key(k), Ttl::from_millis(ttl)).await), expected);
                self.touched(key(k), ttl);
            }
            Op::Advance(millis) => self.clock.advance(Duration::from_millis(millis)),
            removal => self.remove(&cache, removal).await?,
        }
        Ok(())
    }

    async fn load(
        &mut self,
        cache: &Cache<(u8, u8), u32>,
        key: (u8, u8),
        life: &Life,
        force: bool,
    ) -> Result<(), TestCaseError> {
        let number = self.number;
        let load = move || async move { Ok::<_, Down>(number) };
        let options = options(life).with_force_refresh(force);
        let hit = cache.get_or_load(&key, load).with(options).await.expect("loaded");
        let there = self.alive(key).filter(|_| !force);
        prop_assert_eq!(*hit, there.unwrap_or(number));
        prop_assert_eq!(hit.source() == Source::Loader, there.is_none());
        if there.is_none() {
            self.store(key, number, life);
        }
        Ok(())
    }

    async fn load_many(
        &mut self,
        cache: &Cache<(u8, u8), u32>,
        numbers: Vec<u8>,
        absent: (u8, u8),
    ) -> Result<(), TestCaseError> {
        let keys: Vec<_> = numbers.into_iter().map(key).collect();
        let number = self.number;
        let load = move |missing: Vec<(u8, u8)>| async move {
            let found = missing.into_iter().filter(move |key| *key != absent);
            Ok::<_, Down>(found.map(move |key| (key, Loaded::new(number))))
        };
        let answers = cache.get_or_load_many(&keys, load).await.expect("loaded");
        let forever = Life { ttl: None, tags: Vec::new() };
        for key in &keys {
            if self.alive(*key).is_none() && *key != absent {
                self.store(*key, number, &forever);
            }
        }
        let answers: Vec<_> = answers.iter().map(|hit| hit.as_deref().copied()).collect();
        let expected: Vec<_> = keys.iter().map(|key| self.alive(*key)).collect();
        prop_assert_eq!(answers, expected);
        Ok(())
    }

    async fn remove(&mut self, cache: &Cache<(u8, u8), u32>, op: Op) -> Result<(), TestCaseError> {
        let (removed, expected) = match op {
            Op::Remove(k) => (
                u64::from(cache.remove(&key(k)).await.expect("memory")),
                self.remove_if(|held, _| *held == key(k)),
            ),
            Op::RemoveMany(ks) => {
                let keys: Vec<_> = ks.into_iter().map(key).collect();
                (
                    cache.remove_many(&keys).await.expect("memory"),
                    self.remove_if(|held, _| keys.contains(held)),
                )
            }
            Op::RemoveTag(tag) => {
                let tag = tag.to_string();
                (
                    cache.remove_tag(&tag).await.expect("memory"),
                    self.remove_if(|_, held| held.tags.contains(&tag)),
                )
            }
            Op::RemovePrefix(group) => (
                cache.remove_prefix(&(group, "")).await.expect("memory"),
                self.remove_if(|held, _| held.0 == group),
            ),
            Op::RemovePattern(last) => (
                cache
                    .remove_pattern(&Pattern::new(format!("*{last}")).expect("legal"))
                    .await
                    .expect("memory"),
                self.remove_if(|held, _| held.1 % 10 == last),
            ),
            _ => (cache.clear().await.expect("memory"), self.remove_if(|_, _| true)),
        };
        prop_assert_eq!(removed, expected);
        Ok(())
    }
}

fn options(life: &Life) -> Options {
    let tags = Tags::new(life.tags.iter().map(u8::to_string)).expect("legal");
    let options = Options::new().with_tags(tags);
    match life.ttl {
        Some(millis) => options.with_ttl(Ttl::from_millis(millis)),
        None => options,
    }
}

fn value(answer: strata::Result<Option<strata::Hit<u32>>>) -> Option<u32> {
    answer.expect("memory does not fail").map(|hit| *hit)
}

/// What can be compared of one cache's own counts. Numbers are copied, so how many are alive says nothing.
fn books(stats: &Stats) -> Books {
    let memory = stats.memory;
    Books {
        loads: stats.loads_begun,
        loads_ended: stats.loads_ok + stats.loads_failed + stats.loads_lost,
        inserts_less_removals: memory.inserts
            - (memory.removed + memory.expired + memory.evicted + memory.replaced),
        entries: memory.entries,
        alive: memory.entries,
        ..Books::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn agrees_with_a_map_and_a_clock(ops in prop::collection::vec(op(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut pair = Pair::new();
            for op in ops {
                pair.apply(op).await?;
            }
            for tag in 0..3_u8 {
                let now = pair.clock.now();
                let carries = |held: &&Held| now < held.expires && held.tags.contains(&tag.to_string());
                let expected = pair.model.values().filter(carries).count();
                let keys = pair.cache.keys_with_tag(&tag.to_string()).await.expect("memory");
                prop_assert_eq!(keys.len(), expected);
                let entries = pair.cache.entries_with_tag(&tag.to_string()).await.expect("memory");
                let values: BTreeMap<_, _> = entries.iter().map(|(key, hit)| (*key, **hit)).collect();
                let carried = pair.model.iter().filter(|(_, held)| carries(held));
                prop_assert_eq!(values, carried.map(|(key, held)| (*key, held.value)).collect());
            }
            let stats = pair.cache.stats();
            prop_assert_eq!((stats.in_flight, stats.loads_lost), (0, 0));
            prop_assert_eq!(books(&stats).check(), Ok(()));
            Ok(())
        })?;
    }
}
