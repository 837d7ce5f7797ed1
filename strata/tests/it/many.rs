//! Many keys, one loader call for what is missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use strata::{Cache, LoadError, Source};
use tokio::sync::Semaphore;

use crate::{Down, settle};

fn cache() -> Cache<u32, u32> {
    Cache::builder("many").build().expect("legal")
}

#[tokio::test]
async fn only_the_missing_keys_are_loaded_in_one_call() {
    let cache = cache();
    cache.insert(1, 10).await.expect("memory");
    cache.insert(3, 30).await.expect("memory");
    let calls = Arc::new(AtomicU32::new(0));
    let load = {
        let calls = Arc::clone(&calls);
        move |missing: Vec<u32>| async move {
            calls.fetch_add(1, SeqCst);
            assert_eq!(missing, [2, 4]);
            // Key 4 does not exist, and nobody asked for key 9.
            Ok::<_, Down>(vec![(2, 20), (9, 90)])
        }
    };
    let answers = cache.get_or_load_many(&[3, 2, 1, 4, 2], load).await.expect("loaded");
    let seen: Vec<_> =
        answers.iter().map(|answer| answer.as_ref().map(|hit| (**hit, hit.source()))).collect();
    let (memory, loader) = (Source::Memory, Source::Loader);
    assert_eq!(seen, [Some((30, memory)), Some((20, loader)), Some((10, memory)), None, Some((20, loader))]);
    assert_eq!(calls.load(SeqCst), 1);
    assert!(cache.get_local(&2).is_some() && cache.get_local(&9).is_none());
    assert_eq!(cache.stats().in_flight, 0);
}

#[tokio::test]
async fn nothing_is_loaded_where_nothing_is_missing() {
    let cache = cache();
    cache.insert(1, 10).await.expect("memory");
    let load = |_: Vec<u32>| async { Err::<Vec<(u32, u32)>, _>(Down(1)) };
    assert_eq!(cache.get_or_load_many(&[1, 1], load).await.expect("there").len(), 2);
    assert!(cache.get_or_load_many(&[], load).await.expect("nothing asked").is_empty());
}

#[tokio::test]
async fn a_key_in_flight_is_waited_for_and_not_loaded_again() {
    let (cache, open) = (cache(), Arc::new(Semaphore::new(0)));
    let single = tokio::spawn({
        let (cache, open) = (cache.clone(), Arc::clone(&open));
        let load = move || async move {
            open.acquire().await.map_err(|_| Down(0))?.forget();
            Ok::<_, Down>(10)
        };
        async move { cache.get_or_load(&1, load).await.map(|hit| *hit) }
    });
    settle().await;
    let many = tokio::spawn({
        let cache = cache.clone();
        let load = |missing: Vec<u32>| async move {
            assert_eq!(missing, [2]);
            Ok::<_, Down>([(2, 20)])
        };
        async move {
            cache
                .get_or_load_many(&[1, 2], load)
                .await
                .map(|hits| hits.iter().flatten().map(|h| **h).collect::<Vec<_>>())
        }
    });
    settle().await;
    open.add_permits(1);
    assert_eq!(single.await.expect("no panic").expect("loaded"), 10);
    assert_eq!(many.await.expect("no panic").expect("loaded"), [10, 20]);
}

#[tokio::test]
async fn a_single_caller_loads_itself_what_a_load_of_many_did_not_bring() {
    let (cache, open) = (cache(), Arc::new(Semaphore::new(0)));
    let many = tokio::spawn({
        let (cache, open) = (cache.clone(), Arc::clone(&open));
        let load = move |_: Vec<u32>| async move {
            open.acquire().await.map_err(|_| Down(0))?.forget();
            Ok::<_, Down>(Vec::<(u32, u32)>::new())
        };
        async move { cache.get_or_load_many(&[1], load).await.map(|hits| hits[0].is_none()) }
    });
    settle().await;
    let single = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_or_load(&1, || async { Ok::<_, Down>(7) }).await.map(|hit| *hit) }
    });
    settle().await;
    open.add_permits(1);
    assert!(many.await.expect("no panic").expect("loaded"));
    assert_eq!(single.await.expect("no panic").expect("loaded"), 7);
}

#[tokio::test]
async fn a_failed_or_lost_load_of_many_is_an_error_and_frees_its_keys() {
    let cache = cache();
    let fail = |_: Vec<u32>| async { Err::<Vec<(u32, u32)>, _>(Down(3)) };
    let error = cache.get_or_load_many(&[1, 2], fail).await.expect_err("down");
    assert_eq!(*error.into_failure().expect("its own"), Down(3));
    let crash = |missing: Vec<u32>| async move {
        assert!(missing.is_empty(), "a loader of the user");
        Ok::<_, Down>([(1, 1)])
    };
    assert!(matches!(cache.get_or_load_many(&[1, 2], crash).await, Err(LoadError::Panicked)));
    assert_eq!(cache.stats().in_flight, 0);
    let load = |keys: Vec<u32>| async move { Ok::<_, Down>(keys.into_iter().map(|key| (key, key))) };
    assert_eq!(cache.get_or_load_many(&[1, 2], load).await.expect("loaded").iter().flatten().count(), 2);
}
