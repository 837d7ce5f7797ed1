//! Floods of keys, and one key that is denied for ever: memory stays bounded, and who was denied stays denied.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cache_ratelimit::{By, LocalLimiter, Rule, RuleError};
use cache_testkit::clock::ManualClock;

use crate::local::{MINUTE, by_hand};
use crate::oracle::Random;

fn bounded(rule: Rule, max_keys: usize) -> (LocalLimiter, ManualClock) {
    let (limiter, clock) = by_hand(rule);
    (limiter.with_max_keys(NonZeroUsize::new(max_keys).expect("some")), clock)
}

#[test]
fn a_flood_of_a_million_keys_keeps_to_the_bound_and_gives_up_nobody_who_was_denied() -> Result<(), RuleError>
{
    let (limiter, clock) = bounded(Rule::window(2, MINUTE)?, 10_000);
    let denied: Vec<u64> = (0..9_000).collect();
    for key in &denied {
        let admitted = (0..3).filter(|_| limiter.take(&("denied", key)).is_admitted()).count();
        assert_eq!(admitted, 2);
    }
    for key in 0..1_000_000_u64 {
        assert!(limiter.take(&("flood", key)).is_admitted());
        if key % 1024 == 0 {
            clock.advance(Duration::from_millis(30));
            assert!(limiter.stats().keys <= 10_000);
        }
    }
    for key in &denied {
        assert!(!limiter.take(&("denied", key)).is_admitted(), "{key} was given up");
    }
    let stats = limiter.stats();
    assert_eq!((stats.keys, stats.crowded), (10_000, 0));
    assert!(stats.given_up >= 990_000, "{stats:?}");
    Ok(())
}

#[test]
fn where_all_are_at_their_limit_a_newcomer_waits_until_one_is_not() -> Result<(), RuleError> {
    let (limiter, clock) = bounded(Rule::window(1, MINUTE)?, 100);
    for key in 0..100 {
        assert!(limiter.take(&key).is_admitted() && !limiter.take(&key).is_admitted());
    }
    let refused = limiter.take("new");
    assert_eq!((refused.is_admitted(), refused.by, limiter.stats().crowded), (false, By::Crowded, 1));
    clock.advance(refused.wait());
    assert_eq!(limiter.take("new").by, By::Crowded, "they still are");
    limiter.reset(&7);
    assert!(limiter.take("new").is_admitted());
    clock.advance(MINUTE + Duration::from_secs(1));
    assert!((100..200).all(|key| limiter.take(&key).is_admitted()));
    assert!(limiter.stats().keys <= 100);
    Ok(())
}

#[test]
fn of_those_that_were_not_denied_whoever_has_most_stays_longest() -> Result<(), RuleError> {
    let (limiter, _) = bounded(Rule::window(60, MINUTE)?, 1000);
    assert_eq!((0..59).filter(|_| limiter.take("heavy").is_admitted()).count(), 59);
    for key in 0..100_000 {
        assert!(limiter.take(&key).is_admitted());
    }
    assert_eq!(limiter.peek("heavy", 0).remaining, 1, "to be forgotten would have been worth 59 calls");
    Ok(())
}

#[test]
fn who_was_denied_a_little_stays_though_others_were_denied_for_much_more() -> Result<(), RuleError> {
    for order in [[5, 50], [50, 5]] {
        let (limiter, _) = bounded(Rule::window(5, MINUTE)?.with_most(50), 80);
        for limit in order {
            for key in 0..40_u64 {
                let admitted = (0..60).filter(|_| limiter.take_within(&(limit, key), 1, limit).is_admitted());
                assert_eq!(admitted.count() as u64, limit);
            }
        }
        for key in 0..2_000_u64 {
            assert_eq!(limiter.take_within(&("flood", key), 1, 50).by, By::Crowded);
        }
        for limit in order {
            for key in 0..40_u64 {
                assert!(
                    !limiter.take_within(&(limit, key), 1, limit).is_admitted(),
                    "{key} of {limit} was given up"
                );
            }
        }
        assert_eq!(limiter.stats().given_up, 0);
    }
    Ok(())
}

#[test]
fn what_is_idle_is_freed_by_those_who_come_later() -> Result<(), RuleError> {
    for rule in [Rule::window(5, MINUTE)?, Rule::exact(5, MINUTE)?, Rule::smooth(5, MINUTE, 5)?] {
        let (limiter, clock) = bounded(rule, 100_000);
        for key in 0..50_000_u64 {
            let _ = limiter.take(&key);
        }
        assert_eq!(limiter.stats().keys, 50_000);
        clock.advance(MINUTE * 2);
        for key in 0..50_000_u64 {
            let _ = limiter.take(&("later", key));
        }
        let stats = limiter.stats();
        assert!(stats.keys <= 60_000 && stats.given_up == 0, "{stats:?}");
    }
    Ok(())
}

#[test]
fn a_key_that_is_denied_a_million_times_takes_one_place() -> Result<(), RuleError> {
    let (limiter, _) = by_hand(Rule::window(60, MINUTE)?);
    let admitted = (0..1_000_000).filter(|_| limiter.take("attacker").is_admitted()).count();
    let stats = limiter.stats();
    assert_eq!((admitted, stats.keys, stats.denied), (60, 1, 999_940));
    Ok(())
}

#[test]
fn threads_that_flood_a_small_table_neither_exceed_it_nor_lose_room() -> Result<(), RuleError> {
    let (limiter, clock) = bounded(Rule::window(3, MINUTE)?, 64);
    let limiter = Arc::new(limiter);
    thread::scope(|scope| {
        for seed in 0..4 {
            let (limiter, clock) = (Arc::clone(&limiter), clock.clone());
            scope.spawn(move || {
                let mut random = Random(seed);
                for call in 0..50_000 {
                    let key = random.below(500);
                    match random.below(50) {
                        0 => limiter.reset(&key),
                        1 if call % 16 == 0 => clock.advance(Duration::from_secs(1)),
                        _ => drop(limiter.take_cost(&key, random.below(4))),
                    }
                    assert!(limiter.stats().keys <= 64);
                }
            });
        }
    });
    clock.advance(MINUTE * 2);
    for key in 1000..2000_u64 {
        assert!(limiter.take(&key).is_admitted(), "room was lost");
    }
    assert!(limiter.stats().keys <= 64);
    for key in 0..2000_u64 {
        limiter.reset(&key);
    }
    assert_eq!(limiter.stats().keys, 0);
    Ok(())
}
