//! Many threads against one source: whoever asks after a write has been invalidated never gets what was before.
//!
//! A writer raises the source, invalidates in one of the possible ways, and then raises the floor; a reader takes the
//! floor, asks, and must not get less. Unlike the schedules, this reaches between two steps of one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use strata::{Cache, Loaded, Memory, Options, Tags};
use tokio::sync::Mutex;
use tokio::task::{JoinSet, yield_now};

use crate::Down;

const KEYS: u64 = 8;
const WRITERS: u64 = 3;
const READERS: u64 = 9;
const OPERATIONS: u64 = 15_000;

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
}

fn tag(key: u64) -> String {
    format!("t{}", key % 2)
}

fn tagged(key: u64) -> Options {
    Options::new().with_tags(Tags::new([tag(key)]).expect("legal"))
}

impl World {
    fn new() -> Self {
        let memory = Memory::new().with_max_entries(6).with_shards(2);
        let cache = Cache::builder("stress").memory(memory).build().expect("legal");
        Self { cache, rows: Arc::new((0..KEYS).map(|_| Row::default()).collect()) }
    }

    fn row(&self, key: u64) -> &Row {
        &self.rows[usize::try_from(key).expect("small")]
    }

    /// Reads the source, and answers a little later with a value whose tags only the loader knows.
    async fn load(self, key: u64, delay: u32) -> Result<Loaded<u64>, Down> {
        let value = self.row(key).source.load(SeqCst);
        for _ in 0..delay {
            yield_now().await;
        }
        Ok(Loaded::new(value).with_tags(Tags::new([tag(key)]).expect("legal")))
    }

    async fn write(&self, random: &mut StdRng) {
        let key = random.random_range(0..KEYS);
        let (how, delay) = (random.random_range(0..7), random.random_range(0..3));
        let row = self.row(key);
        let _alone = row.writing.lock().await;
        let value = row.source.fetch_add(1, SeqCst) + 1;
        let cache = &self.cache;
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
                let world = self.clone();
                let forced = tagged(key).with_force_refresh(true);
                cache.get_or_load(&key, move || world.load(key, delay)).with(forced).await.expect("loaded");
            }
            _ => {
                cache.insert_with(key, value, tagged(key)).await.expect("memory");
            }
        }
        row.floor.fetch_max(value, SeqCst);
    }

    async fn read(&self, random: &mut StdRng) {
        let (key, delay) = (random.random_range(0..KEYS), random.random_range(0..3));
        let floor = self.row(key).floor.load(SeqCst);
        let world = self.clone();
        let answer = match random.random_range(0..4) {
            0 => self.cache.get_local(&key),
            1 => {
                let load = move |missing: Vec<u64>| async move {
                    let mut found = Vec::new();
                    for key in missing {
                        found.push((key, world.clone().load(key, delay).await?));
                    }
                    Ok::<_, Down>(found)
                };
                let keys = [key, (key + 1) % KEYS];
                self.cache.get_or_load_many(&keys, load).await.expect("loaded").swap_remove(0)
            }
            _ => Some(self.cache.get_or_load(&key, move || world.load(key, delay)).await.expect("loaded")),
        };
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_gets_what_was_invalidated_before_asking() {
    let world = World::new();
    let mut tasks = JoinSet::new();
    for number in 0..WRITERS + READERS {
        let world = world.clone();
        tasks.spawn(async move {
            let mut random = StdRng::seed_from_u64(number);
            for turn in 0..OPERATIONS {
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
