//! The token and report caches of an analytics product: two regions with limits and lifetimes of their own, settings from the
//! environment, many keys at once, and clearing by name.
//!
//! `cargo run -p strata --example token_and_report_caches`

#![expect(clippy::print_stdout, reason = "it shows what it does")]

use std::time::Duration;

use strata::{Cache, Change, Memory, Options, Registry, Ttl};

type Failure = Box<dyn std::error::Error>;

#[derive(Clone, Debug, PartialEq)]
struct Token {
    symbol: String,
    holders: u64,
}

/// A setting by its environment variable, or what it is without.
fn setting(name: &str, default: u64) -> Result<u64, Failure> {
    match std::env::var(name) {
        Ok(text) => text.parse().map_err(|error| format!("{name}: {text:?} is no number: {error}").into()),
        Err(_) => Ok(default),
    }
}

/// A region whose limit and lifetime are `CACHE_<REGION>_SIZE` and `CACHE_<REGION>_TTL`.
fn region<V: Send + Sync + 'static>(name: &str, size: u64, secs: u64) -> Result<Cache<String, V>, Failure> {
    let variable = |what| format!("CACHE_{}_{what}", name.to_uppercase());
    let (size, secs) = (setting(&variable("SIZE"), size)?, setting(&variable("TTL"), secs)?);
    let cache = Cache::builder(name)
        .memory(Memory::new().with_max_entries(size).with_sampling(64))
        .options(Options::new().with_ttl(Ttl::from_secs(secs)).with_fail_safe_for(Duration::from_secs(secs)))
        .build()?;
    Ok(cache)
}

/// The chain's index, which answers for many tokens at once.
async fn from_index(missing: Vec<String>) -> Result<Vec<(String, Token)>, std::io::Error> {
    let found = missing.into_iter().zip(1..);
    Ok(found.map(|(symbol, holders)| (symbol.clone(), Token { symbol, holders })).collect())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let tokens: Cache<String, Token> = region("token", 10_000, 3600)?;
    let reports: Cache<String, String> = region("report", 1_000, 3600)?;
    let regions = Registry::new();
    regions.add(&tokens)?;
    regions.add(&reports)?;

    // Of three tokens one is known: one call of the index brings the other two.
    tokens.insert("SOL".into(), Token { symbol: "SOL".into(), holders: 9 }).await?;
    let wanted = ["SOL".to_owned(), "BONK".to_owned(), "JUP".to_owned()];
    let found = tokens.get_or_load_many(&wanted, from_index).await?;
    let holders: Vec<_> = found.iter().flatten().map(|token| token.holders).collect();
    assert_eq!((holders, tokens.stats().loads_begun), (vec![9, 1, 2], 1));

    // A report is written once, however many ask for it, and the last good one stands in while the writer is down.
    let write = || async { Ok::<_, std::io::Error>("all is well".to_owned()) };
    let asked = (reports.get_or_load("daily", write), reports.get_or_load("daily", write));
    let (one, other) = tokio::join!(asked.0, asked.1);
    assert_eq!(
        (one?.as_str(), other?.as_str(), reports.stats().loads_begun),
        ("all is well", "all is well", 1)
    );
    reports.expire("daily").await?;
    let down = || async { Err::<String, _>(std::io::Error::other("the writer is down")) };
    assert!(reports.get_or_load("daily", down).await?.is_stale());

    // What the dashboard shows, and what its button does: "all", "token" or "report".
    for region in regions.all() {
        let (stats, analytics) = (region.stats(), region.analytics(3));
        println!(
            "{:<7} {} entries, hit ratio {:.0} %, {} calls saved, {:?}",
            region.name(),
            stats.memory.entries,
            100.0 * analytics.hit_ratio.unwrap_or(0.0),
            analytics.calls_saved,
            analytics.access_pattern,
        );
    }
    let report = regions.region("report").ok_or("no such region")?;
    assert_eq!((report.clear().await?, tokens.memory().len()), (1, 3));

    // The profile "low-memory", on the running cache: what still fits stays.
    let low_memory = Change::new().with_max_entries(Some(2));
    regions.region("token").ok_or("no such region")?.reconfigure(low_memory)?;
    assert_eq!((tokens.memory().len(), regions.clear_all().await?), (2, 2));
    Ok(())
}

#[test]
fn what_it_shows_holds() -> Result<(), Failure> {
    main()
}
