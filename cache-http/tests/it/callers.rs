//! Who is counted as whom.

use std::sync::Arc;
use std::time::Duration;

use cache_http::limit::{Caller, Hops, LimitLayer};
use cache_ratelimit::{LocalLimiter, Rule, Subject};
use http::StatusCode;

use crate::app::{App, identify};

async fn app(hops: Hops) -> App {
    let limiter = LocalLimiter::new(Rule::exact(10, Duration::from_hours(1)).expect("small"));
    App::start(LimitLayer::new(Arc::new(limiter), identify(hops))).await
}

#[tokio::test]
async fn who_says_that_he_is_somebody_else_each_time_is_counted_as_one() {
    for (hops, written_by_hops) in [(0, ""), (1, "203.0.113.7"), (2, "203.0.113.7, 10.0.0.2")] {
        let app = app(Hops::new(hops)).await;
        let mut client = app.client().await;
        let mut admitted = 0;
        for number in 0..50 {
            let said = format!("198.51.100.{number}, 127.0.0.1, {written_by_hops}");
            admitted += client.admitted(1, &[("x-forwarded-for", said.trim_end_matches([' ', ',']))]).await;
        }
        assert_eq!(admitted, 10, "{hops} hops");
    }
}

#[tokio::test]
async fn behind_a_proxy_each_caller_is_counted_by_himself_and_a_customer_of_ipv6_as_one() {
    let app = app(Hops::new(1)).await;
    let mut client = app.client().await;
    for caller in ["203.0.113.7", "203.0.113.8", "2001:db8:0:1::1"] {
        assert_eq!(client.admitted(20, &[("x-forwarded-for", caller)]).await, 10, "{caller}");
    }
    for same in ["2001:db8:0:1::2", "2001:db8:0:1:ffff:ffff:ffff:ffff", "::ffff:203.0.113.8"] {
        assert_eq!(client.admitted(5, &[("x-forwarded-for", same)]).await, 0, "{same}");
    }
    assert_eq!(client.admitted(20, &[("x-forwarded-for", "2001:db8:0:2::1")]).await, 10);
}

#[tokio::test]
async fn an_account_that_is_named_like_an_address_is_not_counted_as_it() {
    let app = app(Hops::NONE).await;
    let mut client = app.client().await;
    assert_eq!(client.admitted(20, &[("authorization", "premium 127.0.0.1")]).await, 10);
    assert_eq!(client.admitted(20, &[]).await, 10, "the address of this client");
}

#[tokio::test]
async fn of_whom_nobody_can_tell_who_he_is_is_refused() {
    let limiter = Arc::new(LocalLimiter::new(Rule::exact(10, Duration::from_hours(1)).expect("small")));
    let app = App::start(LimitLayer::new(limiter, |_: &http::request::Parts| {
        // Nothing that a caller sends makes this fail; a wrong name in the program does.
        cache_core::Namespace::new("").map(|_| Caller::Exempt)
    }))
    .await;
    let refused = app.client().await.get("/", &[]).await;
    assert_eq!((refused.status, app.handled()), (StatusCode::SERVICE_UNAVAILABLE, 0));
    assert!(Subject::named("").is_ok());
}
