//! Closing a cache, and dropping it: what runs ends, nobody is failed, and nothing is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use strata::{Cache, Closed, LoadError, Loaded, Memory, Options, Source, Stale};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet, yield_now};

use crate::ages::{World, kept, secs, seen};
use crate::{Down, settle};

/// The tasks of this runtime, the loads of all caches among them.
fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

fn counts(closed: Closed) -> (u64, u64) {
    (closed.finished, closed.dropped)
}

/// Closes a cache in a task of its own, as far as it gets at once.
async fn closing(cache: &Cache<u32, u32>, deadline: Duration) -> JoinHandle<Closed> {
    let cache = cache.clone();
    let closing = tokio::spawn(async move { cache.close(deadline).await });
    settle().await;
    closing
}

#[tokio::test(start_paused = true)]
async fn what_runs_may_end_within_the_deadline_and_is_stored() {
    // C46
    let world = World::filled(kept().with_eager_at(0.8)).await;
    world.pass(secs(9));
    world.hangs();
    assert_eq!(*world.get().await.expect("due, and refreshed behind"), 1);
    settle().await;
    let closing = closing(&world.cache, secs(10)).await;
    tokio::time::advance(secs(9)).await;
    settle().await;
    assert!(!closing.is_finished(), "a refresh is running");
    world.answers().await;
    assert!(closing.is_finished(), "and not waited for when it is over");
    assert_eq!(counts(closing.await.expect("no panic")), (1, 0));
    assert_eq!(seen(world.get().await), (2, Source::Memory, None), "stored, and served");
    assert_eq!(counts(world.cache.close(secs(10)).await), (0, 0), "nothing is left to end");
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_takes_longer_than_the_deadline_is_ended_and_whoever_waits_is_told() {
    // C46
    let world = World::new(kept());
    world.hangs();
    let calls = [world.call().await, world.call().await];
    let closing = closing(&world.cache, secs(10)).await;
    assert_eq!(tasks(), 4, "two callers, a load, and who closes");
    tokio::time::advance(secs(10)).await;
    assert_eq!(counts(closing.await.expect("no panic")), (0, 1));
    for call in calls {
        assert!(matches!(call.await.expect("no panic"), Err(LoadError::Aborted)));
    }
    let stats = world.cache.stats();
    assert_eq!((stats.running, stats.in_flight, stats.loads_lost, tasks()), (0, 0, 1, 0));
    assert!(world.cache.get_local(&1).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_value_that_may_stand_in_does_so_for_a_load_that_close_has_ended() {
    let world = World::filled(kept()).await;
    world.pass(secs(10));
    world.hangs();
    let call = world.call().await;
    assert_eq!(counts(world.cache.close(Duration::ZERO).await), (0, 1));
    assert_eq!(seen(call.await.expect("no panic")), (1, Source::Memory, Some(Stale::Failed)));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_was_abandoned_is_waited_for_like_any_other() {
    let world = World::new(Options::new().with_hard_timeout(secs(1)));
    world.hangs();
    let call = world.call().await;
    tokio::time::advance(secs(1)).await;
    assert!(matches!(call.await.expect("no panic"), Err(LoadError::TimedOut)));
    let closing = closing(&world.cache, secs(10)).await;
    world.answers().await;
    assert_eq!(counts(closing.await.expect("no panic")), (1, 0));
    assert!(world.cache.get_local(&1).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_closed_cache_answers_what_it_has_and_loads_the_rest_for_its_caller_alone() {
    let world = World::filled(kept().with_eager_at(0.5).with_hard_timeout(secs(5))).await;
    world.cache.close(secs(1)).await;
    assert_eq!(seen(world.get().await), (1, Source::Memory, None));
    world.pass(secs(9));
    assert_eq!(seen(world.get().await), (1, Source::Memory, None), "due, and nothing begins behind it");
    assert_eq!((world.asked(), tasks()), (1, 0));

    world.cache.remove(&1).await.expect("memory");
    assert_eq!(seen(world.get().await), (2, Source::Loader, None));
    assert_eq!(seen(world.get().await), (3, Source::Loader, None), "not stored");
    world.hangs();
    let calls = [world.call().await, world.call().await];
    assert_eq!((world.asked(), tasks()), (5, 2), "each for itself, and no task but the callers'");
    world.answers().await;
    for (call, number) in calls.into_iter().zip([4, 5]) {
        assert_eq!(*call.await.expect("no panic").expect("loaded"), number);
    }
    world.hangs();
    let slow = world.call().await;
    tokio::time::advance(secs(5)).await;
    assert!(matches!(slow.await.expect("no panic"), Err(LoadError::TimedOut)));
    let stats = world.cache.stats();
    assert_eq!((stats.loads_begun, stats.loads_ok, stats.loads_lost, stats.running), (6, 5, 1, 0));
    world.cache.insert(1, 9).await.expect("memory");
    assert_eq!(seen(world.get().await), (9, Source::Memory, None), "what is inserted is kept");
}

#[tokio::test]
async fn a_load_alone_fails_as_any_other() {
    let is_open = Arc::new(AtomicBool::new(true));
    let open = Arc::clone(&is_open);
    let cache: Cache<u32, u32> =
        Cache::builder("closed").options(kept()).budget(move || open.load(SeqCst)).build().expect("legal");
    cache.insert(1, 1).await.expect("memory");
    cache.expire(&1).await.expect("memory");
    cache.close(Duration::ZERO).await;
    let fails = || async { Err::<u32, _>(Down(7)) };
    let error = cache.get_or_load(&2, fails).await.expect_err("the source is down");
    assert_eq!(*error.into_failure().expect("the loader's own"), Down(7));
    let stale = cache.get_or_load(&1, fails).await.expect("stands in");
    assert_eq!((*stale, stale.stale()), (1, Some(Stale::Failed)));
    let panics = || async {
        assert_eq!(1, 2, "a loader of the user");
        Ok::<_, Down>(0)
    };
    assert!(matches!(cache.get_or_load(&2, panics).await, Err(LoadError::Panicked)));
    let same = || async { Ok::<_, Down>(Loaded::<u32>::not_modified()) };
    assert!(matches!(cache.get_or_load(&2, same).await, Err(LoadError::NothingToKeep)));
    is_open.store(false, SeqCst);
    assert!(matches!(cache.get_or_load(&2, fails).await, Err(LoadError::OverBudget { .. })));
    assert_eq!(cache.stats().in_flight, 0);
}

#[tokio::test]
async fn many_keys_of_a_closed_cache_are_loaded_in_one_call_and_not_stored() {
    let cache: Cache<u32, u32> = Cache::builder("closed").options(kept()).build().expect("legal");
    for key in [1, 2] {
        cache.insert(key, key).await.expect("memory");
    }
    cache.expire(&2).await.expect("memory");
    cache.close(Duration::ZERO).await;
    let load = |mut missing: Vec<u32>| async move {
        missing.sort_unstable();
        assert_eq!(missing, [2, 3, 4]);
        Ok::<_, Down>([(2, 20), (3, 30), (5, 50)])
    };
    let answers = cache.get_or_load_many(&[1, 2, 3, 4, 3], load).await.expect("loaded");
    let values: Vec<_> = answers.iter().map(|hit| hit.as_deref().copied()).collect();
    assert_eq!(values, [Some(1), Some(20), Some(30), None, Some(30)]);
    let fails = |_: Vec<u32>| async { Err::<Vec<(u32, u32)>, _>(Down(1)) };
    let stale = cache.get_or_load_many(&[1, 2], fails).await.expect("both stand in");
    assert_eq!(stale.iter().flatten().map(|hit| **hit).collect::<Vec<_>>(), [1, 2]);
    assert!(matches!(cache.get_or_load_many(&[3], fails).await, Err(LoadError::Failed(_))));
    assert_eq!((cache.memory().len(), cache.stats().in_flight, tasks()), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_dropped_ends_nothing_and_can_be_called_again() {
    let world = World::new(Options::new());
    world.hangs();
    let call = world.call().await;
    let closing = closing(&world.cache, secs(10)).await;
    closing.abort();
    tokio::time::advance(secs(60)).await;
    settle().await;
    assert!(!call.is_finished());
    assert_eq!(counts(world.cache.close(Duration::ZERO).await), (0, 1));
    assert!(matches!(call.await.expect("no panic"), Err(LoadError::Aborted)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_began_before_a_close_has_ended_with_it() {
    for _ in 0..50 {
        let cache: Cache<u32, u32> = Cache::builder("race").build().expect("legal");
        let runs = Arc::new(AtomicU32::new(0));
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let (cache, runs) = (cache.clone(), Arc::clone(&runs));
            callers.spawn(async move {
                for key in 0..50 {
                    let runs = Arc::clone(&runs);
                    let load = move || async move {
                        runs.fetch_add(1, SeqCst);
                        yield_now().await;
                        Ok::<_, Down>(key)
                    };
                    let key = key * (1 + caller % 2);
                    assert!(cache.get_or_load(&key, load).await.is_ok(), "a close fails nobody");
                }
            });
        }
        while runs.load(SeqCst) < 20 {
            yield_now().await;
        }
        assert_eq!(cache.close(Duration::from_mins(10)).await.dropped, 0);
        let inserts = cache.stats().memory.inserts;
        callers.join_all().await;
        let stats = cache.stats();
        assert_eq!(stats.memory.inserts, inserts, "stored after the cache was closed");
        assert_eq!((stats.running, stats.in_flight, stats.loads_begun), (0, 0, runs.load(SeqCst).into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_caches_that_are_dropped_leave_no_task_behind() {
    // C46
    let mut held = Vec::new();
    for number in 0..1000 {
        let memory = Memory::new().with_max_entries(10).with_shards(1).with_sweep_every(None);
        let options = kept().with_eager_at(0.5).with_hard_timeout(secs(1));
        let cache: Cache<u32, u32> =
            Cache::builder("brief").memory(memory).options(options).build().expect("legal");
        let (holds, ends) = oneshot::channel::<()>();
        let hangs = move || async move {
            let _held_until_the_end = holds;
            std::future::pending::<Result<u32, Down>>().await
        };
        match number % 3 {
            // A load that somebody waits for no more.
            0 => drop(tokio::time::timeout(Duration::from_millis(1), cache.get_or_load(&1, hangs)).await),
            // One that was abandoned.
            1 => assert!(matches!(cache.get_or_load(&1, hangs).await, Err(LoadError::TimedOut))),
            // A refresh behind an answer.
            _ => {
                cache.insert_with(2, 2, Options::new().with_eager_at(1e-12)).await.expect("memory");
                assert_eq!(*cache.get_or_load(&2, hangs).await.expect("due"), 2);
            }
        }
        settle().await;
        assert_eq!(tasks(), 1, "{number}: one load is running");
        drop(cache);
        settle().await;
        assert_eq!(tasks(), 0, "{number}");
        held.push(ends);
    }
    for ends in held {
        assert!(ends.await.is_err(), "the loader was dropped");
    }
}

#[tokio::test]
async fn what_a_closed_cache_computes_is_answered_and_not_stored() {
    let cache: Cache<u32, u32> = Cache::builder("closed").build().expect("legal");
    let compute = |value| cache.get_or_compute(&1, Options::new(), move || Ok::<_, Down>(value));
    assert_eq!(compute(7).map(|hit| *hit), Ok(7));
    assert!(cache.remove_local(&1));
    cache.close(Duration::ZERO).await;
    assert_eq!(compute(8).map(|hit| *hit), Ok(8));
    assert!(cache.get_local(&1).is_none());
    cache.insert(1, 9).await.expect("memory");
    let forced = Options::new().with_force_refresh(true);
    let fresh = cache.get_or_compute(&1, forced, || Ok::<_, Down>(10));
    assert_eq!(fresh.map(|hit| *hit), Ok(10));
    assert_eq!(cache.get_local(&1).map(|hit| *hit), Some(9), "whoever inserts by hand may");
    assert_eq!((cache.stats().loads_ok, cache.stats().fenced), (3, 0));
}
