//! Random histories of a fleet: links that lose, double, delay, fail and hang, queues that overflow, buses that are closed
//! or dropped. Afterwards each node has heard each event or has been told to distrust after it was published.
//!
//! Time is tokio's, paused, and everything else comes from a seed, so a history replays:
//!
//! ```text
//! STRATA_BUS_SEED=4711 cargo test -p cache-invalidation --test it histories
//! STRATA_BUS_SEEDS=100000 cargo test -p cache-invalidation --test it histories
//! ```

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{Received, Result, Subscription, Transport};
use cache_invalidation::{Attachment, Bus, BusStats, Doubt, Event, Listener, Message};
use cache_memory::MemoryTransport;
use cache_testkit::chaos::{ChaosTransport, Odds, Way};
use tokio::time::Instant;

use crate::nodes::{MS, SECOND, passes, remove};

const SILENCE: Duration = Duration::from_secs(3);
const FLEET: usize = 4;
const STEPS: usize = 60;

#[test]
fn in_random_histories_nothing_is_missed_in_silence() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("STRATA_BUS_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("STRATA_BUS_SEEDS").unwrap_or(400),
    };
    let many = seeds.clone().count() >= 100;
    let mut doubts = BTreeMap::<Doubt, u64>::new();
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let stats = runtime.expect("a runtime").block_on(History::run(seed));
        for (why, stats) in Doubt::ALL.iter().flat_map(|why| stats.iter().map(move |stats| (why, stats))) {
            *doubts.entry(*why).or_default() += stats.doubts(*why);
        }
    }
    let rare = doubts.iter().find(|(why, count)| **count < 20 && **why != Doubt::Closed);
    assert!(!many || rare.is_none(), "the histories are too kind: {doubts:?}");
}

struct History {
    seed: u64,
    random: Random,
    hub: MemoryTransport,
    /// Counts whatever happens, so that two things in the same instant have an order.
    order: Arc<AtomicU64>,
    nodes: Vec<Node>,
    published: Vec<Published>,
    next_identity: u64,
}

/// A node that is there.
struct Node {
    identity: u64,
    since: u64,
    bus: Bus,
    link: Arc<ChaosTransport>,
    told: Arc<Told>,
    tap: Arc<Tap>,
    _attachment: Attachment,
}

struct Published {
    by: u64,
    key: String,
    order: u64,
    at: Instant,
}

impl History {
    async fn run(seed: u64) -> Vec<BusStats> {
        let few = NonZeroUsize::new(12).expect("not zero");
        let mut history = Self {
            seed,
            random: Random(seed),
            hub: MemoryTransport::new().with_max_queued(few),
            order: Arc::default(),
            nodes: Vec::new(),
            published: Vec::new(),
            next_identity: seed * 1000,
        };
        for _ in 0..FLEET {
            let node = history.open();
            history.nodes.push(node);
        }
        for _ in 0..STEPS {
            history.step().await;
        }
        for node in &history.nodes {
            node.link.set_out(Way::Open);
            node.link.set_in(Way::Open);
            node.link.set_odds(0, Odds::default());
        }
        passes(SECOND * 15).await;
        history.check();
        history.nodes.iter().map(|node| node.bus.stats()).collect()
    }

    fn open(&mut self) -> Node {
        self.next_identity += 1;
        let link = Arc::new(ChaosTransport::new(Arc::new(self.hub.clone())));
        let tap = Arc::new(Tap { inner: Arc::clone(&link) as _, heard: Arc::default() });
        let few = NonZeroUsize::new(4).expect("not zero");
        let builder = Bus::builder(Arc::clone(&tap) as _).with_seed(self.next_identity).with_outbox(few);
        let bus = builder.with_silence(SILENCE).open().expect("legal");
        let told = Arc::new(Told { order: Arc::clone(&self.order), told: Mutex::default() });
        let attachment = bus.attach("n", Arc::clone(&told) as _);
        let since = self.order.fetch_add(1, SeqCst);
        Node { identity: self.next_identity, since, bus, link, told, tap, _attachment: attachment }
    }

    async fn step(&mut self) {
        let at = self.random.below(FLEET);
        match self.random.below(100) {
            0..40 => self.publish(at).await,
            40..65 => passes(MS * u32::try_from(self.random.below(1500)).expect("small")).await,
            65..75 => self.nodes[at].link.set_out(self.random.way()),
            75..85 => self.nodes[at].link.set_in(self.random.way()),
            85..92 => {
                let seed = self.random.next();
                let odds = self.random.odds();
                self.nodes[at].link.set_odds(seed, odds);
            }
            92..94 => self.make_noise().await,
            94..97 => self.nodes[at] = self.open(),
            _ => {
                let deadline = SECOND * u32::try_from(self.random.below(3)).expect("small");
                self.nodes[at].bus.close(deadline).await;
                self.nodes[at] = self.open();
            }
        }
    }

    /// Publishes, mostly few events and sometimes more than an inbox or outbox holds, some of them twice.
    async fn publish(&mut self, at: usize) {
        let (bus, by) = (self.nodes[at].bus.clone(), self.nodes[at].identity);
        let count = if self.random.below(8) == 0 { 30 } else { 1 + self.random.below(3) };
        for _ in 0..count {
            let key =
                format!("{by}:{}", self.published.len() - self.random.below(2).min(self.published.len()));
            let order = self.order.fetch_add(1, SeqCst);
            self.published.push(Published { by, key: key.clone(), order, at: Instant::now() });
            bus.publish(remove(key)).await;
        }
    }

    /// What no bus has said, sometimes more of it than an inbox holds.
    async fn make_noise(&mut self) {
        for _ in 0..[1, 30][self.random.below(2)] {
            self.hub.publish("strata", "noise".into()).await.expect("memory never fails");
        }
    }

    fn check(&self) {
        for node in &self.nodes {
            let (seed, identity, stats) = (self.seed, node.identity, node.bus.stats());
            assert!(node.bus.is_whole(), "seed {seed}: {identity} does not recover: {stats:?}");
            assert_eq!(stats.outbox_len, 0, "seed {seed}: {identity} keeps events: {stats:?}");
            for event in self.published.iter().filter(|event| event.by != identity) {
                let excused = event.order < node.since || self.is_beyond_notice(node, event);
                assert!(
                    excused || node.told.knows(event),
                    "seed {seed}: {identity} neither heard {} of {} nor doubted after {}: {:?}",
                    event.key,
                    event.by,
                    event.order,
                    node.told,
                );
            }
        }
    }

    /// What a publisher that is gone said when it had not been heard for the length of the silence, and never was again.
    fn is_beyond_notice(&self, node: &Node, event: &Published) -> bool {
        let publisher = Random::identity(event.by);
        let heard = node.tap.heard.lock().unwrap();
        let last = heard.iter().rfind(|(who, _)| *who == publisher);
        let is_gone = self.nodes.iter().all(|node| node.identity != event.by);
        is_gone && last.is_none_or(|(_, at)| *at + SILENCE <= event.at)
    }
}

/// What a node was told, and when in the order of things.
#[derive(Debug)]
struct Told {
    order: Arc<AtomicU64>,
    told: Mutex<Vec<(u64, Option<String>)>>,
}

impl Told {
    fn knows(&self, event: &Published) -> bool {
        let told = self.told.lock().unwrap();
        let mut later = told.iter().filter(|(order, _)| *order > event.order);
        later.any(|(_, key)| key.as_ref().is_none_or(|key| *key == event.key))
    }

    fn note(&self, key: Option<String>) {
        self.told.lock().unwrap().push((self.order.fetch_add(1, SeqCst), key));
    }
}

impl Listener for Told {
    fn invalidated(&self, event: &Event) {
        self.note(Some(event.target().text().to_owned()));
    }

    fn distrust(&self, _: Doubt) {
        self.note(None);
    }
}

/// Writes down whose messages reach a node, and when.
#[derive(Debug)]
struct Tap {
    inner: Arc<dyn Transport>,
    heard: Arc<Mutex<Vec<(u128, Instant)>>>,
}

#[derive(Debug)]
struct Tapped {
    inner: Box<dyn Subscription>,
    heard: Arc<Mutex<Vec<(u128, Instant)>>>,
}

#[async_trait]
impl Transport for Tap {
    async fn publish(&self, channel: &str, message: Bytes) -> Result<()> {
        self.inner.publish(channel, message).await
    }

    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Subscription>> {
        let inner = self.inner.subscribe(channel).await?;
        Ok(Box::new(Tapped { inner, heard: Arc::clone(&self.heard) }))
    }
}

#[async_trait]
impl Subscription for Tapped {
    async fn receive(&mut self) -> Result<Received> {
        let received = self.inner.receive().await?;
        if let Received::Message(bytes) = &received
            && let Ok(message) = Message::read(bytes)
        {
            self.heard.lock().unwrap().push((message.publisher, Instant::now()));
        }
        Ok(received)
    }
}

/// `SplitMix64`, as the bus makes its identity of a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end as u64)).expect("below a usize")
    }

    /// Open in one of two cases.
    fn way(&mut self) -> Way {
        let bad = [Way::Lost, Way::Fails, Way::Unanswered, Way::Hangs];
        bad.get(self.below(8)).copied().unwrap_or(Way::Open)
    }

    fn odds(&mut self) -> Odds {
        let mut one_in = || {
            let choice = [0, 0, 2, 4, 9][self.below(5)];
            NonZeroU32::new(choice)
        };
        Odds { lost: one_in(), twice: one_in(), late: one_in() }
    }

    fn identity(seed: u64) -> u128 {
        let mut random = Self(seed);
        (u128::from(random.next()) << 64) | u128::from(random.next())
    }
}
