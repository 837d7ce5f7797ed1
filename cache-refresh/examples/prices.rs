//! Two caches that are kept warm on one budget: what matters most comes first, and nobody who reads waits for the source.
//!
//! `cargo run -p cache-refresh --example prices`

#![expect(clippy::print_stdout, reason = "it shows what it does")]

use std::sync::Arc;
use std::time::Duration;

use cache_core::Quota;
use cache_memory::MemoryCounters;
use cache_refresh::{Job, Scheduler};
use strata::ratelimit::{Budget, Plan};
use strata::{Cache, Options, Priority};

type Failure = Box<dyn std::error::Error>;

async fn from_api(symbol: &'static str) -> Result<usize, std::io::Error> {
    tokio::task::yield_now().await;
    Ok(symbol.len())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    // A hundred calls a minute, counted in this process; in counters of Redis it would be a hundred of all that share it.
    let plan = Plan::single("market", Quota::new(100, Duration::from_mins(1))?);
    let budget = Arc::new(Budget::new(plan, Arc::new(MemoryCounters::new()))?);
    let cache = |name| Cache::<String, usize>::builder(name).budget(Arc::clone(&budget)).build();
    let (prices, news) = (cache("prices")?, cache("news")?);

    let used = Arc::clone(&budget);
    let scheduler = Scheduler::builder()
        .max_running(2)
        .budget_used(move || {
            let budget = Arc::clone(&used);
            async move { budget.used().await }
        })
        .open()?;
    for symbol in ["BTC", "ETH"] {
        let price = Job::refresh(&prices, symbol.to_owned(), Options::new(), move || from_api(symbol));
        let (now, often, seldom) = (Duration::ZERO, Duration::from_secs(30), Duration::from_mins(5));
        scheduler.schedule_after(price.with_priority(Priority::Critical), now, often)?;
        let story = Job::refresh(&news, symbol.to_owned(), Options::new(), move || from_api(symbol));
        scheduler.schedule_after(story.with_priority(Priority::Low), now, seldom)?;
    }
    let mut look = tokio::time::interval(Duration::from_millis(5));
    while scheduler.status().counts.done < 4 {
        look.tick().await;
    }

    // Whoever reads finds it there.
    assert_eq!(prices.get("BTC").await?.map(|price| *price), Some(3));
    let status = scheduler.status();
    println!(
        "{:?}, {} of 100 calls used, {} scheduled",
        status.strategy,
        budget.stats().used,
        status.scheduled
    );
    assert_eq!((budget.stats().used, status.counts.failed), (4, 0));
    // As whoever scrapes would see it.
    let mut scraped = Vec::new();
    let mut put =
        |name: &str, labels: &[&str], value: f64| scraped.push(format!("{name} {labels:?} {value}"));
    status.figures(|metric, labels, value| put(metric.name, labels, value));
    budget.figures(|metric, labels, value| put(metric.name, labels, value));
    for line in ["cache_refresh_runs_total [\"done\"] 4", "cache_budget_calls_total [\"market\", \"used\"] 4"]
    {
        assert!(scraped.iter().any(|scraped| scraped == line), "{scraped:?}");
    }
    Ok(())
}

#[test]
fn what_it_shows_holds() -> Result<(), Failure> {
    main()
}
