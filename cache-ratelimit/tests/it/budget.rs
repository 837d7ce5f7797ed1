//! Budgets: global, endpoint and burst at once, and what the other side says.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use cache_core::Quota;
use cache_ratelimit::{Answer, Budget, By, Fallback, Plan};
use cache_testkit::clock::ManualClock;

use crate::shared::Away;

const SECOND: Duration = Duration::from_secs(1);

fn budget(plan: Plan) -> (Budget, Away, ManualClock) {
    let clock = ManualClock::new();
    let counters = Away::new(&clock);
    let budget = Budget::new(plan, Arc::new(counters.clone())).expect("a legal name");
    (budget.with_clock(Arc::new(clock.clone())), counters, clock)
}

/// How many of so many calls are admitted, each of an endpoint of its own.
async fn admitted(budget: &Budget, calls: u32) -> u32 {
    let mut admitted = 0;
    for call in 0..calls {
        admitted += u32::from(budget.take(&format!("endpoint {call}")).await.is_admitted());
    }
    admitted
}

#[pollster::test]
async fn what_an_endpoint_is_denied_is_not_charged_to_the_whole() {
    let (budget, ..) = budget(Plan::MARKET_DATA);
    let mut ticker = 0;
    for _ in 0..50 {
        ticker += u32::from(budget.take("ticker").await.is_admitted());
    }
    assert_eq!(ticker, 10);
    assert!((budget.used().await - 0.1).abs() < 1e-9);
    assert_eq!(admitted(&budget, 30).await, 10, "twenty in ten seconds, ten of them were the ticker's");
    assert!((budget.used().await - 0.2).abs() < 1e-9);
    let stats = budget.stats();
    assert_eq!((stats.used, stats.blocked), (20, 60));
}

#[pollster::test]
async fn a_burst_waits_seconds_and_a_used_up_minute_waits_for_it() {
    let (budget, _, clock) = budget(Plan::MARKET_DATA);
    for used in [20, 40, 60, 80] {
        assert_eq!(admitted(&budget, 21).await, 20);
        let (allowed, wait) = budget.can_call("another").await;
        assert!(!allowed && wait <= SECOND * 11, "{used} used, and {wait:?} for the burst");
        clock.advance(SECOND * 10 + Duration::from_millis(10));
    }
    assert_eq!(admitted(&budget, 21).await, 20);
    let (allowed, wait) = budget.can_call("yet another").await;
    assert!(!allowed && wait > SECOND * 19 && wait <= SECOND * 21, "the longer of both: {wait:?}");
    clock.advance(wait);
    assert_eq!(budget.can_call("yet another").await, (true, Duration::ZERO));
}

#[pollster::test]
async fn asking_charges_nothing() {
    let (budget, _, clock) = budget(Plan::IMAGE_ANALYSIS);
    for used in 0..10 {
        for _ in 0..100 {
            assert_eq!(budget.can_call("analyze").await, (true, Duration::ZERO), "{used} used");
            clock.advance(Duration::from_micros(700));
        }
        assert!(budget.take("analyze").await.is_admitted());
    }
    let (allowed, wait) = budget.can_call("analyze").await;
    assert!(!allowed && wait <= SECOND * 61);
    assert_eq!(budget.stats().used, 10);
}

#[pollster::test]
async fn the_presets_allow_what_they_say() {
    for (plan, allowed, per) in [
        (Plan::IMAGE_ANALYSIS, 10, 60),
        (Plan::TABLE_STORE, 5, 10),
        (Plan::MESSENGER, 30, 60),
        (Plan::MARKET_DATA, 20, 10),
    ] {
        let (budget, _, clock) = budget(plan);
        assert_eq!(admitted(&budget, 200).await, allowed, "{}", plan.name);
        clock.advance(SECOND * per);
        assert_eq!(admitted(&budget, 200).await, 0, "{}: not all of it has left", plan.name);
        clock.advance(Duration::from_millis(60));
        assert_eq!(admitted(&budget, 200).await, allowed, "{}", plan.name);
    }
}

#[pollster::test]
async fn a_refusal_stops_all_calls_then_halves_the_pace_and_successes_restore_it() {
    let (budget, counters, clock) = budget(Plan::MESSENGER);
    assert!(budget.take("send").await.is_admitted());
    let asked = counters.calls.load(SeqCst);
    budget.refused(Some(SECOND * 20));
    let denied = budget.take("send").await;
    assert_eq!(
        (denied.answer, denied.by, denied.retry_after()),
        (Answer::Wait(SECOND * 20), By::Remote, Some(20))
    );
    assert_eq!(budget.can_call("edit").await, (false, SECOND * 20));
    assert_eq!(counters.calls.load(SeqCst), asked, "nobody else has to be asked");
    clock.advance(SECOND * 20);
    let mut admitted = 0;
    for _ in 0..40 {
        admitted += u32::from(budget.take("send").await.is_admitted());
        clock.advance(SECOND);
    }
    assert_eq!(admitted, 10, "one in four seconds instead of one in two");
    assert!((budget.stats().pace - 0.5).abs() < f64::EPSILON);
    for _ in 0..8 {
        budget.succeeded();
    }
    clock.advance(SECOND * 61);
    assert_eq!(self::admitted(&budget, 40).await, 30);
    let stats = budget.stats();
    assert!(
        (stats.pace - 1.0).abs() < f64::EPSILON && stats.refused == 1 && stats.blocked >= 40,
        "{stats:?}"
    );
}

#[pollster::test]
async fn what_the_counters_deny_takes_no_turn_of_a_slow_pace() {
    let (budget, _, clock) = budget(Plan::MARKET_DATA);
    for _ in 0..10 {
        assert!(budget.take("full").await.is_admitted());
    }
    budget.refused(Some(SECOND));
    clock.advance(SECOND);
    assert_eq!(budget.take("full").await.by, By::Shared);
    assert!(budget.take("other").await.is_admitted(), "the turn was given back");
    assert_eq!(budget.take("other").await.by, By::Remote);
}

#[pollster::test]
async fn without_counters_nothing_is_called_unless_that_is_wanted() {
    let (budget, counters, _) = budget(Plan::MESSENGER);
    counters.fails.store(true, SeqCst);
    let closed = budget.take("send").await;
    assert_eq!((closed.is_admitted(), closed.by), (false, By::Closed));
    assert!((budget.used().await - 1.0).abs() < f64::EPSILON, "what cannot be told is all");
    let open = budget.with_fallback(Fallback::Open);
    assert_eq!(open.take("send").await.by, By::Open);
}

#[pollster::test]
async fn budgets_of_one_plan_share_what_their_counters_count_and_saved_calls_are_counted() {
    let (one, counters, clock) = budget(Plan::TABLE_STORE);
    let other =
        Budget::new(Plan::TABLE_STORE, Arc::new(counters)).expect("legal").with_clock(Arc::new(clock));
    assert_eq!(admitted(&one, 3).await, 3);
    assert_eq!(admitted(&other, 10).await, 2);
    one.saved();
    one.saved();
    assert_eq!((one.stats().saved, one.stats().used, other.stats().blocked), (2, 3, 8));
    let mut figures = Vec::new();
    one.figures(|metric, labels, value| {
        assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
        figures.push(format!("{} {} {value}", metric.name, labels.join(" ")));
    });
    assert!(figures.contains(&"cache_budget_calls_total table-store saved 2".to_owned()), "{figures:?}");
    assert!(figures.contains(&"cache_budget_pace_ratio table-store 1".to_owned()), "{figures:?}");
    assert_eq!(one.take("\u{0}").await.answer, one.take("%00").await.answer);
}

#[pollster::test]
async fn a_plan_of_other_limits_goes_on_with_what_is_used() {
    let quota = |limit| Quota::new(limit, SECOND * 60).expect("legal");
    let exact = |limit| Quota::exact(limit, SECOND * 60).expect("legal");
    for [four, six] in [[quota(4), quota(6)], [exact(4), exact(6)]] {
        let (before, counters, clock) = budget(Plan::single("supplier", four));
        let after = Budget::new(Plan::single("supplier", six), Arc::new(counters)).expect("legal");
        let after = after.with_clock(Arc::new(clock.clone()));
        assert_eq!((admitted(&before, 10).await, admitted(&after, 10).await), (4, 2), "{four:?}");
        assert!((after.used().await - 1.0).abs() < 1e-9 && (before.used().await - 1.0).abs() < 1e-9);
        clock.advance(SECOND * 61);
        assert_eq!(admitted(&after, 3).await, 3);
        assert!((after.used().await - 0.5).abs() < 1e-9 && (before.used().await - 0.75).abs() < 1e-9);
        assert_eq!((admitted(&before, 10).await, admitted(&after, 10).await), (1, 2));
    }
}

#[pollster::test]
async fn of_a_burst_as_long_as_the_window_the_smaller_limit_holds_and_a_call_is_charged_once() {
    let quota = |limit| Quota::new(limit, SECOND * 60).expect("legal");
    for (global, burst) in [(6, 4), (4, 6)] {
        let plan = Plan { burst: Some(quota(burst)), ..Plan::single("supplier", quota(global)) };
        let (budget, ..) = budget(plan);
        assert_eq!(admitted(&budget, 10).await, 4, "{global} and {burst}");
    }
}

#[pollster::test]
async fn while_a_fallback_decides_nobody_knows_what_is_used() {
    let four = std::num::NonZeroU32::new(4).expect("four");
    let own = Arc::new(cache_memory::MemoryCounters::new());
    for fallback in [Fallback::Open, Fallback::Closed, Fallback::share(own, four)] {
        let (budget, counters, clock) = budget(Plan::MESSENGER);
        let budget = budget.with_fallback(fallback.clone());
        assert!(budget.take("send").await.is_admitted());
        counters.fails.store(true, SeqCst);
        assert!((budget.used().await - 1.0).abs() < f64::EPSILON, "{fallback:?}");
        counters.fails.store(false, SeqCst);
        clock.advance(SECOND);
        assert!((budget.used().await - 1.0 / 30.0).abs() < 1e-9, "{fallback:?}: they are back");
    }
}
