//! Turns that are taken among processes, by hand, and at another pace.

use std::sync::Mutex;

use cache_memory::MemoryLease;
use cache_refresh::Pacing;
use strata::{Cache, Options};

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

#[tokio::test(start_paused = true)]
async fn the_turn_of_a_run_that_was_given_up_is_another_processes() {
    let log = Log::new();
    let lease = Arc::new(MemoryLease::new().with_clock(Arc::<Paused>::clone(&log.clock)));
    let node = || log.builder().lease(Arc::<MemoryLease>::clone(&lease)).open().expect("legal");
    let (hung, other) = (node(), node());
    let hangs = Job::new("a", std::future::pending).with_deadline(secs(30));
    hung.schedule(hangs, secs(1000)).expect("legal");
    passes(secs(1)).await;
    other.schedule_after(log.job("a", Duration::ZERO), secs(20), secs(20)).expect("legal");
    passes(secs(45)).await;
    assert_eq!((log.times("a"), other.status().counts.elsewhere), (vec![41], 1));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_longer_than_its_deadline_is_dropped_and_its_place_is_anothers() {
    /// Notes when it is dropped, and may panic.
    struct Dropped(Log, bool);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.runs.lock().expect("no panic holds it").push(("dropped".to_owned(), self.0.now()));
            assert!(!self.1, "as told");
        }
    }

    for panics in [false, true] {
        let log = Log::new();
        let scheduler = log.builder().max_running(1).open().expect("legal");
        let noted = log.clone();
        let hangs = Job::new("hangs", move || {
            let dropped = Dropped(noted.clone(), panics);
            async move {
                let _dropped = dropped;
                std::future::pending().await
            }
        });
        let hangs = hangs.with_deadline(secs(30));
        let outcome = scheduler.run_all([hangs.clone()], secs(1000)).await;
        let why = if panics { "it panicked" } else { "it took longer than its deadline of 30s" };
        assert_eq!(outcome.failed, [("hangs".to_owned(), why.to_owned())]);
        scheduler.schedule(hangs, secs(100)).expect("legal");
        scheduler.schedule_after(log.job("waits", secs(5)), secs(1), secs(1000)).expect("legal");
        passes(secs(140)).await;
        let expected = [("dropped", 30), ("dropped", 60), ("waits", 60), ("dropped", 160)];
        assert_eq!(log.took(), expected.map(|(name, at)| (name.to_owned(), at)));
        let status = scheduler.status();
        assert_eq!((status.counts.failed, status.counts.done, status.running), (3, 1, 0));
    }
    let log = Log::new();
    let job = log.job("a", Duration::ZERO).with_deadline(Duration::ZERO);
    let refused = log.builder().open().expect("legal").schedule(job, secs(1)).expect_err("no time");
    assert_eq!(refused.to_string(), "deadline is 0ns; it has to be more than zero");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_whose_loader_hangs_keeps_neither_its_place_nor_its_key() {
    let prices: Cache<u64, u64> = Cache::builder("prices").build().expect("legal");
    let log = Log::new();
    let scheduler = log.builder().max_running(1).open().expect("legal");
    let hangs = || async { std::future::pending::<Result<u64, String>>().await };
    let job = Job::refresh(&prices, 1, Options::new(), hangs).with_deadline(secs(5));
    scheduler.schedule(job, secs(1000)).expect("legal");
    passes(secs(6)).await;
    assert_eq!((scheduler.status().running, scheduler.status().counts.failed), (0, 1));
    let loaded = prices.get_or_load(&1, || async { Ok::<_, String>(7) });
    let loaded = tokio::time::timeout(secs(1000), loaded).await.expect("the key is free");
    assert_eq!(*loaded.expect("loaded"), 7);
    // Whoever has joined the load that is given up is told.
    let job = Job::refresh(&prices, 2, Options::new(), hangs).with_deadline(secs(5));
    scheduler.schedule(job, secs(1000)).expect("legal");
    passes(secs(1)).await;
    let began = Instant::now();
    let error = prices.get_or_load(&2, || async { Ok::<_, String>(8) }).await.expect_err("not his own");
    assert!(error.to_string().contains("longer than its deadline of 5s"), "{error}");
    assert_eq!(began.elapsed(), secs(4));
}
