//! What the counts mean: savings, top keys, kinds of traffic.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cache_core::Clock;
use cache_testkit::clock::ManualClock;
use cache_testkit::load::Workload;
use strata::{AccessPattern, Analytics, Cache, Change, Memory, Registry};

fn cache(name: &str, entries: u64) -> Cache<u64, u64> {
    let memory = Memory::new().with_max_entries(entries).with_sampling(1);
    Cache::builder(name).memory(memory).build().expect("legal")
}

async fn read(cache: &Cache<u64, u64>, key: u64) {
    let hit = cache.get_or_load(&key, move || async move { Ok::<_, Infallible>(key) }).await.expect("loads");
    assert_eq!(*hit, key);
}

#[tokio::test]
async fn a_cache_nobody_has_read_says_so_and_divides_by_nothing() {
    let idle = cache("idle", 10).analytics(5);
    assert_eq!((idle.requests, idle.hit_ratio, idle.efficiency, idle.average_access), (0, None, None, None));
    assert_eq!(
        (idle.average_load, idle.concentration, idle.access_pattern),
        (None, None, AccessPattern::Idle)
    );
    assert_eq!((idle.time_saved, idle.utilization, idle.top.top.len()), (Duration::ZERO, Some(0.0), 0));
}

#[tokio::test]
async fn savings_are_the_calls_spared_times_what_a_call_takes() {
    let clock = Arc::new(ManualClock::new());
    let memory = Memory::new().with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let cache: Cache<u64, u64> = Cache::builder("savings").memory(memory).build().expect("legal");
    for read in 0..8_u64 {
        let clock = Arc::clone(&clock);
        let load = move || async move {
            clock.advance(Duration::from_secs(2 + read));
            Ok::<_, Infallible>(7)
        };
        cache.get_or_load(&(read / 4), load).await.expect("loads");
    }
    // Two loads, of 2 and of 6 seconds.
    let (analytics, stats) = (cache.analytics(3), cache.stats());
    assert_eq!((stats.load_time, stats.longest_load), (Duration::from_secs(8), Duration::from_secs(6)));
    assert_eq!((analytics.requests, analytics.calls_saved), (8, 6));
    assert_eq!(
        (analytics.average_load, analytics.time_saved),
        (Some(Duration::from_secs(4)), Duration::from_secs(24))
    );
    assert_eq!((analytics.average_access, analytics.efficiency), (Some(Duration::from_secs(1)), Some(75.0)));
    assert_eq!((analytics.utilization, analytics.concentration), (None, None));
}

#[tokio::test]
async fn the_kind_of_traffic_is_told_by_what_is_read() {
    let over = async |workload: &str, entries, reads| -> Analytics<u64> {
        let cache = cache("traffic", entries);
        let workload: Workload = workload.parse().expect("legal");
        for key in workload.ids().take(reads) {
            read(&cache, key.into()).await;
        }
        cache.analytics(10)
    };
    let kinds = [
        over("zipf,keys=1000,skew=1.6,seed=1", 1000, 5000).await.access_pattern,
        over("zipf,keys=5000,skew=0.8,seed=1", 5000, 50_000).await.access_pattern,
        over("uniform,keys=1000,seed=1", 1000, 20_000).await.access_pattern,
        over("scan,keys=5000", 100, 5000).await.access_pattern,
    ];
    assert_eq!(
        kinds,
        [
            AccessPattern::Concentrated,
            AccessPattern::Skewed,
            AccessPattern::Even,
            AccessPattern::PassingThrough
        ]
    );

    let full = over("uniform,keys=1000,seed=1", 100, 2000).await;
    assert_eq!((full.utilization, full.requests), (Some(1.0), 2000));
}

#[tokio::test]
async fn a_region_names_its_top_keys_as_they_are_rendered() {
    let registry = Registry::new();
    let cache: Cache<(String, u32), u64> = Cache::builder("ohlcv").build().expect("legal");
    registry.add(&cache).expect("free");
    let region = registry.region("ohlcv").expect("added");
    region.reconfigure(Change::new().with_sampling(1)).expect("legal");
    cache.insert(("BTC".into(), 5), 1).await.expect("memory");
    for _ in 0..200 {
        assert!(cache.get_local(&("BTC".to_owned(), 5)).is_some());
    }
    let analytics = region.analytics(1);
    assert_eq!((analytics.top.top[0].key.as_str(), analytics.top.top[0].hits), ("ohlcv:BTC:5", 200));
    assert_eq!((analytics.concentration, analytics.access_pattern), (Some(1.0), AccessPattern::Concentrated));
    region.reconfigure(Change::new().with_sampling(0)).expect("legal");
    assert_eq!(region.analytics(1).access_pattern, AccessPattern::Unsampled);
}
