//! A fleet in a simulation: the real cache code of three processes, a bus and a tier that misbehave, clocks an hour apart, and time
//! that passes only when nobody has anything to do. A seed decides everything, and replays it.
//!
//! What is checked is what `docs/architecture.md` promises. A **change** is a new value at the source, told to one process by
//! `insert`, `remove`, `expire` or a removal of its tag or of everything. Afterwards no read may answer with anything older:
//!
//! 1. at that process, from the moment at which the call has returned;
//! 2. at all others, once `BOUND` has passed, whatever becomes of messages, if the tier was there for all of them;
//! 3. at all others and in the tier, once `BOUND` has passed since the last fault of any kind;
//! 4. stale copies, which are marked, are only of what was not removed;
//! 5. in the end memory and tier disagree nowhere, as the monitor of each process sees it: a tier may only have lost a value;
//! 6. nobody ever sees an error that is not the loader's, nor a value that was never there.
//!
//! What it is worth, `cargo xtask planted` tries: it breaks a copy of the code, one way after the other (`xtask/src/planted.toml`), and
//! each is to be found; `results/planted.md` says by which seed. Of what it does not find, because it takes turns at changing a key or
//! other guards stand behind, the tests of `strata/tests/it/tiers` find most.

#![expect(clippy::expect_used, reason = "a simulation that cannot be set up has nothing to say")]

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use cache_core::{Clock, ErrorKind, Key, Store};
use cache_memory::{MemoryLease, MemoryStore, MemoryTransport};
use cache_testkit::chaos::{Chaos, ChaosTransport, Fault, Odds, Way};
use cache_testkit::parts::Parts;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use strata::codec::{Framer, Raw};
use strata::layer::{Backoff, Guards, Trip};
use strata::{Bus, Cache, Finding, Hit, LoadError, Memory, Monitor, Options, Tags, Tier, Time, Ttl, Wall};
use tokio::sync::Mutex as Turn;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// A loader's error.
#[derive(Debug)]
struct Down;

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the source is down")
    }
}

const NODES: usize = 3;
const KEYS: usize = 4;
const STEPS: u32 = 60;

const SECOND: Duration = Duration::from_secs(1);
/// The longest load, and the longest time for which memory believes a tier while the bus is in doubt.
const LOAD: Duration = Duration::from_secs(6);
const DOUBT: Duration = Duration::from_secs(5);
/// How long a change may go unnoticed: a load that began before it may end at its latest just when the process has noticed that
/// it hears nothing, and is then believed for as long as anything is. The rest is for calls on their way.
const BOUND: Duration = Duration::from_secs(6 + 5 + 3);
/// How often a bus says that it is there, and after how long nothing is believed of one that is silent: slower than in use, so
/// that a life is told in fewer messages.
const HEARTBEAT: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_secs(4);

/// Time that passes only when nobody has anything to do.
#[derive(Debug)]
struct Simulated(Instant);

impl Clock for Simulated {
    fn now(&self) -> Time {
        Time::ZERO.after(SECOND + self.0.elapsed())
    }
}

async fn passes(duration: Duration) {
    drop(timeout(duration, std::future::pending::<()>()).await);
}

/// What happened, and what is wrong with it.
#[derive(Default)]
struct Book {
    source: [u32; KEYS],
    changes: Vec<Change>,
    tier_faults: Vec<Span>,
    bus_faults: Vec<Span>,
    wrong: Vec<String>,
    reads: u64,
}

struct Change {
    node: usize,
    key: usize,
    version: u32,
    began: Duration,
    ended: Option<Duration>,
    is_removal: bool,
}

struct Span {
    from: Duration,
    to: Option<Duration>,
}

impl Span {
    fn touches(&self, from: Duration, to: Duration) -> bool {
        self.from <= to && self.to.is_none_or(|end| end >= from)
    }
}

impl Book {
    /// The oldest version that a read may answer that begins now.
    fn floor(&self, node: usize, key: usize, now: Duration, is_stale: bool) -> u32 {
        let heals = |faults: &[Span]| {
            faults.iter().map(|span| span.to.unwrap_or(Duration::MAX)).max().unwrap_or_default()
        };
        let healed = heals(&self.tier_faults).max(heals(&self.bus_faults));
        let binds = |change: &&Change| {
            let Some(ended) = change.ended.filter(|ended| *ended <= now) else { return false };
            if change.key != key || (is_stale && !change.is_removal) {
                return false;
            }
            let was_touched = |faults: &[Span]| {
                faults.iter().any(|span| span.touches(change.began.saturating_sub(SILENCE), now))
            };
            let is_known = ended + BOUND <= now && !was_touched(&self.tier_faults);
            if is_stale {
                // Whoever was cut off may not know that it was removed, and what it has is better than nothing.
                return change.node == node || (is_known && !was_touched(&self.bus_faults));
            }
            change.node == node || is_known || ended.max(healed).saturating_add(BOUND) <= now
        };
        self.changes.iter().filter(binds).map(|change| change.version).max().unwrap_or_default()
    }
}

struct World {
    start: Instant,
    nodes: Vec<Cache<u32, String>>,
    stores: Vec<Arc<Chaos>>,
    links: Vec<Arc<ChaosTransport>>,
    writing: [Turn<()>; KEYS],
    book: Mutex<Book>,
}

fn tag(key: usize) -> String {
    format!("t{}", key % 2)
}

fn value(key: usize, version: u32) -> String {
    format!("{key} {version}")
}

impl World {
    fn new(seed: u64, random: &mut StdRng) -> Self {
        let start = Instant::now();
        let clock = || Arc::new(Simulated(start));
        let memory = Arc::new(MemoryStore::new(1 << 20).with_clock(clock()));
        let keys = (0..KEYS).map(|key| Key::new(format!("sim:{key}")).expect("legal")).collect();
        // In every other life a removal of everything takes longer than its caller waits.
        let shared: Arc<dyn Store> =
            if seed % 2 == 1 { Arc::new(Parts::new(memory, keys, SECOND / 15)) } else { memory };
        let transport = Arc::new(MemoryTransport::new());
        let lease = random.random_bool(0.5).then(|| Arc::new(MemoryLease::new().with_clock(clock())));
        let mut options = Options::new().with_ttl(Ttl::from_secs(3600));
        if random.random_bool(0.5) {
            options = options.with_fail_safe_for(Duration::from_hours(1)).with_fail_safe_throttle(SECOND);
        }
        let stores: Vec<_> = (0..=NODES as u64)
            .map(|node| Arc::new(Chaos::new(Arc::clone(&shared)).dawdling(seed + node)))
            .collect();
        let link = |_| Arc::new(ChaosTransport::new(Arc::<MemoryTransport>::clone(&transport)));
        let links: Vec<_> = (0..=NODES).map(link).collect();
        let has_own = random.random_bool(0.5);
        let mut node = |at: usize| {
            let guards = Guards::new()
                .with_timeout(SECOND / 5)
                .with_trip(Trip::new(3, SECOND / 2))
                .with_backoff(Backoff::new(SECOND / 100, SECOND / 10))
                .with_clock(clock());
            let bus = Bus::builder(Arc::<ChaosTransport>::clone(&links[at]))
                .with_heartbeat(HEARTBEAT)
                .with_silence(SILENCE)
                .with_seed(seed + at as u64);
            // One is an hour behind, one right, one an hour ahead.
            let apart = u64::try_from(at).expect("few") * 3_600_000;
            let wall = move || {
                let since = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                Wall::from_unix_millis(1_800_000_000_000 + apart + since)
            };
            let memory = Memory::new().with_max_entries(100).with_clock(clock()).with_sweep_every(None);
            let builder = Cache::builder("sim").memory(memory).framer(Framer::new("value", Raw));
            let builder = if has_own {
                let own = Arc::new(MemoryStore::new(1 << 20).with_clock(clock()));
                builder.tier(Tier::from(own).without_guards().local())
            } else {
                builder
            };
            let builder = builder
                .tier(Tier::from(Arc::clone(&stores[at])).with_guards(guards))
                .bus(bus.open().expect("there is a runtime"))
                .max_ttl_in_doubt(DOUBT)
                .monitor(Monitor::on_demand())
                .wall_clock(wall)
                .options(options.clone())
                .seed(random.random());
            let builder = match &lease {
                Some(lease) => builder.lease(Arc::<MemoryLease>::clone(lease), 2 * SECOND),
                None => builder,
            };
            builder.build().expect("legal")
        };
        let nodes = (0..=NODES).map(&mut node).collect();
        Self { start, nodes, stores, links, writing: Default::default(), book: Mutex::default() }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nobody panics with it")
    }

    fn check(&self, (node, key): (usize, usize), floors: [u32; 2], hit: &Hit<String>) {
        let version =
            hit.split_once(' ').filter(|(of, _)| *of == key.to_string()).and_then(|(_, it)| it.parse().ok());
        let mut book = self.book();
        book.reads += 1;
        let floor = floors[usize::from(hit.is_stale())];
        let is_right = version.is_some_and(|version: u32| version >= floor && version <= book.source[key]);
        if !is_right {
            let (value, stale, source) = (hit.as_str(), hit.stale(), hit.source());
            let wrong = format!(
                "at {:?} node {node} answers {key} with {value:?} ({source:?}, {stale:?}), which may be no older than {floor}",
                self.now()
            );
            book.wrong.push(wrong);
        }
    }

    async fn read(self: Arc<Self>, node: usize, key: usize, mut random: StdRng) {
        let number = u32::try_from(key).expect("few");
        let floors = [false, true].map(|is_stale| self.book().floor(node, key, self.now(), is_stale));
        let kind = random.random_range(0..20);
        if kind < 8 {
            let cache = &self.nodes[node];
            let found = match kind {
                0..4 => cache.get(&number).await,
                4..6 => cache.get_many(&[number]).await.map(|mut found| found.pop().flatten()),
                6 => cache.get_and_touch(&number, Ttl::from_secs(1800)).await,
                _ => cache.touch(&number, Ttl::from_secs(1800)).await.map(|_| cache.get_local(&number)),
            };
            match found {
                Ok(Some(hit)) => self.check((node, key), floors, &hit),
                Ok(None) => {}
                Err(error) => self.book().wrong.push(format!("a read failed: {error}")),
            }
            return;
        }
        let world = Arc::clone(&self);
        let (fails, took) = (random.random_bool(0.2), LOAD.mul_f64(random.random_range(0.0..1.0)));
        let load = move || async move {
            let version = world.book().source[key];
            passes(took).await;
            if fails { Err(Down) } else { Ok(value(key, version)) }
        };
        let tags = Options::new().with_tags(Tags::new([tag(key)]).expect("legal"));
        let options = if kind == 8 { tags.with_force_refresh(true) } else { tags };
        match self.nodes[node].get_or_load(&number, load).with(options).await {
            Ok(hit) => self.check((node, key), floors, &hit),
            Err(LoadError::Failed(_) | LoadError::FailedElsewhere(_)) => {}
            Err(error) => self.book().wrong.push(format!("a load failed: {error}")),
        }
    }

    async fn change(self: Arc<Self>, node: usize, key: usize, mut random: StdRng) {
        let _writing = self.writing[key].lock().await;
        let (cache, number) = (&self.nodes[node], u32::try_from(key).expect("few"));
        let kind = random.random_range(0..11);
        let (at, version) = {
            let mut book = self.book();
            book.source[key] += 1;
            let (version, began) = (book.source[key], self.now());
            let is_removal = matches!(kind, 4..10);
            book.changes.push(Change { node, key, version, began, ended: None, is_removal });
            (book.changes.len() - 1, version)
        };
        let tags = Options::new().with_tags(Tags::new([tag(key)]).expect("legal"));
        let outcome = match kind {
            0..4 => cache.insert_with(number, value(key, version), tags).await.map(drop),
            4..7 => cache.remove(&number).await.map(drop),
            7 => cache.remove_tag(&tag(key)).await.map(drop),
            8 => cache.clear().await.map(drop),
            9 => cache.touch(&number, Ttl::ZERO).await.map(drop),
            _ => cache.expire(&number).await.map(drop),
        };
        let mut book = self.book();
        book.changes[at].ended = Some(self.now());
        if let Err(error) = outcome {
            book.wrong.push(format!("a change failed: {error}"));
        }
    }

    /// Something breaks, and is mended after a while.
    async fn fault(self: Arc<Self>, node: usize, mut random: StdRng) {
        let lasts = Duration::from_millis(random.random_range(100..15_000));
        let span = Span { from: self.now(), to: None };
        let is_tier = random.random_bool(0.4);
        let mut set = |is_on: bool| {
            let open = |way| if is_on { way } else { Way::Open };
            if is_tier {
                let faults = [
                    Fault::Fails(ErrorKind::Unavailable),
                    Fault::Fails(ErrorKind::Refused),
                    Fault::Hangs,
                    Fault::LosesAnswer,
                ];
                let fault = faults[random.random_range(0..faults.len())];
                return self.stores[node].set(is_on.then_some(fault));
            }
            let ways = [Way::Lost, Way::Fails, Way::Hangs];
            let way = ways[random.random_range(0..ways.len())];
            match if is_on { random.random_range(0..3) } else { 3 } {
                0 => self.links[node].set_out(open(way)),
                1 => self.links[node].set_in(open(way)),
                2 => {
                    let one_in = NonZeroU32::new(random.random_range(2..6));
                    self.links[node]
                        .set_odds(random.random(), Odds { lost: one_in, twice: one_in, late: one_in });
                }
                _ => {
                    self.links[node].set_out(Way::Open);
                    self.links[node].set_in(Way::Open);
                    self.links[node].set_odds(0, Odds::default());
                }
            }
        };
        let faults = |book: &mut Book, span: Option<Span>, now: Duration, at: usize| {
            let faults = if is_tier { &mut book.tier_faults } else { &mut book.bus_faults };
            match span {
                Some(span) => faults.push(span),
                None => faults[at].to = Some(now),
            }
            faults.len() - 1
        };
        set(true);
        let at = faults(&mut self.book(), Some(span), self.now(), 0);
        passes(lasts).await;
        // Whoever breaks the same thing again meanwhile has it mended earlier: then its span is too long, which asks for less.
        set(false);
        faults(&mut self.book(), None, self.now(), at);
    }

    async fn live(self: &Arc<Self>, random: &mut StdRng) {
        passes(3 * SECOND).await;
        let mut tasks = JoinSet::new();
        for _ in 0..STEPS {
            passes(Duration::from_millis(random.random_range(0..1500))).await;
            let (world, own) = (Arc::clone(self), StdRng::seed_from_u64(random.random()));
            let (node, key) = (random.random_range(0..NODES), random.random_range(0..KEYS));
            match random.random_range(0..100) {
                0..60 => drop(tasks.spawn(world.read(node, key, own))),
                60..88 => drop(tasks.spawn(world.change(node, key, own))),
                _ => drop(tasks.spawn(world.fault(node, own))),
            }
        }
        tasks.join_all().await;
        // All is well again: in the end everybody knows everything, one who has nothing in memory included.
        passes(BOUND + SECOND).await;
        let mut tasks = JoinSet::new();
        for node in 0..=NODES {
            for key in 0..KEYS {
                tasks.spawn(Arc::clone(self).read(node, key, StdRng::seed_from_u64(random.random())));
            }
        }
        tasks.join_all().await;
        passes(SECOND).await;
        for (at, node) in self.nodes.iter().enumerate() {
            node.compare_all().await;
            let tiers = 0..node.tiers().len();
            let open = tiers.flat_map(|tier| node.disagreements(tier));
            let differ = open.filter(|open| open.finding != Finding::Missing);
            self.book().wrong.extend(differ.map(|open| format!("in the end node {at} disagrees: {open:?}")));
        }
    }
}

/// A life of the fleet.
#[derive(Debug, PartialEq, Eq)]
pub struct Life {
    /// The promises that were broken, in words.
    pub wrong: Vec<String>,
    /// How many reads were answered.
    pub reads: u64,
    /// How long it took, in its own time.
    pub took: Duration,
    /// The figures of each process.
    pub figures: Vec<String>,
}

/// The life that this seed decides. A few milliseconds, or a tenth more in a debug build.
///
/// # Panics
/// If there can be no runtime.
pub fn life(seed: u64) -> Life {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut random = StdRng::seed_from_u64(seed);
        let world = Arc::new(World::new(seed, &mut random));
        world.live(&mut random).await;
        let figures = world.nodes.iter().map(|node| format!("{:?} {:?}", node.stats(), node.tiers()));
        let figures = figures.collect();
        let mut book = world.book();
        Life { wrong: std::mem::take(&mut book.wrong), reads: book.reads, took: world.now(), figures }
    })
}
