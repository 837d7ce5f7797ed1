//! Over the budget of a source: who is answered with what, who waits and for how long, and what costs budget at all.

use std::sync::Mutex;

use async_trait::async_trait;
use strata::{Gate, Leave, OverBudget};
use tokio::time::Instant;

use super::*;

/// A gate that answers as it was told, and notes what it was asked for.
#[derive(Default)]
struct Told {
    answers: Mutex<Vec<Leave>>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Gate for Told {
    async fn ask(&self, endpoint: &str) -> Leave {
        self.asked.lock().expect("nobody panics").push(endpoint.to_owned());
        self.answers.lock().expect("nobody panics").pop().unwrap_or(Leave::Now)
    }
}

impl Told {
    /// In the order in which they are given.
    fn answers(&self, answers: &[Leave]) {
        *self.answers.lock().expect("nobody panics") = answers.iter().rev().copied().collect();
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("nobody panics"))
    }
}

fn guarded() -> (World, Arc<Told>) {
    let gate = Arc::<Told>::default();
    let world = World::with(kept(), |builder| builder.budget(Arc::clone(&gate)));
    (world, gate)
}

#[tokio::test(start_paused = true)]
async fn who_may_wait_waits_for_his_turn_and_no_longer() {
    let (world, gate) = guarded();
    let waits = Options::new().with_over_budget(OverBudget::Wait(secs(5)));
    gate.answers(&[Leave::Wait(secs(2)), Leave::Wait(secs(3)), Leave::Now]);
    let began = Instant::now();
    assert_eq!(*world.get_with(waits.clone()).await.expect("its turn comes"), 1);
    assert_eq!((began.elapsed(), gate.asked().len()), (secs(5), 3));

    world.pass(secs(10));
    gate.answers(&[Leave::Wait(secs(2)), Leave::Wait(secs(4)), Leave::Now]);
    let began = Instant::now();
    assert_eq!(seen(world.get_with(waits.clone()).await), (1, Source::Memory, Some(Stale::OverBudget)));
    assert_eq!(began.elapsed(), secs(2), "four more are too long");

    gate.answers(&[Leave::Never]);
    let began = Instant::now();
    assert_eq!(seen(world.get_with(waits).await), (1, Source::Memory, Some(Stale::OverBudget)));
    assert_eq!((began.elapsed(), world.asked()), (Duration::ZERO, 1));
    assert_eq!((world.cache.stats().refused, world.cache.stats().in_flight), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_says_to_wait_for_nothing_is_not_asked_without_an_end() {
    let (world, gate) = guarded();
    gate.answers(&[Leave::Wait(Duration::ZERO); 50]);
    let waits = Options::new().with_over_budget(OverBudget::Wait(Duration::from_millis(20)));
    assert!(matches!(world.get_with(waits).await, Err(LoadError::OverBudget { .. })));
    assert_eq!(gate.asked().len(), 21);
}

#[tokio::test]
async fn who_wants_no_copy_is_told_so() {
    let (world, gate) = guarded();
    assert_eq!(*world.get().await.expect("loaded"), 1);
    world.pass(secs(10));
    gate.answers(&[Leave::Wait(secs(1)), Leave::Wait(secs(1))]);
    let strict = Options::new().with_over_budget(OverBudget::Fail);
    assert!(matches!(world.get_with(strict).await, Err(LoadError::OverBudget { .. })));
    assert_eq!(seen(world.get().await), (1, Source::Memory, Some(Stale::OverBudget)));
}

#[tokio::test]
async fn only_a_load_costs_budget_and_names_its_endpoint() {
    let (world, gate) = guarded();
    let ticker = Options::new().with_endpoint("ticker");
    for _ in 0..10 {
        world.get_with(ticker.clone()).await.expect("loaded");
    }
    assert_eq!(gate.asked(), ["ticker"]);
    world.hangs();
    world.pass(secs(10));
    world.cache.remove(&1).await.expect("memory");
    let calls = [world.call().await, world.call().await, world.call().await];
    world.answers().await;
    for call in calls {
        assert_eq!(*call.await.expect("no panic").expect("loaded"), 2);
    }
    assert_eq!(gate.asked(), [""]);
}

#[tokio::test]
async fn whoever_leads_waits_for_all_who_join() {
    let (world, gate) = guarded();
    gate.answers(&[Leave::Wait(Duration::from_millis(1))]);
    let waits = world.cache.get_or_load(&1, || async { Ok::<u32, Down>(7) });
    let patient = Options::new().with_over_budget(OverBudget::Wait(secs(1)));
    let (first, second) = tokio::join!(waits.with(patient), world.get());
    assert_eq!((*first.expect("its turn comes"), *second.expect("joined")), (7, 7));
    assert_eq!(gate.asked().len(), 2);
}

#[tokio::test]
async fn a_refresh_replaces_what_is_fresh_and_joins_what_is_on_its_way() {
    let world = World::filled(kept()).await;
    let refresh = || {
        let (cache, source) = (world.cache.clone(), Arc::clone(&world.source));
        tokio::spawn(async move { cache.refresh(&1, move || World::ask(source), Options::new()).await })
    };
    let renewed = refresh().await.expect("no panic").expect("loaded");
    assert_eq!((*renewed, renewed.source()), (2, Source::Loader));
    assert_eq!(world.cache.get(&1).await.expect("memory").as_deref(), Some(&2));

    world.hangs();
    let (first, second) = (refresh(), refresh());
    settle().await;
    assert_eq!(*world.get().await.expect("fresh"), 2, "readers do not wait for it");
    world.answers().await;
    assert_eq!(*first.await.expect("no panic").expect("loaded"), 3);
    assert_eq!(second.await.expect("no panic").expect("joined").source(), Source::Joined);
    assert_eq!(world.asked(), 3);
}

#[tokio::test]
async fn a_refresh_that_fails_leaves_what_is_there_and_says_so() {
    let world = World::filled(kept()).await;
    world.breaks();
    let source = Arc::clone(&world.source);
    let answer = world.cache.refresh(&1, move || World::ask(source), Options::new()).await;
    assert_eq!(seen(answer), (1, Source::Memory, Some(Stale::Failed)));
    assert_eq!(world.get().await.expect("fresh").stale(), None);
    world.cache.close(Duration::ZERO).await;
    let closed = world.cache.refresh(&1, || async { Ok::<u32, Down>(9) }, Options::new()).await;
    assert!(matches!(closed, Err(LoadError::Aborted)));
}

#[cfg(feature = "ratelimit")]
#[tokio::test]
async fn a_budget_of_calls_is_a_gate_for_all_caches_that_share_it() {
    use cache_memory::MemoryCounters;
    use strata::ratelimit::{Budget, Plan};

    let clock = ManualClock::new();
    let counters = MemoryCounters::new().with_clock(Arc::new(clock.clone()));
    let budget = Budget::new(Plan::MARKET_DATA, Arc::new(counters))
        .expect("legal")
        .with_clock(Arc::new(clock.clone()));
    let budget = Arc::new(budget);
    let cache = |name| {
        let options = Options::new().with_endpoint("ticker");
        Cache::<u32, u32>::builder(name).options(options).budget(Arc::clone(&budget)).build().expect("legal")
    };
    let (first, second) = (cache("first"), cache("second"));
    for key in 0..5 {
        for cache in [&first, &second] {
            for _ in 0..3 {
                cache
                    .get_or_load(&key, move || async move { Ok::<_, Down>(key) })
                    .await
                    .expect("ten a minute");
            }
        }
    }
    let load = || async { Ok::<u32, Down>(9) };
    let refused = first.get_or_load(&9, load).await;
    assert!(
        matches!(&refused, Err(LoadError::OverBudget { retry_in: Some(wait) }) if *wait <= secs(61)),
        "{refused:?}"
    );
    let depth = Options::new().with_endpoint("depth");
    assert_eq!(*second.get_or_load(&9, load).with(depth).await.expect("another endpoint"), 9);
    clock.advance(secs(61));
    assert_eq!(*first.get_or_load(&9, load).await.expect("a minute later"), 9);
    assert_eq!((budget.stats().used, budget.stats().blocked), (12, 1));
}
