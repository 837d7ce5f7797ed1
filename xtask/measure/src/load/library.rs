//! Load on the library in this process: threads that take prepared requests from a shared round.
//!
//! A round is made before its clock starts, so that the generator's work is in no figure, and is short enough to be
//! made again and again in the same memory.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use cache_core::Clock;
use cache_memory::Memory;
use strata::Cache;
use tokio::runtime;

use super::report::{MemoryUse, Recorded, Report, Setup, grouped};
use super::tally::{Failure, Tally};
use super::{Args, Run, joined};
use crate::source::{Access, Source};
use crate::{Outcome, proc};

type Value = Box<[u8]>;
/// Whether it was a hit.
type Answer = Result<bool, Failure>;

/// Builds the cache and puts the whole source to it.
pub(super) fn run(args: &Args, source: &Source) -> Outcome<Report> {
    let capacity = args.capacity.of(source.unique())?;
    let policy = args.policy.unwrap_or_default();
    let workers = args.concurrency.map_or(2, Into::into);
    let before = proc::own_now();
    let memory = Memory::new().with_max_entries(capacity).with_policy(policy);
    let (target, (tally, took)) = if args.target.memory {
        ("memory", rounds(args, source, workers, async |access| Ok(ask_memory(&memory, access)))?)
    } else {
        let cache = Cache::builder("load").memory(memory).build()?;
        ("library", rounds(args, source, workers, async |access| ask_cache(&cache, access).await)?)
    };
    let target = format!("{target}, {policy}, {} entries", grouped(capacity));
    let setup = Setup { target, concurrency: workers, recorded: Recorded::OneIn64 };
    let memory = MemoryUse { peak: proc::own_peak(), before, after: proc::own_now() };
    Ok(Report::new(setup, source, tally, took, memory))
}

fn ask_memory(memory: &Memory<u64, Arc<Value>>, access: Access) -> bool {
    let hit = memory.get(&access.key).is_some();
    if !hit {
        memory.insert(access.key, Arc::new(value(access)));
    }
    hit
}

async fn ask_cache(cache: &Cache<u64, Value>, access: Access) -> Answer {
    let load = move || async move { Ok::<_, Infallible>(value(access)) };
    match cache.get_or_load(&access.key, load).await {
        // Whoever joined another's load has waited for it as well.
        Ok(hit) => Ok(hit.source() == strata::Source::Memory),
        Err(error) => Err(Failure { kind: "load", detail: error.to_string() }),
    }
}

fn value(access: Access) -> Value {
    vec![0; access.value_bytes as usize].into()
}

/// Puts the source to `ask`, round by round, and tells how long the rounds took in all.
fn rounds<A>(args: &Args, source: &Source, workers: usize, ask: A) -> Outcome<(Tally, Duration)>
where
    A: AsyncFn(Access) -> Answer + Sync,
{
    let run = Run::start(args, source);
    let mut accesses = source.accesses();
    let (mut tally, mut took) = (Tally::new()?, Duration::ZERO);
    let mut round = Round::default();
    while !run.is_over() && round.refill(accesses.by_ref()) {
        let start = run.clock.now();
        let tallies: Vec<Outcome<Tally>> = thread::scope(|scope| {
            let worker = || work(&run, &round, &ask).map_err(|error| error.to_string());
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
            threads.into_iter().map(joined).collect()
        });
        took += run.clock.now().since(start);
        for worker in tallies {
            tally.add(worker?)?;
        }
    }
    run.bar.finish_and_clear();
    Ok((tally, took))
}

fn work<A>(run: &Run, round: &Round, ask: &A) -> Outcome<Tally>
where
    A: AsyncFn(Access) -> Answer,
{
    let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
    let mut tally = Tally::new()?;
    runtime.block_on(async {
        while !run.is_over() {
            let Some(chunk) = round.take() else { break };
            // Two looks at the clock take longer than a hit, so most operations go without.
            for (access, place) in chunk.iter().zip(0..) {
                let start = (place % 64 == 0).then(|| run.clock.now());
                match ask(*access).await {
                    Ok(hit) => tally.hits += u64::from(hit),
                    Err(failure) => tally.fail(failure),
                }
                if let Some(start) = start {
                    tally.record(run.clock.now().since(start));
                }
            }
            tally.requests += chunk.len() as u64;
            run.bar.inc(chunk.len() as u64);
        }
    });
    tally.operations = tally.requests;
    Ok(tally)
}

/// Prepared requests that many threads take from, chunk by chunk.
#[derive(Default)]
struct Round {
    accesses: Vec<Access>,
    taken: AtomicUsize,
}

impl Round {
    /// Whether there was anything left to fill it with.
    fn refill(&mut self, from: impl Iterator<Item = Access>) -> bool {
        self.accesses.clear();
        self.accesses.extend(from.take(ROUND));
        self.taken = AtomicUsize::new(0);
        !self.accesses.is_empty()
    }

    fn take(&self) -> Option<&[Access]> {
        let start = self.taken.fetch_add(CHUNK, Ordering::Relaxed);
        let rest = self.accesses.get(start..)?;
        rest.chunks(CHUNK).next()
    }
}

/// 16 MB of requests.
const ROUND: usize = 1 << 20;
/// Long enough that neither the shared counter nor the look at the clock is felt.
const CHUNK: usize = 1 << 10;
