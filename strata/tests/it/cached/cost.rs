//! What a call costs that is answered from memory: no allocation, no copy of what it borrows, no second look.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Waker};

use allocation_counter::measure;
use strata::{Options, cached};

use super::{Fault, State};

/// What a service is given along, which tells when it is copied.
struct Source {
    state: State<u64>,
    copies: Arc<AtomicU64>,
}

impl Source {
    fn new() -> Self {
        Self { state: State::new(), copies: Arc::default() }
    }
}

impl Clone for Source {
    fn clone(&self) -> Self {
        self.copies.fetch_add(1, SeqCst);
        Self { state: self.state.clone(), copies: Arc::clone(&self.copies) }
    }
}

#[cached(cache = source.state.cache, ttl = "1h", tags = ["candles", "candles:{symbol}"], skip(trace))]
async fn candles(source: &Source, symbol: &str, minutes: u32, trace: &str) -> Result<u64, Fault> {
    let _ = (symbol, minutes, trace);
    Ok(source.state.ask())
}

#[cached(cache = source.state.cache, ttl = "1h", tags = ["candles:{symbol}"])]
fn candles_now(source: &Source, symbol: &str, minutes: u32) -> u64 {
    let _ = (symbol, minutes);
    source.state.ask()
}

#[tokio::test]
async fn a_hit_neither_allocates_nor_copies_what_it_borrows() {
    let source = Source::new();
    assert_eq!(candles(&source, "BTC/USD", 5, "").await, Ok(0));
    assert_eq!(source.copies.load(SeqCst), 1, "the load takes one along");
    let mut context = Context::from_waker(Waker::noop());
    let hits = measure(|| {
        for _ in 0..1000 {
            let call = pin!(candles(&source, "BTC/USD", 5, "a trace that differs from call to call"));
            assert!(call.poll(&mut context).is_ready(), "a hit is ready on the first poll");
        }
    });
    assert_eq!((hits.count_total, source.copies.load(SeqCst)), (0, 1));
}

#[test]
fn a_hit_of_a_sync_function_does_not_either() {
    let source = Source::new();
    assert_eq!(candles_now(&source, "BTC/USD", 5), 0);
    let hits = measure(|| {
        for _ in 0..1000 {
            assert_eq!(candles_now(&source, "BTC/USD", 5), 0);
        }
    });
    assert_eq!((hits.count_total, source.copies.load(SeqCst)), (0, 0));
}

#[tokio::test]
async fn a_call_looks_once() {
    let source = Source::new();
    for minutes in [1, 2, 1, 1] {
        candles(&source, "BTC/USD", minutes, "").await.expect("loads");
    }
    for minutes in [1, 2, 1, 1] {
        candles_now(&source, "BTC/USD", minutes);
    }
    let counts = source.state.cache.stats().memory;
    assert_eq!((counts.hits, counts.misses), (4, 4));
}

#[cached(cache = state.cache, options = Options::new().with_force_refresh(forced), skip(forced))]
async fn forced(state: &State<u64>, forced: bool) -> Result<u64, Fault> {
    Ok(state.ask())
}

#[tokio::test]
async fn options_that_force_are_heard_before_the_look() {
    let state = State::new();
    assert_eq!(forced(&state, false).await, Ok(0));
    assert_eq!(forced(&state, false).await, Ok(0));
    assert_eq!(forced(&state, true).await, Ok(1));
    assert_eq!(forced(&state, false).await, Ok(1));
}

#[cached(cache = state.cache)]
fn sized(state: &State<u64>, text: &str, more: bool) -> u64 {
    let _ = (text, more);
    state.ask()
}

#[test]
fn arguments_of_any_length_are_told_apart() {
    let state = State::new();
    let text = "x".repeat(300);
    for length in (0..300).chain(0..300) {
        assert_eq!(sized(&state, &text[..length], true), length as u64);
    }
    assert_eq!(sized(&state, "", false), 300);
}
