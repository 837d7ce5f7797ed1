//! Every order of loads and invalidations: what was true before an invalidation is never seen after it.
//!
//! The source holds a number per key that only grows. A write changes the source and then invalidates; a load reads
//! the source when it begins and is held until the schedule lets it end. So a cached value that differs from the
//! source, or an answer older than its question, is a resurrection. All of it is also noted in a history, which knows
//! lives and tags, and that one load at a time is enough.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache_core::Lifetime;
use cache_testkit::clock::ManualClock;
use cache_testkit::history::{Answer, Brought, History, Leaves, Moment, Of};
use proptest::prelude::*;
use strata::{Cache, Clock, Hit, Memory, Options, Pattern, Tags, Ttl};
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
    RemovePattern,
    Clear,
    Insert(u8),
    /// Drops a caller.
    GiveUp(usize),
    /// Lets time pass, in milliseconds.
    Pass(u64),
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
        1 => Just(Op::RemovePattern),
        1 => Just(Op::Clear),
        2 => key.prop_map(Op::Insert),
        1 => (0_usize..4).prop_map(Op::GiveUp),
        1 => (1_u64..60).prop_map(Op::Pass),
    ]
}

type Source = Arc<Mutex<BTreeMap<u8, u32>>>;
type Held = Arc<Mutex<Vec<oneshot::Sender<()>>>>;

/// A caller, and for each key it asked for what the source held when it asked.
struct Asked {
    known: Vec<u32>,
    reads: Vec<Moment>,
    answer: JoinHandle<Vec<u32>>,
}

struct Run {
    cache: Cache<u8, u32>,
    clock: ManualClock,
    source: Source,
    held: Held,
    asked: Vec<Asked>,
    history: Arc<History>,
}

/// What a loader needs to know of the run.
#[derive(Clone)]
struct Loader {
    clock: ManualClock,
    source: Source,
    held: Held,
    history: Arc<History>,
}

const TTL: Duration = Duration::from_millis(100);

fn read(source: &Source, key: u8) -> u32 {
    source.lock().expect("whole").get(&key).copied().unwrap_or_default()
}

fn tags_of(key: u8) -> Tags {
    Tags::new([(key % 2).to_string()]).expect("legal")
}

/// A value that is stored now.
fn brought(key: u8, value: u32, clock: &ManualClock) -> Brought {
    let life = Lifetime::new(clock.now(), Ttl::from(TTL));
    Brought::new(value.into()).with_life(life).with_tags([u64::from(key % 2)])
}

fn answer(hit: &Hit<u32>) -> Answer {
    Answer { value: u64::from(**hit), is_stale: hit.is_stale() }
}

/// Waits until the schedule lets this load end.
async fn hold(held: &Held) -> Result<(), Down> {
    let (land, landed) = oneshot::channel();
    held.lock().expect("whole").push(land);
    landed.await.map_err(|_| Down(0))
}

impl Loader {
    /// Reads the source for these keys, and has what it held then when the schedule says so.
    async fn load(self, keys: Vec<(u8, Moment)>) -> Result<Vec<(u8, u32)>, Down> {
        let begin = |(key, asked): &(u8, Moment)| self.history.load_begins((*key).into(), *asked);
        let loads: Vec<Moment> = keys.iter().map(begin).collect();
        let values: Vec<_> = keys.iter().map(|(key, _)| (*key, read(&self.source, *key))).collect();
        hold(&self.held).await?;
        for (load, (key, value)) in loads.into_iter().zip(&values) {
            self.history.load_brings(load, brought(*key, *value, &self.clock));
        }
        Ok(values)
    }
}

impl Run {
    fn new() -> Self {
        let clock = ManualClock::new();
        let memory = Memory::new().with_clock(Arc::new(clock.clone())).with_sweep_every(None);
        let options = Options::new().with_ttl(TTL);
        let cache = Cache::builder("schedule").memory(memory).options(options).build().expect("legal");
        let (source, held, history) = (Source::default(), Held::default(), Arc::default());
        Self { cache, clock, source, held, asked: Vec::new(), history }
    }

    fn loader(&self) -> Loader {
        Loader {
            clock: self.clock.clone(),
            source: Arc::clone(&self.source),
            held: Arc::clone(&self.held),
            history: Arc::clone(&self.history),
        }
    }

    fn write(&self, concerned: impl Fn(u8) -> bool) {
        let mut source = self.source.lock().expect("whole");
        for key in (0..3).filter(|key| concerned(*key)) {
            *source.entry(key).or_default() += 1;
        }
    }

    fn ask(&mut self, key: u8, force: bool) {
        let (cache, loader, history) = (self.cache.clone(), self.loader(), Arc::clone(&self.history));
        let known = vec![read(&self.source, key)];
        let release = force.then(|| history.release_begins());
        let asked = history.read_begins(key.into(), self.clock.now());
        let answer = tokio::spawn(async move {
            let load = move || async move { loader.load(vec![(key, asked)]).await.map(|values| values[0].1) };
            let options = Options::new().with_tags(tags_of(key)).with_force_refresh(force);
            let hit = cache.get_or_load(&key, load).with(options).await.expect("loads do not fail here");
            history.read_ends(asked, Some(answer(&hit)));
            if let Some(release) = release {
                history.ends(release);
            }
            vec![*hit]
        });
        self.asked.push(Asked { known, reads: vec![asked], answer });
    }

    fn ask_many(&mut self, keys: Vec<u8>) {
        let (cache, loader, history) = (self.cache.clone(), self.loader(), Arc::clone(&self.history));
        let known = keys.iter().map(|key| read(&self.source, *key)).collect();
        let now = self.clock.now();
        let reads: Vec<Moment> = keys.iter().map(|key| history.read_begins((*key).into(), now)).collect();
        let asked: BTreeMap<u8, Moment> = keys.iter().copied().zip(reads.clone()).collect();
        let ends = reads.clone();
        let answer = tokio::spawn(async move {
            let load = move |missing: Vec<u8>| async move {
                let wanted = missing.into_iter().map(|key| (key, asked[&key])).collect();
                let values = loader.load(wanted).await?.into_iter();
                Ok::<_, Down>(
                    values.map(|(key, value)| (key, strata::Loaded::new(value).with_tags(tags_of(key)))),
                )
            };
            let hits = cache.get_or_load_many(&keys, load).await.expect("loads do not fail here");
            let hits: Vec<_> = hits.into_iter().map(|hit| hit.expect("every key exists")).collect();
            for (read, hit) in ends.into_iter().zip(&hits) {
                history.read_ends(read, Some(answer(hit)));
            }
            hits.iter().map(|hit| **hit).collect()
        });
        self.asked.push(Asked { known, reads, answer });
    }

    async fn apply(&mut self, op: Op) {
        match op {
            Op::Ask(key) => self.ask(key, false),
            Op::AskFresh(key) => self.ask(key, true),
            Op::AskMany(keys) => self.ask_many(keys),
            Op::Land(position) => self.land(position),
            Op::GiveUp(position) => {
                if position < self.asked.len() {
                    let asked = self.asked.swap_remove(position);
                    asked.answer.abort();
                    asked.reads.into_iter().for_each(|read| self.history.ends(read));
                }
            }
            Op::Pass(millis) => self.clock.advance(Duration::from_millis(millis)),
            Op::Insert(key) => {
                self.write(|written| written == key);
                let value = read(&self.source, key);
                let options = Options::new().with_tags(tags_of(key));
                let insert = self.history.insert_begins(key.into(), brought(key, value, &self.clock));
                self.cache.insert_with(key, value, options).await.expect("memory");
                self.history.ends(insert);
            }
            Op::Remove(_) | Op::RemoveTag(_) | Op::RemovePrefix | Op::RemovePattern | Op::Clear => {
                self.invalidate(op).await;
            }
        }
    }

    async fn invalidate(&mut self, op: Op) {
        let of = match op {
            Op::Remove(key) => Of::Keys(vec![key.into()]),
            Op::RemoveTag(tag) => Of::Tag(tag.into()),
            _ => Of::Keys((0..3).collect()),
        };
        self.write(|written| match &of {
            Of::Keys(keys) => keys.contains(&written.into()),
            Of::Tag(tag) => u64::from(written % 2) == *tag,
        });
        let change = self.history.change_begins(of, Leaves::Nothing);
        match op {
            Op::Remove(key) => drop(self.cache.remove(&key).await.expect("memory")),
            Op::RemoveTag(tag) => drop(self.cache.remove_tag(&tag.to_string()).await.expect("memory")),
            Op::RemovePrefix => drop(self.cache.remove_prefix("").await.expect("memory")),
            Op::RemovePattern => {
                let any = Pattern::new("?").expect("legal");
                self.cache.remove_pattern(&any).await.expect("memory");
            }
            _ => drop(self.cache.clear().await.expect("memory")),
        }
        self.history.ends(change);
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
            let asked = self.history.read_begins(key.into(), self.clock.now());
            let hit = self.cache.get_local(&key);
            self.history.read_ends(asked, hit.as_ref().map(answer));
            if let Some(hit) = hit {
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
        self.nothing_old_is_cached()?;
        prop_assert_eq!(self.history.check(), Ok(()));
        Ok(())
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
