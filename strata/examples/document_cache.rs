//! A general cache for whatever a service makes: tags, priority, cost and metadata of each entry, a policy that weighs them,
//! removal by tag and pattern, analytics, and changes while it runs.
//!
//! `cargo run -p strata --example document_cache`

#![expect(clippy::print_stdout, reason = "it shows what it does")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use strata::{Cache, Change, Loaded, Memory, Objective, Options, Pattern, Policy, Priority, Tags, Ttl};

type Failure = Box<dyn std::error::Error>;

/// A value with free metadata: what the cache needs not know is part of the value.
#[derive(Clone, Debug)]
struct Document {
    body: String,
    metadata: BTreeMap<&'static str, String>,
}

impl Document {
    fn new(body: impl Into<String>) -> Self {
        Self { body: body.into(), metadata: BTreeMap::from([("source", "renderer".to_owned())]) }
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let memory = Memory::new()
        .with_max_bytes(1 << 20)
        .with_weigher(|key: &String, document: &Arc<Document>| (key.len() + document.body.len()) as u64)
        .with_policy(Policy::Hybrid(Objective::Cost))
        .with_sampling(1);
    let cache: Cache<String, Document> = Cache::builder("documents")
        .memory(memory)
        .options(Options::new().with_ttl(Ttl::from_secs(1800)))
        .build()?;

    // Set: lifetime, tags, priority and what it took to make.
    let options = Options::new()
        .with_ttl(Ttl::from_secs(600))
        .with_tags(Tags::new(["user:7", "report"])?)
        .with_priority(Priority::High)
        .with_cost(Duration::from_secs(3));
    cache.insert_with("user:7:year".into(), Document::new("a year, summed up"), options).await?;

    // Warm up from a map.
    let map = [("user:8:year", "another"), ("user:8:day", "short"), ("page:home", "hello")];
    let entries = map.map(|(key, body)| (key.to_owned(), Document::new(body)));
    assert_eq!(cache.insert_many(entries, Options::new()).await?, 3);

    // The loader says what its value is like, once it knows.
    let render = || async {
        let document = Document::new("rendered");
        let tags = Tags::new(["report"]).map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(Loaded::new(document).with_tags(tags).with_cost(Duration::from_millis(40)))
    };
    let rendered = cache.get_or_load("user:9:year", render).await?;
    assert_eq!((rendered.body.as_str(), rendered.metadata["source"].as_str()), ("rendered", "renderer"));

    // Look up and remove by group; every removal says how many.
    assert_eq!(cache.entries_with_tag("report").await?.len(), 2);
    assert_eq!(cache.remove_tag("user:7").await?, 1);
    assert_eq!(cache.remove_pattern(&Pattern::new("user:8:*")?).await?, 2);
    assert_eq!(cache.remove_prefix("page").await?, 1);

    // Change it while it runs: nothing that fits is lost.
    cache.reconfigure(Change::new().with_policy(Policy::Lru).with_max_bytes(Some(1 << 16)))?;
    for _ in 0..200 {
        assert!(cache.get_local("user:9:year").is_some());
    }

    let (analytics, stats) = (cache.analytics(3), cache.stats());
    println!("requests            {}", analytics.requests);
    println!("efficiency          {:.1} %", analytics.efficiency.unwrap_or(0.0));
    println!("average access      {:?}", analytics.average_access.unwrap_or_default());
    println!("memory utilization  {:.4} %", 100.0 * analytics.utilization.unwrap_or(0.0));
    println!("access pattern      {}", analytics.access_pattern.as_str());
    println!("top keys            {:?}", analytics.top.top);
    assert_eq!((analytics.top.top[0].key.as_str(), stats.memory.removed), ("user:9:year", 4));
    assert_eq!(cache.clear().await?, 1);
    Ok(())
}

#[test]
fn what_it_shows_holds() -> Result<(), Failure> {
    main()
}
