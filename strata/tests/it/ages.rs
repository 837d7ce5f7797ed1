//! The four ages in use: refreshes behind a read, copies that stand in, timeouts, what the loader may say.

#[path = "ages/behind.rs"]
mod behind;
#[path = "ages/budgets.rs"]
mod budgets;
#[path = "ages/expiry.rs"]
mod expiry;
#[path = "ages/fail_safe.rs"]
mod fail_safe;
#[path = "ages/loader.rs"]
mod loader;
#[path = "ages/timeouts.rs"]
mod timeouts;
#[path = "ages/verbs.rs"]
mod verbs;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use cache_testkit::clock::ManualClock;
use strata::{Builder, Cache, Hit, LoadError, Memory, Options, Source, Stale};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::{Down, settle};

type Answer = Result<Hit<u32>, LoadError<Down>>;

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A cache whose ages move by hand, and a source that counts how often it is asked.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) cache: Cache<u32, u32>,
    source: Arc<Origin>,
}

/// Answers with the number of the question.
#[derive(Default)]
struct Origin {
    asked: AtomicU32,
    is_down: AtomicBool,
    /// While set, answers wait for `answers`.
    is_held: AtomicBool,
    answers: Notify,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        Self::with(options, |builder| builder)
    }

    fn with(options: Options, setup: impl FnOnce(Builder<u32, u32>) -> Builder<u32, u32>) -> Self {
        let clock = ManualClock::new();
        let memory = Memory::new().with_clock(Arc::new(clock.clone())).with_sweep_every(None);
        let builder = Cache::builder("ages").memory(memory).options(options).seed(7);
        let cache = setup(builder).build().expect("legal");
        Self { clock, cache, source: Arc::default() }
    }

    /// Loads one value: 1.
    pub(crate) async fn filled(options: Options) -> Self {
        let world = Self::new(options);
        assert_eq!(*world.get().await.expect("loaded"), 1);
        world
    }

    async fn ask(source: Arc<Origin>) -> Result<u32, Down> {
        let number = source.asked.fetch_add(1, SeqCst) + 1;
        if source.is_held.load(SeqCst) {
            source.answers.notified().await;
        }
        if source.is_down.load(SeqCst) { Err(Down(number)) } else { Ok(number) }
    }

    pub(crate) async fn get(&self) -> Answer {
        self.get_with(Options::new()).await
    }

    async fn get_with(&self, options: Options) -> Answer {
        let source = Arc::clone(&self.source);
        self.cache.get_or_load(&1, move || Self::ask(source)).with(options).await
    }

    /// A caller in a task of its own, that has got as far as it can.
    pub(crate) async fn call(&self) -> JoinHandle<Answer> {
        let world = self.clone();
        let call = tokio::spawn(async move { world.get().await });
        settle().await;
        call
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn breaks(&self) {
        self.source.is_down.store(true, SeqCst);
    }

    fn recovers(&self) {
        self.source.is_down.store(false, SeqCst);
    }

    pub(crate) fn hangs(&self) {
        self.source.is_held.store(true, SeqCst);
    }

    /// Lets everybody through who waits for the source, and whoever comes later.
    pub(crate) async fn answers(&self) {
        self.source.is_held.store(false, SeqCst);
        self.source.answers.notify_waiters();
        settle().await;
    }

    pub(crate) fn asked(&self) -> u32 {
        self.source.asked.load(SeqCst)
    }
}

/// What an answer says of itself.
pub(crate) fn seen(answer: Answer) -> (u32, Source, Option<Stale>) {
    let hit = answer.expect("answered");
    (*hit, hit.source(), hit.stale())
}

pub(crate) fn kept() -> Options {
    Options::new().with_ttl(secs(10)).with_fail_safe_for(secs(100))
}

const FRESH: (u32, Source, Option<Stale>) = (1, Source::Memory, None);
