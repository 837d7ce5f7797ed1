//! Every order of loads and invalidations: what was true before an invalidation is never seen after it.
//!
//! The source holds a number per key that only grows. A write changes the source and then invalidates; a load reads
//! the source when it begins and is held until the schedule lets it end. So a cached value that differs from the
//! source, or an answer older than its question, is a resurrection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use strata::{Cache, Options, Tags};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Down;

#[derive(Clone, Debug)]
enum Op {
    /// Asks for a key; the load, if one begins, is held.
    Ask(u8),
    AskMany(Vec<u8>),
    AskFresh(u8),
    /// Lets the load end that was held at this position.
    Land(usize),
    Remove(u8),
    RemoveTag(u8),
    RemovePrefix,
    Clear,
    Insert(u8),
    /// Drops a caller.
    GiveUp(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0_u8..3;
    prop_oneof![
        6 => key.clone().prop_map(Op::Ask),
        2 => prop::collection::vec(key.clone(), 1..4).prop_map(Op::AskMany),
        1 => key.clone().prop_map(Op::AskFresh),
        6 => (0_usize..4).prop_map(Op::Land),
        3 => key.clone().prop_map(Op::Remove),
        1 => (0_u8..2).prop_map(Op::RemoveTag),
        1 => Just(Op::RemovePrefix),
        1 => Just(Op::Clear),
        2 => key.prop_map(Op::Insert),
        1 => (0_usize..4).prop_map(Op::GiveUp),
    ]
}

type Source = Arc<Mutex<BTreeMap<u8, u32>>>;
type Held = Arc<Mutex<Vec<oneshot::Sender<()>>>>;

/// A caller, and for each key it asked for what the source held when it asked.
struct Asked {
    known: Vec<u32>,
    answer: JoinHandle<Vec<u32>>,
}

struct Run {
    cache: Cache<u8, u32>,
    source: Source,
    held: Held,
    asked: Vec<Asked>,
}

fn read(source: &Source, key: u8) -> u32 {
    source.lock().expect("whole").get(&key).copied().unwrap_or_default()
}

fn tags_of(key: u8) -> Tags {
    Tags::new([(key % 2).to_string()]).expect("legal")
}

/// Waits until the schedule lets this load end.
async fn hold(held: &Held) -> Result<(), Down> {
    let (land, landed) = oneshot::channel();
    held.lock().expect("whole").push(land);
    landed.await.map_err(|_| Down(0))
}

impl Run {
    fn new() -> Self {
        let cache = Cache::builder("schedule").build().expect("legal");
        Self { cache, source: Source::default(), held: Held::default(), asked: Vec::new() }
    }

    fn write(&self, concerned: impl Fn(u8) -> bool) {
        let mut source = self.source.lock().expect("whole");
        for key in (0..3).filter(|key| concerned(*key)) {
            *source.entry(key).or_default() += 1;
        }
    }

    fn ask(&mut self, key: u8, force: bool) {
        let (cache, source, held) = (self.cache.clone(), Arc::clone(&self.source), Arc::clone(&self.held));
        let known = vec![read(&self.source, key)];
        let answer = tokio::spawn(async move {
            let load = move || async move {
                let value = read(&source, key);
                hold(&held).await?;
                Ok::<_, Down>(value)
            };
            let options = Options::new().with_tags(tags_of(key)).with_force_refresh(force);
            let hit = cache.get_or_load(&key, load).with(options).await.expect("loads do not fail here");
            vec![*hit]
        });
        self.asked.push(Asked { known, answer });
    }

    fn ask_many(&mut self, keys: Vec<u8>) {
        let (cache, source, held) = (self.cache.clone(), Arc::clone(&self.source), Arc::clone(&self.held));
        let known = keys.iter().map(|key| read(&self.source, *key)).collect();
        let answer = tokio::spawn(async move {
            let load = move |missing: Vec<u8>| async move {
                let values = missing
                    .into_iter()
                    .map(|key| (key, strata::Loaded::new(read(&source, key)).with_tags(tags_of(key))));
                let values: Vec<_> = values.collect();
                hold(&held).await?;
                Ok::<_, Down>(values)
            };
            let hits = cache.get_or_load_many(&keys, load).await.expect("loads do not fail here");
            hits.into_iter().map(|hit| *hit.expect("every key exists")).collect()
        });
        self.asked.push(Asked { known, answer });
    }

    async fn apply(&mut self, op: Op) {
        match op {
            Op::Ask(key) => self.ask(key, false),
            Op::AskFresh(key) => self.ask(key, true),
            Op::AskMany(keys) => self.ask_many(keys),
            Op::Land(position) => self.land(position),
            Op::GiveUp(position) => {
                if position < self.asked.len() {
                    self.asked.swap_remove(position).answer.abort();
                }
            }
            Op::Insert(key) => {
                self.write(|written| written == key);
                let value = read(&self.source, key);
                let options = Options::new().with_tags(tags_of(key));
                self.cache.insert_with(key, value, options).await.expect("memory");
            }
            Op::Remove(key) => {
                self.write(|written| written == key);
                self.cache.remove(&key).await.expect("memory");
            }
            Op::RemoveTag(tag) => {
                self.write(|written| written % 2 == tag);
                self.cache.remove_tag(&tag.to_string()).await.expect("memory");
            }
            Op::RemovePrefix => {
                self.write(|_| true);
                self.cache.remove_prefix("").await.expect("memory");
            }
            Op::Clear => {
                self.write(|_| true);
                self.cache.clear().await.expect("memory");
            }
        }
    }

    fn land(&self, position: usize) {
        let mut held = self.held.lock().expect("whole");
        if position < held.len() {
            // A load ends with its cache only, so someone is always listening.
            held.remove(position).send(()).expect("the load waits");
        }
    }

    fn nothing_old_is_cached(&self) -> Result<(), TestCaseError> {
        for key in 0..3 {
            if let Some(hit) = self.cache.get_local(&key) {
                prop_assert_eq!(*hit, read(&self.source, key), "key {} came back from the past", key);
            }
        }
        Ok(())
    }

    /// Lets every load end and looks at every answer.
    async fn finish(mut self) -> Result<(), TestCaseError> {
        for asked in std::mem::take(&mut self.asked) {
            while !asked.answer.is_finished() {
                self.land(0);
                crate::settle().await;
            }
            let answers = asked.answer.await.expect("no panic");
            prop_assert_eq!(answers.len(), asked.known.len());
            for (answer, known) in answers.into_iter().zip(asked.known) {
                prop_assert!(
                    answer >= known,
                    "answered {answer}, though {known} was known when it was asked"
                );
            }
        }
        self.nothing_old_is_cached()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn what_was_invalidated_is_never_seen_again(ops in prop::collection::vec(op(), 0..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut run = Run::new();
            for op in ops {
                run.apply(op).await;
                crate::settle().await;
                run.nothing_old_is_cached()?;
            }
            run.finish().await
        })?;
    }
}
