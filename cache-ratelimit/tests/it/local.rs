//! The limiter of one process, case by case, on a clock that is moved by hand.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use cache_core::{Clock, SystemClock};
use cache_ratelimit::{Answer, By, Decision, LocalLimiter, Rule, RuleError, TickClock};
use cache_testkit::clock::ManualClock;

use crate::oracle::Jumping;

pub(crate) const MINUTE: Duration = Duration::from_mins(1);
const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

pub(crate) fn by_hand(rule: Rule) -> (LocalLimiter, ManualClock) {
    let clock = ManualClock::new();
    (LocalLimiter::new(rule).with_clock(Arc::new(clock.clone())), clock)
}

/// A window, an exact log and a steady rate with the same limit and length.
fn all(limit: u64) -> Result<[Rule; 3], RuleError> {
    Ok([Rule::window(limit, MINUTE)?, Rule::exact(limit, MINUTE)?, Rule::smooth(limit, MINUTE, limit)?])
}

fn admits(limiter: &LocalLimiter, times: u64) -> u64 {
    (0..times).map(|_| u64::from(limiter.take("k").is_admitted())).sum()
}

#[test]
fn the_limit_is_admitted_at_once_and_no_more() -> Result<(), RuleError> {
    for rule in all(60)? {
        let (limiter, _) = by_hand(rule);
        for remaining in (0..60).rev() {
            let decision = limiter.take("k");
            assert_eq!(
                (decision.answer, decision.remaining, decision.by),
                (Answer::Now, remaining, By::Local)
            );
        }
        let denied = limiter.take("k");
        assert!(matches!(denied.answer, Answer::Wait(_)) && denied.remaining == 0, "{denied:?}");
        assert!(limiter.take("another").is_admitted());
    }
    Ok(())
}

#[test]
fn a_wait_is_exactly_long_enough() -> Result<(), RuleError> {
    for rule in all(3)? {
        let (limiter, clock) = by_hand(rule);
        for pause in [0, 1234, 567, 0, 20_000] {
            clock.advance(MILLI * pause);
            while limiter.take("k").is_admitted() {
                clock.advance(MILLI * 77);
            }
            let Answer::Wait(wait) = limiter.take("k").answer else { panic!("{rule:?} denies") };
            clock.advance(wait.saturating_sub(Duration::from_nanos(1)));
            assert_eq!(limiter.take("k").answer, Answer::Wait(Duration::from_nanos(1)), "{rule:?}");
            clock.advance(Duration::from_nanos(1));
            assert!(limiter.take("k").is_admitted(), "{rule:?}");
        }
    }
    Ok(())
}

#[test]
fn an_edge_between_windows_admits_no_more() -> Result<(), RuleError> {
    for rule in &all(60)?[..2] {
        let (limiter, clock) = by_hand(*rule);
        clock.advance(MINUTE.saturating_sub(MILLI));
        assert_eq!(admits(&limiter, 60), 60);
        clock.advance(MILLI * 2);
        assert_eq!(admits(&limiter, 60), 0, "{rule:?}");
    }
    Ok(())
}

#[test]
fn what_is_a_window_old_no_longer_counts() -> Result<(), RuleError> {
    let (limiter, clock) = by_hand(Rule::exact(1, MINUTE)?);
    assert!(limiter.take("k").is_admitted());
    clock.advance(MINUTE.saturating_sub(Duration::from_nanos(1)));
    assert!(!limiter.take("k").is_admitted());
    clock.advance(Duration::from_nanos(1));
    assert!(limiter.take("k").is_admitted());
    let (limiter, clock) = by_hand(Rule::window(1, MINUTE)?);
    assert!(limiter.take("k").is_admitted());
    clock.advance(MINUTE + SECOND);
    assert!(limiter.take("k").is_admitted(), "a window and a bucket");
    Ok(())
}

#[test]
fn a_steady_rate_never_saves_up_more_than_its_burst() -> Result<(), RuleError> {
    for idle in [0, 8_900, 600_000, 1_000_000_000] {
        let (limiter, clock) = by_hand(Rule::smooth(60, MINUTE, 10)?);
        let _ = limiter.take("k");
        clock.advance(MILLI * idle);
        assert_eq!(admits(&limiter, 100), if idle == 0 { 9 } else { 10 }, "after {idle} ms");
        clock.advance(SECOND);
        assert_eq!(admits(&limiter, 100), 1);
    }
    Ok(())
}

#[test]
fn a_clock_that_goes_back_admits_nothing_more_and_locks_nobody_out_for_longer_than_a_window()
-> Result<(), RuleError> {
    for rule in all(60)? {
        let clock = Jumping::at(3600 * 2);
        let limiter = LocalLimiter::new(rule).with_clock(Arc::new(clock.clone()));
        assert_eq!(admits(&limiter, 30), 30);
        clock.set(3600);
        let an_hour_back = admits(&limiter, 100);
        clock.set(3600 * 2);
        // A steady rate has no place for what comes before, and waits for the clock to catch up.
        assert_eq!(an_hour_back + admits(&limiter, 100), 30, "{rule:?}");
        clock.set(3600 * 2 + 61);
        assert_eq!(admits(&limiter, 100), 60, "{rule:?}");
    }
    Ok(())
}

#[test]
fn a_jump_of_ten_years_or_to_the_end_of_time_empties_every_window() -> Result<(), RuleError> {
    for rule in all(60)? {
        let (limiter, clock) = by_hand(rule);
        for jump in [Duration::from_hours(24 * 3660), Duration::MAX] {
            assert_eq!(admits(&limiter, 100), 60);
            clock.advance(jump);
        }
        assert!(limiter.take("k").is_admitted(), "{rule:?} at {:?}", clock.now());
    }
    Ok(())
}

#[test]
fn a_cost_is_taken_as_a_whole_and_zero_only_asks() -> Result<(), RuleError> {
    for rule in all(10)? {
        let (limiter, _) = by_hand(rule);
        for cost in [11, u64::MAX] {
            assert_eq!(limiter.take_cost("k", cost).answer, Answer::Never);
        }
        assert!(limiter.take_cost("k", 0).is_admitted() && limiter.peek("k", 10).is_admitted());
        assert_eq!(limiter.stats().keys, 0, "who only asks takes no room");
        assert_eq!(limiter.take_cost("k", 7).remaining, 3);
        assert!(!limiter.take_cost("k", 4).is_admitted());
        for _ in 0..1000 {
            assert_eq!(limiter.peek("k", 1).remaining, 2);
        }
        assert_eq!(limiter.take_cost("k", 3).remaining, 0);
        assert_eq!((limiter.take_cost("k", 0).answer, limiter.peek("k", 1).remaining), (Answer::Now, 0));
    }
    Ok(())
}

#[test]
fn who_asks_for_nothing_is_never_denied_whatever_limit_it_asks_under() -> Result<(), RuleError> {
    for rule in all(10)? {
        let (limiter, _) = by_hand(rule);
        assert!(limiter.take_cost("k", 10).is_admitted());
        // The same is left to others as by a denied call for one under a limit of three.
        assert!(
            !limiter.take_within("k", 1, 3).is_admitted() && !limiter.take_within("k", 1, 3).is_admitted()
        );
        let nothing = limiter.take_within("k", 0, 2);
        assert_eq!((nothing.answer, nothing.remaining), (Answer::Now, 0), "{rule:?}");
    }
    Ok(())
}

#[test]
fn what_is_given_back_can_be_taken_again_and_no_more_than_that() -> Result<(), RuleError> {
    for rule in all(5)? {
        let (limiter, clock) = by_hand(rule);
        let three = limiter.take_cost("k", 3);
        assert_eq!(three.remaining, 2);
        limiter.give_back("k", three);
        assert_eq!(limiter.peek("k", 0).remaining, 5);
        let five = limiter.take_cost("k", 5);
        let denied = limiter.take("k");
        limiter.give_back("k", denied);
        assert!(!limiter.take("k").is_admitted(), "nothing was taken, so nothing comes back");
        // A bucket later it can no longer be told from what others have charged.
        clock.advance(SECOND * 30);
        let later = limiter.take_cost("k", 0);
        limiter.give_back("k", later);
        limiter.give_back("unknown", five);
        assert!(limiter.peek("unknown", 5).is_admitted() && !limiter.peek("unknown", 6).is_admitted());
    }
    Ok(())
}

#[test]
fn what_is_given_back_late_makes_no_room_that_is_not_there() -> Result<(), RuleError> {
    for rule in &all(2)?[..2] {
        let (limiter, clock) = by_hand(*rule);
        let first = limiter.take("k");
        clock.advance(SECOND * 30);
        assert!(limiter.take("k").is_admitted());
        limiter.give_back("k", first);
        clock.advance(SECOND * 31);
        assert_eq!(admits(&limiter, 10), 1, "{rule:?}: of the second call half a minute is left");
    }
    Ok(())
}

#[test]
fn a_reset_forgets_one_key() -> Result<(), RuleError> {
    for rule in all(1)? {
        let (limiter, _) = by_hand(rule);
        assert!(limiter.take("k").is_admitted() && limiter.take("other").is_admitted());
        limiter.reset("k");
        limiter.reset("unknown");
        assert_eq!(limiter.stats().keys, 1);
        assert!(limiter.take("k").is_admitted() && !limiter.take("other").is_admitted());
    }
    Ok(())
}

#[test]
fn a_limit_of_zero_never_admits_and_a_new_limit_holds_at_once() -> Result<(), RuleError> {
    let (limiter, clock) = by_hand(Rule::window(60, MINUTE)?.with_most(100));
    assert_eq!(admits(&limiter, 100), 60);
    limiter.set_limit(70)?;
    assert_eq!(admits(&limiter, 100), 10, "what is charged stays charged");
    limiter.set_limit(20)?;
    let Answer::Wait(wait) = limiter.take("k").answer else { panic!("over the new limit") };
    clock.advance(wait);
    assert_eq!(admits(&limiter, 100), 20);
    limiter.set_limit(0)?;
    assert_eq!(limiter.take("k").answer, Answer::Never);
    assert_eq!(limiter.set_limit(101), Err(RuleError::Most { limit: 101, most: 100 }));
    let (never, _) = by_hand(Rule::window(0, MINUTE)?);
    assert_eq!((never.take("k").answer, never.take("k").wait()), (Answer::Never, Duration::MAX));
    assert!(Rule::exact(0, MINUTE).map(LocalLimiter::new)?.take_cost("k", 0).is_admitted());
    Ok(())
}

#[test]
fn odd_keys_stay_apart() -> Result<(), RuleError> {
    let (limiter, _) = by_hand(Rule::window(1, MINUTE)?);
    let long = "x".repeat(10_000);
    for key in ["", "a", "a:b", "{a}b", "a{b}", "a\nb", "a b", &long, &long[1..]] {
        assert!(limiter.take(key).is_admitted(), "{} bytes", key.len());
    }
    for key in [&b"\xff\xfe"[..], b"\xff", b"\xfe"] {
        assert!(limiter.take(key).is_admitted(), "{key:?}");
    }
    for pair in [("a", "bc"), ("ab", "c"), ("abc", "")] {
        assert!(limiter.take(&pair).is_admitted(), "{pair:?}");
    }
    assert!(!limiter.take(&long).is_admitted());
    Ok(())
}

#[test]
fn of_64_threads_with_1000_calls_each_exactly_the_limit_is_admitted() -> Result<(), RuleError> {
    const THREADS: usize = 64;
    for rule in [Rule::window(12_345, MINUTE)?, Rule::exact(9_999, MINUTE)?, Rule::smooth(1, MINUTE, 12_345)?]
    {
        let (limiter, _) = by_hand(rule);
        let start = Barrier::new(THREADS);
        let calls = || {
            start.wait();
            admits(&limiter, 1000)
        };
        let admitted: u64 = thread::scope(|scope| {
            let callers: Vec<_> = (0..THREADS).map(|_| scope.spawn(calls)).collect();
            callers.into_iter().map(|caller| caller.join().expect("no panic")).sum()
        });
        assert_eq!(admitted, rule.limit());
        let stats = limiter.stats();
        assert_eq!((stats.admitted, stats.admitted + stats.denied), (rule.limit(), 64_000));
    }
    Ok(())
}

#[test]
fn the_headers_say_what_was_decided() -> Result<(), RuleError> {
    let (limiter, clock) = by_hand(Rule::window(2, MINUTE)?.named("anonymous"));
    clock.advance(MILLI * 400);
    let told = |decision: Decision| (decision.policy_field(), decision.limit_field(), decision.retry_after());
    let policy = r#""anonymous";q=2;w=60"#.to_owned();
    let field = |text: &str| text.to_owned();
    assert_eq!(told(limiter.take("k")), (policy.clone(), field(r#""anonymous";r=1;t=61"#), None));
    clock.advance(SECOND * 2);
    assert_eq!(told(limiter.take("k")), (policy.clone(), field(r#""anonymous";r=0;t=61"#), None));
    assert_eq!(told(limiter.take("k")), (policy, field(r#""anonymous";r=0;t=59"#), Some(59)));
    Ok(())
}

#[test]
fn a_clock_of_ticks_runs_with_the_system() {
    let (ticks, system) = (TickClock::new(), SystemClock::new());
    // The ticks are read before and after, so whatever keeps this thread from running in between counts for them too.
    let begun = (ticks.now(), system.now());
    while system.now() < begun.1.after(MILLI * 50) {}
    let ran = (system.now().since(begun.1), ticks.now().since(begun.0));
    assert!(ran.1 > ran.0.mul_f64(0.99), "{ran:?}");
}
