//! Crowds at one key: one load for all of them, and every one is woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::flight::{Gate, cache};
use crate::{Down, settle};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_tasks_that_miss_one_key_run_one_load() {
    for _ in 0..50 {
        let (cache, runs) = (cache(), Arc::new(AtomicU32::new(0)));
        let mut callers = JoinSet::new();
        for _ in 0..64 {
            let (cache, runs) = (cache.clone(), Arc::clone(&runs));
            callers.spawn(async move {
                let load = move || async move { Ok::<_, Down>(runs.fetch_add(1, SeqCst)) };
                *cache.get_or_load(&7, load).await.expect("the loader succeeds")
            });
        }
        assert_eq!(callers.join_all().await, [0; 64]);
        assert_eq!(runs.load(SeqCst), 1);
        let stats = cache.stats();
        assert_eq!((stats.loads_ok, stats.in_flight), (1, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_callers_of_an_empty_cache_run_one_load() {
    // C25; B13
    let (cache, runs) = (cache(), Arc::new(AtomicU32::new(0)));
    let start = Arc::new(Barrier::new(1000));
    let mut callers = JoinSet::new();
    for _ in 0..1000 {
        let (cache, runs, start) = (cache.clone(), Arc::clone(&runs), Arc::clone(&start));
        callers.spawn(async move {
            start.wait().await;
            let load = move || async move { Ok::<_, Down>(runs.fetch_add(1, SeqCst)) };
            *cache.get_or_load(&7, load).await.expect("the loader succeeds")
        });
    }
    assert!(callers.join_all().await.into_iter().all(|answer| answer == 0));
    let stats = cache.stats();
    assert_eq!((runs.load(SeqCst), stats.loads_begun, stats.loads_ok, stats.in_flight), (1, 1, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_waiters_are_all_woken_by_one_load() {
    // C25
    let (cache, gate) = (cache(), Gate::closed());
    let mut callers = JoinSet::new();
    for number in 0..10_001 {
        let (cache, load) = (cache.clone(), gate.load(number));
        callers.spawn(async move { cache.get_or_load(&1, load).await.map(|hit| *hit) });
    }
    while cache.stats().coalesced < 10_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gate.runs(), 1);
    gate.let_through(1);
    let answers = callers.join_all().await;
    let first = *answers[0].as_ref().expect("loaded");
    assert_eq!(
        answers.iter().filter(|answer| matches!(answer, Ok(value) if *value == first)).count(),
        10_001
    );
    assert_eq!((gate.runs(), cache.stats().in_flight), (1, 0));
}

#[tokio::test]
async fn a_wait_that_goes_on_in_another_task_is_woken_there() {
    // B22
    let (cache, gate) = (cache(), Gate::closed());
    let leader = tokio::spawn({
        let (cache, load) = (cache.clone(), gate.load(5));
        async move { cache.get_or_load(&1, load).await.map(|hit| *hit) }
    });
    settle().await;
    let mut wait = Box::pin({
        let (cache, load) = (cache.clone(), gate.load(6));
        async move { cache.get_or_load(&1, load).await.map(|hit| *hit) }
    });
    for _ in 0..3 {
        // Polled beside something that is ready, once with each waker.
        tokio::select! {
            biased;
            _ = &mut wait => panic!("nothing has landed"),
            () = std::future::ready(()) => {}
        }
        wait = tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = &mut wait => panic!("nothing has landed"),
                () = tokio::task::yield_now() => {}
            }
            // Not awaited here, but handed on.
            (wait,)
        })
        .await
        .expect("no panic")
        .0;
    }
    let waiter = tokio::spawn(wait);
    settle().await;
    gate.let_through(1);
    settle().await;
    assert!(waiter.is_finished() && leader.is_finished(), "someone was not woken");
    assert_eq!((waiter.await.expect("no panic").expect("joined"), gate.runs()), (5, 1));
}
