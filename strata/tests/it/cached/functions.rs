//! Async functions: answered from the cache, loaded once, and what stands beside them.

use std::time::Duration;

use strata::{Options, cached};
use tokio::task::JoinSet;

use super::{Fault, State};

type Users = State<String>;

#[cached(cache = state.cache, ttl = "30m", skip(trace), tags = ["user:{id}", "users"])]
async fn user(state: &Users, id: u64, trace: &str) -> Result<String, Fault> {
    let asked = state.ask();
    tokio::task::yield_now().await;
    if id == 0 { Err(Fault::Down) } else { Ok(format!("{id} {trace} {asked}")) }
}

#[tokio::test]
async fn a_second_call_is_answered_from_the_cache() {
    let state = Users::new();
    assert_eq!(user(&state, 7, "a").await.as_deref(), Ok("7 a 0"));
    assert_eq!(user(&state, 7, "b").await.as_deref(), Ok("7 a 0"), "the trace is no part of the key");
    assert_eq!(user(&state, 8, "c").await.as_deref(), Ok("8 c 1"));
    assert_eq!(state.asked(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_at_the_same_time_share_one_load() {
    let state = Users::new();
    let mut callers = JoinSet::new();
    for _ in 0..64 {
        let state = state.clone();
        callers.spawn(async move { user(&state, 7, "").await });
    }
    while let Some(answer) = callers.join_next().await {
        assert_eq!(answer.expect("no panic").as_deref(), Ok("7  0"));
    }
    assert_eq!(state.asked(), 1);
}

#[tokio::test]
async fn an_error_reaches_the_caller_and_is_not_cached() {
    let state = Users::new();
    assert_eq!(user(&state, 0, "").await, Err(Fault::Down));
    assert_eq!(user(&state, 0, "").await, Err(Fault::Down));
    assert_eq!(state.asked(), 2);
}

#[tokio::test]
async fn the_life_is_the_one_that_was_asked_for() {
    let state = Users::new();
    user(&state, 7, "").await.expect("loads");
    state.clock.advance(Duration::from_secs(30 * 60 - 1));
    user(&state, 7, "").await.expect("loads");
    assert_eq!(state.asked(), 1);
    state.clock.advance(Duration::from_secs(1));
    user(&state, 7, "").await.expect("loads");
    assert_eq!(state.asked(), 2);
}

#[tokio::test]
async fn tags_are_filled_with_the_arguments() {
    let state = Users::new();
    for id in [7, 8] {
        user(&state, id, "").await.expect("loads");
    }
    assert_eq!(state.cache.remove_tag("user:7").await.expect("removes"), 1);
    assert_eq!(state.cache.remove_tag("users").await.expect("removes"), 1);
}

#[tokio::test]
async fn what_stands_beside_a_function_refreshes_invalidates_and_goes_past_the_cache() {
    let state = Users::new();
    assert_eq!(user(&state, 7, "").await.as_deref(), Ok("7  0"));
    assert_eq!(user::uncached(&state, 7, "").await.as_deref(), Ok("7  1"));
    assert_eq!(user(&state, 7, "").await.as_deref(), Ok("7  0"), "going past the cache stores nothing");
    assert_eq!(user::refresh(&state, 7, "").await.as_deref(), Ok("7  2"));
    assert_eq!(user(&state, 7, "").await.as_deref(), Ok("7  2"), "a refresh stores");
    assert!(user::invalidate(&state, 7).await.expect("removes"));
    assert!(!user::invalidate(&state, 7).await.expect("removes"));
    assert_eq!(user(&state, 7, "").await.as_deref(), Ok("7  3"));
}

#[cached(cache = state.cache, key = id.to_owned())]
async fn by_own_key(state: &Named, id: &str, _trace: u8) -> Result<u64, Fault> {
    Ok(state.asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + id.len() as u64)
}

#[derive(Clone)]
struct Named {
    cache: strata::Cache<String, u64>,
    asked: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

#[tokio::test]
async fn a_key_of_ones_own_is_the_key() {
    let cache = strata::Cache::builder("named").build().expect("legal");
    let state = Named { cache, asked: std::sync::Arc::default() };
    assert_eq!(by_own_key(&state, "abc", 1).await, Ok(3));
    assert_eq!(by_own_key(&state, "abc", 2).await, Ok(3));
    assert_eq!(state.cache.get_local("abc").map(|hit| *hit), Some(3));
    assert!(by_own_key::invalidate(&state, "abc").await.expect("removes"));
    assert_eq!(by_own_key(&state, "abc", 3).await, Ok(4));
}

type Found = State<Option<u64>>;

#[cached(cache = state.cache)]
async fn find(state: &Found, id: u64) -> Option<u64> {
    let asked = state.ask();
    (id != asked).then_some(asked)
}

#[tokio::test]
async fn of_an_option_only_some_is_cached() {
    let state = Found::new();
    assert_eq!(find(&state, 0).await, None);
    assert_eq!(find(&state, 0).await, Some(1));
    assert_eq!(find(&state, 0).await, Some(1));
    assert_eq!(state.asked(), 2);
    assert_eq!(find(&state, 7).await, Some(2));
}

#[tokio::test]
async fn a_refresh_that_finds_nothing_leaves_nothing() {
    let state = Found::new();
    assert_eq!(find(&state, 1).await, Some(0));
    assert_eq!(find::refresh(&state, 1).await, None);
    assert_eq!(find(&state, 1).await, Some(2), "what was found before is gone");
}

#[cached(cache = state.cache, ttl = "1h", negative_ttl = "10s")]
async fn lookup(state: &Found, id: u64) -> Result<Option<u64>, Fault> {
    let asked = state.ask();
    Ok((id != asked).then_some(asked))
}

#[tokio::test]
async fn none_lives_for_the_negative_ttl() {
    let state = Found::new();
    assert_eq!(lookup(&state, 0).await, Ok(None));
    state.clock.advance(Duration::from_secs(9));
    assert_eq!(lookup(&state, 0).await, Ok(None));
    assert_eq!(state.asked(), 1);
    state.clock.advance(Duration::from_secs(1));
    assert_eq!(lookup(&state, 0).await, Ok(Some(1)));
    state.clock.advance(Duration::from_secs(3599));
    assert_eq!(lookup(&state, 0).await, Ok(Some(1)));
}

type Rates = State<f64>;

#[cached(cache = state.cache, ttl = "1m", stale_for = "1h", options = Options::new().with_jitter(0.0))]
async fn rate(state: &Rates, symbol: &str) -> Result<f64, Fault> {
    let _ = symbol;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    Ok(state.ask() as f64)
}

#[tokio::test]
async fn a_stale_answer_is_refreshed_behind_it() {
    let state = Rates::new();
    assert_eq!(rate(&state, "BTC").await, Ok(0.0));
    state.clock.advance(Duration::from_secs(61));
    assert_eq!(rate(&state, "BTC").await, Ok(0.0));
    crate::settle().await;
    assert_eq!(rate(&state, "BTC").await, Ok(1.0));
    assert_eq!(state.cache.stats().refreshes, 1);
}

#[cached(cache = state.cache, options = Options::new().with_hard_timeout(Duration::ZERO))]
async fn slow(state: &State<u64>, mut more: u64) -> Result<u64, Fault> {
    more += state.ask();
    std::future::pending::<()>().await;
    Ok(more)
}

#[tokio::test(start_paused = true)]
async fn a_load_that_is_lost_is_an_error_of_the_function() {
    let state = State::new();
    let answer = slow(&state, 1).await;
    assert!(matches!(&answer, Err(Fault::Cache(why)) if why.contains("hard timeout")), "{answer:?}");
}

#[cached(cache = state.cache)]
async fn count(state: &State<u64>, from: u64) -> u64 {
    from + state.ask()
}

#[tokio::test]
async fn a_function_that_cannot_fail_runs_itself_where_its_load_is_lost() {
    let mut state = State::new();
    state.cache = strata::Cache::builder("refused").budget(|| false).build().expect("legal");
    assert_eq!(count(&state, 10).await, 10);
    assert_eq!(count(&state, 10).await, 11);
    assert_eq!(state.cache.stats().refused, 2);
}

#[cached(cache = state.cache, tags = ["{text}"])]
async fn tagged(state: &State<u64>, text: &str) -> Result<u64, Fault> {
    let _ = text;
    Ok(state.ask())
}

#[tokio::test]
async fn what_cannot_be_tagged_is_answered_and_not_kept() {
    let state = State::new();
    assert_eq!(tagged(&state, "").await, Ok(0));
    assert_eq!(tagged(&state, "").await, Ok(1));
    assert_eq!(tagged(&state, "t").await, Ok(2));
    assert_eq!(tagged(&state, "t").await, Ok(2));
}
