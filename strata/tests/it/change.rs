//! A running cache is changed, and what still fits stays.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use strata::{BuildError, Cache, Change, Memory, Options, Policy, Ttl};
use tokio::sync::Barrier;

const POLICIES: [Policy; 5] = [Policy::Lru, Policy::Lfu, Policy::S3Fifo, Policy::Sieve, Policy::Adaptive];

async fn filled(entries: u64) -> Cache<u64, u64> {
    let cache = Cache::builder("live").build().expect("legal");
    for key in 0..entries {
        cache.insert(key, key).await.expect("memory");
    }
    cache
}

#[tokio::test]
async fn what_still_fits_stays_under_another_policy_and_other_limits() {
    let cache = filled(1000).await;
    for policy in POLICIES {
        cache.reconfigure(Change::new().with_policy(policy).with_max_entries(Some(1000))).expect("legal");
        assert_eq!((cache.memory().policy(), cache.memory().len()), (policy, 1000));
        assert!((0..1000).all(|key| cache.get_local(&key).is_some_and(|hit| *hit == key)), "{policy:?}");
    }
    cache.reconfigure(Change::new().with_max_entries(Some(10))).expect("legal");
    assert_eq!((cache.memory().len(), cache.memory().max_entries()), (10, Some(10)));
    cache.reconfigure(Change::new().with_max_entries(None).with_max_bytes(Some(1 << 20))).expect("legal");
    assert_eq!((cache.memory().len(), cache.memory().max_bytes()), (10, Some(1 << 20)));
    assert_eq!(cache.memory().policy(), Policy::Adaptive, "what is not named stays");
}

#[tokio::test]
async fn other_options_hold_for_what_comes_and_not_for_what_is_there() {
    let cache = filled(1).await;
    let lives = |key: u64| {
        let cache = cache.clone();
        async move { cache.ttl(&key).await.expect("memory") }
    };
    let minute = Options::new().with_ttl(Ttl::from_secs(60));
    cache.reconfigure(Change::new().with_options(minute.clone())).expect("legal");
    cache.insert(1, 1).await.expect("memory");
    assert_eq!((lives(0).await, cache.options()), (Some(Ttl::FOREVER), Arc::new(minute)));
    assert!(lives(1).await.is_some_and(|ttl| ttl <= Ttl::from_secs(60)));
}

#[tokio::test]
async fn what_cannot_work_is_refused_by_name_and_nothing_has_changed() {
    let cache: Cache<String, String> =
        Cache::builder("strings").memory(Memory::new().with_max_entries(5)).build().expect("legal");
    let unbounded = cache.reconfigure(Change::new().with_policy(Policy::Lru).with_max_bytes(Some(100)));
    assert_eq!(unbounded, Err(BuildError::NoWeigher));
    let wrong = Change::new().with_policy(Policy::Lru).with_options(Options::new().with_jitter(2.0));
    let refused = cache.reconfigure(wrong.with_max_entries(Some(1))).expect_err("no such share");
    assert!(refused.to_string().contains("jitter is 2"), "{refused}");
    let always = Change::new().with_options(Options::new().with_force_refresh(true));
    let refused = cache.reconfigure(always).expect_err("for calls");
    assert!(
        refused.to_string().contains("force_refresh is true; it has to be set by single calls"),
        "{refused}"
    );
    assert_eq!((cache.memory().policy(), cache.memory().max_entries()), (Policy::Adaptive, Some(5)));
    assert_eq!(*cache.options(), Options::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_notice_nothing_of_changes_around_them() {
    let cache = filled(500).await;
    let (begun, done) = (Arc::new(Barrier::new(4)), Arc::new(AtomicBool::new(false)));
    let readers: Vec<_> = (0..3_u64)
        .map(|reader| {
            let (cache, begun, done) = (cache.clone(), Arc::clone(&begun), Arc::clone(&done));
            tokio::spawn(async move {
                let mut reads = 0_u64;
                begun.wait().await;
                while reads == 0 || !done.load(Relaxed) {
                    let key = (reads * 7 + reader) % 1000;
                    let hit = cache.get_or_load(&key, move || async move { Ok::<_, Infallible>(key) }).await;
                    assert_eq!(*hit.expect("loads"), key);
                    reads += 1;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    begun.wait().await;
    for round in 0..40_u64 {
        let policy = POLICIES[usize::try_from(round % 5).expect("small")];
        let options = Options::new().with_ttl(Duration::from_secs(60 + round));
        let limit = Some(100 + round % 3 * 200);
        let change =
            Change::new().with_policy(policy).with_options(options).with_sampling(u32::from(round % 2 == 0));
        cache.reconfigure(change.with_max_entries(limit)).expect("legal");
        assert!(Some(cache.memory().len()) <= limit);
        tokio::task::yield_now().await;
    }
    done.store(true, Relaxed);
    for reader in readers {
        reader.await.expect("no panic");
    }
}
