//! What is answered to whom.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use cache_core::{Clock, Quota};
use cache_http::limit::{Fields, Hops, LimitLayer};
use cache_memory::MemoryCounters;
use cache_ratelimit::{Audit, Class, ClassLimiter, Classes, Fallback, LocalLimiter, Rule, SharedLimiter};
use cache_testkit::clock::ManualClock;
use http::StatusCode;

use crate::app::{Answer, App, identify};

const MINUTE: Duration = Duration::from_mins(1);

fn classes(clock: &ManualClock) -> ClassLimiter {
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    ClassLimiter::local(Classes::default()).expect("legal").with_clock(&clock)
}

/// A member of a structured field: a string, and its parameters, which are whole numbers.
fn member(field: &str) -> Option<(String, Vec<(String, u64)>)> {
    let mut rest = field.strip_prefix('"')?;
    let mut name = String::new();
    loop {
        let character = rest.chars().next()?;
        rest = &rest[character.len_utf8()..];
        match character {
            '"' => break,
            '\\' => {
                let escaped = rest.chars().next().filter(|it| matches!(it, '"' | '\\'))?;
                name.push(escaped);
                rest = &rest[1..];
            }
            ' '..='~' => name.push(character),
            _ => return None,
        }
    }
    let mut parameters = Vec::new();
    for parameter in rest.split(';').skip(1) {
        let (key, value) = parameter.split_once('=')?;
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase());
        let is_integer = (1..=15).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
        parameters
            .push((Some(key.to_owned()).filter(|_| is_key)?, value.parse().ok().filter(|_| is_integer)?));
    }
    Some((name, parameters))
}

fn standard(answer: &Answer, name: &str) -> (String, Vec<(String, u64)>) {
    let field = answer.field(name).unwrap_or_else(|| panic!("no {name} in {answer:?}"));
    member(field).unwrap_or_else(|| panic!("no structured field: {field}"))
}

fn parameters(these: &[(&str, u64)]) -> Vec<(String, u64)> {
    these.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

#[tokio::test]
async fn a_client_is_told_what_is_left_and_when_to_come_again() {
    let clock = ManualClock::new();
    let layer = LimitLayer::new(Arc::new(classes(&clock)), identify(Hops::NONE)).with_fields(Fields::Both);
    let app = App::start(layer).await;
    let mut client = app.client().await;
    for left in (0..60).rev() {
        let answer = client.get("/", &[]).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "Some(Local)"));
        let (policy, limits) = (standard(&answer, "ratelimit-policy"), standard(&answer, "ratelimit"));
        assert_eq!(policy, ("anonymous".to_owned(), parameters(&[("q", 60), ("w", 60)])));
        assert_eq!(limits, ("anonymous".to_owned(), parameters(&[("r", left), ("t", 61)])));
        assert_eq!((answer.number("x-ratelimit-limit"), answer.number("x-ratelimit-remaining")), (60, left));
        assert_eq!(answer.field("retry-after"), None);
    }
    clock.advance(Duration::from_millis(30_500));
    let denied = client.get("/", &[]).await;
    assert_eq!((denied.status, app.handled()), (StatusCode::TOO_MANY_REQUESTS, 60));
    assert_eq!(standard(&denied, "ratelimit").1, parameters(&[("r", 0), ("t", 31)]), "rounded up");
    assert_eq!(standard(&denied, "ratelimit-policy").0, "anonymous");
    assert_eq!((denied.number("retry-after"), denied.number("x-ratelimit-remaining")), (31, 0));
    assert!(denied.number("x-ratelimit-reset") > 1_700_000_000, "seconds since 1970");
    assert_eq!(denied.field("content-type"), Some("application/problem+json"));
    let problem = r#"{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"The quota of this caller is used up","status":429,"violated-policies":["anonymous"]}"#;
    assert_eq!(denied.body, problem);

    clock.advance(Duration::from_nanos(30_499_999_999));
    let early = client.get("/", &[]).await;
    assert_eq!((early.status, early.number("retry-after")), (StatusCode::TOO_MANY_REQUESTS, 1));
    clock.advance(Duration::from_nanos(1));
    assert_eq!(client.get("/", &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn each_class_has_its_limit_and_who_is_exempt_has_none() {
    let clock = ManualClock::new();
    let app = App::start(LimitLayer::new(Arc::new(classes(&clock)), identify(Hops::NONE))).await;
    let mut client = app.client().await;
    for (class, limit) in Class::ALL.into_iter().zip([60, 120, 300, 1000]) {
        let token = format!("{} of-{}", class.name(), class.name());
        assert_eq!(client.admitted(limit + 20, &[("authorization", &token)]).await, limit, "{class:?}");
    }
    let before = app.handled();
    for _ in 0..200 {
        let answer = client.get("/healthz", &[]).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "None"));
        assert_eq!(answer.field("ratelimit"), None);
    }
    assert_eq!(app.handled() - before, 200);
}

#[tokio::test]
async fn each_request_of_an_administrator_is_written_without_its_query() {
    let (sender, lines) = channel();
    let audit =
        Audit::to(move |line| sender.send(line.to_owned()).map_err(std::io::Error::other)).expect("a thread");
    let limiter = classes(&ManualClock::new()).with_audit(audit.clone());
    let app = App::start(LimitLayer::new(Arc::new(limiter), identify(Hops::NONE))).await;
    let mut client = app.client().await;
    client.get("/?token=hidden", &[("authorization", "admin root")]).await;
    client.get("/", &[("authorization", "premium ada")]).await;
    audit.close();
    let lines: Vec<String> = lines.iter().collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let expected = r#""who":"root","what":"GET /","class":"admin","decision":"now","by":"local""#;
    assert!(lines[0].contains(expected), "{lines:?}");
}

#[tokio::test]
async fn fields_that_are_switched_off_are_not_sent() {
    for (fields, standard, classic) in [
        (Fields::None, false, false),
        (Fields::Standard, true, false),
        (Fields::Classic, false, true),
        (Fields::Both, true, true),
    ] {
        let limiter = LocalLimiter::new(Rule::window(1, MINUTE).expect("legal"));
        let layer = LimitLayer::new(Arc::new(limiter), identify(Hops::NONE)).with_fields(fields);
        let app = App::start(layer).await;
        let mut client = app.client().await;
        for status in [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
            let answer = client.get("/", &[]).await;
            assert_eq!(answer.status, status);
            let has =
                |names: &[&str]| names.iter().map(|name| answer.field(name).is_some()).collect::<Vec<_>>();
            assert_eq!(has(&["ratelimit", "ratelimit-policy"]), [standard; 2], "{fields:?}");
            let classics = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
            assert_eq!(has(&classics), [classic; 3], "{fields:?}");
            assert_eq!(
                answer.field("retry-after").is_some(),
                status != StatusCode::OK,
                "always with a denial"
            );
        }
    }
}

#[tokio::test]
async fn a_limit_of_nothing_says_that_no_wait_helps() {
    let limiter = LocalLimiter::new(Rule::window(0, MINUTE).expect("legal").named("closed"));
    let app = App::start(LimitLayer::new(Arc::new(limiter), identify(Hops::NONE))).await;
    let denied = app.client().await.get("/", &[]).await;
    assert_eq!((denied.status, denied.field("retry-after")), (StatusCode::TOO_MANY_REQUESTS, None));
    assert_eq!(standard(&denied, "ratelimit"), ("closed".to_owned(), parameters(&[("r", 0)])));
}

#[tokio::test]
async fn a_full_table_is_not_the_fault_of_a_newcomer() {
    let limiter = LocalLimiter::new(Rule::exact(1, MINUTE).expect("legal"));
    let limiter = limiter.with_max_keys(std::num::NonZeroUsize::MIN);
    let app = App::start(LimitLayer::new(Arc::new(limiter), identify(Hops::NONE))).await;
    let mut client = app.client().await;
    let first = [("authorization", "premium first")];
    assert_eq!(client.admitted(3, &first).await, 1);
    let newcomer = client.get("/", &[("authorization", "premium second")]).await;
    assert_eq!(newcomer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(newcomer.number("retry-after") >= 1 && newcomer.body.contains("temporary-reduced-capacity"));
}

#[tokio::test]
async fn a_limit_in_shared_counters_holds_for_all_applications_that_share_them() {
    let counters = Arc::new(MemoryCounters::new());
    let quota = Quota::new(50, MINUTE).expect("legal");
    let one = Arc::new(SharedLimiter::new("all", quota, counters.clone()));
    let other = Arc::new(SharedLimiter::new("all", quota, counters.clone()).with_fallback(Fallback::Open));
    let apps = [
        App::start(LimitLayer::new(one, identify(Hops::NONE))).await,
        App::start(LimitLayer::new(other, identify(Hops::NONE))).await,
    ];
    let mut admitted = 0;
    for app in &apps {
        admitted += app.client().await.admitted(40, &[]).await;
    }
    assert_eq!((admitted, apps[0].handled(), apps[1].handled()), (50, 40, 10));
}
