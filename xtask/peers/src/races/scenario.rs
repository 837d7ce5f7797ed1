//! The races themselves, each with the order of its steps.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, timeout, timeout_at};

use super::PATIENCE;
use crate::Outcome;
use crate::peer::{Act, Entrant, Lacks, Loader, Offered, Peer, Setting};

/// A race.
pub(super) struct Scenario {
    /// As the list of scenarios names it.
    pub(super) id: &'static str,
    /// What has to be.
    pub(super) wanted: &'static str,
    pub(super) run: fn(Entrant) -> Running,
}

type Running = Pin<Box<dyn Future<Output = Outcome<Verdict>>>>;

/// What became of a race.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passes,
    /// What happened instead.
    Fails(String),
    /// It has no part in it.
    Lacks(&'static str),
}

pub(super) const SCENARIOS: [Scenario; 9] = [
    Scenario {
        id: "C03",
        wanted: "a value removed while it is loaded is not cached; who asked is answered",
        run: |entrant| on(entrant, Setting::default(), removed),
    },
    Scenario {
        id: "C04",
        wanted: "who asks after the removal runs a loader of its own and never gets the older value",
        run: |entrant| on(entrant, Setting::default(), asked_after_removal),
    },
    Scenario {
        id: "C05",
        wanted: "a value inserted while another is loaded stays",
        run: |entrant| on(entrant, Setting::default(), inserted),
    },
    Scenario {
        id: "C06",
        wanted: "a value whose tag is removed while it is loaded is not cached",
        run: |entrant| on(entrant, Setting::default(), tag_removed),
    },
    Scenario {
        id: "C07",
        wanted: "a value is not cached if all was cleared while it was loaded",
        run: |entrant| on(entrant, Setting::default(), cleared),
    },
    Scenario {
        id: "C08",
        wanted: "a node between its read of the second tier and its fill of the first does not keep what another removes",
        run: |entrant| Box::pin(two_nodes(entrant)),
    },
    Scenario {
        id: "C27",
        wanted: "the first of 21 callers is dropped: the other 20 are answered by one run of the loader",
        run: |entrant| on(entrant, Setting::default(), leader_dropped),
    },
    Scenario {
        id: "C28",
        wanted: "the loader panics with 20 waiting: errors or one run more, nobody hangs, the key is usable",
        run: |entrant| on(entrant, Setting::default(), leader_panics),
    },
    Scenario {
        id: "C34",
        wanted: "a loader hangs: after the hard timeout the key is free, and hung loads do not pile up",
        run: |entrant| on(entrant, Setting { hard_timeout: Some(HARD_TIMEOUT) }, loader_hangs),
    },
];

/// Why a race ends early.
enum Stop {
    Fails(String),
    Lacks(Lacks),
}

impl From<Lacks> for Stop {
    fn from(lacks: Lacks) -> Self {
        Self::Lacks(lacks)
    }
}

type Step<T = ()> = Result<T, Stop>;
type Shared = Arc<dyn Peer>;

/// Sets a cache up and runs the race on it.
fn on<F>(entrant: Entrant, setting: Setting, race: fn(Shared) -> F) -> Running
where
    F: Future<Output = Step> + Send + 'static,
{
    Box::pin(async move {
        Ok(match (entrant.build)(setting)? {
            Ok(peer) => verdict(race(peer).await),
            Err(Lacks(what)) => Verdict::Lacks(what),
        })
    })
}

fn verdict(step: Step) -> Verdict {
    match step {
        Ok(()) => Verdict::Passes,
        Err(Stop::Fails(what)) => Verdict::Fails(what),
        Err(Stop::Lacks(Lacks(what))) => Verdict::Lacks(what),
    }
}

async fn removed(peer: Shared) -> Step {
    invalidated(&peer, None, |peer| peer.remove(KEY)).await
}

async fn tag_removed(peer: Shared) -> Step {
    invalidated(&peer, Some(TAG), |peer| peer.remove_tag(TAG)).await
}

async fn cleared(peer: Shared) -> Step {
    invalidated(&peer, None, |peer| peer.clear()).await
}

/// A load, something that invalidates its key, the end of the load: nothing may be cached.
async fn invalidated(
    peer: &Shared,
    tag: Option<&'static str>,
    invalidate: impl Fn(&dyn Peer) -> Offered<'_>,
) -> Step {
    let gate = Gate::closed();
    let call = begin(peer, tag, gate.loader(OLD));
    expect(gate.began(), "the loader did not begin").await?;
    done(invalidate(peer.as_ref())?).await?;
    gate.open();
    answered(call, OLD).await?;
    settle().await;
    match read(peer).await? {
        None => Ok(()),
        Some(_) => Err(Stop::Fails("the old value is cached".to_owned())),
    }
}

async fn asked_after_removal(peer: Shared) -> Step {
    let (old, new) = (Gate::closed(), Gate::closed());
    let first = begin(&peer, None, old.loader(OLD));
    expect(old.began(), "the loader did not begin").await?;
    done(peer.remove(KEY)?).await?;
    new.open();
    let second = begin(&peer, None, new.loader(NEW));
    if timeout(PATIENCE, new.began()).await.is_err() {
        old.open();
        return match timeout(PATIENCE, second).await {
            Ok(Ok(Ok(OLD))) => Err(Stop::Fails("it joins the older load and gets its value".to_owned())),
            _ => Err(Stop::Fails("its loader does not run".to_owned())),
        };
    }
    answered(second, NEW).await?;
    old.open();
    answered(first, OLD).await
}

async fn inserted(peer: Shared) -> Step {
    let gate = Gate::closed();
    let call = begin(&peer, None, gate.loader(OLD));
    expect(gate.began(), "the loader did not begin").await?;
    done(peer.insert(KEY, NEW)?).await?;
    gate.open();
    expect(call, "the caller hangs").await?.ok();
    settle().await;
    match read(&peer).await? {
        Some(NEW) => Ok(()),
        Some(_) => Err(Stop::Fails("the loaded value replaces it".to_owned())),
        None => Err(Stop::Fails("nothing is cached".to_owned())),
    }
}

async fn two_nodes(entrant: Entrant) -> Outcome<Verdict> {
    let pair = match (entrant.pair)()? {
        Ok(pair) => pair,
        Err(Lacks(what)) => return Ok(Verdict::Lacks(what)),
    };
    let race = async {
        done(pair.first.insert(KEY, OLD)?).await?;
        settle().await;
        // It holds the old value in hand, and has not filled its first tier.
        let call = begin(&pair.second, None, ready(NEW));
        expect(pair.hold.came(), "the second tier is not read").await?;
        done(pair.first.remove(KEY)?).await?;
        settle().await;
        pair.hold.let_go();
        expect(call, "the caller hangs").await?.ok();
        settle().await;
        match read(&pair.second).await? {
            Some(OLD) => Err(Stop::Fails("the old value is served".to_owned())),
            _ => Ok(()),
        }
    };
    Ok(verdict(race.await))
}

async fn leader_dropped(peer: Shared) -> Step {
    let gate = Gate::closed();
    let leader = begin(&peer, None, gate.loader(OLD));
    expect(gate.began(), "the loader did not begin").await?;
    let waiters: Vec<_> = (0..WAITERS).map(|_| begin(&peer, None, gate.loader(OLD))).collect();
    settle().await;
    leader.abort();
    leader.await.ok();
    settle().await;
    gate.open();
    let mut lost = 0;
    let end = Instant::now() + PATIENCE;
    for waiter in waiters {
        lost += u64::from(!matches!(timeout_at(end, waiter).await, Ok(Ok(Ok(OLD)))));
    }
    match (lost, gate.runs()) {
        (0, 1) => Ok(()),
        (0, runs) => Err(Stop::Fails(format!("{runs} runs of the loader"))),
        (lost, _) => Err(Stop::Fails(format!("{lost} of {WAITERS} are not answered"))),
    }
}

async fn leader_panics(peer: Shared) -> Step {
    let (panics, again) = (Gate::closed(), Gate::closed());
    let leader = begin(&peer, None, panics.panicking_loader());
    expect(panics.began(), "the loader did not begin").await?;
    let waiters: Vec<_> = (0..WAITERS).map(|_| begin(&peer, None, again.loader(NEW))).collect();
    settle().await;
    panics.open();
    settle().await;
    // Who loads anew has begun by now, and all who do are seen.
    again.open();
    timeout(PATIENCE, leader).await.ok();
    let (mut hang, mut panicked) = (0, 0);
    let end = Instant::now() + PATIENCE;
    for waiter in waiters {
        match timeout_at(end, waiter).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => panicked += 1,
            Err(_) => hang += 1,
        }
    }
    if hang > 0 {
        return Err(Stop::Fails(format!("{hang} of {WAITERS} hang")));
    }
    if panicked > 0 {
        return Err(Stop::Fails(format!("{panicked} of {WAITERS} panic as well")));
    }
    if again.runs() > 1 {
        return Err(Stop::Fails(format!("{} runs more", again.runs())));
    }
    answered(begin(&peer, None, ready(NEW)), NEW)
        .await
        .map_err(|_| Stop::Fails("the key stays unusable".to_owned()))
}

async fn loader_hangs(peer: Shared) -> Step {
    let gate = Gate::closed();
    let first = begin(&peer, None, gate.loader(OLD));
    expect(gate.began(), "the loader did not begin").await?;
    expect(first, "the hard timeout does not end the call").await?.ok();
    answered(begin(&peer, None, ready(NEW)), NEW)
        .await
        .map_err(|_| Stop::Fails("the key stays blocked after the hard timeout".to_owned()))?;
    // Each hangs under a key of its own, and all time out together.
    let flood: Vec<_> = (0..HUNG).map(|key| begin_at(&peer, KEY + 1 + key, None, gate.loader(OLD))).collect();
    for call in flood {
        expect(call, "the hard timeout does not end the call").await?.ok();
    }
    // A caller may hear of its timeout before its load does.
    let few_go_on = async {
        while gate.alive() > HUNG / 2 {
            settle().await;
        }
    };
    if expect(few_go_on, "").await.is_err() {
        return Err(Stop::Fails(format!("{} of {} hung loads go on", gate.alive(), HUNG + 1)));
    }
    Ok(())
}

/// Loaders that tell when they begin and wait to be let through.
#[derive(Clone)]
struct Gate {
    runs: Arc<AtomicU64>,
    alive: Arc<AtomicU64>,
    began: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

/// A run of a loader that has not been dropped.
struct Alive(Arc<AtomicU64>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Gate {
    fn closed() -> Self {
        let semaphore = || Arc::new(Semaphore::new(0));
        Self { runs: Arc::default(), alive: Arc::default(), began: semaphore(), open: semaphore() }
    }

    /// Makes this value once the gate is open.
    fn loader(&self, value: u64) -> Loader {
        let gate = self.clone();
        Box::new(move || {
            Box::pin(async move {
                gate.pass().await;
                value
            })
        })
    }

    /// Panics once the gate is open.
    fn panicking_loader(&self) -> Loader {
        let gate = self.clone();
        Box::new(move || {
            Box::pin(async move {
                gate.pass().await;
                // As a panic does, without the noise on the terminal.
                std::panic::resume_unwind(Box::new("a loader of the user"))
            })
        })
    }

    async fn pass(&self) {
        self.runs.fetch_add(1, SeqCst);
        self.alive.fetch_add(1, SeqCst);
        let _alive = Alive(Arc::clone(&self.alive));
        self.began.add_permits(1);
        if let Ok(permit) = self.open.acquire().await {
            permit.forget();
        }
    }

    /// Waits until one more run has begun.
    async fn began(&self) {
        if let Ok(permit) = self.began.acquire().await {
            permit.forget();
        }
    }

    /// Lets every run through from now on.
    fn open(&self) {
        self.open.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    fn runs(&self) -> u64 {
        self.runs.load(SeqCst)
    }

    fn alive(&self) -> u64 {
        self.alive.load(SeqCst)
    }
}

/// A loader that does not wait.
fn ready(value: u64) -> Loader {
    Box::new(move || Box::pin(async move { value }))
}

type Call = JoinHandle<Result<u64, String>>;

/// Asks for the key, as a task of its own.
fn begin(peer: &Shared, tag: Option<&'static str>, loader: Loader) -> Call {
    begin_at(peer, KEY, tag, loader)
}

fn begin_at(peer: &Shared, key: u64, tag: Option<&'static str>, loader: Loader) -> Call {
    let peer = Arc::clone(peer);
    tokio::spawn(async move { peer.load(key, tag, loader).await })
}

/// The caller has to get this value.
async fn answered(call: Call, wanted: u64) -> Step {
    match expect(call, "a caller hangs").await? {
        Ok(Ok(value)) if value == wanted => Ok(()),
        Ok(Ok(_)) => Err(Stop::Fails("a caller gets another's value".to_owned())),
        Ok(Err(error)) => Err(Stop::Fails(format!("a caller gets an error: {error}"))),
        Err(_) => Err(Stop::Fails("a caller panics".to_owned())),
    }
}

async fn read(peer: &Shared) -> Step<Option<u64>> {
    expect(peer.get(KEY), "a read hangs").await
}

async fn done(act: Act<'_>) -> Step {
    expect(act, "an invalidation waits for the load").await
}

/// Waits for a while.
async fn expect<T>(future: impl Future<Output = T>, or: &str) -> Step<T> {
    timeout(PATIENCE, future).await.map_err(|_| Stop::Fails(or.to_owned()))
}

/// Lets every task go on until it waits.
async fn settle() {
    for _ in 0..256 {
        yield_now().await;
    }
}

const KEY: u64 = 7;
const TAG: &str = "team:7";
const OLD: u64 = 1;
const NEW: u64 = 2;
const WAITERS: u64 = 20;
const HARD_TIMEOUT: Duration = Duration::from_millis(100);
/// Loads that hang at the same time.
const HUNG: u64 = 256;
