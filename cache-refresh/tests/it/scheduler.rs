//! The scheduler on a paused clock.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use cache_core::Priority;
use cache_refresh::{Pacing, ScheduleError, Strategy};
use strata::{Cache, Memory, Options};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_job_runs_at_once_and_then_at_its_interval() {
    let log = Log::new();
    let scheduler = log.builder().open().expect("legal");
    scheduler.schedule(log.job("a", Duration::ZERO), secs(10)).expect("legal");
    scheduler.schedule_after(log.job("b", Duration::ZERO), secs(5), secs(20)).expect("legal");
    passes(secs(46)).await;
    let runs = log.took();
    let of =
        |name: &str| runs.iter().filter(|(other, _)| other == name).map(|(_, at)| *at).collect::<Vec<_>>();
    assert_eq!((of("a"), of("b")), (vec![0, 10, 20, 30, 40], vec![5, 25, 45]));
    assert_eq!(scheduler.status().counts.done, 8);
}

#[tokio::test(start_paused = true)]
async fn intervals_do_not_align_and_are_right_on_average() {
    let log = Log::new();
    let scheduler = log.builder().jitter(0.5).open().expect("legal");
    for name in ["a", "b"] {
        scheduler.schedule(log.job(name, Duration::ZERO), secs(100)).expect("legal");
    }
    passes(secs(100_000)).await;
    let runs = log.took();
    let of =
        |name: &str| runs.iter().filter(|(other, _)| other == name).map(|(_, at)| *at).collect::<Vec<_>>();
    let (a, b) = (of("a"), of("b"));
    assert!((950..1050).contains(&a.len()) && (950..1050).contains(&b.len()), "{} {}", a.len(), b.len());
    let together = a.iter().filter(|at| b.contains(at)).count();
    assert!(together < a.len() / 10, "{together} of {}", a.len());
    assert!(a.windows(2).all(|pair| (75..=125).contains(&(pair[1] - pair[0]))), "{a:?}");
}

#[tokio::test(start_paused = true)]
async fn so_many_run_at_a_time_and_the_most_urgent_first() {
    let log = Log::new();
    let scheduler = log.builder().max_running(1).handicap(secs(10)).open().expect("legal");
    scheduler.pause();
    for (name, priority) in [
        ("low", Priority::Low),
        ("normal", Priority::Normal),
        ("high", Priority::High),
        ("critical", Priority::Critical),
    ] {
        scheduler.schedule(log.job(name, secs(3)).with_priority(priority), secs(1000)).expect("legal");
    }
    passes(secs(5)).await;
    assert!(log.took().is_empty());
    let status = scheduler.status();
    assert_eq!((status.queued, status.lateness, status.is_paused), ([1, 1, 1, 1], secs(5), true));
    scheduler.resume();
    passes(secs(20)).await;
    let order = ["critical", "high", "normal", "low"].map(str::to_owned);
    assert_eq!(log.took(), order.into_iter().zip([5, 8, 11, 14]).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_is_low_has_its_turn_though_what_is_critical_never_ends() {
    let log = Log::new();
    let scheduler = log.builder().max_running(1).handicap(secs(10)).open().expect("legal");
    for name in ["a", "b", "c"] {
        scheduler.schedule(log.job(name, secs(1)).with_priority(Priority::Critical), secs(1)).expect("legal");
    }
    scheduler.schedule(log.job("low", secs(1)).with_priority(Priority::Low), secs(30)).expect("legal");
    passes(secs(200)).await;
    let low = log.times("low");
    assert!(
        low.windows(2).all(|pair| (60..=66).contains(&(pair[1] - pair[0]))) && low.len() == 3,
        "30 s and three handicaps each: {low:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_longer_than_its_interval_is_never_doubled() {
    let log = Log::new();
    let scheduler = log.builder().open().expect("legal");
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let job = Job::new("slow", {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        move || {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                passes(secs(25)).await;
                running.fetch_sub(1, SeqCst);
                Outcome::Done
            }
        }
    });
    scheduler.schedule(job, secs(10)).expect("legal");
    passes(secs(5)).await;
    assert!(scheduler.trigger("slow") && scheduler.trigger("slow") && !scheduler.trigger("fast"));
    passes(secs(96)).await;
    assert_eq!((most.load(SeqCst), scheduler.status().counts.begun), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_or_panics_has_its_next_turn() {
    let log = Log::new();
    let scheduler = log.builder().open().expect("legal");
    scheduler
        .schedule(Job::new("fails", || async { Outcome::Failed("no".to_owned()) }), secs(10))
        .expect("legal");
    let panics = || async { if true { panic!("as told") } else { Outcome::Done } };
    scheduler.schedule(Job::new("panics", panics), secs(10)).expect("legal");
    passes(secs(35)).await;
    let status = scheduler.status();
    assert_eq!((status.counts.failed, status.counts.begun, status.running), (8, 8, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_over_the_budget_waits_and_lets_others_go_on() {
    let log = Log::new();
    let scheduler = log.builder().max_running(1).open().expect("legal");
    let tries = Arc::new(AtomicU64::new(0));
    let refused = {
        let tries = Arc::clone(&tries);
        move || {
            let number = tries.fetch_add(1, SeqCst);
            async move { if number < 2 { Outcome::OverBudget { retry_in: Some(secs(7)) } } else { Outcome::Done } }
        }
    };
    scheduler
        .schedule(Job::new("refused", refused).with_priority(Priority::Critical), secs(100))
        .expect("legal");
    scheduler.schedule(log.job("other", secs(1)), secs(2)).expect("legal");
    passes(secs(16)).await;
    let status = scheduler.status();
    assert_eq!((tries.load(SeqCst), status.counts.over_budget), (3, 2));
    assert_eq!(log.times("other").len(), 8);
}

#[tokio::test(start_paused = true)]
async fn the_more_of_the_budget_is_used_the_less_often_everything_runs() {
    let log = Log::new();
    let used = Arc::new(Mutex::new(0.5));
    let gauge = Arc::clone(&used);
    let pacing = Pacing::default();
    let scheduler = log
        .builder()
        .pacing(pacing)
        .budget_used(move || std::future::ready(*gauge.lock().expect("no panic")))
        .open()
        .expect("legal");
    scheduler.schedule(log.job("a", Duration::ZERO), secs(60)).expect("legal");
    let mut runs = Vec::new();
    for (share, is_volatile) in [(0.5, false), (0.85, false), (0.95, false), (0.1, false), (0.1, true)] {
        *used.lock().expect("no panic") = share;
        if is_volatile {
            scheduler.signal_volatility(secs(7200));
        }
        passes(secs(3600)).await;
        runs.push((scheduler.status().strategy, log.times("a").len()));
    }
    let expected = [
        (Strategy::Normal, 60..=61),
        (Strategy::Conservative, 30..=31),
        (Strategy::Minimal, 15..=16),
        (Strategy::Normal, 59..=61),
        (Strategy::Aggressive, 119..=121),
    ];
    for ((strategy, count), (wanted, range)) in runs.iter().zip(expected) {
        assert!(*strategy == wanted && range.contains(count), "{runs:?}");
    }
    assert_eq!(scheduler.status().budget_used, Some(0.1));
    passes(secs(3700)).await;
    assert_eq!(scheduler.status().strategy, Strategy::Normal, "it is not volatile any more");
}

#[tokio::test(start_paused = true)]
async fn a_gauge_that_hangs_or_panics_counts_as_a_budget_in_full_use_until_it_tells_again() {
    for panics in [false, true] {
        let log = Log::new();
        let is_odd = Arc::new(AtomicBool::new(false));
        let odd = Arc::clone(&is_odd);
        let gauge = move || {
            let is_odd = odd.load(SeqCst);
            async move {
                assert!(!(is_odd && panics), "as told");
                if is_odd {
                    std::future::pending::<()>().await;
                }
                0.1
            }
        };
        let scheduler = log.builder().budget_used(gauge).open().expect("legal");
        passes(secs(10)).await;
        assert_eq!(scheduler.status().strategy, Strategy::Normal);
        is_odd.store(true, SeqCst);
        passes(secs(10)).await;
        assert_eq!(scheduler.status().strategy, Strategy::Minimal, "panics: {panics}");
        is_odd.store(false, SeqCst);
        passes(secs(100)).await;
        assert_eq!(scheduler.status().strategy, Strategy::Normal, "panics: {panics}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tighter_pace_moves_what_is_already_planned() {
    let log = Log::new();
    let used = Arc::new(Mutex::new(0.0));
    let gauge = Arc::clone(&used);
    let scheduler = log
        .builder()
        .budget_used(move || std::future::ready(*gauge.lock().expect("no panic")))
        .open()
        .expect("legal");
    scheduler.schedule(log.job("a", Duration::ZERO), secs(100)).expect("legal");
    passes(secs(10)).await;
    *used.lock().expect("no panic") = 0.99;
    passes(secs(800)).await;
    assert_eq!(log.times("a"), [0, 400, 800]);
}

#[tokio::test(start_paused = true)]
async fn everything_stops_with_the_last_handle() {
    let log = Log::new();
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    // It is asked once, and never answers.
    let gauge = move || {
        let held = Arc::clone(&held);
        async move {
            std::future::pending::<()>().await;
            drop(held);
            0.0
        }
    };
    let scheduler = log.builder().budget_used(gauge).open().expect("legal");
    let held = Arc::clone(&alive);
    let job = Job::new("hangs", move || {
        let held = Arc::clone(&held);
        async move {
            std::future::pending::<()>().await;
            drop(held);
            Outcome::Done
        }
    });
    scheduler.schedule(job, secs(10)).expect("legal");
    scheduler.schedule(log.job("a", Duration::ZERO), secs(1)).expect("legal");
    passes(secs(3)).await;
    let other = scheduler.clone();
    drop(scheduler);
    assert_eq!(other.status().running, 1);
    drop(other);
    passes(Duration::from_millis(1)).await;
    assert_eq!(Arc::strong_count(&alive), 1, "what ran has been ended");
    log.took();
    passes(secs(100)).await;
    assert!(log.took().is_empty());
}

#[tokio::test(start_paused = true)]
async fn while_it_is_paused_nothing_begins_and_what_runs_goes_on() {
    let log = Log::new();
    let scheduler = log.builder().open().expect("legal");
    scheduler.schedule(log.job("long", secs(30)), secs(100)).expect("legal");
    scheduler.schedule(log.job("a", Duration::ZERO), secs(10)).expect("legal");
    passes(secs(5)).await;
    scheduler.pause();
    assert!(scheduler.trigger("a"), "by hand, neither");
    let batch = scheduler.run_all([log.job("once", Duration::ZERO)], secs(10)).await;
    assert_eq!((batch.done, batch.unfinished), (0, vec!["once".to_owned()]));
    passes(secs(1000)).await;
    let status = scheduler.status();
    assert!(status.is_paused && (status.running, status.counts.done) == (0, 2), "{status:?}");
    assert_eq!(status.lateness, secs(1010), "since it was asked for by hand");
    scheduler.resume();
    passes(secs(25)).await;
    let mut runs = log.took();
    runs.sort();
    let named = |name: &str, at| (name.to_owned(), at);
    let a = [0, 1015, 1025, 1035].map(|at| named("a", at));
    assert_eq!(runs, [&a[..], &[named("long", 0), named("long", 1015)]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_taken_off_or_replaced_has_no_further_turn() {
    let log = Log::new();
    let scheduler = log.builder().open().expect("legal");
    scheduler.schedule(log.job("a", secs(5)), secs(10)).expect("legal");
    passes(secs(1)).await;
    scheduler.schedule_after(log.job("a", Duration::ZERO), secs(1), secs(100)).expect("legal");
    passes(secs(50)).await;
    assert_eq!(log.times("a"), [0, 2]);
    assert!(scheduler.cancel("a") && !scheduler.cancel("a"));
    passes(secs(500)).await;
    assert!(log.took().is_empty() && scheduler.status().scheduled == 0);
}

#[tokio::test(start_paused = true)]
async fn many_are_run_once_with_so_many_at_a_time_and_until_a_deadline() {
    let log = Log::new();
    let scheduler = log.builder().max_running(4).open().expect("legal");
    let pairs = || {
        ["BTC", "ETH", "SOL"]
            .into_iter()
            .flat_map(|symbol| ["ticker", "depth"].map(|endpoint| format!("{symbol}/{endpoint}")))
    };
    let began = Instant::now();
    let batch = scheduler.run_all(pairs().map(|name| log.job(&name, secs(10))), secs(60)).await;
    assert_eq!((batch.done, batch.failed.len(), batch.unfinished.len()), (6, 0, 0));
    assert_eq!(began.elapsed(), secs(20), "two rounds of four");

    let fails = Job::new("fails", || async { Outcome::Failed("no".to_owned()) });
    let refused = Job::new("refused", || async { Outcome::OverBudget { retry_in: None } });
    let batch = scheduler
        .run_all([fails, refused, log.job("slow", secs(100)), log.job("quick", secs(1))], secs(30))
        .await;
    assert_eq!((batch.done, batch.failed), (1, vec![("fails".to_owned(), "no".to_owned())]));
    assert_eq!(batch.unfinished, ["refused", "slow"]);
    passes(secs(200)).await;
    let status = scheduler.status();
    assert_eq!((status.scheduled, status.running, status.queued), (0, 0, [0; 4]));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_refreshed_before_it_ends_so_that_nobody_misses_it() {
    let clock = Paused::new();
    let memory = Memory::new().with_clock(Arc::<Paused>::clone(&clock)).with_sweep_every(None);
    let options = Options::new().with_ttl(secs(60));
    let prices: Cache<String, u64> =
        Cache::builder("prices").memory(memory).options(options).build().expect("legal");
    let loads = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&loads);
    let load = move || {
        let number = count.fetch_add(1, SeqCst);
        async move { if number % 5 == 4 { Err("down") } else { Ok(number) } }
    };
    let scheduler = Scheduler::builder().clock(Arc::<Paused>::clone(&clock)).open().expect("legal");
    let job = Job::refresh(&prices, "BTC".to_owned(), Options::new(), load);
    assert_eq!(job.name(), "prices:BTC");
    scheduler.schedule(job, secs(20)).expect("legal");
    passes(secs(3)).await;
    for _ in 0..1000 {
        assert!(prices.get_local("BTC").is_some());
        passes(secs(1)).await;
    }
    let (status, loads) = (scheduler.status(), loads.load(SeqCst));
    assert!((48..=53).contains(&loads), "{loads}");
    assert_eq!(status.counts.done + status.counts.failed, loads);
    assert!(status.counts.failed >= 9);
}

#[tokio::test(start_paused = true)]
async fn what_is_scheduled_goes_through_the_budget_of_its_cache() {
    let clock = Paused::new();
    let permits = Arc::new(AtomicU64::new(3));
    let left = Arc::clone(&permits);
    let gate = move || left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
    let prices: Cache<u64, u64> = Cache::builder("prices").budget(gate).build().expect("legal");
    let scheduler =
        Scheduler::builder().clock(Arc::<Paused>::clone(&clock)).jitter(0.0).open().expect("legal");
    for key in 0..5 {
        let load = move || async move { Ok::<_, std::io::Error>(key) };
        scheduler.schedule(Job::refresh(&prices, key, Options::new(), load), secs(1000)).expect("legal");
    }
    passes(secs(10)).await;
    let counts = scheduler.status().counts;
    assert_eq!((counts.done, prices.stats().loads_ok), (3, 3));
    assert!((4..=20).contains(&counts.over_budget), "two keys, again and again: {}", counts.over_budget);
    permits.store(9, SeqCst);
    passes(secs(25)).await;
    assert_eq!((scheduler.status().counts.done, permits.load(SeqCst)), (5, 7));
}

#[test]
fn what_cannot_work_is_refused_and_says_why() {
    assert_eq!(Scheduler::builder().open().err(), Some(ScheduleError::NoRuntime));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let none = Scheduler::builder().max_running(0).open().expect_err("none at a time");
        assert_eq!(none.to_string(), "max_running is 0; it has to be at least 1");
        for jitter in [-0.1, 1.0, f64::NAN] {
            assert!(Scheduler::builder().jitter(jitter).open().is_err(), "{jitter}");
        }
        let scheduler = Scheduler::builder().open().expect("legal");
        let job = || Job::new("a", || async { Outcome::Done });
        assert!(scheduler.schedule(job(), Duration::ZERO).is_err());
        scheduler.schedule(job(), Duration::MAX).expect("cut to a hundred years");
    });
}
