//! Single-flight at its edges: dropped callers, failing and panicking loaders, invalidations on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use strata::{Cache, LoadError, Loaded, Memory, Options, Pattern, Source, Tags, Ttl};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use crate::{Down, settle};

pub(crate) fn cache() -> Cache<u32, u32> {
    Cache::builder("flight").build().expect("legal")
}

/// A loader that counts its runs and waits to be let through.
#[derive(Clone)]
pub(crate) struct Gate {
    runs: Arc<AtomicU32>,
    open: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Self { runs: Arc::default(), open: Arc::new(Semaphore::new(0)) }
    }

    pub(crate) fn load(&self, value: u32) -> impl FnOnce() -> Pending + Send + use<> {
        let gate = self.clone();
        move || {
            Box::pin(async move {
                gate.runs.fetch_add(1, SeqCst);
                gate.open.acquire().await.map_err(|_| Down(0))?.forget();
                Ok(value)
            })
        }
    }

    pub(crate) fn let_through(&self, loads: usize) {
        self.open.add_permits(loads);
    }

    pub(crate) fn runs(&self) -> u32 {
        self.runs.load(SeqCst)
    }
}

pub(crate) type Pending = std::pin::Pin<Box<dyn Future<Output = Result<u32, Down>> + Send>>;

#[tokio::test]
async fn the_leader_loads_and_the_others_join() {
    let (cache, gate) = (cache(), Gate::closed());
    let calls: Vec<_> = (0..3)
        .map(|value| {
            let (cache, load) = (cache.clone(), gate.load(value));
            tokio::spawn(async move { cache.get_or_load(&1, load).await.map(|hit| (*hit, hit.source())) })
        })
        .collect();
    settle().await;
    assert_eq!(cache.stats().coalesced, 2);
    gate.let_through(1);
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.expect("no panic").expect("loaded"));
    }
    assert_eq!(answers, [(0, Source::Loader), (0, Source::Joined), (0, Source::Joined)]);
}

#[tokio::test]
async fn a_dropped_leader_neither_cancels_nor_restarts_the_load() {
    let (cache, gate) = (cache(), Gate::closed());
    let leader = tokio::spawn({
        let (cache, load) = (cache.clone(), gate.load(5));
        async move { cache.get_or_load(&1, load).await.map(|hit| *hit) }
    });
    settle().await;
    let waiters: Vec<_> = (0..20)
        .map(|_| {
            let (cache, load) = (cache.clone(), gate.load(99));
            tokio::spawn(async move { cache.get_or_load(&1, load).await.map(|hit| *hit) })
        })
        .collect();
    settle().await;
    leader.abort();
    assert!(leader.await.expect_err("aborted").is_cancelled());
    gate.let_through(1);
    for waiter in waiters {
        assert_eq!(waiter.await.expect("no panic").expect("loaded"), 5);
    }
    assert_eq!(gate.runs(), 1);
}

#[tokio::test]
async fn a_load_whose_callers_have_all_gone_is_still_stored() {
    let (cache, gate) = (cache(), Gate::closed());
    let caller = tokio::spawn({
        let (cache, load) = (cache.clone(), gate.load(5));
        async move { cache.get_or_load(&1, load).await.map(|hit| *hit) }
    });
    settle().await;
    caller.abort();
    gate.let_through(1);
    settle().await;
    assert_eq!(cache.get_local(&1).as_deref(), Some(&5));
}

#[tokio::test]
async fn a_panicking_loader_is_an_error_for_its_waiters_and_nothing_else() {
    let (cache, gate) = (cache(), Gate::closed());
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (cache, gate) = (cache.clone(), gate.clone());
            let load = move || async move {
                gate.open.acquire().await.map_err(|_| Down(0))?.forget();
                gate.runs.fetch_add(1, SeqCst);
                assert_eq!(gate.runs(), 0, "a loader of the user");
                Ok::<u32, Down>(0)
            };
            tokio::spawn(async move { cache.get_or_load(&1, load).await.map(|hit| *hit) })
        })
        .collect();
    settle().await;
    gate.let_through(1);
    for call in calls {
        assert!(matches!(call.await.expect("the caller lives"), Err(LoadError::Panicked)));
    }
    assert_eq!((gate.runs(), cache.stats().loads_lost, cache.stats().in_flight), (1, 1, 0));
    let again = cache.get_or_load(&1, || async { Ok::<_, Down>(3) }).await.expect("the key is not poisoned");
    assert_eq!(*again, 3);
}

#[tokio::test]
async fn a_loader_that_panics_before_its_future_is_an_error_too() {
    let cache = cache();
    let load = || -> Pending { panic!("a loader of the user") };
    assert!(matches!(cache.get_or_load(&1, load).await, Err(LoadError::Panicked)));
}

#[tokio::test]
async fn an_error_is_shared_by_all_who_wait_and_not_cached() {
    let (cache, open) = (cache(), Arc::new(Semaphore::new(0)));
    let calls: Vec<_> = (0..20)
        .map(|number| {
            let (cache, open) = (cache.clone(), Arc::clone(&open));
            let load = move || async move {
                open.acquire().await.map_err(|_| Down(99))?.forget();
                Err::<u32, _>(Down(number))
            };
            tokio::spawn(async move { cache.get_or_load(&1, load).await.map(|hit| *hit) })
        })
        .collect();
    settle().await;
    open.add_permits(1);
    for call in calls {
        let error = call.await.expect("no panic").expect_err("the source is down");
        assert_eq!(*error.into_failure().expect("the loader's own"), Down(0));
    }
    assert_eq!(cache.stats().loads_failed, 1);
    assert_eq!(*cache.get_or_load(&1, || async { Ok::<_, Down>(4) }).await.expect("asked again"), 4);
}

#[tokio::test]
async fn a_waiter_with_another_error_type_gets_the_text() {
    let (cache, gate) = (cache(), Arc::new(Semaphore::new(0)));
    let leader = tokio::spawn({
        let (cache, gate) = (cache.clone(), Arc::clone(&gate));
        let load = move || async move {
            gate.acquire().await.map_err(|_| Down(99))?.forget();
            Err::<u32, _>(Down(1))
        };
        async move { cache.get_or_load(&1, load).await.map(|hit| *hit) }
    });
    settle().await;
    let other = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_or_load(&1, || async { Err::<u32, String>("mine".into()) }).await.map(|hit| *hit) }
    });
    settle().await;
    gate.add_permits(1);
    assert!(matches!(leader.await.expect("no panic"), Err(LoadError::Failed(_))));
    let text = other.await.expect("no panic").expect_err("failed").to_string();
    assert_eq!(text, "the loader of another caller failed: the source is down (1)");
}

/// What overtakes the load of key 1, tagged "t", in the tests below.
async fn overtake(cache: &Cache<u32, u32>, how: usize) -> &'static str {
    match how {
        0 => cache.remove(&1).await.map(|_| "remove"),
        1 => cache.remove_tag("t").await.map(|_| "remove_tag"),
        2 => cache.remove_prefix("").await.map(|_| "remove_prefix"),
        3 => cache.remove_pattern(&Pattern::new("[0-9]").expect("legal")).await.map(|_| "remove_pattern"),
        _ => cache.clear().await.map(|_| "clear"),
    }
    .expect("memory does not fail")
}

#[tokio::test]
async fn an_overtaken_load_answers_its_callers_and_stores_nothing() {
    for how in 0..5 {
        let (cache, old, new) = (cache(), Gate::closed(), Gate::closed());
        let tagged = || Options::new().with_tags(Tags::new(["t"]).expect("legal"));
        let call = |load| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.get_or_load(&1, load).with(tagged()).await.map(|hit| *hit) })
        };
        let first = call(old.load(1));
        settle().await;
        let verb = overtake(&cache, how).await;
        let second = call(new.load(2));
        settle().await;
        assert_eq!(new.runs(), 1, "{verb}: a later load does not join the older one");
        old.let_through(1);
        assert_eq!(first.await.expect("no panic").expect("loaded"), 1, "{verb}: its own caller is answered");
        let third = call(new.load(3));
        settle().await;
        assert_eq!(new.runs(), 1, "{verb}: the end of the older load does not end the later one's flight");
        assert!(cache.get_local(&1).is_none(), "{verb}: the old value is not stored");
        new.let_through(1);
        assert_eq!(second.await.expect("no panic").expect("loaded"), 2);
        assert_eq!(third.await.expect("no panic").expect("joined"), 2);
        assert_eq!(cache.get_local(&1).as_deref(), Some(&2), "{verb}: the later load is stored");
    }
}

#[tokio::test]
async fn tags_that_only_the_loader_knows_are_fenced_too() {
    let (cache, open) = (cache(), Arc::new(Semaphore::new(0)));
    let call = tokio::spawn({
        let (cache, open) = (cache.clone(), Arc::clone(&open));
        let load = move || async move {
            open.acquire().await.map_err(|_| Down(0))?.forget();
            Ok::<_, Down>(Loaded::new(1).with_tags(Tags::new(["t"]).expect("legal")))
        };
        async move { cache.get_or_load(&1, load).await.map(|hit| *hit) }
    });
    settle().await;
    cache.remove_tag("t").await.expect("memory");
    open.add_permits(1);
    assert_eq!(call.await.expect("no panic").expect("loaded"), 1);
    assert!(cache.get_local(&1).is_none());
}

#[tokio::test]
async fn a_value_inserted_during_a_load_wins() {
    let (cache, gate) = (cache(), Gate::closed());
    let call = tokio::spawn({
        let (cache, load) = (cache.clone(), gate.load(1));
        async move { cache.get_or_load(&1, load).await.map(|hit| *hit) }
    });
    settle().await;
    cache.insert(1, 2).await.expect("memory");
    gate.let_through(1);
    assert_eq!(call.await.expect("no panic").expect("loaded"), 1);
    assert_eq!(cache.get_local(&1).as_deref(), Some(&2));
}

#[tokio::test]
async fn force_refresh_loads_though_the_value_is_there() {
    let cache = cache();
    cache.insert(1, 1).await.expect("memory");
    let forced = Options::new().with_force_refresh(true);
    let hit = cache.get_or_load(&1, || async { Ok::<_, Down>(2) }).with(forced).await.expect("loaded");
    assert_eq!((*hit, hit.is_loaded()), (2, true));
    assert_eq!(cache.get_local(&1).as_deref(), Some(&2));
}

#[tokio::test]
async fn a_loaders_own_life_and_refusal_are_honoured() {
    let cache = cache();
    let brief = || async { Ok::<_, Down>(Loaded::new(1).with_ttl(Ttl::from_secs(60))) };
    cache.get_or_load(&1, brief).await.expect("loaded");
    let left = cache.ttl(&1).await.expect("memory").expect("stored").finite().expect("not for ever");
    assert!(left.as_secs() < 60 && left.as_secs() > 30);
    let unsure = || async { Ok::<_, Down>(Loaded::new(2).do_not_store()) };
    assert_eq!(*cache.get_or_load(&2, unsure).await.expect("loaded"), 2);
    assert!(cache.get_local(&2).is_none());
}

#[test]
fn without_a_runtime_a_hit_is_served_and_a_miss_says_what_is_needed() {
    let cache = cache();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let load = || async { Ok::<_, Down>(2) };
    let mut miss = std::pin::pin!(cache.get_or_load(&1, load));
    let std::task::Poll::Ready(Err(error)) = miss.as_mut().poll(&mut context) else {
        panic!("ready with an error")
    };
    assert!(error.to_string().contains("tokio runtime"));
    assert_eq!(cache.stats().in_flight, 0);
}

#[tokio::test]
async fn a_dropped_cache_ends_its_loads() {
    let (begun, ended) = (oneshot::channel(), oneshot::channel::<()>());
    let cache = cache();
    let caller = tokio::spawn({
        let cache = cache.clone();
        let load = move || async move {
            let _held_until_the_end = ended.0;
            begun.0.send(()).map_err(|()| Down(0))?;
            std::future::pending::<Result<u32, Down>>().await
        };
        async move { cache.get_or_load(&1, load).await.map(|hit| *hit) }
    });
    begun.1.await.expect("the loader runs");
    caller.abort();
    assert!(caller.await.expect_err("aborted").is_cancelled());
    drop(cache);
    assert!(ended.1.await.is_err(), "the loader is dropped with the cache");
}

#[tokio::test]
async fn a_hit_from_memory_wins_over_a_load_in_flight() {
    let memory = Memory::new().with_max_entries(1);
    let cache: Cache<u32, u32> = Cache::builder("small").memory(memory).build().expect("legal");
    cache.insert(1, 1).await.expect("memory");
    let load = || async { Err::<u32, _>(Down(1)) };
    let hit = cache.get_or_load(&1, load).await.expect("there");
    assert_eq!((*hit, hit.source()), (1, Source::Memory));
    assert_eq!(cache.stats().memory.hits, 1);
}

#[tokio::test]
async fn an_older_load_does_not_overwrite_a_forced_one() {
    let (cache, old) = (cache(), Gate::closed());
    let held = tokio::spawn({
        let (cache, load) = (cache.clone(), old.load(1));
        async move { cache.get_or_load(&1, load).await.map(|hit| *hit) }
    });
    settle().await;
    let forced = Options::new().with_force_refresh(true);
    assert_eq!(*cache.get_or_load(&1, || async { Ok::<_, Down>(2) }).with(forced).await.expect("loaded"), 2);
    old.let_through(1);
    assert_eq!(held.await.expect("no panic").expect("loaded"), 1);
    assert_eq!(cache.get_local(&1).as_deref(), Some(&2));
}

#[tokio::test]
async fn a_forced_load_that_may_not_be_stored_takes_the_old_value_with_it() {
    let (cache, gate) = (cache(), Gate::closed());
    cache.insert(1, 1).await.expect("memory");
    let forced = tokio::spawn({
        let (cache, load) = (cache.clone(), gate.load(2));
        let options = Options::new().with_force_refresh(true);
        async move { cache.get_or_load(&1, load).with(options).await.map(|hit| *hit) }
    });
    settle().await;
    cache.remove_prefix(&999).await.expect("memory");
    gate.let_through(1);
    assert_eq!(forced.await.expect("no panic").expect("loaded"), 2);
    assert!(cache.get_local(&1).is_none(), "the caller has seen something newer");
}

#[tokio::test]
async fn unrelated_tags_leave_single_flight_alone() {
    let (cache, gate) = (cache(), Gate::closed());
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let (cache, load) = (cache.clone(), gate.load(1));
        let another = cache.clone();
        callers.spawn(async move { cache.get_or_load(&1, load).await.map(|hit| *hit).expect("loaded") });
        settle().await;
        another.remove_tag("unrelated").await.expect("memory");
    }
    gate.let_through(1);
    assert_eq!(callers.join_all().await, [1; 100]);
    assert_eq!(gate.runs(), 1);
}

#[tokio::test]
async fn get_and_touch_tells_the_new_life() {
    let cache = cache();
    cache.insert_with(1, 7, Options::new().with_ttl(Ttl::from_secs(5))).await.expect("memory");
    let hit = cache.get_and_touch(&1, Ttl::from_secs(500)).await.expect("memory").expect("there");
    assert!(hit.remaining(cache.memory().clock().now()) > Ttl::from_secs(400));
    assert!(cache.get_and_touch(&2, Ttl::ZERO).await.expect("memory").is_none());
    assert_eq!((cache.stats().memory.hits, cache.stats().memory.misses), (1, 1));
}
