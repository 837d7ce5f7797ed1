//! One cache at work: a batch of operations on one or two threads, and the processor time that each of them took.
//!
//! Processor time rather than time of day, because a shared machine takes the processor away at any moment.

use std::panic::resume_unwind;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use foyer_memory::{LruConfig, S3FifoConfig};

use super::engine::{Dash, Engine, Foyer, LruMutex, Moka, MokaFuture, Name, QuickCache, Strata, Table};
use super::kind::Kind;
use crate::Outcome;
use crate::bench::timing::processor_time;

/// What is done with each key of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Read,
    /// One insert of an existing key among so many operations, the others read.
    Write {
        one_in: usize,
    },
    GetOrInsert,
    Insert,
    ReadMany,
}

/// What a batch cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) operations: u64,
    pub(super) hits: u64,
    /// Of all threads together.
    pub(super) time: Duration,
}

/// A cache of any make on its lane.
pub(super) trait Lane<K: Kind> {
    fn name(&self) -> Name;

    /// Runs as many threads as there are batches, each through its own.
    fn run(&mut self, operation: Operation, batches: &[K::Batch]) -> Cost;

    fn entries(&self) -> u64;
}

/// Builds a cache with room for so many entries.
pub(super) fn build<K: Kind>(name: Name, capacity: u64) -> Outcome<Box<dyn Lane<K>>> {
    Ok(match name {
        Name::Strata => on_lane(name, Strata::limited(capacity)),
        Name::StrataTtl => on_lane(name, Strata::mortal(capacity)),
        Name::Moka => on_lane(name, Moka::new(capacity)),
        Name::MokaFuture => on_lane(name, MokaFuture::new(capacity)),
        Name::QuickCache => on_lane(name, QuickCache::new(capacity)?),
        Name::FoyerS3Fifo => on_lane(name, Foyer::new(capacity, S3FifoConfig::default().into())),
        Name::FoyerLru => on_lane(name, Foyer::new(capacity, LruConfig::default().into())),
        Name::LruMutex => on_lane(name, LruMutex::new(capacity)),
        Name::DashMap => on_lane(name, Dash::new()),
        Name::Table => on_lane(name, Table::new()),
    })
}

/// Puts a cache on a lane.
pub(super) fn on_lane<K: Kind, E: Engine<K> + 'static>(name: Name, engine: E) -> Box<dyn Lane<K>> {
    Box::new(Threads { name, handles: vec![engine] })
}

struct Threads<E> {
    name: Name,
    handles: Vec<E>,
}

impl<K: Kind, E: Engine<K>> Lane<K> for Threads<E> {
    fn name(&self) -> Name {
        self.name
    }

    fn run(&mut self, operation: Operation, batches: &[K::Batch]) -> Cost {
        while self.handles.len() < batches.len() {
            let handle = self.handles[0].fork();
            self.handles.push(handle);
        }
        if let ([handle, ..], [batch]) = (self.handles.as_mut_slice(), batches) {
            return timed::<K, E>(handle, operation, batch);
        }
        // Nobody starts before all are there, so that they work at the same time.
        let start = Barrier::new(batches.len());
        let mut sum = Cost::default();
        thread::scope(|scope| {
            let work = |(handle, batch)| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    timed::<K, E>(handle, operation, batch)
                })
            };
            let running: Vec<_> = self.handles.iter_mut().zip(batches).map(work).collect();
            for thread in running {
                let cost = thread.join().unwrap_or_else(|panic| resume_unwind(panic));
                sum.operations += cost.operations;
                sum.hits += cost.hits;
                sum.time += cost.time;
            }
        });
        sum
    }

    fn entries(&self) -> u64 {
        self.handles[0].entries()
    }
}

fn timed<K: Kind, E: Engine<K>>(engine: &mut E, operation: Operation, batch: &K::Batch) -> Cost {
    let lookups = K::lookups(batch);
    let begin = processor_time();
    let (operations, hits) = match operation {
        Operation::Read => counted(lookups, |key, _| engine.get(key)),
        Operation::Write { one_in } => counted(lookups, |key, at| {
            if at % one_in == 0 {
                let (key, value) = K::entry(key);
                engine.insert(key, value);
                true
            } else {
                engine.get(key)
            }
        }),
        Operation::GetOrInsert => counted(lookups, |key, _| {
            let hit = engine.get(key);
            if !hit {
                let (key, value) = K::entry(key);
                engine.insert(key, value);
            }
            hit
        }),
        Operation::Insert => counted(lookups, |key, _| {
            let (key, value) = K::entry(key);
            engine.insert(key, value);
            true
        }),
        Operation::ReadMany => many::<K, E>(engine, lookups),
    };
    Cost { operations, hits, time: processor_time().saturating_sub(begin) }
}

/// Does it with each key; how many there were, and how many hits.
fn counted<'a, L: ?Sized + 'a>(
    lookups: impl Iterator<Item = &'a L>,
    mut act: impl FnMut(&L, usize) -> bool,
) -> (u64, u64) {
    let (mut operations, mut hits) = (0, 0);
    for (at, key) in lookups.enumerate() {
        operations += 1;
        hits += u64::from(act(key, at));
    }
    (operations, hits)
}

/// Asks for [`MANY`] keys at a time; a last few that are less are left out.
fn many<'a, K: Kind, E: Engine<K>>(
    engine: &mut E,
    mut lookups: impl Iterator<Item = &'a K::Lookup>,
) -> (u64, u64)
where
    K::Lookup: 'a,
{
    let (mut operations, mut hits) = (0, 0);
    let mut keys = Vec::with_capacity(MANY);
    loop {
        keys.clear();
        keys.extend(lookups.by_ref().take(MANY));
        if keys.len() < MANY {
            return (operations, hits);
        }
        operations += MANY as u64;
        hits += engine.get_many(&keys) as u64;
    }
}

/// How many keys are asked for at once.
const MANY: usize = 16;
