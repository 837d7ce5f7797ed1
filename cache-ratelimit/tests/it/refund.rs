//! What is given back, at once or long after, on clocks that run, stand, jump and go back: it never makes room that is another's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Key, Quota, Shape};
use cache_memory::MemoryCounters;
use cache_ratelimit::{Answer, Decision, LocalLimiter, Rule, SharedLimiter};

use crate::oracle::{Jumping, Random, nanos};

const WINDOW: Duration = Duration::from_mins(1);

/// What was admitted and not given back, and when: in time that the clock has moved forward.
#[derive(Default)]
struct Live(VecDeque<(u64, u64, Decision)>);

impl Live {
    /// The most that stands above what is allowed from some moment on until now, if it is more than that.
    fn excess(&self, quota: &Quota, now: u64) -> Option<(u64, u64)> {
        let mut admitted = 0;
        for (at, cost, _) in self.0.iter().rev() {
            admitted += cost;
            let since = now - at;
            let allowed = match quota.shape() {
                Shape::Smooth { each } => quota.limit() + since / nanos(each),
                _ if since < nanos(quota.per()) => quota.limit(),
                _ => return None,
            };
            if admitted > allowed {
                return Some((admitted, since));
            }
        }
        None
    }

    fn counts(&self, window: u64, now: u64) -> u64 {
        self.0.iter().rev().take_while(|(at, ..)| at + window > now).map(|(_, cost, _)| cost).sum()
    }
}

enum Limiter {
    Local(LocalLimiter),
    Shared(Box<SharedLimiter>, Key),
}

impl Limiter {
    fn take(&self, cost: u64) -> Decision {
        match self {
            Self::Local(limiter) => limiter.take_cost("k", cost),
            Self::Shared(limiter, key) => pollster::block_on(limiter.take_cost(key, cost)),
        }
    }

    fn give_back(&self, decision: Decision) {
        match self {
            Self::Local(limiter) => limiter.give_back("k", decision),
            Self::Shared(limiter, key) => pollster::block_on(limiter.give_back(key, decision)),
        }
    }
}

fn quota(random: &mut Random) -> Quota {
    let limit = 1 + random.below(20);
    match random.below(3) {
        0 => Quota::exact(limit, WINDOW),
        1 => Quota::smooth(limit, WINDOW, 1 + random.below(20)),
        _ => Quota::with_buckets(limit, WINDOW, random.one_of(&[1, 2, 7, 60, 1000])),
    }
    .expect("legal")
}

fn rule(quota: Quota) -> Rule {
    match quota.shape() {
        Shape::Buckets(_) => Rule::from(quota),
        Shape::Exact => Rule::exact(quota.limit(), quota.per()).expect("small"),
        Shape::Smooth { each } => Rule::smooth(1, each, quota.limit()).expect("a rate and a burst"),
    }
}

#[test]
fn no_window_has_more_than_the_limit_net_of_what_was_given_back_at_any_time() {
    let mut random = Random(0xbac);
    let (mut refunds, mut denials) = (0_u64, 0_u64);
    for round in 0..400 {
        let seed = random.0;
        let quota = quota(&mut random);
        let clock = Jumping::at(0);
        let shared = round % 2 == 0;
        let limiter = if shared {
            let counters = MemoryCounters::new().with_clock(Arc::new(clock.clone()));
            let limiter = SharedLimiter::new("test", quota, Arc::new(counters));
            let key = Key::new("k").expect("a legal key");
            Limiter::Shared(Box::new(limiter.with_clock(Arc::new(clock.clone()))), key)
        } else {
            Limiter::Local(LocalLimiter::new(rule(quota)).with_clock(Arc::new(clock.clone())))
        };
        let goes_back = random.below(2) == 0;
        let (window, pace) = (nanos(quota.per()), nanos(quota.per()) / quota.limit());
        let (mut shown, mut passed) = (random.below(window * 100), window);
        let mut live = Live::default();
        for _ in 0..1_000 {
            let before = shown;
            shown = match random.below(200) {
                0 if goes_back => shown.saturating_sub(random.below(window * 3)),
                1 => shown + random.below(window * 3),
                2..100 => shown,
                _ => shown + random.below(pace * 2 + 1),
            };
            clock.set_nanos(shown);
            passed += shown.saturating_sub(before);
            if random.below(3) == 0 && !live.0.is_empty() {
                let recent = random.one_of(&[1, 3, 40]).min(live.0.len() as u64);
                let at = live.0.len() - 1 - usize::try_from(random.below(recent)).expect("an index");
                let (.., decision) = live.0.remove(at).expect("it is there");
                limiter.give_back(decision);
                refunds += 1;
                continue;
            }
            let cost = 1 + random.below(quota.limit().min(4));
            // These counters round to a microsecond.
            let counts = live.counts(window + 1_000, passed);
            let decision = limiter.take(cost);
            match decision.answer {
                Answer::Now => live.0.push_back((passed, cost, decision)),
                Answer::Wait(_) => {
                    denials += 1;
                    let fits = shared
                        && !goes_back
                        && quota.shape() == Shape::Exact
                        && counts + cost <= quota.limit();
                    assert!(!fits, "denied {cost} beside {counts}, with {quota:?}, seed {seed}");
                }
                Answer::Never => panic!("{cost} is within {quota:?}"),
            }
            let excess = live.excess(&quota, passed);
            assert_eq!(excess, None, "admitted in so many ns, with {quota:?}, shared {shared}, seed {seed}");
        }
    }
    assert!(refunds > 50_000 && denials > 50_000, "{refunds} given back, {denials} denied");
}
