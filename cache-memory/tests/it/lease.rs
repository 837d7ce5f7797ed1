//! Leases: the suite by hand-driven time, the exact end, the bound, and threads that race for one key.

use std::num::NonZeroUsize;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use cache_core::{Clock, ErrorKind, Grant, Key, Lease, Result};
use cache_memory::MemoryLease;
use cache_testkit::clock::ManualClock;
use cache_testkit::suite;

const MINUTE: Duration = Duration::from_mins(1);

fn by_hand() -> (MemoryLease, ManualClock) {
    let clock = ManualClock::new();
    (MemoryLease::new().with_clock(Arc::new(clock.clone())), clock)
}

fn key(name: &str) -> Key {
    Key::new(name).expect("a legal key")
}

// conformance: Lease for MemoryLease
#[pollster::test]
async fn memory_lease_keeps_every_promise() {
    let (memory_lease, clock) = by_hand();
    suite::lease::all(&memory_lease, &clock).await;
}

#[pollster::test]
async fn a_lease_says_when_it_ends_for_as_long_as_it_is_held() -> Result<()> {
    let (lease, clock) = by_hand();
    assert_eq!(lease.ends(&key("k")), None);
    let grant = lease.acquire(&key("k"), MINUTE).await?.expect("free");
    let end = clock.now().after(MINUTE);
    assert_eq!((lease.ends(&key("k")), lease.ends(&key("other"))), (Some(end), None));
    assert!(lease.renew(&grant, 2 * MINUTE).await?);
    assert_eq!(lease.ends(&key("k")), Some(end.after(MINUTE)));
    clock.advance(2 * MINUTE);
    assert_eq!(lease.ends(&key("k")), None);
    let grant = lease.acquire(&key("k"), MINUTE).await?.expect("it has ended");
    assert!(lease.release(grant).await?);
    assert_eq!(lease.ends(&key("k")), None);
    Ok(())
}

#[pollster::test]
async fn a_lease_ends_exactly_when_it_says() -> Result<()> {
    let (lease, clock) = by_hand();
    // The last one is not among those that the first call after their end forgets.
    let keys = ["a", "b", "c", "k"].map(key);
    for key in &keys {
        assert!(lease.acquire(key, MINUTE).await?.is_some());
    }
    clock.advance(MINUTE.saturating_sub(Duration::from_nanos(1)));
    assert_eq!(lease.acquire(&keys[3], MINUTE).await?, None);
    clock.advance(Duration::from_nanos(1));
    assert!(lease.acquire(&keys[3], MINUTE).await?.is_some());
    Ok(())
}

#[pollster::test]
async fn at_the_bound_a_further_lease_is_refused_until_one_ends() -> Result<()> {
    let (lease, clock) = by_hand();
    let lease = lease.with_max_leases(NonZeroUsize::MIN);
    assert!(lease.acquire(&key("a"), MINUTE).await?.is_some());
    assert_eq!(lease.acquire(&key("a"), MINUTE).await?, None, "held is held, bound or not");
    let error = lease.acquire(&key("b"), MINUTE).await.expect_err("there is room for one");
    assert_eq!(error.kind(), ErrorKind::Refused);
    clock.advance(MINUTE);
    assert!(lease.acquire(&key("b"), MINUTE).await?.is_some());
    Ok(())
}

#[test]
fn of_racing_threads_one_holds_and_the_fences_follow() {
    const THREADS: usize = 8;
    let (lease, _) = by_hand();
    let start = Barrier::new(THREADS);
    let race = || {
        start.wait();
        pollster::block_on(async {
            let mut won = Vec::new();
            while won.len() < 200 {
                match lease.acquire(&key("race"), MINUTE).await.expect("in reach") {
                    Some(grant) => won.push(released(&lease, grant).await),
                    None => thread::yield_now(),
                }
            }
            won
        })
    };
    let mut fences: Vec<u64> = thread::scope(|scope| {
        let racers: Vec<_> = (0..THREADS).map(|_| scope.spawn(race)).collect();
        racers.into_iter().flat_map(|racer| racer.join().expect("no panic")).collect()
    });
    fences.sort_unstable();
    assert!(fences.iter().copied().eq(1..=THREADS as u64 * 200), "each number once, none left out");
}

async fn released(lease: &MemoryLease, grant: Grant) -> u64 {
    let fence = grant.fence();
    assert!(lease.release(grant).await.expect("in reach"), "someone else ended it");
    fence
}
