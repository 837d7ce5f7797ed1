//! Many threads against one source: whoever asks after a write has been invalidated never gets what was before.
//!
//! A writer raises the source, invalidates in one of the possible ways, and then raises the floor; a reader takes the
//! floor, asks, and must not get less. Unlike the schedules, this reaches between two steps of one call. Noting a history
//! makes threads wait for each other, so most of it runs without, and a part of it once more with one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use cache_core::Time;
use cache_testkit::history::{Answer, Brought, History, Leaves, Moment, Of};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use strata::{Cache, Hit, Loaded, Memory, Options, Pattern, Tags};
use tokio::sync::Mutex;
use tokio::task::{JoinSet, yield_now};

use crate::Down;

const KEYS: u64 = 8;
const WRITERS: u64 = 3;
const READERS: u64 = 9;
const OPERATIONS: u64 = 13_000;
const NOTED_OPERATIONS: u64 = 2_000;

#[derive(Default)]
struct Row {
    source: AtomicU64,
    floor: AtomicU64,
    /// One write at a time, so that the cache's latest value is the source's.
    writing: Mutex<()>,
}

#[derive(Clone)]
struct World {
    cache: Cache<u64, u64>,
    rows: Arc<Vec<Row>>,
    history: Option<Arc<History>>,
}

fn tag(key: u64) -> String {
    format!("t{}", key % 2)
}

fn tagged(key: u64) -> Options {
    Options::new().with_tags(Tags::new([tag(key)]).expect("legal"))
}

impl World {
    fn new(history: Option<Arc<History>>) -> Self {
        let memory = Memory::new().with_max_entries(6).with_shards(2);
        let cache = Cache::builder("stress").memory(memory).build().expect("legal");
        Self { cache, rows: Arc::new((0..KEYS).map(|_| Row::default()).collect()), history }
    }

    fn row(&self, key: u64) -> &Row {
        &self.rows[usize::try_from(key).expect("small")]
    }

    fn note<T>(&self, note: impl FnOnce(&History) -> T) -> Option<T> {
        self.history.as_ref().map(|history| note(history))
    }

    fn asks(&self, key: u64) -> Option<Moment> {
        self.note(|history| history.read_begins(key, Time::ZERO))
    }

    fn answered(&self, asked: Option<Moment>, hit: Option<&Hit<u64>>) {
        let answer = hit.map(|hit| Answer { value: **hit, is_stale: hit.is_stale() });
        self.note(|history| asked.map(|asked| history.read_ends(asked, answer)));
    }

    /// Reads the source, and answers a little later with a value whose tags only the loader knows.
    async fn load(self, key: u64, delay: u32, asked: Option<Moment>) -> Result<Loaded<u64>, Down> {
        let load = self.note(|history| asked.map(|asked| history.load_begins(key, asked))).flatten();
        let value = self.row(key).source.load(SeqCst);
        for _ in 0..delay {
            yield_now().await;
        }
        let brought = Brought::new(value).with_tags([key % 2]);
        self.note(|history| load.map(|load| history.load_brings(load, brought)));
        Ok(Loaded::new(value).with_tags(Tags::new([tag(key)]).expect("legal")))
    }

    async fn write(&self, random: &mut StdRng) {
        let key = random.random_range(0..KEYS);
        let (how, delay) = (random.random_range(0..9), random.random_range(0..3));
        let row = self.row(key);
        let _alone = row.writing.lock().await;
        let value = row.source.fetch_add(1, SeqCst) + 1;
        let cache = &self.cache;
        let change = self.note(|history| match how {
            0 | 1 | 4 | 5 => history.change_begins(Of::Keys(vec![key]), Leaves::Nothing),
            2 => history.change_begins(Of::Tag(key % 2), Leaves::Nothing),
            3 => history.change_begins(Of::Keys((0..KEYS).collect()), Leaves::Nothing),
            6 => history.release_begins(),
            _ => history.insert_begins(key, Brought::new(value).with_tags([key % 2])),
        });
        match how {
            0 | 1 => {
                cache.remove(&key).await.expect("memory");
            }
            2 => {
                cache.remove_tag(&tag(key)).await.expect("memory");
            }
            3 => {
                cache.clear().await.expect("memory");
            }
            4 => {
                cache.remove_prefix(&key).await.expect("memory");
            }
            5 => {
                let pattern = Pattern::new(key.to_string()).expect("legal");
                cache.remove_pattern(&pattern).await.expect("memory");
            }
            6 => {
                let (world, asked) = (self.clone(), self.asks(key));
                let load = move || world.load(key, delay, asked);
                let forced = tagged(key).with_force_refresh(true);
                let hit = cache.get_or_load(&key, load).with(forced).await.expect("loaded");
                self.answered(asked, Some(&hit));
            }
            _ => {
                cache.insert_with(key, value, tagged(key)).await.expect("memory");
            }
        }
        self.note(|history| change.map(|change| history.ends(change)));
        row.floor.fetch_max(value, SeqCst);
    }

    async fn read(&self, random: &mut StdRng) {
        let (key, delay) = (random.random_range(0..KEYS), random.random_range(0..3));
        let floor = self.row(key).floor.load(SeqCst);
        let asked = self.asks(key);
        let world = self.clone();
        let answer = match random.random_range(0..4) {
            0 => self.cache.get_local(&key),
            1 => {
                let other = (key + 1) % KEYS;
                let asked_too = self.asks(other);
                let load = move |missing: Vec<u64>| async move {
                    let mut found = Vec::new();
                    for wanted in missing {
                        let asked = if wanted == key { asked } else { asked_too };
                        found.push((wanted, world.clone().load(wanted, delay, asked).await?));
                    }
                    Ok::<_, Down>(found)
                };
                let keys = [key, other];
                let mut hits = self.cache.get_or_load_many(&keys, load).await.expect("loaded");
                self.answered(asked_too, hits[1].as_ref());
                hits.swap_remove(0)
            }
            _ => {
                let load = move || world.load(key, delay, asked);
                Some(self.cache.get_or_load(&key, load).await.expect("loaded"))
            }
        };
        self.answered(asked, answer.as_ref());
        if let Some(hit) = answer {
            assert!(
                *hit >= floor,
                "key {key}: {} from {:?}, though {floor} was invalidated",
                *hit,
                hit.source()
            );
        }
    }
}

async fn run(history: Option<Arc<History>>, operations: u64) {
    let world = World::new(history);
    let mut tasks = JoinSet::new();
    for number in 0..WRITERS + READERS {
        let world = world.clone();
        tasks.spawn(async move {
            let mut random = StdRng::seed_from_u64(number);
            for turn in 0..operations {
                if number < WRITERS {
                    world.write(&mut random).await;
                } else {
                    world.read(&mut random).await;
                }
                if turn % 16 == 0 {
                    yield_now().await;
                }
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(world.cache.stats().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_gets_what_was_invalidated_before_asking() {
    run(None, OPERATIONS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_history_of_many_threads_holds_nothing_impossible() {
    // I1, I5, I16, I18
    let history = Arc::new(History::new());
    run(Some(Arc::clone(&history)), NOTED_OPERATIONS).await;
    assert_eq!(history.check(), Ok(()));
}
