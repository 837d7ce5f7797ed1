//! Classes of callers, and what is written of administrators.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use cache_core::{Clock, Counters};
use cache_memory::MemoryCounters;
use cache_ratelimit::{Answer, Audit, By, Class, ClassLimiter, Classes, Fallback, Subject};
use cache_testkit::clock::ManualClock;

fn limiters() -> [ClassLimiter; 2] {
    limiters_by(&ManualClock::new())
}

fn limiters_by(clock: &ManualClock) -> [ClassLimiter; 2] {
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    let counters: Arc<dyn Counters> = Arc::new(MemoryCounters::new().with_clock(Arc::clone(&clock)));
    let local = ClassLimiter::local(Classes::default()).expect("legal");
    let shared = ClassLimiter::shared(Classes::default(), &counters, &Fallback::Closed).expect("legal");
    [local, shared].map(|limiter| limiter.with_clock(&clock))
}

fn named(name: &str) -> Subject {
    Subject::named(name).expect("a name")
}

async fn admitted(limiter: &ClassLimiter, class: Class, subject: &Subject, times: usize) -> usize {
    let mut admitted = 0;
    for _ in 0..times {
        let decision = limiter.take(class, subject, "/v1").await;
        assert_eq!((decision.policy, decision.limit), (class.name(), Classes::default().limit(class)));
        admitted += usize::from(decision.is_admitted());
    }
    admitted
}

#[pollster::test]
async fn each_class_has_exactly_its_limit() {
    for limiter in limiters() {
        for (class, limit) in Class::ALL.into_iter().zip([60, 120, 300, 1000]) {
            assert_eq!(admitted(&limiter, class, &named(class.name()), 1100).await, limit, "{class:?}");
        }
    }
}

#[pollster::test]
async fn who_is_promoted_goes_on_with_what_is_used_and_who_is_degraded_waits() {
    for limiter in limiters() {
        let bob = named("bob");
        assert_eq!(admitted(&limiter, Class::Anonymous, &bob, 100).await, 60);
        assert_eq!(admitted(&limiter, Class::Premium, &bob, 500).await, 240);
        let degraded = limiter.take(Class::Authenticated, &bob, "/v1").await;
        assert!(
            matches!(degraded.answer, Answer::Wait(wait) if wait <= Duration::from_secs(61)),
            "{degraded:?}"
        );
        assert_eq!(admitted(&limiter, Class::Admin, &bob, 2000).await, 700);
    }
}

#[pollster::test]
async fn new_limits_hold_at_once_and_what_is_used_stays_used() {
    for limiter in limiters() {
        let bob = named("bob");
        assert_eq!(admitted(&limiter, Class::Anonymous, &bob, 50).await, 50);
        let mut classes = Classes::default();
        let take = async |times| {
            let mut admitted = 0;
            for _ in 0..times {
                admitted += u32::from(limiter.take(Class::Anonymous, &bob, "/v1").await.is_admitted());
            }
            admitted
        };
        for (limit, more) in [(40, 0), (55, 5), (1000, 945), (0, 0)] {
            classes.limits[0] = limit;
            assert!(limiter.set_classes(classes) && limiter.classes() == classes);
            assert_eq!(take(1100).await, more, "{limit}");
        }
        let above = Classes { limits: [1 << 32; 4], ..classes };
        let longer = Classes { per: classes.per * 2, ..classes };
        assert!(!limiter.set_classes(above) && !limiter.set_classes(longer));
        assert_eq!(limiter.classes(), classes);
    }
}

#[pollster::test]
async fn a_limit_above_all_that_there_were_goes_on_with_what_is_used() {
    let (clock, bob) = (ManualClock::new(), named("bob"));
    for limiter in limiters_by(&clock) {
        let mut classes = Classes::default();
        let mut limit = 1000;
        let take = async |times: u32| {
            let mut admitted = 0;
            for _ in 0..times {
                admitted += u32::from(limiter.take(Class::Admin, &bob, "/v1").await.is_admitted());
            }
            admitted
        };
        assert_eq!(take(1100).await, 1000);
        for (raised, half_later) in [(1500, false), (4000, true), (70_000, false)] {
            if half_later {
                clock.advance(classes.per / 2);
            }
            classes.limits[3] = raised;
            assert!(limiter.set_classes(classes), "{raised}");
            assert_eq!(u64::from(take(71_000).await), raised - limit, "{raised}: {limit} are used");
            limit = raised;
        }
        // What was admitted first leaves first, and the rest half a window later.
        clock.advance(classes.per / 2 + Duration::from_secs(1));
        assert_eq!(take(2000).await, 1500);
        clock.advance(classes.per / 2);
        assert_eq!(take(70_000).await, 68_500);
        clock.advance(classes.per * 2);
    }
}

/// As while servers are restarted with other settings, one after another.
#[pollster::test]
async fn processes_with_unlike_limits_count_together_each_by_its_own() {
    let clock = ManualClock::new();
    let counters: Arc<dyn Counters> = Arc::new(MemoryCounters::new().with_clock(Arc::new(clock.clone())));
    let of = |limit| {
        let classes = Classes { limits: [limit; 4], ..Classes::default() };
        let limiter = ClassLimiter::shared(classes, &counters, &Fallback::Closed).expect("legal");
        limiter.with_clock(&(Arc::new(clock.clone()) as Arc<dyn Clock>))
    };
    let (before, after, none, bob) = (of(100), of(250), of(0), named("bob"));
    let take = async |limiter: &ClassLimiter| {
        let mut admitted = 0;
        for _ in 0..300 {
            admitted += u32::from(limiter.take(Class::Premium, &bob, "/v1").await.is_admitted());
        }
        admitted
    };
    assert_eq!((take(&before).await, take(&after).await, take(&before).await), (100, 150, 0));
    assert_eq!(none.take(Class::Premium, &bob, "/v1").await.answer, Answer::Never);
    let denied = before.take(Class::Premium, &bob, "/v1").await;
    assert_eq!((denied.limit, denied.remaining), (100, 0));
}

#[pollster::test]
async fn who_is_reset_begins_anew_in_every_class_and_is_no_longer_remembered_as_denied() {
    for limiter in limiters() {
        let bob = named("bob");
        for class in [Class::Anonymous, Class::Authenticated] {
            let _ = admitted(&limiter, class, &bob, 200).await;
            let denied = limiter.take(class, &bob, "/v1").await;
            assert!(!denied.is_admitted(), "{class:?}");
        }
        limiter.reset(&bob).await.expect("in reach");
        for class in [Class::Anonymous, Class::Authenticated] {
            assert!(admitted(&limiter, class, &bob, 10).await == 10, "{class:?} of {limiter:?}");
        }
    }
}

#[pollster::test]
async fn while_the_counters_are_away_each_class_has_its_part() {
    let clock = ManualClock::new();
    let away = crate::shared::Away::new(&clock);
    away.fails.store(true, std::sync::atomic::Ordering::SeqCst);
    let own = Arc::new(MemoryCounters::new().with_clock(Arc::new(clock.clone())));
    let share = Fallback::share(own, std::num::NonZeroU32::new(4).expect("four"));
    let counters: Arc<dyn Counters> = Arc::new(away);
    let limiter = ClassLimiter::shared(Classes::default(), &counters, &share).expect("legal");
    let limiter = limiter.with_clock(&(Arc::new(clock) as Arc<dyn Clock>));
    let bob = named("bob");
    for (class, more) in
        [(Class::Anonymous, 15), (Class::Premium, 60), (Class::Authenticated, 0), (Class::Admin, 175)]
    {
        assert_eq!(admitted(&limiter, class, &bob, 400).await, more, "{class:?}");
    }
}

#[pollster::test]
async fn what_was_decided_is_counted_by_class_and_what_a_fallback_decided_apart() {
    let clock = ManualClock::new();
    let away = crate::shared::Away::new(&clock);
    let counters: Arc<dyn Counters> = Arc::new(away.clone());
    let limiter = ClassLimiter::shared(Classes::default(), &counters, &Fallback::Open).expect("legal");
    let limiter = limiter.with_clock(&(Arc::new(clock.clone()) as Arc<dyn Clock>));
    assert_eq!(admitted(&limiter, Class::Anonymous, &named("a"), 70).await, 60);
    away.fails.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(admitted(&limiter, Class::Premium, &named("b"), 500).await, 500);
    let told = limiter.stats().map(|stats| (stats.admitted, stats.denied, stats.away));
    assert_eq!(told, [(60, 10, 0), (0, 0, 0), (500, 0, 500), (0, 0, 0)]);
    let mut figures = Vec::new();
    limiter.figures(|metric, labels, value| {
        assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
        figures.push((metric.name, labels.join(" "), value));
    });
    assert_eq!(figures.len(), 12);
    assert!(figures.contains(&("cache_limit_decisions_total", "anonymous denied".to_owned(), 10)));
    assert!(figures.contains(&("cache_limit_away_total", "premium".to_owned(), 500)));
}

#[test]
fn subjects_of_whatever_names_stay_apart() {
    let long = "x".repeat(10_000);
    let names = ["", "a", "a:b", "{a}b", "a{b}", "a\nb", "#", &long, &long[1..]];
    let subjects = names.iter().flat_map(|name| [Subject::named(name), Subject::secret(name)]);
    let keys: BTreeSet<String> =
        subjects.map(|it| it.expect("no name is too odd").key().to_string()).collect();
    assert_eq!(keys.len(), 2 * names.len());
    assert!(keys.iter().all(|key| !key.contains(['\n'])), "{keys:?}");
}

#[pollster::test]
async fn each_call_of_an_administrator_is_written_and_no_other_and_no_secret() {
    let (sender, lines) = channel();
    let audit =
        Audit::to(move |line| sender.send(line.to_owned()).map_err(std::io::Error::other)).expect("a thread");
    let [limiter, _] = limiters();
    let limiter = limiter.with_audit(audit.clone());
    let (root, token) = (named("root"), Subject::secret("sk_live_1234").expect("a secret"));
    for class in [Class::Anonymous, Class::Authenticated, Class::Premium] {
        let _ = limiter.take(class, &root, "/v1").await;
    }
    for call in 0..1000 {
        let _ = limiter.take(Class::Admin, &root, &format!("DELETE /v1/{call}?key=sk_live_1234")).await;
    }
    let _ = limiter.take(Class::Admin, &token, "GET /v1").await;
    audit.close();
    let lines: Vec<String> = lines.iter().collect();
    assert_eq!((lines.len(), audit.stats().written), (1001, 1001));
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!((count(r#""decision":"now""#), count(r#""decision":"wait""#)), (998, 3));
    assert_eq!((count(r#""who":"root""#), count(r##""who":"#"##), count("sk_live")), (1000, 1, 0));
    audit.close();
    let _ = limiter.take(Class::Admin, &root, "/v1").await;
    assert_eq!(audit.stats().dropped, 1, "a closed log says so");
}

#[pollster::test]
async fn a_log_that_hangs_or_fails_keeps_nobody_waiting_and_counts_what_it_drops() {
    let (release, gate) = channel::<()>();
    let mut lines = 0;
    let hanging = Audit::to(move |_| {
        lines += 1;
        // Until the test lets go.
        let _ = gate.recv();
        if lines % 2 == 0 { Err(std::io::Error::other("disk full")) } else { Ok(()) }
    })
    .expect("a thread");
    let [limiter, _] = limiters();
    let limiter = limiter.with_audit(hanging.clone());
    let root = named("root");
    for _ in 0..6000 {
        assert_eq!(limiter.take(Class::Admin, &root, "/v1").await.by, By::Local);
    }
    let dropped = hanging.stats().dropped;
    // The queue holds 4,096, and the writer one more if it has begun.
    assert!((6000 - 4097..=6000 - 4096).contains(&dropped), "{dropped}");
    drop(release);
    hanging.close();
    let stats = hanging.stats();
    assert_eq!(stats.written + stats.failed + stats.dropped, 6000);
    assert!(stats.failed >= 2048, "{stats:?}");
}
