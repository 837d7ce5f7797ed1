//! Random lives on four threads, ages and failures included, and the history of each looked through afterwards.
//!
//! A failing round prints its number, which is the seed of what its tasks do.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use cache_testkit::clock::ManualClock;
use cache_testkit::history::{Answer, Books, Brought, History, Leaves, Moment, Of};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use strata::{Cache, Clock, Loaded, Memory, Options, Pattern, Tags};
use tokio::runtime::Handle;
use tokio::task::{JoinSet, yield_now};

use crate::Down;

const ROUNDS: u64 = 60;
const TASKS: u64 = 8;
const OPERATIONS: u64 = 40;
const KEYS: u64 = 4;

/// A value that is counted as long as it is alive.
struct Counted {
    number: u64,
    alive: Arc<AtomicU64>,
}

impl Counted {
    fn new(number: u64, alive: &Arc<AtomicU64>) -> Self {
        alive.fetch_add(1, SeqCst);
        Self { number, alive: Arc::clone(alive) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
    }
}

/// How a load goes.
#[derive(Clone, Copy)]
struct Fate {
    delay: u32,
    fails: bool,
    panics: bool,
    /// Whether the value also has the tag of all keys.
    is_grouped: bool,
}

/// The tag that any key may have, beside the one for its half of the keys.
const GROUP: u64 = 9;

#[derive(Clone)]
struct World {
    cache: Cache<u64, Counted>,
    clock: ManualClock,
    history: Arc<History>,
    /// What each key's source holds; numbers of one key are never used twice.
    sources: Arc<[AtomicU64; 4]>,
    reads: Arc<AtomicU64>,
    loads: Arc<AtomicU64>,
    alive: Arc<AtomicU64>,
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
            alive: Arc::default(),
        }
    }

    fn source(&self, key: u64) -> &AtomicU64 {
        &self.sources[usize::try_from(key).expect("small")]
    }

    async fn load(self, key: u64, asked: Moment, fate: Fate) -> Result<Loaded<Counted>, Down> {
        self.loads.fetch_add(1, SeqCst);
        let load = self.history.load_begins(key, asked);
        let value = self.source(key).load(SeqCst);
        for _ in 0..fate.delay {
            yield_now().await;
        }
        if fate.fails || fate.panics {
            self.history.ends(load);
        }
        if fate.panics {
            // As a panic, without its words in the output.
            resume_unwind(Box::new("a loader of the user"));
        }
        if fate.fails {
            return Err(Down(0));
        }
        let tags = if fate.is_grouped { vec![key % 2, GROUP] } else { vec![key % 2] };
        self.history.load_brings(load, Brought::new(value).with_tags(tags.clone()));
        let tags = Tags::new(tags.iter().map(u64::to_string)).expect("legal");
        Ok(Loaded::new(Counted::new(value, &self.alive)).with_tags(tags))
    }

    async fn read(&self, key: u64, random: &mut StdRng) {
        let fate = Fate {
            delay: random.random_range(0..4),
            fails: random.random_range(0..4) == 0,
            panics: random.random_range(0..16) == 0,
            is_grouped: random.random(),
        };
        let forced = random.random_range(0..10) == 0;
        self.reads.fetch_add(u64::from(!forced), SeqCst);
        let release = forced.then(|| self.history.release_begins());
        let world = self.clone();
        let read = self.history.read_begins(key, self.clock.now());
        let options = Options::new().with_force_refresh(forced);
        let hit = self.cache.get_or_load(&key, move || world.load(key, read, fate)).with(options).await;
        let answer = |hit: strata::Hit<Counted>| Answer { value: hit.number, is_stale: hit.is_stale() };
        self.history.read_ends(read, hit.ok().map(answer));
        if let Some(release) = release {
            self.history.ends(release);
        }
    }

    async fn change(&self, key: u64, random: &mut StdRng) {
        let cache = &self.cache;
        let value = self.source(key).fetch_add(1, SeqCst) + 1;
        let how = random.random_range(0..11);
        let tag = if random.random() { key % 2 } else { GROUP };
        let of = match how {
            2 | 3 => Of::Tag(tag),
            4 | 5 => Of::Keys((0..KEYS).collect()),
            _ => Of::Keys(vec![key]),
        };
        let change = match how {
            8 => self.history.insert_begins(key, Brought::new(value).with_tags([tag])),
            1 | 3 | 5 | 7 | 9 => self.history.change_begins(of, Leaves::Copy),
            _ => self.history.change_begins(of, Leaves::Nothing),
        };
        let tag = tag.to_string();
        let pattern = Pattern::new(key.to_string()).expect("legal");
        match how {
            0 => drop(cache.remove(&key).await.expect("memory")),
            1 => drop(cache.expire(&key).await.expect("memory")),
            2 => drop(cache.remove_tag(&tag).await.expect("memory")),
            3 => drop(cache.expire_tag(&tag).await.expect("memory")),
            4 => drop(cache.clear().await.expect("memory")),
            5 => drop(cache.expire_all().await.expect("memory")),
            6 => drop(cache.remove_prefix(&key).await.expect("memory")),
            7 => drop(cache.expire_prefix(&key).await.expect("memory")),
            9 => drop(cache.expire_pattern(&pattern).await.expect("memory")),
            10 => drop(cache.remove_pattern(&pattern).await.expect("memory")),
            _ => {
                let options = Options::new().with_tags(Tags::new([tag]).expect("legal"));
                let value = Counted::new(value, &self.alive);
                assert!(cache.insert_with(key, value, options).await.expect("memory").is_stored());
            }
        }
        self.history.ends(change);
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
            alive: self.alive.load(SeqCst),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_history_holds_an_answer_that_cannot_be_right() {
    // I1, I5, I15, I16, I17, I18
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
        // The loads, which hold what they bring until they have ended.
        while Handle::current().metrics().num_alive_tasks() > 0 {
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
