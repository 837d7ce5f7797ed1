//! How often a fleet loads a key: the loaders count in Redis how often they run.

use std::time::Duration;

use cache_core::{Clock, SystemClock};
use cache_testkit::redis::{Server, until};
use serde::Serialize;

use super::node::LOADED;
use super::nodes::Nodes;
use crate::Outcome;

/// How many keys are cold, and for how many callers in each process.
const COLD: u32 = 200;
const CALLERS: u64 = 10;
/// The keys whose loader is killed.
const KILLED: u32 = LOADED + COLD;
const STALE: u32 = KILLED + 1;

/// All processes have asked for the same cold keys at once.
#[derive(Debug, Serialize)]
pub(super) struct Cold {
    pub(super) keys: u32,
    pub(super) callers: u64,
    pub(super) loads: u64,
    /// Of the key that was loaded most often.
    pub(super) most: u64,
}

/// All have asked for one key, and who loaded it was killed until one was left.
#[derive(Debug, Serialize)]
pub(super) struct Killed {
    pub(super) kills: u64,
    pub(super) loads: u64,
    /// From each kill until the next process loaded.
    pub(super) waited_seconds: Vec<f64>,
    /// How many were answered, of those who were not killed.
    pub(super) answered: u64,
}

/// All had a copy that was stale when it was to be loaded, and who loaded it was killed.
#[derive(Debug, Serialize)]
pub(super) struct WithCopy {
    /// How many the others answered with it while the loader hung, and how many they did not.
    pub(super) stale: u64,
    pub(super) fresh: u64,
    /// Loads until then, and in the end.
    pub(super) loads_meanwhile: u64,
    pub(super) loads: u64,
    pub(super) waited_seconds: f64,
}

pub(super) fn cold(server: &Server, nodes: &mut Nodes) -> Outcome<Cold> {
    nodes.ask_all(&format!("ask {LOADED} {COLD} {CALLERS} 0"))?;
    let loads: Vec<u64> = (LOADED..LOADED + COLD).map(|key| number(server, "loads", key)).collect();
    let callers = CALLERS * nodes.len() as u64;
    Ok(Cold {
        keys: COLD,
        callers,
        loads: loads.iter().sum(),
        most: loads.iter().copied().max().unwrap_or(0),
    })
}

pub(super) fn killed(server: &Server, nodes: &mut Nodes) -> Outcome<Killed> {
    let clock = SystemClock::new();
    let kills = nodes.len() as u64 - 1;
    let line = format!("ask {KILLED} 1 {CALLERS} {kills}");
    let mut alive: Vec<usize> = (0..nodes.len()).collect();
    for node in &alive {
        nodes.tell(*node, &line)?;
    }
    let mut waited_seconds = Vec::new();
    for kill in 0..kills {
        until("a process loads", || {
            number(server, "loads", KILLED) > kill && loader(server, KILLED, &alive).is_some()
        });
        let loader = loader(server, KILLED, &alive).ok_or("nobody loads")?;
        let killed = clock.now();
        nodes.kill(loader)?;
        alive.retain(|node| *node != loader);
        until("the next process loads", || number(server, "loads", KILLED) > kill + 1);
        waited_seconds.push(clock.now().since(killed).as_secs_f64());
    }
    let mut answered = 0;
    for node in alive {
        answered += nodes.answer(node, &line)?["fresh"].as_u64().unwrap_or(0);
    }
    Ok(Killed { kills, loads: number(server, "loads", KILLED), waited_seconds, answered })
}

pub(super) fn stale(server: &Server, nodes: &mut Nodes) -> Outcome<WithCopy> {
    let clock = SystemClock::new();
    nodes.ask_all(&format!("fill {STALE}"))?;
    // Each has a copy of its own by now, and none is fresh any more.
    std::thread::park_timeout(Duration::from_millis(400));
    let (hangs, others) = (format!("ask {STALE} 1 1 1"), format!("ask {STALE} 1 {CALLERS} 1"));
    nodes.tell(0, &hangs)?;
    until("a process loads", || number(server, "loads", STALE) > 0);
    let (mut stale, mut fresh) = (0, 0);
    for node in 1..nodes.len() {
        nodes.tell(node, &others)?;
        let told = nodes.answer(node, &others)?;
        stale += told["stale"].as_u64().unwrap_or(0);
        fresh += told["fresh"].as_u64().unwrap_or(0);
    }
    let loads_meanwhile = number(server, "loads", STALE);
    let killed = clock.now();
    nodes.kill(0)?;
    let mut asked = Ok(());
    until("another process loads", || {
        asked = nodes.tell(1, &others).and_then(|()| nodes.answer(1, &others)).map(drop);
        asked.is_err() || number(server, "loads", STALE) > loads_meanwhile
    });
    asked?;
    let waited_seconds = clock.now().since(killed).as_secs_f64();
    Ok(WithCopy { stale, fresh, loads_meanwhile, loads: number(server, "loads", STALE), waited_seconds })
}

/// Which process was the last to begin to load a key, if it is one of these.
fn loader(server: &Server, key: u32, alive: &[usize]) -> Option<usize> {
    let reply = server.call(&["GET", &format!("loader:{key}")]);
    reply.text().parse().ok().filter(|loader| alive.contains(loader))
}

fn number(server: &Server, what: &str, key: u32) -> u64 {
    server.call(&["GET", &format!("{what}:{key}")]).text().parse().unwrap_or(0)
}
