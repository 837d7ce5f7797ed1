//! Turns that are taken among processes, by hand, and at another pace.

use std::sync::Mutex;

use cache_memory::MemoryLease;
use cache_refresh::Pacing;

use super::*;

#[tokio::test(start_paused = true)]
async fn one_process_of_a_fleet_does_each_job_and_another_one_when_it_is_gone() {
    let log = Log::new();
    let lease = Arc::new(MemoryLease::new().with_clock(Arc::<Paused>::clone(&log.clock)));
    let node = |seed| {
        let scheduler = log.builder().jitter(0.1).seed(seed).lease(Arc::<MemoryLease>::clone(&lease)).open();
        let scheduler = scheduler.expect("legal");
        for name in ["a", "b", "c"] {
            scheduler.schedule(log.job(name, secs(1)), secs(100)).expect("legal");
        }
        scheduler
    };
    let mut nodes = vec![node(1), node(2), node(3)];
    passes(secs(10_000)).await;
    let times = log.times("a");
    assert!((95..=118).contains(&times.len()), "about once in an interval, not three times: {}", times.len());
    let gaps = |times: &[u64]| times.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>();
    assert!(gaps(&times).iter().all(|gap| (80..=200).contains(gap)), "{:?}", gaps(&times));
    assert!(nodes[0].status().counts.elsewhere > 0);
    nodes.truncate(1);
    passes(secs(10_000)).await;
    let times = log.times("a");
    assert!((90..=105).contains(&times.len()) && gaps(&times).iter().all(|gap| *gap <= 210), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_outlasts_its_interval_is_begun_by_no_other_process() {
    let log = Log::new();
    let lease = Arc::new(MemoryLease::new().with_clock(Arc::<Paused>::clone(&log.clock)));
    let node = |seed| {
        let scheduler = log.builder().jitter(0.1).seed(seed).lease(Arc::<MemoryLease>::clone(&lease)).open();
        let scheduler = scheduler.expect("legal");
        scheduler.schedule(log.job("slow", secs(250)), secs(100)).expect("legal");
        scheduler
    };
    let nodes = [node(1), node(2), node(3)];
    passes(secs(10_000)).await;
    let times = log.times("slow");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 250), "{times:?}");
    assert!((25..=40).contains(&times.len()), "{times:?}");
    assert_eq!(nodes.iter().map(|node| node.status().running).max(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn by_hand_a_job_runs_though_its_turn_is_taken_and_a_faster_pace_finds_its_own_lease() {
    let log = Log::new();
    let lease = Arc::new(MemoryLease::new().with_clock(Arc::<Paused>::clone(&log.clock)));
    let scheduler = log.builder().lease(Arc::<MemoryLease>::clone(&lease)).open().expect("legal");
    scheduler.schedule(log.job("a", Duration::ZERO), secs(100)).expect("legal");
    passes(secs(10)).await;
    assert!(scheduler.trigger("a"));
    passes(secs(10)).await;
    assert_eq!(log.times("a"), [0, 10]);
    scheduler.signal_volatility(secs(1000));
    passes(secs(200)).await;
    assert_eq!(log.times("a"), [60, 110, 160, 210], "half of its interval from the last run on");
    assert_eq!(scheduler.status().counts.elsewhere, 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_scheduled_anew_finds_its_own_lease_and_no_other_process_does() {
    let log = Log::new();
    let lease = Arc::new(MemoryLease::new().with_clock(Arc::<Paused>::clone(&log.clock)));
    let node = || log.builder().lease(Arc::<MemoryLease>::clone(&lease)).open().expect("legal");
    let (scheduler, other) = (node(), node());
    for takes in [Duration::ZERO, secs(5)] {
        scheduler.schedule(log.job("a", takes), secs(1000)).expect("legal");
        passes(secs(1)).await;
        other.schedule(log.job("a", Duration::ZERO), secs(1000)).expect("legal");
        passes(secs(1)).await;
        // The run that goes on has the lease, and ends before the first turn of the new schedule.
        scheduler.schedule_after(log.job("a", Duration::ZERO), secs(8), secs(100)).expect("legal");
        passes(secs(300)).await;
        let begun = log.took().into_iter().map(|(_, at)| at % 1000).collect::<Vec<_>>();
        assert_eq!(begun, [0, 10, 110, 210], "{takes:?}");
        assert!(scheduler.cancel("a") && other.cancel("a"));
        passes(secs(1000 - 302)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_by_hand_is_not_put_off_by_another_pace() {
    let log = Log::new();
    let used = Arc::new(Mutex::new(0.0));
    let gauge = Arc::clone(&used);
    let gauge = move || std::future::ready(*gauge.lock().expect("no panic"));
    let scheduler = log.builder().max_running(1).budget_used(gauge).open().expect("legal");
    scheduler.schedule(log.job("a", Duration::ZERO), secs(1000)).expect("legal");
    passes(secs(1)).await;
    scheduler.schedule(log.job("long", secs(30)), secs(1000)).expect("legal");
    passes(secs(1)).await;
    assert!(scheduler.trigger("a"));
    *used.lock().expect("no panic") = 0.99;
    passes(secs(40)).await;
    assert_eq!(log.times("a"), [0, 31]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_hangs_or_panics_holds_nothing_up() {
    use cache_core::{Grant, Key, Lease};

    #[derive(Debug)]
    struct Odd(bool);

    #[async_trait::async_trait]
    impl Lease for Odd {
        async fn acquire(&self, _: &Key, _: Duration) -> cache_core::Result<Option<Grant>> {
            assert!(!self.0, "as told");
            std::future::pending().await
        }

        async fn renew(&self, _: &Grant, _: Duration) -> cache_core::Result<bool> {
            std::future::pending().await
        }

        async fn release(&self, _: Grant) -> cache_core::Result<bool> {
            std::future::pending().await
        }
    }

    for (panics, runs) in [(false, vec![1, 101, 201]), (true, vec![])] {
        let log = Log::new();
        let scheduler = log.builder().lease(Arc::new(Odd(panics))).open().expect("legal");
        scheduler.schedule(log.job("a", Duration::ZERO), secs(100)).expect("legal");
        passes(secs(250)).await;
        assert_eq!((log.times("a"), scheduler.status().counts.begun), (runs, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stretch_without_an_end_is_a_pause_and_nothing_else() {
    let log = Log::new();
    let mut pacing = Pacing::default();
    pacing.stretch = [f64::INFINITY; 4];
    let lease = Arc::new(MemoryLease::new().with_clock(Arc::<Paused>::clone(&log.clock)));
    let scheduler = log.builder().pacing(pacing).lease(lease).open().expect("legal");
    scheduler.schedule(log.job("a", Duration::ZERO), secs(1)).expect("legal");
    passes(secs(100)).await;
    assert!(scheduler.trigger("a"));
    passes(secs(100)).await;
    assert_eq!(log.times("a"), [0, 100]);
}
