//! The limiter over shared counters: what it remembers, and what it does while they are away.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{Charge, Counters, Error, ErrorKind, Key, Quota, Receipt, Result, Verdict};
use cache_memory::MemoryCounters;
use cache_ratelimit::{Answer, By, Fallback, SharedLimiter};
use cache_testkit::clock::ManualClock;

use crate::local::MINUTE;

const PAUSE: Duration = Duration::from_millis(500);

/// Counters that count their calls, and fail as told.
#[derive(Clone, Debug)]
pub(crate) struct Away {
    counters: Arc<MemoryCounters>,
    pub(crate) fails: Arc<AtomicBool>,
    pub(crate) calls: Arc<AtomicU64>,
}

impl Away {
    pub(crate) fn new(clock: &ManualClock) -> Self {
        let counters = Arc::new(MemoryCounters::new().with_clock(Arc::new(clock.clone())));
        Self { counters, fails: Arc::default(), calls: Arc::default() }
    }

    fn reached(&self) -> Result<&MemoryCounters> {
        self.calls.fetch_add(1, SeqCst);
        let away = self.fails.load(SeqCst);
        if away { Err(Error::new(ErrorKind::Unavailable, "test", "charge")) } else { Ok(&self.counters) }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Counters for Away {
    async fn charge(&self, charges: &[Charge]) -> Result<(Verdict, Receipt)> {
        self.reached()?.charge(charges).await
    }

    async fn refund(&self, charges: &[Charge], receipt: Receipt) -> Result<()> {
        self.reached()?.refund(charges, receipt).await
    }

    async fn reset(&self, key: &Key) -> Result<()> {
        self.reached()?.reset(key).await
    }
}

fn limiter(limit: u64) -> (SharedLimiter, Away, ManualClock) {
    let clock = ManualClock::new();
    let counters = Away::new(&clock);
    let quota = Quota::new(limit, MINUTE).expect("a legal quota");
    let limiter = SharedLimiter::new("test", quota, Arc::new(counters.clone()));
    (limiter.with_clock(Arc::new(clock.clone())), counters, clock)
}

fn key(name: &str) -> Key {
    Key::new(name).expect("a legal key")
}

async fn admitted(limiter: &SharedLimiter, times: usize, by: By) -> usize {
    let mut admitted = 0;
    for _ in 0..times {
        let decision = limiter.take(&key("k")).await;
        assert_eq!(decision.by, by);
        admitted += usize::from(decision.is_admitted());
    }
    admitted
}

#[pollster::test]
async fn a_hot_attacker_is_asked_about_once_until_there_is_room() {
    let (limiter, counters, clock) = limiter(3);
    assert_eq!(admitted(&limiter, 3, By::Shared).await, 3);
    let denied = limiter.take(&key("k")).await;
    assert_eq!((denied.by, counters.calls.load(SeqCst)), (By::Shared, 4));
    assert_eq!(admitted(&limiter, 100_000, By::Remembered).await, 0);
    clock.advance(denied.wait().saturating_sub(Duration::from_nanos(1)));
    let again = limiter.take(&key("k")).await;
    assert_eq!((again.by, again.wait()), (By::Remembered, Duration::from_nanos(1)));
    assert_eq!(counters.calls.load(SeqCst), 4);
    clock.advance(Duration::from_nanos(1));
    assert!(limiter.take(&key("k")).await.is_admitted());
    let stats = limiter.stats();
    assert_eq!((stats.admitted, stats.denied, stats.remembered, stats.denials), (4, 100_002, 100_001, 1));
}

#[pollster::test]
async fn a_denial_of_much_says_nothing_of_less_and_of_another_key() {
    let (limiter, ..) = limiter(10);
    assert!(limiter.take_cost(&key("k"), 8).await.is_admitted());
    assert!(!limiter.take_cost(&key("k"), 5).await.is_admitted());
    assert_eq!(limiter.take_cost(&key("k"), 6).await.by, By::Remembered);
    assert_eq!(limiter.take_cost(&key("k"), 11).await.answer, Answer::Never);
    assert_eq!(limiter.take_cost(&key("k"), 2).await.remaining, 0);
    assert!(limiter.take_cost(&key("k"), 0).await.is_admitted(), "who only asks is not denied");
    assert!(limiter.take(&key("other")).await.is_admitted());
}

#[pollster::test]
async fn who_gives_back_or_is_reset_is_no_longer_remembered_as_denied() {
    let (limiter, ..) = limiter(1);
    let first = limiter.take(&key("k")).await;
    assert!(!limiter.take(&key("k")).await.is_admitted());
    limiter.give_back(&key("k"), first).await;
    assert!(limiter.take(&key("k")).await.is_admitted());
    assert!(!limiter.take(&key("k")).await.is_admitted());
    limiter.reset(&key("k")).await.expect("in reach");
    assert!(limiter.take(&key("k")).await.is_admitted());
}

#[pollster::test]
async fn while_the_counters_are_away_the_fallback_decides_and_they_are_asked_twice_a_second() {
    let share = |clock: &ManualClock| {
        let own = MemoryCounters::new().with_clock(Arc::new(clock.clone()));
        Fallback::share(Arc::new(own), NonZeroU32::new(4).expect("four"))
    };
    for (fallback, by, expected) in
        [(None, By::Closed, 0), (Some(Fallback::Open), By::Open, 100), (None, By::Share, 25)]
    {
        let (limiter, counters, clock) = limiter(100);
        let limiter = match (fallback, by) {
            (_, By::Share) => limiter.with_fallback(share(&clock)),
            (Some(fallback), _) => limiter.with_fallback(fallback),
            (None, _) => limiter,
        };
        counters.fails.store(true, SeqCst);
        assert_eq!(admitted(&limiter, 100, by).await, expected, "{limiter:?}");
        assert_eq!((counters.calls.load(SeqCst), limiter.stats().away), (1, 100));
        assert_eq!(limiter.take_cost(&key("k"), 101).await.answer, Answer::Never);
        clock.advance(PAUSE);
        let _ = limiter.take(&key("k")).await;
        assert_eq!(counters.calls.load(SeqCst), 2, "one probe");
        counters.fails.store(false, SeqCst);
        clock.advance(PAUSE);
        assert_eq!(admitted(&limiter, 3, By::Shared).await, 3, "they are back");
    }
}

#[pollster::test]
async fn a_denial_of_the_fallback_tells_when_to_come_again() {
    let (limiter, counters, _) = limiter(100);
    counters.fails.store(true, SeqCst);
    let closed = limiter.take(&key("k")).await;
    assert_eq!((closed.answer, closed.retry_after()), (Answer::Wait(PAUSE), Some(1)));
}

#[pollster::test]
async fn what_is_larger_than_a_share_waits_for_the_whole() {
    let (limiter, counters, clock) = limiter(100);
    let own = Arc::new(MemoryCounters::new().with_clock(Arc::new(clock.clone())));
    let limiter = limiter.with_fallback(Fallback::share(own, NonZeroU32::new(4).expect("four")));
    counters.fails.store(true, SeqCst);
    let large = limiter.take_cost(&key("k"), 26).await;
    assert_eq!((large.answer, large.by), (Answer::Wait(PAUSE), By::Share));
    let fits = limiter.take_cost(&key("k"), 25).await;
    assert!(fits.is_admitted());
    limiter.give_back(&key("k"), fits).await;
    assert_eq!(limiter.take_cost(&key("k"), 25).await.remaining, 0, "it was given back where it was taken");
}

#[pollster::test]
async fn a_part_that_cannot_be_had_admits_nothing() {
    let clock = ManualClock::new();
    let counters = Away::new(&clock);
    let own = Arc::new(MemoryCounters::new().with_clock(Arc::new(clock.clone())));
    let year = Duration::from_hours(366 * 24);
    // Half of it would be one in two years, which is no quota.
    let quota = Quota::smooth(1, year, 1).expect("legal");
    let limiter = SharedLimiter::new("rare", quota, Arc::new(counters.clone()))
        .with_clock(Arc::new(clock))
        .with_fallback(Fallback::share(own, NonZeroU32::new(2).expect("two")));
    counters.fails.store(true, SeqCst);
    let decision = limiter.take(&key("k")).await;
    assert_eq!((decision.answer, decision.by), (Answer::Wait(PAUSE), By::Share));
}

#[pollster::test]
async fn the_headers_of_a_shared_decision_name_its_policy() {
    let (limiter, ..) = limiter(1);
    let first = limiter.take(&key("k")).await;
    assert_eq!(first.policy_field(), r#""test";q=1;w=60"#);
    assert_eq!((first.limit_field(), first.retry_after()), (r#""test";r=0;t=61"#.to_owned(), None));
    let denied = limiter.take(&key("k")).await;
    assert_eq!((denied.limit_field(), denied.retry_after()), (r#""test";r=0;t=61"#.to_owned(), Some(61)));
}

#[pollster::test]
async fn a_reset_reaches_the_share_too() {
    let (limiter, counters, clock) = limiter(4);
    let own = Arc::new(MemoryCounters::new().with_clock(Arc::new(clock.clone())));
    let limiter = limiter.with_fallback(Fallback::share(own, NonZeroU32::new(4).expect("four")));
    counters.fails.store(true, SeqCst);
    assert_eq!(admitted(&limiter, 5, By::Share).await, 1);
    assert!(limiter.reset(&key("k")).await.is_err(), "they are away, and keep what they have");
    assert_eq!(admitted(&limiter, 5, By::Share).await, 1);
}

/// At once, and late: what is admitted in the window in which the counters go away, and in later ones.
#[pollster::test]
async fn a_late_share_begins_when_what_was_admitted_before_no_longer_counts() {
    for (is_late, first, next) in [(false, 25, 25), (true, 0, 25)] {
        let (limiter, counters, clock) = limiter(100);
        let own: Arc<dyn Counters> = Arc::new(MemoryCounters::new().with_clock(Arc::new(clock.clone())));
        let four = NonZeroU32::new(4).expect("four");
        let share = if is_late { Fallback::late_share(own, four) } else { Fallback::share(own, four) };
        let limiter = limiter.with_fallback(share);
        assert_eq!(admitted(&limiter, 90, By::Shared).await, 90);
        counters.fails.store(true, SeqCst);
        let passed = async || {
            let mut passed = 0;
            for _ in 0..100 {
                passed += u32::from(limiter.take(&key("k")).await.is_admitted());
            }
            passed
        };
        assert_eq!(passed().await, first, "late: {is_late}");
        clock.advance(MINUTE.saturating_sub(Duration::from_nanos(1)));
        assert_eq!(passed().await, 0, "the parts are used up, or not yet given");
        clock.advance(Duration::from_secs(2));
        assert_eq!(passed().await, next, "late: {is_late}");
        counters.fails.store(false, SeqCst);
        clock.advance(MINUTE * 2);
        assert_eq!(admitted(&limiter, 1, By::Shared).await, 1);
        // A call that fails begins it anew.
        counters.fails.store(true, SeqCst);
        assert_eq!(passed().await, first, "late: {is_late}");
    }
}
