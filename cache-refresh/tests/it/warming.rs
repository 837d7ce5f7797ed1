//! Warmers on a paused clock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use cache_refresh::{Progress, WarmError, Warmer, Warming, WarmingBuilder};
use strata::Cache;

use super::*;

fn warming() -> WarmingBuilder {
    Warming::builder().clock(Paused::new())
}

/// A warmer that does so many items, each in a second.
fn items(name: &str, count: u64) -> Warmer {
    Warmer::new(name, move |progress: Progress| async move {
        for _ in 0..count {
            passes(secs(1)).await;
            progress.add(1);
        }
        Ok::<_, String>(())
    })
}

#[tokio::test(start_paused = true)]
async fn warmers_run_at_start_and_at_their_intervals() {
    let warming = warming()
        .warmer(items("quick", 2))
        .warmer(items("once", 3).once())
        .warmer(items("later", 1).not_at_start().every(secs(60)))
        .warmer(items("by hand", 1).not_at_start().once())
        .open()
        .expect("legal");
    let began = Instant::now();
    let report = warming.start(secs(60)).await;
    assert_eq!(began.elapsed(), secs(3));
    let seen: Vec<_> =
        report.iter().map(|it| (&*it.name, it.success, it.items_processed, it.duration)).collect();
    assert_eq!(seen, [("quick", true, 2, secs(2)), ("once", true, 3, secs(3))]);
    passes(secs(1000)).await;
    let runs: HashMap<_, _> = warming.report().into_iter().map(|it| (it.name, it.runs)).collect();
    assert_eq!(runs.get("once"), Some(&0), "it has not run before");
    assert!((2..=3).contains(&runs["quick"]) && (14..=16).contains(&runs["later"]), "{runs:?}");
    assert!(!runs.contains_key("by hand"));
}

#[tokio::test(start_paused = true)]
async fn a_warmer_that_fails_or_hangs_delays_nobody_beyond_the_deadline() {
    let hangs = Warmer::new("hangs", |progress: Progress| async move {
        progress.add(7);
        progress.error("one of them was odd");
        std::future::pending::<Result<(), String>>().await
    });
    let fails = Warmer::new("fails", |_| async { Err::<(), _>("no") });
    let panics =
        Warmer::new("panics", |_| async { if true { panic!("as told") } else { Ok::<_, String>(()) } });
    let warming =
        warming().warmer(hangs).warmer(fails).warmer(panics).warmer(items("works", 2)).open().expect("legal");
    let began = Instant::now();
    let report = warming.start(secs(5)).await;
    assert_eq!(began.elapsed(), secs(5));
    let seen: Vec<_> =
        report.iter().map(|it| (it.success, it.is_running, it.items_processed, &*it.errors)).collect();
    let odd = [["one of them was odd".to_owned()], ["no".to_owned()], ["it panicked".to_owned()]];
    assert_eq!(
        seen,
        [
            (false, true, 7, &odd[0][..]),
            (false, false, 0, &odd[1][..]),
            (false, false, 0, &odd[2][..]),
            (true, false, 2, &[][..])
        ]
    );
    assert_eq!(report[0].duration, secs(5));
}

#[tokio::test(start_paused = true)]
async fn warmers_that_hang_leave_their_places_to_others_after_their_deadline() {
    let hang = |name: &str| {
        Warmer::new(name, |progress: Progress| async move {
            progress.add(7);
            progress.error("one of them was odd");
            std::future::pending::<Result<(), String>>().await
        })
        .every(secs(2000))
    };
    let mut builder = warming();
    for number in 0..5 {
        builder = builder.warmer(hang(&format!("hangs {number}")).with_deadline(secs(30 + number)));
    }
    let asks = items("asks", 1).metered(std::future::pending).with_deadline(secs(3)).every(secs(2000));
    let warming = builder.warmer(asks).warmer(hang("long")).warmer(items("works", 2)).open().expect("legal");
    let began = Instant::now();
    let report = warming.start(secs(100)).await;
    assert_eq!(began.elapsed(), secs(100), "the long one goes on");
    for (number, warmed) in (0..5).zip(&report) {
        assert_eq!((warmed.success, warmed.is_running, warmed.items_processed), (false, false, 7));
        let deadline = format!("it took longer than its deadline of {}s", 30 + number);
        assert_eq!(
            (warmed.duration, &*warmed.errors),
            (secs(30 + number), &["one of them was odd".to_owned(), deadline][..])
        );
    }
    assert_eq!(report[5].errors, ["it took longer than its deadline of 3s"]);
    assert!(report[6].is_running && report[7].success, "{report:?}");
    passes(secs(530)).await;
    assert!(warming.report()[6].is_running, "ten minutes, unless it says otherwise");
    passes(secs(2)).await;
    assert_eq!(warming.report()[6].duration, secs(600));
    assert!((warming.status().running, warming.status().counts.failed) == (0, 7), "{:?}", warming.status());
    passes(secs(2000)).await;
    assert!(warming.report().iter().all(|it| it.runs > 0 || it.is_running), "each has another turn");
}

#[tokio::test(start_paused = true)]
async fn a_warmer_whose_budget_cannot_be_asked_fails_and_says_so() {
    let asks = items("asks", 1).metered(|| async { if true { panic!("as told") } else { Ok(()) } });
    let warming = warming().warmer(asks).open().expect("legal");
    let began = Instant::now();
    let report = warming.start(secs(60)).await;
    assert_eq!(began.elapsed(), Duration::ZERO, "it has ended");
    assert!(!report[0].success && report[0].errors == ["it panicked"], "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn five_run_at_the_same_time_and_the_most_urgent_first() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut builder = warming();
    for number in 0..12 {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        builder = builder.warmer(Warmer::new(format!("{number}"), move |_| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                passes(secs(1)).await;
                running.fetch_sub(1, SeqCst);
                Ok::<_, String>(())
            }
        }));
    }
    let warming = builder.open().expect("legal");
    let began = Instant::now();
    assert_eq!(warming.start(secs(60)).await.len(), 12);
    assert_eq!((most.load(SeqCst), began.elapsed()), (5, secs(3)));
}

#[tokio::test(start_paused = true)]
async fn by_hand_a_warmer_runs_once_more_and_whoever_asks_waits_for_that_run() {
    let warming =
        warming().warmer(items("a", 10)).warmer(items("b", 2).not_at_start().once()).open().expect("legal");
    assert!(warming.start(secs(4)).await[0].is_running);
    let began = Instant::now();
    let report = warming.trigger(&["a"], secs(60)).await.expect("known");
    assert_eq!((began.elapsed(), report[0].runs, report[0].items_processed), (secs(16), 1, 10));
    let report = warming.trigger(&[], secs(60)).await.expect("known");
    assert_eq!(
        report.iter().map(|it| (&*it.name, it.success)).collect::<Vec<_>>(),
        [("a", true), ("b", true)]
    );

    let unknown = warming.trigger(&["a", "c"], secs(1)).await.expect_err("there is none");
    assert_eq!(unknown.to_string(), r#"there is no warmer called "c"; there are a, b"#);
}

#[tokio::test(start_paused = true)]
async fn a_second_start_doubles_no_run() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        Warmer::new("a", move |_| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                passes(secs(10)).await;
                running.fetch_sub(1, SeqCst);
                Ok::<_, String>(())
            }
        })
    };
    let warming = warming().warmer(counted).open().expect("legal");
    assert!(warming.start(secs(3)).await[0].is_running);
    let report = warming.start(secs(60)).await;
    assert_eq!((most.load(SeqCst), report[0].success, report[0].runs), (1, true, 1));
}

#[tokio::test(start_paused = true)]
async fn values_are_stored_and_counted() {
    let cache: Cache<u64, String> = Cache::builder("users").build().expect("legal");
    let values = || (0..100).map(|id| (id, format!("user {id}")));
    let warming = warming().warmer(Warmer::values("users", &cache, values)).open().expect("legal");
    let report = warming.start(secs(1)).await;
    assert_eq!((report[0].success, report[0].items_processed), (true, 100));
    assert_eq!(cache.get(&99).await.expect("memory").as_deref().map(String::as_str), Some("user 99"));
}

#[tokio::test]
async fn what_cannot_work_is_refused_and_says_why() {
    let twice = warming().warmer(items("a", 1)).warmer(items("a", 2)).open();
    assert!(matches!(twice, Err(WarmError::NameTaken { name }) if name == "a"));
    assert!(matches!(warming().max_running(0).open(), Err(WarmError::Schedule(_))));
    let never = warming().warmer(items("a", 1).every(Duration::ZERO)).open().expect_err("without an end");
    assert_eq!(never.to_string(), "interval is 0ns; it has to be at least 1 ms");
    let never = warming().warmer(items("a", 1).with_deadline(Duration::ZERO)).open().expect_err("no time");
    assert_eq!(never.to_string(), "deadline is 0ns; it has to be more than zero");
}
