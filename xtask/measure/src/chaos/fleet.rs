//! Three caches as three processes would have them, and the callers that read and change through each.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use cache_core::{Clock, SystemClock};
use cache_redis::{Connection, RedisLease, RedisStore, RedisTransport};
use cache_testkit::load::{Shape, Workload};
use serde::Serialize;
use strata::codec::{Framer, Raw};
use strata::layer::Passage;
use strata::{Bus, Cache, Doubt, Memory, Options, Ttl};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::book::{Book, KEYS, NODES};
use super::fault::Place;
use crate::Outcome;

/// Who reads through each node, and who changes: each key is changed by one of them alone.
const READERS: u64 = 4;
const WRITERS: u32 = 4;
/// How many reads come one after the other before a reader rests.
const READS: usize = 8;
const REST: Duration = Duration::from_millis(2);
/// Between two changes of a writer.
const BETWEEN_CHANGES: Duration = Duration::from_millis(10);
/// How long the source takes to answer.
const LOAD: Duration = Duration::from_millis(2);
/// How long after its death a node keeps others from loading.
const HOLD: Duration = Duration::from_secs(2);
/// After which a fleet counts as not recovered.
const PATIENCE: Duration = Duration::from_mins(1);
const TTL: u64 = 600;

/// The times of the bus, and how long what is stored in doubt is believed.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Pace {
    heartbeat: Duration,
    silence: Duration,
    doubt: Duration,
    /// For the load that began before, for calls on their way, and for a machine that is busy.
    spare: Duration,
}

impl Pace {
    /// The defaults.
    pub(super) const USUAL: Self = Self {
        heartbeat: Duration::from_secs(1),
        silence: Duration::from_secs(3),
        doubt: Duration::from_secs(5),
        spare: Duration::from_secs(1),
    };
    /// A fifth of them, and as much to spare as before.
    pub(super) const QUICK: Self = Self {
        heartbeat: Duration::from_millis(200),
        silence: Duration::from_millis(600),
        doubt: Duration::from_secs(1),
        spare: Duration::from_secs(3),
    };

    /// How long a change may go unnoticed by other nodes.
    pub(super) fn bound(self) -> Duration {
        self.silence + self.heartbeat + self.doubt + self.spare
    }
}

pub(super) struct Fleet {
    nodes: Vec<Node>,
    is_loaded: Arc<AtomicBool>,
    loads: Arc<AtomicU64>,
    callers: Vec<JoinHandle<()>>,
}

#[derive(Clone)]
struct Node {
    cache: Cache<u32, String>,
    bus: Bus,
    number: usize,
}

/// What all nodes have counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) loads: u64,
    pub(super) tier_errors: u64,
    pub(super) tier_writes: u64,
    pub(super) repaired: u64,
    pub(super) doubts: u64,
}

impl Tally {
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            loads: self.loads - before.loads,
            tier_errors: self.tier_errors - before.tier_errors,
            tier_writes: self.tier_writes - before.tier_writes,
            repaired: self.repaired - before.repaired,
            doubts: self.doubts - before.doubts,
        }
    }
}

impl Node {
    fn start(shared: &Place, pace: Pace, number: usize) -> Outcome<Self> {
        let [for_tier, for_bus] = shared.configs(number).map(Connection::open);
        let (redis, transport) = (for_tier?, RedisTransport::new(for_bus?));
        let bus = Bus::builder(Arc::new(transport))
            .with_heartbeat(pace.heartbeat)
            .with_silence(pace.silence)
            .open()?;
        let cache = Cache::builder("chaos")
            .memory(Memory::new().with_max_entries(10_000))
            .framer(Framer::new("value", Raw))
            .tier(Arc::new(RedisStore::new(redis.clone())))
            .lease(Arc::new(RedisLease::new(redis)), HOLD)
            .bus(bus.clone())
            .max_ttl_in_doubt(pace.doubt)
            .options(Options::new().with_ttl(Ttl::from_secs(TTL)))
            .build()?;
        Ok(Self { cache, bus, number })
    }

    async fn read(&self, book: &Arc<Book>, loads: &Arc<AtomicU64>, key: u32) {
        let floor = book.floor(self.number, key);
        let (at_source, counted) = (Arc::clone(book), Arc::clone(loads));
        let load = move || async move {
            counted.fetch_add(1, SeqCst);
            let version = at_source.source(key);
            rest(LOAD).await;
            Ok::<_, Infallible>(value(key, version))
        };
        match self.cache.get_or_load(&key, load).await {
            Ok(hit) => book.judge(self.number, key, &floor, &hit),
            Err(error) => book.fails(&error),
        }
    }

    async fn change(&self, book: &Book, key: u32, removes: bool) {
        let version = book.change(key);
        let begun = book.now();
        let outcome = if removes {
            self.cache.remove(&key).await.map(drop)
        } else {
            self.cache.insert(key, value(key, version)).await.map(drop)
        };
        book.acknowledge(self.number, key, begun);
        if let Err(error) = outcome {
            book.fails(&error);
        }
    }

    fn is_well(&self) -> bool {
        let is_well = |tier: &strata::TierStats| {
            tier.backlog == 0 && tier.passage.is_none_or(|it| it == Passage::Closed)
        };
        self.bus.is_whole() && self.cache.tiers().iter().all(is_well)
    }

    fn writes(&self) -> u64 {
        self.cache.tiers().iter().map(|tier| tier.writes).sum()
    }
}

impl Fleet {
    /// Starts the caches, and the load on them.
    pub(super) fn start(shared: &Place, pace: Pace, book: &Arc<Book>, runtime: &Handle) -> Outcome<Self> {
        let _entered = runtime.enter();
        let nodes: Outcome<Vec<Node>> = (0..NODES).map(|number| Node::start(shared, pace, number)).collect();
        let (nodes, is_loaded, loads) = (nodes?, Arc::new(AtomicBool::new(true)), Arc::default());
        let mut fleet = Self { nodes, is_loaded, loads, callers: Vec::new() };
        for node in &fleet.nodes {
            for reader in 0..READERS {
                let keys = ids(Shape::Zipf, KEYS, reader + READERS * node.number as u64);
                let (node, book, loads) = (node.clone(), Arc::clone(book), Arc::clone(&fleet.loads));
                let is_on = Arc::clone(&fleet.is_loaded);
                fleet.callers.push(runtime.spawn(async move {
                    let mut keys = keys;
                    while is_on.load(SeqCst) {
                        for key in keys.by_ref().take(READS) {
                            node.read(&book, &loads, key).await;
                        }
                        rest(REST).await;
                    }
                }));
            }
        }
        for writer in 0..WRITERS {
            let (nodes, book, is_on) = (fleet.nodes.clone(), Arc::clone(book), Arc::clone(&fleet.is_loaded));
            let keys =
                ids(Shape::Uniform, KEYS / WRITERS, u64::from(writer)).map(move |it| it * WRITERS + writer);
            // Which node, and whether it is a removal, as three of seven are.
            let chances = ids(Shape::Uniform, 7 * 3, 100 + u64::from(writer));
            fleet.callers.push(runtime.spawn(async move {
                for (key, chance) in keys.zip(chances) {
                    if !is_on.load(SeqCst) {
                        return;
                    }
                    nodes[chance as usize % NODES].change(&book, key, chance / 3 < 3).await;
                    rest(BETWEEN_CHANGES).await;
                }
            }));
        }
        Ok(fleet)
    }

    /// Waits until every node is well and has written to its tier from now on; how long that took, if it came to it.
    pub(super) fn recovers(&self, clock: &SystemClock) -> Option<Duration> {
        let begun = clock.now();
        let before: Vec<u64> = self.nodes.iter().map(Node::writes).collect();
        let is_well =
            || self.nodes.iter().zip(&before).all(|(node, before)| node.is_well() && node.writes() > *before);
        while !is_well() {
            if clock.now().since(begun) > PATIENCE {
                return None;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Some(clock.now().since(begun))
    }

    /// What the nodes have counted so far.
    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally { loads: self.loads.load(SeqCst), ..Tally::default() };
        for node in &self.nodes {
            for tier in node.cache.tiers() {
                tally.tier_errors += tier.errors;
                tally.tier_writes += tier.writes;
                tally.repaired += tier.repaired;
            }
            let stats = node.bus.stats();
            tally.doubts += Doubt::ALL.into_iter().map(|why| stats.doubts(why)).sum::<u64>();
        }
        tally
    }

    /// Ends the load, and returns when every call has ended.
    pub(super) fn stop(&mut self, runtime: &Handle) {
        self.is_loaded.store(false, SeqCst);
        for caller in self.callers.drain(..) {
            let _ = runtime.block_on(caller);
        }
    }
}

fn value(key: u32, version: u64) -> String {
    format!("{key} {version}")
}

/// Endless numbers below this one.
fn ids(shape: Shape, below: u32, seed: u64) -> impl Iterator<Item = u32> + Send {
    let below = NonZeroU32::new(below).unwrap_or(NonZeroU32::MIN);
    Workload::new(shape, below).with_seed(seed).ids()
}

async fn rest(duration: Duration) {
    let _ = tokio::time::timeout(duration, std::future::pending::<()>()).await;
}
