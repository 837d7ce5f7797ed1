//! A connection to Redis, as everything above sees it: calls that end in time, whoever has to answer them.
//!
//! ```text
//! call ─ within its deadline ─┬─ a place among those on their way
//!                             ├─ whose slot is it? ─► node ─► link ─► answer
//!                             └─ MOVED, ASK: once more, there
//! ```

mod alone;
mod batch;
mod cluster;
mod deadline;
mod dial;
mod gather;
mod link;
mod listen;
mod live;
mod node;
mod scan;
mod sentinel;
mod slot;

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cache_core::{Error, Result};
use futures_util::future;
use redis::{Cmd, Value};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

pub(crate) use alone::command;
pub(crate) use batch::Keyed;
pub(crate) use cluster::Table;
pub(crate) use listen::Listening;
pub(crate) use node::Node;
pub(crate) use scan::Cursor;
pub(crate) use slot::slot;

use self::cluster::Cluster;
use self::deadline::Deadlines;
use self::dial::Dialer;
use self::gather::{Ask, Gathering};
use self::live::Live;
use self::node::Target;
use self::sentinel::Sentinels;
use crate::clock::Moment;
use crate::config::{Address, Config, ConfigError, Mode};
use crate::driver::{Heard, Question};
use crate::fault::Fault;
use crate::script::{Call, Script};

/// How often a call follows a redirection: a slot moves once, and its news may have been old.
const MAX_REDIRECTS: usize = 4;

/// Multiplexed connections to a server, to whom Sentinel names, or to a Cluster. Clones are the same connections.
///
/// Nothing is connected before the first call, and calls fail at once while the server is known to be away: an application
/// starts without Redis, and goes on without it. What was lost is connected again behind the scenes, by tasks of the runtime
/// that the first call ran on; they end with the last clone.
///
/// ```no_run
/// use cache_redis::{Config, Connection};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let redis = Connection::open(Config::from_url("redis://localhost")?)?;
/// redis.ping().await?;
/// assert_eq!(redis.stats().connects, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<Config>,
    dialer: Arc<Dialer>,
    route: Route,
    places: Semaphore,
    deadlines: Deadlines,
    /// One for each connection to a server.
    gatherings: Box<[Gathering]>,
    counts: Arc<Counts>,
}

enum Route {
    One(Arc<Node>),
    Many(Cluster),
}

/// What has happened so far, for metrics and tests.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    connects: AtomicU64,
    failed_connects: AtomicU64,
    lost: AtomicU64,
    timeouts: AtomicU64,
    redirects: AtomicU64,
    crowded: AtomicU64,
}

/// Counts of a [`Connection`] since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Connections that were made.
    pub connects: u64,
    /// Attempts to connect that failed.
    pub failed_connects: u64,
    /// Connections for calls that have ended or been given up, each of which is made again.
    pub lost: u64,
    /// Calls that are on their way: now, and not since it was opened.
    pub in_flight: usize,
    /// Calls that were not answered in time.
    pub timeouts: u64,
    /// Answers of a Cluster that named another server.
    pub redirects: u64,
    /// Calls that were refused because too many were on their way.
    pub crowded: u64,
}

impl Connection {
    /// Checks the settings. Connects to nothing yet.
    ///
    /// # Errors
    /// As [`Config::check`], and certificates that cannot be read.
    pub fn open(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let config = Arc::new(config);
        let counts = Arc::<Counts>::default();
        let dialer = Arc::new(Dialer::new(Arc::clone(&config), Arc::clone(&counts))?);
        let route = match config.mode() {
            Mode::Standalone => {
                let target = Target::Fixed(config.addresses[0].clone());
                Route::One(Arc::new(Node::new(Arc::clone(&dialer), target)))
            }
            Mode::Sentinel { name } => {
                let target = Target::Named(Sentinels::new(Arc::clone(&dialer), name.clone()));
                Route::One(Arc::new(Node::new(Arc::clone(&dialer), target)))
            }
            Mode::Cluster => Route::Many(Cluster::new(Arc::clone(&dialer))),
        };
        let places = Semaphore::new(config.max_in_flight);
        let gatherings = (0..config.pool_size).map(|_| Gathering::default()).collect();
        let deadlines = Deadlines::new(config.command_timeout);
        let inner = Inner { config, dialer, route, places, deadlines, gatherings, counts };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Asks for a sign of life: of the server, or of one of a Cluster.
    ///
    /// # Errors
    /// When it cannot be reached or does not answer within the command timeout.
    pub async fn ping(&self) -> Result<()> {
        self.call("ping", b"", redis::cmd("PING")).await.map(drop)
    }

    /// What has happened so far.
    pub fn stats(&self) -> ConnectionStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { connects, failed_connects, lost, timeouts, redirects, crowded } = &*self.inner.counts;
        ConnectionStats {
            connects: read(connects),
            failed_connects: read(failed_connects),
            lost: read(lost),
            in_flight: self.inner.config.max_in_flight - self.inner.places.available_permits(),
            timeouts: read(timeouts),
            redirects: read(redirects),
            crowded: read(crowded),
        }
    }

    /// What it is connected to and how.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Sends a small command with a small answer, of which many may be sent as one.
    pub(crate) async fn call_small(
        &self,
        operation: &'static str,
        key: &[u8],
        command: Cmd,
    ) -> Result<Value> {
        match self.place_in_a_crowd() {
            Some(_place) => Box::pin(self.gathered(operation, self.slot(key), Ask::Command(command))).await,
            None => self.call(operation, key, command).await,
        }
    }

    /// What stands under a name: bytes, or nothing.
    pub(crate) async fn get(&self, operation: &'static str, name: &[u8]) -> Result<Value> {
        if let Some(_place) = self.place_in_a_crowd() {
            return Box::pin(self.gathered(operation, self.slot(name), Ask::Get(name.to_vec()))).await;
        }
        let answer = self.call(operation, name, command("GET", [name])).await?;
        if let Value::BulkString(bytes) = &answer {
            self.gathering(self.slot(name)).has_read(bytes.len());
        }
        Ok(answer)
    }

    /// Runs a script where its first key is; its keys share that one's slot.
    pub(crate) async fn run(&self, operation: &'static str, script: &Script, call: &Call) -> Result<Value> {
        Ok(self.run_somewhere(operation, script, call).await?.0)
    }

    /// The same, and on which connection it ran.
    pub(crate) async fn run_somewhere(
        &self,
        operation: &'static str,
        script: &Script,
        call: &Call,
    ) -> Result<(Value, u64)> {
        let answer = pin!(async {
            let slot = self.slot(call.first_key());
            match self.exchange(slot, &Question::One(&script.by_hash(call))).await {
                Err(fault) if fault.is_unknown_script() => {
                    self.exchange(slot, &Question::One(&script.by_text(call))).await
                }
                answer => answer,
            }
        });
        self.within(operation, answer).await
    }

    /// Runs a script on this connection; `None` if there is no such one any more, or its server has not got the key.
    pub(crate) async fn run_there(
        &self,
        operation: &'static str,
        (script, call): (&Script, &Call),
        connection: u64,
    ) -> Result<Option<Value>> {
        let answer = pin!(async {
            let _place = self.place().await?;
            let live = match &self.inner.route {
                Route::One(node) => node.live_if(connection),
                Route::Many(cluster) => cluster.live_if(connection),
            };
            let Some(live) = live else { return Ok(None) };
            let mut answer = self.answered(live.ask(&Question::One(&script.by_hash(call))).await);
            if answer.as_ref().is_err_and(Fault::is_unknown_script) {
                answer = self.answered(live.ask(&Question::One(&script.by_text(call))).await);
            }
            match answer {
                Err(fault) if self.redirected(&fault, live.address()).is_some() => Ok(None),
                Err(fault) => {
                    self.see_to(&live, &fault);
                    Err(fault)
                }
                answer => answer.map(Some),
            }
        });
        self.within(operation, answer).await
    }

    /// Runs a script many times, and returns the answers in order.
    pub(crate) async fn run_many(
        &self,
        operation: &'static str,
        script: &Script,
        calls: &[Call],
    ) -> Result<Vec<Value>> {
        let keyed = |call: &Call, command| Keyed::new(call.first_key(), command, call.bytes());
        let by_hash: Vec<Keyed> = calls.iter().map(|call| keyed(call, script.by_hash(call))).collect();
        let mut answers = self.first_answers(operation, &by_hash).await?;
        // Whoever has it may not know the script either.
        let elsewhere = (0..answers.len()).filter(|at| self.is_elsewhere(&answers[*at]));
        let followed = elsewhere.map(|at| async move {
            self.run(operation, script, &calls[at]).await.map(|answer| (at, answer))
        });
        for (at, answer) in future::try_join_all(followed).await? {
            answers[at] = answer;
        }
        let is_unknown = |answer: &Value| matches!(answer, Value::ServerError(it) if it.code() == "NOSCRIPT");
        let unknown: Vec<usize> = (0..answers.len()).filter(|at| is_unknown(&answers[*at])).collect();
        if !unknown.is_empty() {
            let by_text = unknown.iter().map(|at| keyed(&calls[*at], script.by_text(&calls[*at]))).collect();
            for (at, answer) in unknown.iter().zip(self.batch(operation, by_text).await?) {
                answers[*at] = answer;
            }
        }
        Ok(answers)
    }

    /// The time at the server that has this key. Waits for a connection where there is none.
    pub(crate) async fn now(&self, operation: &'static str, key: &[u8]) -> Result<Moment> {
        let now = pin!(async {
            let slot = self.slot(key);
            let node = self.node(slot).await?;
            if let Some(now) = node.clock().now() {
                return Ok(now);
            }
            node.live(slot).await?;
            node.clock().now().ok_or(Fault::Odd)
        });
        self.within(operation, now).await
    }

    /// The time at the only server there is, if it has ever told it.
    pub(crate) fn known_now(&self) -> Option<Moment> {
        if let Route::One(node) = &self.inner.route { node.clock().now() } else { None }
    }

    /// Every server that takes writes, and its slots. Where a table is wanted that was asked for `after` so many others, that is waited for,
    /// though not for as long as a call may take: it may be one from before all the same.
    pub(crate) async fn table(&self, operation: &'static str, after: Option<u64>) -> Result<Arc<Table>> {
        let table = pin!(async {
            match &self.inner.route {
                Route::One(node) => Ok(Arc::new(Table::of_one(node))),
                Route::Many(cluster) => {
                    cluster.table_after(after, self.inner.config.command_timeout / 2).await
                }
            }
        });
        self.within(operation, table).await
    }

    /// How many tables of slots have been asked for.
    pub(crate) fn asked_for_tables(&self) -> u64 {
        if let Route::Many(cluster) = &self.inner.route { cluster.asked() } else { 0 }
    }

    /// Waits until this server has taken whatever was sent to it before, on any connection: it answers what comes last on each.
    pub(crate) async fn settle(&self, operation: &'static str, node: &Node) -> Result<()> {
        if self.inner.config.pool_size == 1 {
            return Ok(());
        }
        let ping = redis::cmd("PING");
        let settled = pin!(async {
            let _place = self.place().await?;
            let asked = node.used().map(|link| async {
                self.answered(link.live().await?.ask(&Question::One(&ping)).await).map(drop)
            });
            future::try_join_all(asked).await.map(drop)
        });
        self.within(operation, settled).await
    }

    /// Begins to listen to a channel: on a connection of its own, to whoever has the channel's slot.
    pub(crate) async fn listen(
        &self,
        channel: &[u8],
        hear: impl Fn(Heard) + Send + Sync + 'static,
    ) -> Result<Listening, Fault> {
        let node = self.node(slot(channel)).await?;
        let connected = Listening::begin(&self.inner.dialer, node, self.is_cluster(), hear).await;
        connected.inspect_err(|_| self.look_around())
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.inner.route, Route::Many(_))
    }

    /// What decides who is asked about a key, and on which connection. Nothing has to be decided where there is one.
    fn slot(&self, key: &[u8]) -> u16 {
        if self.is_cluster() || self.inner.config.pool_size > 1 { slot(key) } else { 0 }
    }

    /// Which connection of a server is for this key; those of one Cluster's server are told apart, its servers are not.
    pub(crate) fn lane(&self, key: &[u8]) -> usize {
        usize::from(self.slot(key)) % self.inner.config.pool_size
    }

    /// The name under which something is kept: the prefix, what kind of thing it is, and its own name.
    pub(crate) fn name(&self, kind: char, name: &str) -> Vec<u8> {
        let prefix = &self.inner.config.prefix;
        let mut out = Vec::with_capacity(prefix.len() + 2 + name.len());
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(&[kind as u8, b':']);
        out.extend_from_slice(name.as_bytes());
        out
    }

    /// Waits for an answer, at most for the command timeout. What is waited for stays where it is: moving it from one future into
    /// the next was a quarter of what a read takes beyond the bare client.
    async fn within<T>(
        &self,
        operation: &'static str,
        answer: Pin<&mut impl Future<Output = Result<T, Fault>>>,
    ) -> Result<T> {
        let answer = timeout(self.inner.config.command_timeout, answer).await.unwrap_or(Err(Fault::Late));
        answer.map_err(|fault| self.failed(operation, fault))
    }

    /// The error of a call that has failed.
    fn failed(&self, operation: &'static str, fault: Fault) -> Error {
        if matches!(fault, Fault::Late) {
            self.inner.counts.timeouts.fetch_add(1, Ordering::Relaxed);
        }
        fault.during(operation, self.has_others())
    }

    /// Whether another server may take the place of one that refuses writes.
    fn has_others(&self) -> bool {
        !matches!(self.inner.config.mode, Mode::Standalone)
    }

    /// One question and its answer, wherever that is to be had, and on which connection it was.
    async fn exchange(&self, slot: u16, question: &Question<'_>) -> Result<(Value, u64), Fault> {
        let _place = self.place().await?;
        let mut node = self.node(slot).await?;
        let mut is_guest = false;
        for _ in 0..MAX_REDIRECTS {
            let live = match node.live(slot).await {
                Ok(live) => live,
                Err(fault) => {
                    self.look_around();
                    return Err(fault);
                }
            };
            let answer =
                if is_guest { Box::pin(live.ask_as_guest(question)).await } else { live.ask(question).await };
            let fault = match self.answered(answer) {
                Err(fault) => fault,
                Ok(answer) => return Ok((answer, live.id())),
            };
            let Some((other, as_guest)) = self.redirected(&fault, live.address()) else {
                self.see_to(&live, &fault);
                return Err(fault);
            };
            (node, is_guest) = (other, as_guest);
        }
        Err(Fault::Homeless)
    }

    /// Has a connection replaced whose server is not the one that it was.
    fn see_to(&self, live: &Live, fault: &Fault) {
        if fault.is_demoted() && self.has_others() {
            live.lose();
        }
    }

    /// Where an answer of the server at this address sends us, and whether only for this once.
    fn redirected(&self, fault: &Fault, by: &Address) -> Option<(Arc<Node>, bool)> {
        let (Route::Many(cluster), Fault::Redis(error)) = (&self.inner.route, fault) else { return None };
        let (address, _) = error.redirect_node()?;
        self.inner.counts.redirects.fetch_add(1, Ordering::Relaxed);
        let is_once = fault.code() == Some("ASK");
        if !is_once {
            cluster.look_around();
        }
        Some((cluster.at(address, by)?, is_once))
    }

    /// Errors that are answers are errors.
    fn answered(&self, answer: Result<Value, Fault>) -> Result<Value, Fault> {
        let answer = match answer {
            Ok(Value::ServerError(error)) => Err(Fault::Redis(error.into())),
            answer => answer,
        };
        if let (Err(Fault::Redis(error)), Route::Many(cluster)) = (&answer, &self.inner.route)
            && (error.is_io_error() || error.is_cluster_error())
        {
            cluster.look_around();
        }
        answer
    }

    /// Has it found out who has which slots, where that can change.
    pub(crate) fn look_around(&self) {
        if let Route::Many(cluster) = &self.inner.route {
            cluster.look_around();
        }
    }

    async fn node(&self, slot: u16) -> Result<Arc<Node>, Fault> {
        match &self.inner.route {
            Route::One(node) => Ok(Arc::clone(node)),
            Route::Many(cluster) => cluster.node(slot).await,
        }
    }

    /// A place among the calls that are on their way.
    async fn place(&self) -> Result<SemaphorePermit<'_>, Fault> {
        let places = &self.inner.places;
        if let Ok(place) = places.try_acquire() {
            return Ok(place);
        }
        let waited = timeout(self.inner.config.pool_timeout, places.acquire()).await;
        waited.ok().and_then(Result::ok).ok_or_else(|| {
            self.inner.counts.crowded.fetch_add(1, Ordering::Relaxed);
            Fault::Full
        })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { mode, addresses, .. } = &*self.inner.config;
        f.debug_struct("Connection").field("mode", mode).field("addresses", addresses).finish_non_exhaustive()
    }
}
