//! A Cluster: which server has which slots, kept up to date by a task of its own.
//!
//! Calls read the table and never make it: a call may be given up at any moment, and a table that only calls make would then
//! never be finished when the first server that is asked hangs.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{FromRedisValue as _, Value};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::dial::Dialer;
use super::live::Live;
use super::node::{Node, Target};
use super::slot::SLOTS;
use crate::config::Address;
use crate::driver::Question;
use crate::fault::Fault;

/// However many ask for it, the table is made at most so often.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Cluster {
    shared: Arc<Shared>,
    /// What keeps the table, from the first call on.
    keeper: OnceLock<Keeper>,
}

struct Keeper {
    table: watch::Receiver<State>,
    task: JoinHandle<()>,
}

struct Shared {
    dialer: Arc<Dialer>,
    nodes: Mutex<HashMap<Address, Arc<Node>>>,
    wanted: Notify,
    /// How many tables have been asked for.
    asked: AtomicU64,
}

#[derive(Clone)]
enum State {
    Unknown,
    Known(Arc<Table>),
    Failed(String),
}

/// Ranges of slots in order, and who has them.
#[derive(Debug)]
pub(crate) struct Table {
    ranges: Vec<(RangeInclusive<u16>, Arc<Node>)>,
    /// The how manieth it is that was asked for.
    number: u64,
}

impl Cluster {
    pub(crate) fn new(dialer: Arc<Dialer>) -> Self {
        let shared =
            Shared { dialer, nodes: Mutex::default(), wanted: Notify::new(), asked: AtomicU64::new(0) };
        Self { shared: Arc::new(shared), keeper: OnceLock::new() }
    }

    /// Who has this slot.
    pub(crate) async fn node(&self, slot: u16) -> Result<Arc<Node>, Fault> {
        let found = self.table().await?.find(slot).map(Arc::clone);
        found.ok_or_else(|| {
            self.look_around();
            Fault::Homeless
        })
    }

    /// The table; one that was asked for `after` so many others, if there is one within this time.
    pub(crate) async fn table_after(
        &self,
        after: Option<u64>,
        patience: Duration,
    ) -> Result<Arc<Table>, Fault> {
        let table = self.table().await?;
        let (Some(asked), Some(keeper)) = (after.filter(|asked| !table.is_newer(*asked)), self.keeper.get())
        else {
            return Ok(table);
        };
        self.look_around();
        let mut told = keeper.table.clone();
        let is_newer = |state: &State| matches!(state, State::Known(table) if table.is_newer(asked));
        // Whoever tells it may be gone with its runtime.
        let _ = timeout(patience, told.wait_for(is_newer)).await;
        self.table().await
    }

    /// How many tables have been asked for.
    pub(crate) fn asked(&self) -> u64 {
        self.shared.asked.load(SeqCst)
    }

    /// The server at an address, as `host:port`, that the one at `known` has named. Without a host it means its own.
    pub(crate) fn at(&self, address: &str, known: &Address) -> Option<Arc<Node>> {
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = if is_unknown(host) { &known.host } else { host };
        Some(self.shared.node(&Address::new(host, port.parse().ok()?)))
    }

    /// This connection, whoever it is to, if there still is one.
    pub(crate) fn live_if(&self, id: u64) -> Option<Arc<Live>> {
        self.shared.nodes.lock().values().find_map(|node| node.live_if(id))
    }

    /// Has the table made again.
    pub(crate) fn look_around(&self) {
        self.shared.wanted.notify_one();
    }

    async fn table(&self) -> Result<Arc<Table>, Fault> {
        let Keeper { table, .. } = self.keeper.get_or_init(|| {
            let (tell, table) = watch::channel(State::Unknown);
            Keeper { table, task: tokio::spawn(Arc::clone(&self.shared).keep(tell)) }
        });
        if let Some(known) = table.borrow().known() {
            return known;
        }
        let mut table = table.clone();
        let waited = table.wait_for(|state| !matches!(state, State::Unknown)).await;
        let known = waited.ok().and_then(|state| state.known());
        known.unwrap_or_else(|| Err(Fault::Down("its runtime has ended".into())))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn known(&self) -> Option<Result<Arc<Table>, Fault>> {
        match self {
            Self::Unknown => None,
            Self::Known(table) => Some(Ok(Arc::clone(table))),
            Self::Failed(why) => Some(Err(Fault::Down(why.clone()))),
        }
    }
}

impl Shared {
    async fn keep(self: Arc<Self>, state: watch::Sender<State>) {
        let config = self.dialer.config();
        loop {
            match self.ask_everybody().await {
                Ok(table) => {
                    self.forget_others(&table);
                    state.send_replace(State::Known(Arc::new(table)));
                    let _ = timeout(config.heartbeat, self.wanted.notified()).await;
                }
                // An old table is better than none: most of its servers may be where they were.
                Err(fault) => {
                    state.send_if_modified(|state| {
                        let is_better = !matches!(state, State::Known(_));
                        if is_better {
                            *state = State::Failed(fault.to_string());
                        }
                        is_better
                    });
                }
            }
            let _ = timeout(PAUSE, std::future::pending::<()>()).await;
        }
    }

    /// Asks one server after another until one tells who has which slots: those known to have some, then those known beforehand.
    async fn ask_everybody(&self) -> Result<Table, Fault> {
        let known: Vec<Arc<Node>> = self.nodes.lock().values().cloned().collect();
        let mut last = Fault::Homeless;
        for node in known {
            match self.ask(&node).await {
                Ok(table) => return Ok(table),
                Err(fault) => last = fault,
            }
        }
        for address in &self.dialer.config().addresses {
            if self.nodes.lock().contains_key(address) {
                continue;
            }
            match self.ask(&self.node(address)).await {
                Ok(table) => return Ok(table),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    async fn ask(&self, node: &Node) -> Result<Table, Fault> {
        let asking = async {
            let live = node.live(0).await?;
            let mut command = redis::cmd("CLUSTER");
            let number = self.asked.fetch_add(1, SeqCst) + 1;
            let answer = live.ask(&Question::One(command.arg("SLOTS"))).await?;
            self.read(&answer, &live.address().host, number)
        };
        timeout(self.dialer.config().connect_timeout, asking).await.unwrap_or(Err(Fault::Late))
    }

    /// Reads the answer of a server at `host`; one that does not know its own address means that by an empty one.
    fn read(&self, answer: &Value, host: &str, number: u64) -> Result<Table, Fault> {
        if let Value::ServerError(error) = answer {
            return Err(Fault::Redis(error.clone().into()));
        }
        let Value::Array(ranges) = answer else { return Err(Fault::Odd) };
        let mut slots = Vec::with_capacity(ranges.len());
        for range in ranges {
            let Value::Array(parts) = range else { return Err(Fault::Odd) };
            let [first, last, Value::Array(primary), ..] = &parts[..] else { return Err(Fault::Odd) };
            let whole = |value: &Value| u16::from_redis_value_ref(value).map_err(|_| Fault::Odd);
            let [named, port, ..] = &primary[..] else { return Err(Fault::Odd) };
            let named = Option::<String>::from_redis_value_ref(named).ok().flatten();
            let host = named.filter(|name| !is_unknown(name)).unwrap_or_else(|| host.to_owned());
            let node = self.node(&Address::new(host, whole(port)?));
            slots.push((whole(first)?..=whole(last)?, node));
        }
        if slots.is_empty() {
            return Err(Fault::Homeless);
        }
        slots.sort_by_key(|(slots, _)| *slots.start());
        Ok(Table { ranges: slots, number })
    }

    /// The server at this address, the same one each time.
    fn node(&self, address: &Address) -> Arc<Node> {
        let mut nodes = self.nodes.lock();
        let make = || Arc::new(Node::new(Arc::clone(&self.dialer), Target::Fixed(address.clone())));
        Arc::clone(nodes.entry(address.clone()).or_insert_with(make))
    }

    /// Lets go of servers that have no slots, and of the connections to them.
    fn forget_others(&self, table: &Table) {
        self.nodes.lock().retain(|_, node| table.has(node));
    }
}

/// Whether a server says no more of another one's host than that it can be reached as the one that says so.
fn is_unknown(host: &str) -> bool {
    host.is_empty() || host == "?"
}

impl Table {
    /// That of a server without others, which is never older than another.
    pub(crate) fn of_one(node: &Arc<Node>) -> Self {
        Self { ranges: vec![(0..=SLOTS - 1, Arc::clone(node))], number: u64::MAX }
    }

    fn find(&self, slot: u16) -> Option<&Arc<Node>> {
        let at = self.ranges.partition_point(|(slots, _)| *slots.end() < slot);
        self.ranges.get(at).filter(|(slots, _)| slots.contains(&slot)).map(|(_, node)| node)
    }

    /// Who has slots, some more than once.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.ranges.iter().map(|(_, node)| node)
    }

    pub(crate) fn has(&self, node: &Arc<Node>) -> bool {
        self.nodes().any(|owner| Arc::ptr_eq(owner, node))
    }

    /// Whether a server has a slot here that it did not have then.
    pub(crate) fn has_gained(&self, node: &Arc<Node>, then: &Self) -> bool {
        let is_his = |owner: &&Arc<Node>| Arc::ptr_eq(owner, node);
        let had = |slot: u16| then.find(slot).is_some_and(|owner| Arc::ptr_eq(owner, node));
        let same = |slots: &RangeInclusive<u16>| {
            then.ranges.iter().any(|(known, owner)| known == slots && is_his(&owner))
        };
        let mut his = self.ranges.iter().filter(|(_, owner)| is_his(&owner));
        his.any(|(slots, _)| !same(slots) && !slots.clone().all(had))
    }

    /// Whether it was asked for after so many others.
    pub(crate) fn is_newer(&self, asked: u64) -> bool {
        self.number > asked
    }
}
