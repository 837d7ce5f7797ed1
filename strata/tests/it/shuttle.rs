//! The real code in other orders: each property holds in a hundred thousand random schedules of threads and tasks.
//!
//! Built with `--cfg strata_shuttle`, locks, atomics, tasks and channels of the cache are shuttle's, which decides at each
//! of their steps who goes on. `STRATA_SHUTTLE_SCHEDULES` sets another number of schedules, `STRATA_SHUTTLE_SEED` the
//! seed; a failure prints the schedule that replays it. What worlds are asked and answer is noted in a history, which is
//! looked through when they settle.

#[path = "shuttle/lease.rs"]
mod lease;

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cache_testkit::clock::ManualClock;
use cache_testkit::history::{Answer, Brought, History, Leaves, Moment, Of};
use shuttle::future::{block_on, spawn};
use shuttle::scheduler::RandomScheduler;
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicU64, Ordering::SeqCst};
use shuttle_tokio::sync::Notify;
use shuttle_tokio::time::{clear_triggers, trigger_timeouts};
use strata::{Cache, Clock, LoadError, Loaded, Memory, Options, Stale, Tags};

use crate::Down;

fn check(property: impl Fn() + Send + Sync + 'static) {
    let number =
        |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let seed = number("STRATA_SHUTTLE_SEED", 1);
    let schedules = number("STRATA_SHUTTLE_SCHEDULES", 100_000);
    let schedules = usize::try_from(schedules).expect("small");
    println!("STRATA_SHUTTLE_SEED={seed} STRATA_SHUTTLE_SCHEDULES={schedules}");
    let scheduler = RandomScheduler::new_from_seed(seed, schedules);
    shuttle::Runner::new(scheduler, shuttle::Config::default()).run(property);
}

/// A cache over a source that holds one number, which only grows.
#[derive(Clone)]
struct World {
    cache: Cache<u8, u64>,
    clock: ManualClock,
    source: Arc<AtomicU64>,
    runs: Arc<AtomicU64>,
    history: std::sync::Arc<History>,
}

const KEY: u8 = 1;
/// The tag of all values, as the history knows it.
const TAG: u64 = 0;

/// Notes the end of what a task has begun, also if the task is aborted on the way.
struct Ends(std::sync::Arc<History>, Moment);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.ends(self.1);
    }
}

impl World {
    fn new(options: Options) -> Self {
        let clock = ManualClock::new();
        let memory = Memory::new()
            .with_shards(1)
            .with_clock(std::sync::Arc::new(clock.clone()))
            .with_sweep_every(None);
        let cache = Cache::builder("shuttle").memory(memory).options(options).seed(7).build().expect("legal");
        let (source, runs) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
        Self { cache, clock, source, runs, history: std::sync::Arc::default() }
    }

    /// Reads the source, and answers some steps later with a value whose tag only the loader knows.
    async fn load(self, asked: Moment) -> Result<Loaded<u64>, Down> {
        self.runs.fetch_add(1, SeqCst);
        let load = self.history.load_begins(KEY.into(), asked);
        let value = self.source.load(SeqCst);
        shuttle::future::yield_now().await;
        self.history.load_brings(load, Brought::new(value).with_tags([TAG]));
        Ok(Loaded::new(value).with_tags(Tags::new(["t"]).expect("legal")))
    }

    async fn get(&self) -> u64 {
        self.get_with(Options::new()).await
    }

    async fn get_forced(&self) -> u64 {
        let release = self.history.release_begins();
        let _release = Ends(std::sync::Arc::clone(&self.history), release);
        self.get_with(Options::new().with_force_refresh(true)).await
    }

    async fn get_with(&self, options: Options) -> u64 {
        let world = self.clone();
        let asked = self.history.read_begins(KEY.into(), self.clock.now());
        let _asked = Ends(std::sync::Arc::clone(&self.history), asked);
        let hit = self.cache.get_or_load(&KEY, move || world.load(asked)).with(options).await;
        let hit = hit.expect("loaded");
        self.history.read_ends(asked, Some(Answer { value: *hit, is_stale: hit.is_stale() }));
        *hit
    }

    /// Raises the source and invalidates what was known of it.
    async fn write(&self, how: usize) -> u64 {
        let value = self.source.fetch_add(1, SeqCst) + 1;
        let (cache, history, key) = (&self.cache, &self.history, u64::from(KEY));
        let of = if matches!(how, 1 | 5) { Of::Tag(TAG) } else { Of::Keys(vec![key]) };
        let change = match how {
            0..4 => history.change_begins(of, Leaves::Nothing),
            4..7 => history.change_begins(of, Leaves::Copy),
            _ => history.insert_begins(key, value),
        };
        match how {
            0 => drop(cache.remove(&KEY).await.expect("memory")),
            1 => drop(cache.remove_tag("t").await.expect("memory")),
            2 => drop(cache.remove_prefix(&KEY).await.expect("memory")),
            3 => drop(cache.clear().await.expect("memory")),
            4 => drop(cache.expire(&KEY).await.expect("memory")),
            5 => drop(cache.expire_tag("t").await.expect("memory")),
            6 => drop(cache.expire_all().await.expect("memory")),
            _ => drop(cache.insert(KEY, value).await.expect("memory")),
        }
        history.ends(change);
        value
    }

    /// Lets everything end that runs behind, and looks at all that happened.
    fn settle(&self) {
        while self.cache.stats().running > 0 {
            shuttle::thread::yield_now();
        }
        assert_eq!(self.history.check(), Ok(()));
    }

    fn nothing_old_is_cached(&self) {
        if let Some(hit) = self.cache.get_local(&KEY) {
            assert_eq!(*hit, self.source.load(SeqCst), "a value came back from before its invalidation");
        }
    }
}

/// Two readers against one writer: what was read before a write is neither cached nor answered after it.
fn fenced(options: &Options, how: usize, due: bool) {
    let world = World::new(options.clone());
    if due {
        block_on(world.get());
        world.clock.advance(Duration::from_secs(9));
        // Begins the refresh before the writer is there, so that it may read before the write and end after it.
        assert_eq!(block_on(world.get()), 1);
    }
    let reader = spawn({
        let world = world.clone();
        async move { world.get().await }
    });
    let writer = spawn({
        let world = world.clone();
        async move {
            let written = world.write(how).await;
            let read = world.get().await;
            assert!(read >= written, "read {read} after {written} was invalidated");
        }
    });
    block_on(async {
        reader.await.expect("no panic");
        writer.await.expect("no panic");
    });
    world.settle();
    world.nothing_old_is_cached();
}

macro_rules! fenced {
    ($($name:ident: $how:literal)*) => {$(
        #[test]
        fn $name() {
            check(|| fenced(&Options::new(), $how, false));
        }
    )*};
}

// C03, C04, C05, C06, C07; B02; I1, I16
fenced! {
    a_load_beside_a_removal_brings_nothing_back: 0
    a_load_beside_a_removal_by_tag_brings_nothing_back: 1
    a_load_beside_a_removal_by_prefix_brings_nothing_back: 2
    a_load_beside_a_clear_brings_nothing_back: 3
    a_load_beside_an_expiry_brings_nothing_back: 4
    a_load_beside_an_expiry_by_tag_brings_nothing_back: 5
    a_load_beside_an_expiry_of_all_brings_nothing_back: 6
    a_load_beside_an_insert_does_not_overwrite_it: 7
}

/// A value that is due after nine of ten seconds, and may stand in.
fn aged() -> Options {
    let of = Duration::from_secs;
    Options::new().with_ttl(of(10)).with_eager_at(0.8).with_fail_safe_for(of(100))
}

#[test]
fn a_refresh_behind_a_read_brings_nothing_back() {
    // C06; B02
    check(|| fenced(&aged(), 1, true));
}

#[test]
fn a_refresh_behind_a_read_does_not_overwrite_an_insert() {
    // C05; B21
    check(|| fenced(&aged(), 7, true));
}

#[test]
fn all_who_miss_one_key_share_one_load() {
    // C25; B13; I5
    check(|| {
        let world = World::new(Options::new());
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let world = world.clone();
                spawn(async move { world.get().await })
            })
            .collect();
        for caller in callers {
            assert_eq!(block_on(caller).expect("no panic"), 1);
        }
        assert_eq!(world.runs.load(SeqCst), 1);
        world.settle();
        let stats = world.cache.stats();
        assert_eq!((stats.loads_ok, stats.loads_begun, stats.in_flight), (1, 1, 0));
    });
}

#[test]
fn a_caller_that_is_aborted_at_any_step_takes_nobody_with_it() {
    // C27; B12, B28; I5
    check(|| {
        let world = World::new(Options::new());
        let leader = spawn({
            let world = world.clone();
            async move { world.get().await }
        });
        let waiter = spawn({
            let world = world.clone();
            async move { world.get().await }
        });
        leader.abort();
        assert_eq!(block_on(waiter).expect("no panic"), 1);
        // It may have been answered before it was aborted.
        drop(block_on(leader));
        world.settle();
        assert_eq!(world.runs.load(SeqCst), 1);
        assert_eq!(world.cache.stats().in_flight, 0);
    });
}

/// Polls a future once for nobody, and then, with another waker, to its end.
async fn polled_twice<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return answer;
    }
    shuttle::future::yield_now().await;
    std::future::poll_fn(|context| Pin::as_mut(&mut future).poll(context)).await
}

#[test]
fn a_future_that_is_polled_by_another_waker_is_woken() {
    // B22
    check(|| {
        let world = World::new(Options::new());
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                spawn(async move { polled_twice(world.get()).await })
            })
            .collect();
        for caller in callers {
            assert_eq!(block_on(caller).expect("no panic"), 1);
        }
    });
}

#[test]
fn forced_loads_are_all_run_and_the_newest_stays() {
    // B03
    check(|| {
        let world = World::new(Options::new());
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let world = world.clone();
                spawn(async move {
                    world.source.fetch_add(1, SeqCst);
                    world.get_forced().await
                })
            })
            .collect();
        let newest = callers.into_iter().map(|caller| block_on(caller).expect("no panic")).max();
        assert_eq!(world.runs.load(SeqCst), 3);
        world.settle();
        if let Some(hit) = world.cache.get_local(&KEY) {
            assert_eq!(Some(*hit), newest, "a caller has seen something newer than what is cached");
        }
    });
}

#[test]
fn an_abandoned_load_does_not_overwrite_a_later_one() {
    // C34
    check(|| {
        clear_triggers();
        let world = World::new(Options::new().with_hard_timeout(Duration::from_secs(1)));
        let (slow, go) = (world.clone(), Arc::new(Notify::new()));
        let held = Arc::clone(&go);
        let asked = world.history.read_begins(KEY.into(), world.clock.now());
        // From here on a second load may run beside it.
        world.history.release_begins();
        let load = move || async move {
            let load = slow.history.load_begins(KEY.into(), asked);
            let value = slow.source.load(SeqCst);
            held.notified().await;
            slow.history.load_brings(load, value);
            Ok::<_, Down>(value)
        };
        let first = spawn({
            let world = world.clone();
            async move { world.cache.get_or_load(&KEY, load).await.map(|hit| *hit) }
        });
        trigger_timeouts(|_| true);
        assert!(matches!(block_on(first).expect("no panic"), Err(LoadError::TimedOut)));
        world.history.read_ends(asked, None);
        clear_triggers();
        world.source.fetch_add(1, SeqCst);
        let later = spawn({
            let world = world.clone();
            async move { world.get().await }
        });
        go.notify_one();
        let later = block_on(later).expect("no panic");
        world.settle();
        let cached = *world.cache.get_local(&KEY).expect("one of them is stored");
        assert!(cached >= later, "{cached} is cached, though {later} was answered");
        assert_eq!(world.cache.stats().abandoned_running, 0);
    });
}

#[test]
fn what_is_removed_while_a_load_fails_stands_in_for_nobody_who_asks_later() {
    // C24, I8
    check(|| {
        let world = World::new(aged());
        block_on(world.get());
        world.clock.advance(Duration::from_secs(50));
        let fails = || async {
            shuttle::future::yield_now().await;
            Err::<u64, _>(Down(0))
        };
        let reader = spawn({
            let cache = world.cache.clone();
            async move { cache.get_or_load(&KEY, fails).await.map(|hit| hit.stale()) }
        });
        let remover = spawn({
            let cache = world.cache.clone();
            async move {
                cache.remove(&KEY).await.expect("memory");
                assert!(
                    cache.get_or_load(&KEY, fails).await.is_err(),
                    "it was removed before this was asked"
                );
            }
        });
        if let Ok(why) = block_on(reader).expect("no panic") {
            assert_eq!(why, Some(Stale::Failed));
        }
        block_on(remover).expect("no panic");
        assert_eq!(world.cache.memory().len(), 0);
    });
}

#[test]
fn a_failing_refresh_is_begun_once_however_many_read() {
    // C29, I5
    check(|| {
        let world = World::new(aged());
        block_on(world.get());
        world.clock.advance(Duration::from_secs(9));
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let world = world.clone();
                spawn(async move {
                    let runs = Arc::clone(&world.runs);
                    let fails = move || async move {
                        runs.fetch_add(1, SeqCst);
                        Err::<u64, _>(Down(0))
                    };
                    *world.cache.get_or_load(&KEY, fails).await.expect("still fresh")
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(block_on(caller).expect("no panic"), 1);
        }
        world.settle();
        assert_eq!(world.runs.load(SeqCst), 2, "the first load, and one refresh");
    });
}

#[test]
fn what_is_loaded_beside_a_close_is_stored_before_it_returns_or_not_at_all() {
    // C46
    check(|| {
        clear_triggers();
        let world = World::new(Options::new());
        let reader = spawn({
            let world = world.clone();
            async move { world.get().await }
        });
        let closed = block_on(world.cache.close(Duration::from_secs(1)));
        let inserts = world.cache.stats().memory.inserts;
        assert_eq!((closed.finished, closed.dropped), (inserts, 0));
        assert_eq!(block_on(reader).expect("no panic"), 1, "a close fails nobody");
        world.settle();
        assert_eq!(world.cache.stats().memory.inserts, inserts, "stored after the cache was closed");
    });
}
