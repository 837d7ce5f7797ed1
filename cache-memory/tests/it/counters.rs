//! Counters: the suite by hand-driven time, a naive oracle that must agree to the nanosecond, threads, and floods of
//! keys against the bound.

#[path = "counters/bound.rs"]
mod bound;
#[path = "counters/oracle.rs"]
mod oracle;

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use cache_core::{Charge, Counters, Key, Quota, Result, Verdict};
use cache_memory::MemoryCounters;
use cache_testkit::clock::ManualClock;
use cache_testkit::suite;

const MINUTE: Duration = Duration::from_mins(1);

fn by_hand() -> (MemoryCounters, ManualClock) {
    let clock = ManualClock::new();
    (MemoryCounters::new().with_clock(Arc::new(clock.clone())), clock)
}

fn charge(name: &str, quota: Quota, cost: u64) -> Charge {
    Charge::new(Key::new(name).expect("a legal key"), quota, cost)
}

fn per_minute(limit: u64) -> Quota {
    Quota::new(limit, MINUTE).expect("a legal quota")
}

fn is_admitted(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Admitted { .. })
}

// conformance: Counters for MemoryCounters
#[pollster::test]
async fn memory_counters_keep_every_promise() {
    let (memory_counters, clock) = by_hand();
    suite::counters::all(&memory_counters, &clock).await;
}

#[pollster::test]
async fn a_wait_is_exact_to_the_nanosecond() -> Result<()> {
    let (counters, clock) = by_hand();
    let call = [charge("k", per_minute(1), 1)];
    clock.advance(Duration::from_nanos(1_234_567_890));
    assert!(is_admitted(counters.charge(&call).await?.0));
    let wait = Duration::from_secs(62).saturating_sub(Duration::from_nanos(1_234_567_890));
    assert_eq!(counters.charge(&call).await?.0, Verdict::Denied { wait }, "the second 1 leaves at second 62");
    clock.advance(wait.saturating_sub(Duration::from_nanos(1)));
    assert_eq!(counters.charge(&call).await?.0, Verdict::Denied { wait: Duration::from_nanos(1) });
    clock.advance(Duration::from_nanos(1));
    assert!(is_admitted(counters.charge(&call).await?.0));
    Ok(())
}

#[pollster::test]
async fn a_jump_of_ten_years_or_to_the_end_of_time_empties_every_window() -> Result<()> {
    let (counters, clock) = by_hand();
    let call = [charge("k", per_minute(u64::MAX), u64::MAX)];
    for jump in [Duration::from_hours(10 * 366 * 24), Duration::MAX] {
        assert_eq!(counters.charge(&call).await?.0, Verdict::Admitted { remaining: 0 });
        clock.advance(jump);
    }
    assert_eq!(counters.charge(&call).await?.0, Verdict::Admitted { remaining: 0 });
    Ok(())
}

#[test]
fn of_64_threads_with_1000_calls_each_exactly_the_limit_is_admitted() {
    const THREADS: usize = 64;
    let (counters, _) = by_hand();
    let start = Barrier::new(THREADS);
    let calls = || {
        let call = [charge("all", per_minute(40_000), 1), charge("some", per_minute(12_345), 1)];
        start.wait();
        pollster::block_on(async {
            let mut admitted = 0;
            for _ in 0..1000 {
                admitted += u64::from(is_admitted(counters.charge(&call).await.expect("in reach").0));
            }
            admitted
        })
    };
    let admitted: u64 = thread::scope(|scope| {
        let callers: Vec<_> = (0..THREADS).map(|_| scope.spawn(calls)).collect();
        callers.into_iter().map(|caller| caller.join().expect("no panic")).sum()
    });
    assert_eq!(admitted, 12_345);
    let rest = pollster::block_on(counters.charge(&[charge("all", per_minute(40_000), 0)]));
    let remaining = 40_000 - 12_345;
    assert_eq!(rest.expect("in reach").0, Verdict::Admitted { remaining }, "the denied charged nothing");
}
