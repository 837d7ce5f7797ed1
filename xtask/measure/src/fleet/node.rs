//! A node: one process of a fleet, which does what its input says, a line each, and answers each with a line.
//!
//! It ends with its input, so it does not outlive whoever started it.

use std::convert::Infallible;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cache_redis::{Config, Connection, RedisLease, RedisStore, RedisTransport};
use cache_testkit::load::{Shape, Workload};
use cache_testkit::redis::Server;
use futures_util::future::join_all;
use serde_json::{Value, json};
use strata::codec::{Framer, Raw};
use strata::layer::Guards;
use strata::{Bus, Cache, Doubt, Finding, Memory, Monitor, Options, Tier, Ttl};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::log::{self, Deed, Entry, NONSENSE, Shared};
use super::wire::Source;
use super::{CONTESTED, KEYS, Pace};
use crate::Outcome;

/// The command line of a node, which this program writes itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    number: u32,
    #[arg(long)]
    processes: u32,
    #[arg(long)]
    address: String,
    #[arg(long)]
    log: PathBuf,
    /// A `Pace` as JSON
    #[arg(long)]
    pace: String,
    #[arg(long)]
    deaf: bool,
}

impl Args {
    /// Those of a process of this number, of so many.
    pub(super) fn of(
        (number, processes): (u32, u32),
        server: &Server,
        log: &Path,
        pace: Pace,
    ) -> Outcome<Vec<String>> {
        let (number, processes) = (number.to_string(), processes.to_string());
        let (log, pace) = (log.display().to_string(), serde_json::to_string(&pace)?);
        let address = server.address().to_string();
        let named = [
            ("number", number),
            ("processes", processes),
            ("address", address),
            ("log", log),
            ("pace", pace),
        ];
        Ok(named.into_iter().map(|(name, value)| format!("--{name}={value}")).collect())
    }
}

/// How many write at the same time.
const WRITERS: u32 = 16;
const TTL: u64 = 3600;
/// How long a call of Redis may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a load takes that is one of many.
const LOAD: Duration = Duration::from_millis(50);
/// Keys that are loaded begin here, those that all write before them.
pub(super) const LOADED: u32 = KEYS + CONTESTED;
/// How long a copy is fresh that is to stand in afterwards.
const SHORT: Duration = Duration::from_millis(200);

struct Node {
    number: u32,
    processes: u32,
    cache: Cache<u32, String>,
    bus: Bus,
    address: String,
    clock: Shared,
    log: PathBuf,
    errors: AtomicU64,
    example: Mutex<Option<String>>,
}

/// Serves until the input ends.
pub(crate) fn run(args: Args) -> Outcome {
    let runtime = Runtime::new()?;
    let (lines, mut said) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    runtime.block_on(async {
        let node = Arc::new(Node::start(args)?);
        while !node.bus.is_whole() {
            rest(Duration::from_millis(5)).await;
        }
        answer("ready", &json!({}));
        while let Some(line) = said.recv().await {
            let node = Arc::clone(&node);
            tokio::spawn(async move {
                let told = match node.serve(&line).await {
                    Ok(told) => told,
                    Err(error) => json!({ "error": error.to_string() }),
                };
                answer(&line, &told);
            });
        }
        Ok(())
    })
}

fn answer(to: &str, told: &Value) {
    let line = json!({ "to": to, "told": told });
    let mut out = std::io::stdout().lock();
    // Who does not listen any more has ended, and then so does the input.
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

type Told = Result<Value, Box<dyn std::error::Error + Send + Sync>>;

impl Node {
    fn start(args: Args) -> Outcome<Self> {
        let pace: Pace = serde_json::from_str(&args.pace)?;
        // What is judged is not how soon a busy machine answers.
        let config = Config::from_url(&format!("redis://{}", args.address))?.with_command_timeout(PATIENCE);
        let redis = Connection::open(config)?;
        let bus = Bus::builder(Arc::new(RedisTransport::new(redis.clone())))
            .with_heartbeat(pace.heartbeat)
            .with_silence(pace.silence)
            .open()?;
        let builder = Cache::builder("fleet")
            .memory(Memory::new().with_max_entries(10_000))
            .framer(Framer::new("value", Raw))
            .tier(
                Tier::new(Arc::new(RedisStore::new(redis.clone())))
                    .with_guards(Guards::new().with_timeout(PATIENCE)),
            )
            .lease(Arc::new(RedisLease::new(redis)), pace.hold)
            .max_ttl_in_doubt(pace.doubt)
            .monitor(Monitor::new())
            .options(Options::new().with_ttl(Ttl::from_secs(TTL)));
        let builder = if args.deaf { builder } else { builder.bus(bus.clone()) };
        Ok(Self {
            number: args.number,
            processes: args.processes,
            cache: builder.build()?,
            bus,
            address: args.address,
            clock: Shared::new(),
            log: args.log,
            errors: AtomicU64::new(0),
            example: Mutex::default(),
        })
    }

    async fn serve(self: &Arc<Self>, line: &str) -> Told {
        let words: Vec<&str> = line.split(' ').collect();
        let number =
            |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).ok_or("a number is missing");
        match words[0] {
            "write" => self.write(number(1)?, number(2)?).await,
            "compare" => {
                self.cache.compare_all().await;
                Ok(self.tell())
            }
            "tell" => Ok(self.tell()),
            "contested" => self.contested().await,
            "fill" => self.fill(u32::try_from(number(1)?)?).await,
            "ask" => {
                self.ask(u32::try_from(number(1)?)?, u32::try_from(number(2)?)?, number(3)?, number(4)?).await
            }
            other => Err(format!("{other} is no command").into()),
        }
    }

    /// Makes so many writes, and two reads after each.
    async fn write(self: &Arc<Self>, round: u64, writes: u64) -> Told {
        let begin = |writer: u32| {
            let node = Arc::clone(self);
            let share =
                writes / u64::from(WRITERS) + u64::from(u64::from(writer) < writes % u64::from(WRITERS));
            tokio::spawn(async move { node.write_share(round, writer, share).await })
        };
        let mut entries = Vec::new();
        for ended in join_all((0..WRITERS).map(begin)).await {
            entries.extend(ended??);
        }
        log::append(&self.log, &entries)?;
        Ok(json!({ "calls": entries.len() }))
    }

    async fn write_share(
        &self,
        round: u64,
        writer: u32,
        share: u64,
    ) -> Result<Vec<Entry>, Box<dyn std::error::Error + Send + Sync>> {
        let source = Arc::new(Source::open(&self.address).await?);
        // Which process writes a key changes with the round, who writes it within a process does not.
        let mine = u32::try_from((u64::from(self.number) + round) % u64::from(self.processes))?;
        let keys: Vec<u32> = (0..KEYS)
            .filter(|key| key % self.processes == mine && key / self.processes % WRITERS == writer)
            .collect();
        let seed = (round * u64::from(self.processes) + u64::from(self.number)) * u64::from(WRITERS)
            + u64::from(writer);
        let mut chances = ids(Shape::Uniform, 1 << 20, seed);
        let mut read = ids(Shape::Zipf, KEYS, seed);
        let mut entries = Vec::new();
        for number in 0..share {
            let (chance, other) = (chances.next().unwrap_or(0), read.next().unwrap_or(0));
            let removes = chance % 7 < 3;
            if let Some(key) = keys.get(chance as usize / 7 % keys.len().max(1)).copied() {
                entries.push(self.change(&source, key, removes).await?);
                entries.push(self.read(&source, key).await);
                entries.push(self.read(&source, other).await);
            }
            if number % 10 == 0 {
                self.contend(KEYS + chance % CONTESTED, removes, &format!("{round} {seed} {number}")).await;
            }
        }
        Ok(entries)
    }

    /// Changes the source, and then tells the cache.
    async fn change(&self, source: &Source, key: u32, removes: bool) -> std::io::Result<Entry> {
        let begun = self.clock.now();
        let version = source.count(&format!("source:{key}")).await?;
        let outcome = if removes {
            self.cache.remove(&key).await.map(drop)
        } else {
            self.cache.insert(key, format!("{key} {version}")).await.map(drop)
        };
        if let Err(error) = outcome {
            self.failed(&error);
        }
        let deed = if removes { Deed::Remove } else { Deed::Insert };
        Ok(Entry { deed, key, version, begun, ended: self.clock.now() })
    }

    async fn read(&self, source: &Arc<Source>, key: u32) -> Entry {
        let begun = self.clock.now();
        let at_source = Arc::clone(source);
        let load = move || async move {
            let version = at_source.read(&format!("source:{key}")).await?;
            Ok::<_, std::io::Error>(format!("{key} {version}"))
        };
        let version = match self.cache.get_or_load(&key, load).await {
            Ok(hit) => {
                let of_key = hit.split_once(' ').filter(|(of, _)| *of == key.to_string());
                of_key.and_then(|(_, version)| version.parse().ok()).unwrap_or(NONSENSE)
            }
            Err(error) => {
                self.failed(&error);
                NONSENSE
            }
        };
        Entry { deed: Deed::Read, key, version, begun, ended: self.clock.now() }
    }

    /// Writes a key that others are writing, too.
    async fn contend(&self, key: u32, removes: bool, value: &str) {
        let outcome = if removes {
            self.cache.remove(&key).await.map(drop)
        } else {
            self.cache.insert(key, value.to_owned()).await.map(drop)
        };
        let read = self.cache.get(&key).await.map(drop);
        if let Err(error) = outcome.and(read) {
            self.failed(&error);
        }
    }

    /// What it answers of the keys that all have written.
    async fn contested(&self) -> Told {
        let keys: Vec<u32> = (KEYS..KEYS + CONTESTED).collect();
        let read = self.cache.get_many(&keys).await?;
        let told: Vec<_> = read.into_iter().map(|hit| hit.map(|hit| hit.to_string())).collect();
        Ok(json!({ "values": told }))
    }

    /// Puts a copy there that is stale soon and may stand in for long.
    async fn fill(&self, key: u32) -> Told {
        let options = Options::new().with_ttl(SHORT).with_fail_safe_for(Duration::from_mins(10));
        self.cache.insert_with(key, "a copy".into(), options).await?;
        Ok(json!({}))
    }

    /// Reads so many keys from this one on, each for so many callers at once. The first `hang` loads of each key anywhere never end.
    async fn ask(self: &Arc<Self>, first: u32, keys: u32, callers: u64, hang: u64) -> Told {
        let source = Arc::new(Source::open(&self.address).await?);
        let call = |key: u32| {
            let (node, at_source) = (Arc::clone(self), Arc::clone(&source));
            tokio::spawn(async move {
                let me = u64::from(node.number);
                let load = move || async move {
                    let runs = at_source.count(&format!("loads:{key}")).await?;
                    at_source.set(&format!("loader:{key}"), me).await?;
                    if runs <= hang {
                        std::future::pending::<Infallible>().await;
                    }
                    rest(LOAD).await;
                    Ok::<_, std::io::Error>(format!("load {runs}"))
                };
                let windows = Options::new().with_fail_safe_for(Duration::from_mins(10));
                let asked = node.cache.get_or_load(&key, load).with(windows).await;
                asked.map(|hit| hit.is_stale()).map_err(|error| error.to_string())
            })
        };
        let calls = (first..first + keys).flat_map(|key| (0..callers).map(move |_| key)).map(call);
        let (mut stale, mut fresh) = (0, 0);
        for ended in join_all(calls).await {
            if ended?? { stale += 1 } else { fresh += 1 }
        }
        Ok(json!({ "stale": stale, "fresh": fresh }))
    }

    fn failed(&self, error: &dyn std::error::Error) {
        self.errors.fetch_add(1, Relaxed);
        self.example.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.to_string());
    }

    fn tell(&self) -> Value {
        let seen = self.cache.consistency().into_iter().next().unwrap_or_default();
        let (tiers, bus) = (self.cache.tiers(), self.bus.stats());
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let findings: serde_json::Map<String, Value> = Finding::ALL
            .into_iter()
            .map(|finding| (finding.to_string(), seen.found(finding).into()))
            .collect();
        let open: Vec<String> = self
            .cache
            .disagreements(0)
            .iter()
            .take(5)
            .map(|it| format!("{} is {}", it.key, it.finding))
            .collect();
        json!({
            "open": seen.open,
            "open_keys": open,
            "samples": seen.samples(),
            "findings": findings,
            "ended": seen.ended,
            "p50_us": micros(seen.p50),
            "p99_us": micros(seen.p99),
            "longest_us": micros(seen.longest),
            "doubts": Doubt::ALL.into_iter().map(|why| bus.doubts(why)).sum::<u64>(),
            "tier_errors": tiers.iter().map(|tier| tier.errors).sum::<u64>(),
            "overtaken": tiers.iter().map(|tier| tier.overtaken).sum::<u64>(),
            "loads": self.cache.stats().loads_begun,
            "errors": self.errors.load(Relaxed),
            "example": *self.example.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }
}

/// Endless numbers below this one.
fn ids(shape: Shape, below: u32, seed: u64) -> impl Iterator<Item = u32> + Send {
    let below = std::num::NonZeroU32::new(below).unwrap_or(std::num::NonZeroU32::MIN);
    Workload::new(shape, below).with_seed(seed).ids()
}

async fn rest(duration: Duration) {
    drop(tokio::time::timeout(duration, std::future::pending::<()>()).await);
}
