//! Random lives on four threads, ages and failures included, and the history of each looked through afterwards.
//!
//! A failing round prints its number, which is the seed of what its tasks do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use cache_testkit::clock::ManualClock;
use cache_testkit::history::{Answer, Books, History, Leaves, Moment};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use strata::{Cache, Clock, Loaded, Memory, Options, Tags};
use tokio::task::{JoinSet, yield_now};

use crate::Down;

const ROUNDS: u64 = 60;
const TASKS: u64 = 8;
const OPERATIONS: u64 = 40;
const KEYS: u64 = 4;

#[derive(Clone)]
struct World {
    cache: Cache<u64, u64>,
    clock: ManualClock,
    history: Arc<History>,
    /// What each key's source holds; numbers of one key are never used twice.
    sources: Arc<[AtomicU64; 4]>,
    reads: Arc<AtomicU64>,
    loads: Arc<AtomicU64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let clock = ManualClock::new();
        let memory = Memory::new().with_clock(Arc::new(clock.clone())).with_sweep_every(None).with_shards(2);
        let options = Options::new()
            .with_ttl(Duration::from_millis(50))
            .with_eager_at(0.5)
            .with_stale_for(Duration::from_millis(10))
            .with_fail_safe_for(Duration::from_millis(200))
            .with_fail_safe_throttle(Duration::from_millis(5));
        let cache =
            Cache::builder("history").memory(memory).options(options).seed(seed).build().expect("legal");
        Self {
            cache,
            clock,
            history: Arc::default(),
            sources: Arc::default(),
            reads: Arc::default(),
            loads: Arc::default(),
        }
    }

    fn source(&self, key: u64) -> &AtomicU64 {
        &self.sources[usize::try_from(key).expect("small")]
    }

    async fn load(self, key: u64, asked: Moment, (delay, fails): (u32, bool)) -> Result<Loaded<u64>, Down> {
        self.loads.fetch_add(1, SeqCst);
        let load = self.history.load_begins(key, asked);
        let value = self.source(key).load(SeqCst);
        for _ in 0..delay {
            yield_now().await;
        }
        if fails {
            self.history.load_fails(load);
            return Err(Down(0));
        }
        self.history.load_brings(load, value, None);
        Ok(Loaded::new(value).with_tags(Tags::new([(key % 2).to_string()]).expect("legal")))
    }

    async fn read(&self, key: u64, random: &mut StdRng) {
        let (delay, fails) = (random.random_range(0..4), random.random_range(0..4) == 0);
        let forced = random.random_range(0..10) == 0;
        self.reads.fetch_add(u64::from(!forced), SeqCst);
        let release = forced.then(|| self.history.release_begins(key));
        let world = self.clone();
        let read = self.history.read_begins(key, self.clock.now());
        let options = Options::new().with_force_refresh(forced);
        let hit =
            self.cache.get_or_load(&key, move || world.load(key, read, (delay, fails))).with(options).await;
        let answer = |hit: strata::Hit<u64>| Answer { value: *hit, is_stale: hit.is_stale() };
        self.history.read_ends(read, hit.ok().map(answer));
        if let Some(release) = release {
            self.history.change_ends(release);
        }
    }

    async fn change(&self, key: u64, random: &mut StdRng) {
        let cache = &self.cache;
        let value = self.source(key).fetch_add(1, SeqCst) + 1;
        let how = random.random_range(0..9);
        let tagged = || (0..KEYS).filter(|other| other % 2 == key % 2).collect();
        let keys = match how {
            2 | 3 => tagged(),
            4 | 5 => (0..KEYS).collect(),
            _ => vec![key],
        };
        let change = match how {
            8 => self.history.insert_begins(key, value, None),
            1 | 3 | 5 | 7 => self.history.change_begins(keys, Leaves::Copy),
            _ => self.history.change_begins(keys, Leaves::Nothing),
        };
        let tag = (key % 2).to_string();
        match how {
            0 => drop(cache.remove(&key).await.expect("memory")),
            1 => drop(cache.expire(&key).await.expect("memory")),
            2 => drop(cache.remove_tag(&tag).await.expect("memory")),
            3 => drop(cache.expire_tag(&tag).await.expect("memory")),
            4 => drop(cache.clear().await.expect("memory")),
            5 => drop(cache.expire_all().await.expect("memory")),
            6 => drop(cache.remove_prefix(&key).await.expect("memory")),
            7 => drop(cache.expire_prefix(&key).await.expect("memory")),
            _ => {
                let options = Options::new().with_tags(Tags::new([tag]).expect("legal"));
                assert!(cache.insert_with(key, value, options).await.expect("memory").is_stored());
            }
        }
        self.history.change_ends(change);
    }

    /// What the cache says of itself, beside what the test has counted.
    fn books(&self) -> Books {
        let stats = self.cache.stats();
        let memory = stats.memory;
        Books {
            reads: self.reads.load(SeqCst),
            hits_and_misses: memory.hits + memory.misses,
            loads: self.loads.load(SeqCst),
            loads_ended: stats.loads_ok + stats.loads_failed + stats.loads_lost,
            inserts_less_removals: memory.inserts
                - (memory.removed + memory.expired + memory.evicted + memory.replaced),
            entries: memory.entries,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_history_holds_an_answer_that_cannot_be_right() {
    // I1, I5, I15, I16, I18
    let mut stale = 0;
    for round in 0..ROUNDS {
        let world = World::new(round);
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let world = world.clone();
            tasks.spawn(async move {
                let mut random = StdRng::seed_from_u64(round * TASKS + task);
                for _ in 0..OPERATIONS {
                    let key = random.random_range(0..KEYS);
                    match random.random_range(0..8) {
                        0 => world.change(key, &mut random).await,
                        1 => world.clock.advance(Duration::from_millis(random.random_range(0..30))),
                        _ => world.read(key, &mut random).await,
                    }
                }
            });
        }
        tasks.join_all().await;
        while world.cache.stats().running > 0 {
            yield_now().await;
        }
        assert_eq!(world.history.check(), Ok(()), "round {round}");
        assert_eq!(world.books().check(), Ok(()), "round {round}");
        let stats = world.cache.stats();
        assert_eq!((stats.in_flight, stats.loads_begun), (0, world.loads.load(SeqCst)), "round {round}");
        stale += stats.stale_refreshing + stats.stale_failed + stats.stale_throttled;
    }
    assert!(stale > 100, "{stale} stale answers: the ages were not in play");
}
