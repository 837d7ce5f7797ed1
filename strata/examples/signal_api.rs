//! A service of trading signals with decorated functions: what is declared beside a function, its cache does.
//!
//! `cargo run -p strata --example signal_api --features macros`

#![expect(clippy::print_stdout, reason = "it shows what it does")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use strata::{Cache, CallKey, LoadError, Memory, cached, invalidates};

#[derive(Debug)]
struct Failed(String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

// What can befall a load besides the service's own errors.
impl From<LoadError<Failed>> for Failed {
    fn from(error: LoadError<Failed>) -> Self {
        Self(error.to_string())
    }
}

impl From<strata::Error> for Failed {
    fn from(error: strata::Error) -> Self {
        Self(error.to_string())
    }
}

#[derive(Clone)]
struct Service {
    signals: Cache<CallKey, f64>,
    /// How often the model was asked.
    asked: Arc<AtomicU64>,
}

/// The signal of a symbol. Who asks is not part of the question.
#[cached(cache = service.signals, ttl = "5m", stale_for = "1m", skip(request_id), tags = ["symbol:{symbol}"])]
async fn signal(service: &Service, symbol: &str, window: u32, request_id: &str) -> Result<f64, Failed> {
    service.asked.fetch_add(1, Relaxed);
    if window == 0 {
        return Err(Failed(format!("{request_id}: {symbol} has no signal for a window of 0")));
    }
    Ok(f64::from(window) / 100.0)
}

/// A new candle makes the symbol's signals untrue, of the windows that are offered.
#[invalidates(signal(service, symbol, 14), signal(service, symbol, 28))]
async fn store_candle(service: &Service, symbol: &str, close: f64) -> Result<(), Failed> {
    if close.is_finite() { Ok(()) } else { Err(Failed(format!("{symbol}: {close} is no price"))) }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = Service {
        signals: Cache::builder("signals").memory(Memory::new().with_max_entries(10_000)).build()?,
        asked: Arc::default(),
    };
    let asked = || service.asked.load(Relaxed);

    let first = signal(&service, "BTC", 14, "a").await?;
    assert_eq!((signal(&service, "BTC", 14, "b").await?, asked()), (first, 1), "one question, one answer");
    signal(&service, "BTC", 28, "c").await?;
    assert_eq!(asked(), 2, "other arguments, another entry");

    // Errors are not cached.
    assert!(signal(&service, "BTC", 0, "d").await.is_err());
    assert!(signal(&service, "BTC", 0, "e").await.is_err());
    assert_eq!(asked(), 4);

    // A writer that fails changes nothing; one that succeeds removes what it names.
    assert!(store_candle(&service, "BTC", f64::NAN).await.is_err());
    signal(&service, "BTC", 14, "f").await?;
    assert_eq!(asked(), 4);
    store_candle(&service, "BTC", 101.5).await?;
    signal(&service, "BTC", 14, "g").await?;
    assert_eq!(asked(), 5);

    // By hand: past the cache, anew into it, or out of it.
    signal::uncached(&service, "BTC", 14, "h").await?;
    signal::refresh(&service, "BTC", 14, "i").await?;
    assert_eq!(asked(), 7);
    assert!(signal::invalidate(&service, "BTC", 14).await?);

    // All of a symbol, by the tag.
    signal(&service, "BTC", 14, "j").await?;
    assert_eq!(service.signals.remove_tag("symbol:BTC").await?, 1);

    let stats = service.signals.stats();
    println!("{} hits, {} loads, {} failed", stats.memory.hits, stats.loads_begun, stats.loads_failed);
    Ok(())
}

#[test]
fn what_it_shows_holds() -> Result<(), Box<dyn std::error::Error>> {
    main()
}
