//! Two collectors that share one budget of calls to a metered interface: what is known answers, what is due is fetched while
//! there is budget, and once that is used up the last good value stands in, marked.
//!
//! `cargo run -p strata --example api_collectors`

#![expect(clippy::print_stdout, reason = "it shows what it does")]
#![expect(clippy::unused_async, reason = "what stands for a source would wait for it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use strata::{Cache, LoadError, Options, Priority, Stale, Ttl};

type Failure = Box<dyn std::error::Error>;

/// What may still be called in this minute.
#[derive(Debug)]
struct Budget {
    left: AtomicU64,
    refused: AtomicU64,
}

impl Budget {
    fn admits(&self) -> bool {
        let taken = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        self.refused.fetch_add(u64::from(!taken), Relaxed);
        taken
    }
}

/// The cache of one collector. What it must not be without is evicted last.
fn collector(name: &str, budget: &Arc<Budget>, priority: Priority) -> Result<Cache<String, f64>, Failure> {
    let budget = Arc::clone(budget);
    let options = Options::new()
        .with_ttl(Ttl::from_secs(60))
        .with_fail_safe_for(Duration::from_hours(1))
        .with_eager_at(0.8)
        .with_priority(priority);
    Ok(Cache::builder(name).options(options).budget(move || budget.admits()).build()?)
}

async fn from_api(symbol: String) -> Result<f64, std::io::Error> {
    let letters = u32::try_from(symbol.len()).unwrap_or(0);
    Ok(f64::from(letters))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let budget = Arc::new(Budget { left: AtomicU64::new(5), refused: AtomicU64::new(0) });
    let quotes = collector("quotes", &budget, Priority::High)?;
    let images = collector("images", &budget, Priority::Low)?;
    let symbols = ["BTC", "ETH", "SOL"].map(str::to_owned);

    // Three calls, whatever is asked and by how many.
    for _ in 0..10 {
        for symbol in &symbols {
            let wanted = symbol.clone();
            quotes.get_or_load(symbol, move || from_api(wanted)).await?;
        }
    }
    assert_eq!((quotes.stats().loads_ok, quotes.analytics(0).calls_saved), (3, 27));

    // Two calls are left for the other collector, and none is for its third symbol.
    let mut blocked = 0;
    for symbol in &symbols {
        let wanted = symbol.clone();
        match images.get_or_load(symbol, move || from_api(wanted)).await {
            Ok(_) => {}
            Err(LoadError::OverBudget { .. }) => blocked += 1,
            Err(error) => return Err(error.into()),
        }
    }
    assert_eq!((blocked, images.stats().refused), (1, 1));

    // Due again, and no budget: the last good value, marked with the reason.
    assert_eq!(quotes.expire_prefix(&"").await?, 3);
    let btc = quotes.get_or_load("BTC", || from_api("BTC".into())).await?;
    assert_eq!((*btc, btc.stale()), (3.0, Some(Stale::OverBudget)));

    // The next minute.
    budget.left.store(100, Relaxed);
    let btc = quotes.get_or_load("BTC", || from_api("BTC".into())).await?;
    assert!(!btc.is_stale());

    for (name, cache) in [("quotes", &quotes), ("images", &images)] {
        let (stats, analytics) = (cache.stats(), cache.analytics(0));
        println!(
            "{name}: hits {}, misses {}, api calls saved {}, stale answers {}",
            stats.memory.hits, stats.memory.misses, analytics.calls_saved, stats.stale_over_budget,
        );
    }
    println!("rate limit blocks: {}", budget.refused.load(Relaxed));
    assert_eq!(budget.refused.load(Relaxed), 2);
    Ok(())
}

#[test]
fn what_it_shows_holds() -> Result<(), Failure> {
    main()
}
