//! Two collectors that share one budget of calls to a metered interface: what is known answers, what is due is fetched while
//! there is budget, and once that is used up the last good value stands in, marked.
//!
//! `cargo run -p strata --features ratelimit --example api_collectors`

#![expect(clippy::print_stdout, reason = "it shows what it does")]
#![expect(clippy::unused_async, reason = "what stands for a source would wait for it")]

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Clock, Quota};
use cache_memory::MemoryCounters;
use cache_testkit::clock::ManualClock;
use strata::ratelimit::{Budget, Plan};
use strata::{Cache, LoadError, Options, Priority, Stale, Ttl};

type Failure = Box<dyn std::error::Error>;

/// Five calls a minute, counted in this process; in counters of Redis it would be five of all that share it. The clock is moved by hand
/// so that this program need not wait for a minute.
fn five_a_minute(clock: &ManualClock) -> Result<Arc<Budget>, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    let counters = Arc::new(MemoryCounters::new().with_clock(Arc::clone(&clock)));
    let plan = Plan::single("collectors", Quota::new(5, Duration::from_mins(1))?);
    Ok(Arc::new(Budget::new(plan, counters)?.with_clock(clock)))
}

/// The cache of one collector. What it must not be without is evicted last.
fn collector(name: &str, budget: &Arc<Budget>, priority: Priority) -> Result<Cache<String, f64>, Failure> {
    let options = Options::new()
        .with_ttl(Ttl::from_secs(60))
        .with_fail_safe_for(Duration::from_hours(1))
        .with_eager_at(0.8)
        .with_priority(priority);
    Ok(Cache::builder(name).options(options).budget(Arc::clone(budget)).build()?)
}

async fn from_api(symbol: String) -> Result<f64, std::io::Error> {
    let letters = u32::try_from(symbol.len()).unwrap_or(0);
    Ok(f64::from(letters))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let clock = ManualClock::new();
    let budget = five_a_minute(&clock)?;
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
    clock.advance(Duration::from_mins(1) + Duration::from_secs(1));
    let btc = quotes.get_or_load("BTC", || from_api("BTC".into())).await?;
    assert!(!btc.is_stale());

    for (name, cache) in [("quotes", &quotes), ("images", &images)] {
        let (stats, analytics) = (cache.stats(), cache.analytics(0));
        println!(
            "{name}: hits {}, misses {}, api calls saved {}, stale answers {}",
            stats.memory.hits, stats.memory.misses, analytics.calls_saved, stats.stale_over_budget,
        );
    }
    let stats = budget.stats();
    println!("api calls {}, rate limit blocks {}", stats.used, stats.blocked);
    assert_eq!((stats.used, stats.blocked), (6, 2));
    Ok(())
}

#[test]
fn what_it_shows_holds() -> Result<(), Failure> {
    main()
}
