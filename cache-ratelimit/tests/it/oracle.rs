//! Random schedules on clocks that run, stand, jump and go back, judged by an oracle that knows only what was admitted
//! when.
//!
//! Time that passes is what the clock moves forward: going back is no time, and what it then shows again is time once
//! more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cache_core::{Charge, Clock, Counters, Key, Quota, Time, Verdict};
use cache_memory::MemoryCounters;
use cache_ratelimit::{Answer, LocalLimiter, Rule};
use cache_testkit::clock::ManualClock;

/// A clock that shows whatever it is told to, earlier times too.
#[derive(Clone, Debug)]
pub(crate) struct Jumping(Arc<AtomicU64>);

impl Jumping {
    pub(crate) fn at(seconds: u64) -> Self {
        let clock = Self(Arc::default());
        clock.set(seconds);
        clock
    }

    pub(crate) fn set(&self, seconds: u64) {
        self.set_nanos(nanos(Duration::from_secs(seconds)));
    }

    pub(crate) fn set_nanos(&self, nanos: u64) {
        self.0.store(nanos, Ordering::Relaxed);
    }
}

impl Clock for Jumping {
    fn now(&self) -> Time {
        Time::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// A sequence that repeats from its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ bits >> 31) % end
    }

    pub(crate) fn one_of<T: Copy>(&mut self, these: &[T]) -> T {
        these[usize::try_from(self.below(these.len() as u64)).expect("an index")]
    }
}

/// What was admitted to one key, and when.
#[derive(Default)]
struct Admitted {
    events: std::collections::VecDeque<(u64, u64)>,
    sum: u64,
}

impl Admitted {
    /// How much counts in the window that ends now, in which what began it a whole window ago no longer does.
    fn within(&mut self, window: u64, now: u64) -> u64 {
        while let Some((_, cost)) = self.events.front().copied().filter(|(at, _)| at + window <= now) {
            self.events.pop_front();
            self.sum -= cost;
        }
        self.sum
    }

    fn add(&mut self, now: u64, cost: u64) {
        self.events.push_back((now, cost));
        self.sum += cost;
    }
}

const WINDOW: Duration = Duration::from_mins(1);
const DECISIONS: u64 = 1_000_000;

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("some minutes")
}

/// The rule, and whether it has to admit whatever fits into a window as well.
fn rule(random: &mut Random) -> (Rule, bool) {
    let highest = random.one_of(&[3, 20, 300, 70_000]);
    let limit = 1 + random.below(highest);
    let buckets = random.one_of(&[1, 2, 7, 60, 61, 1000]);
    let quota = Quota::with_buckets(limit, WINDOW, buckets).expect("a legal quota");
    match random.below(3) {
        0 if limit <= 300 => (Rule::exact(limit, WINDOW).expect("a small limit"), true),
        _ => (Rule::from(quota), false),
    }
}

#[test]
fn in_a_million_decisions_no_window_holds_more_than_the_limit() {
    let mut random = Random(0x5eed);
    let (mut decisions, mut admissions, mut denials) = (0, 0_u64, 0_u64);
    while decisions < DECISIONS {
        let seed = random.0;
        let (rule, is_exact) = rule(&mut random);
        let window = nanos(WINDOW);
        let clock = Jumping::at(0);
        let limiter = LocalLimiter::new(rule).with_clock(Arc::new(clock.clone()));
        let mut keys: [Admitted; 3] = Default::default();
        let (mut shown, mut passed) = (random.below(window * 100), window);
        let goes_back = random.below(2) == 0;
        let pace = window / (rule.limit() * (1 + random.below(4)));
        let largest = 1 + random.below(rule.limit().min(4));
        for _ in 0..2_000 {
            let before = shown;
            shown = match random.below(200) {
                0 if goes_back => shown.saturating_sub(random.below(window * 3)),
                1 => shown + random.below(window * 3),
                2..100 => shown,
                _ => shown + random.below(pace * 2 + 1),
            };
            clock.set_nanos(shown);
            passed += shown.saturating_sub(before);
            let key = random.one_of(&[0, 1, 2]);
            let cost = random.below(largest + 1);
            let admitted = &mut keys[key];
            let within = admitted.within(window, passed);
            assert!(within <= rule.limit());
            match limiter.take_cost(&key, cost).answer {
                Answer::Now => {
                    admissions += cost.min(1);
                    admitted.add(passed, cost);
                    let within = admitted.within(window, passed);
                    assert!(within <= rule.limit(), "{within} in a window, with {rule:?}, seed {seed}");
                }
                Answer::Wait(_) => {
                    denials += 1;
                    let fits = !goes_back && within + cost <= rule.limit();
                    assert!(!(is_exact && fits), "denied {cost} beside {within}, with {rule:?}, seed {seed}");
                }
                Answer::Never => panic!("{cost} is within {rule:?}"),
            }
            decisions += 1;
        }
    }
    assert!(admissions > DECISIONS / 10 && denials > DECISIONS / 10, "{admissions} against {denials}");
}

/// Every limit to three, every cost, at every tick of a few windows: all there is for a small limiter.
#[test]
fn small_limits_hold_whatever_happens_in_four_ticks_of_nine() {
    let window = Duration::from_millis(3);
    for limit in 1..=3_u64 {
        let quota = Quota::with_buckets(limit, window, 3).expect("a legal quota");
        let clock = ManualClock::new();
        let limiters = [Rule::exact(limit, window).expect("small"), Rule::from(quota)]
            .map(|rule| LocalLimiter::new(rule).with_clock(Arc::new(clock.clone())));
        for schedule in 0..9_u64.pow(4) * 16 {
            // So long that nothing is left of the schedule before, and as many whole buckets.
            clock.advance(Duration::from_nanos(10_000_000 - clock.now().as_nanos() % 1_000_000));
            let mut admitted: [Admitted; 2] = Default::default();
            let (mut steps, mut costs, mut now) = (schedule / 16, schedule % 16, 0);
            for _ in 0..4 {
                clock.advance(Duration::from_micros(500 * (steps % 9)));
                now += steps % 9;
                let cost = (1 + costs % 2).min(limit);
                (steps, costs) = (steps / 9, costs / 2);
                for (limiter, admitted) in limiters.iter().zip(&mut admitted) {
                    if limiter.take_cost("k", cost).is_admitted() {
                        admitted.add(now, cost);
                    }
                    let within = admitted.within(6, now);
                    assert!(within <= limit, "{within} of {limit} in schedule {schedule}");
                }
            }
        }
    }
}

/// The table counts as the seam's twin does, which remembers other things of a window.
#[test]
fn it_agrees_with_the_counters_of_one_process_to_the_nanosecond() {
    let mut random = Random(0xc0de);
    for _ in 0..100 {
        let limit = 1 + random.below(40);
        let quota = Quota::with_buckets(limit, WINDOW, random.one_of(&[1, 6, 60, 1000])).expect("legal");
        let clock = ManualClock::new();
        let limiter = LocalLimiter::new(quota.into()).with_clock(Arc::new(clock.clone()));
        let counters = MemoryCounters::new().with_clock(Arc::new(clock.clone()));
        for call in 0..300 {
            clock.advance(Duration::from_nanos(random.below(3_000_000_000)));
            let charge = Charge::new(Key::new("k").expect("a legal key"), quota, random.below(limit + 2));
            let ours = limiter.take_cost("k", charge.cost);
            let theirs = pollster::block_on(counters.charge(&[charge])).expect("in reach").0;
            let alike = match (ours.answer, theirs) {
                (Answer::Now, Verdict::Admitted { remaining }) => ours.remaining == remaining,
                (Answer::Wait(ours), Verdict::Denied { wait }) => ours == wait,
                (Answer::Never, Verdict::Never) => true,
                _ => false,
            };
            assert!(alike, "call {call} with {quota:?}: {ours:?} and {theirs:?}");
        }
    }
}
