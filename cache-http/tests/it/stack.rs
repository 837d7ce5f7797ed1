//! The layer among others: what it holds, what it leaves, and what it lets be.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cache_core::{Charge, Counters, Error, ErrorKind, Key, Quota, Receipt, Verdict};
use cache_http::limit::{Caller, Decided, Fields, LimitLayer};
use cache_ratelimit::{By, Class, Fallback, LocalLimiter, Rule, SharedLimiter, Subject};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

const MINUTE: Duration = Duration::from_mins(1);

fn anybody(_: &Parts) -> Result<Caller, cache_core::KeyError> {
    Ok(Caller::new(Class::Anonymous, Subject::named("anybody")?))
}

/// A limiter over counters that are away.
fn away(fallback: Fallback) -> Arc<SharedLimiter> {
    #[derive(Debug)]
    struct Away;
    #[deny(clippy::missing_trait_methods)]
    #[async_trait::async_trait]
    impl Counters for Away {
        async fn charge(&self, _: &[Charge]) -> cache_core::Result<(Verdict, Receipt)> {
            Err(Error::new(ErrorKind::Unavailable, "test", "charge"))
        }
        async fn refund(&self, _: &[Charge], _: Receipt) -> cache_core::Result<()> {
            Ok(())
        }
        async fn reset(&self, _: &Key) -> cache_core::Result<()> {
            Ok(())
        }
    }
    let quota = Quota::new(8, MINUTE).expect("legal");
    Arc::new(SharedLimiter::new("away", quota, Arc::new(Away)).with_fallback(fallback))
}

#[tokio::test]
async fn while_the_counters_are_away_the_answers_are_marked_and_say_nothing_that_nobody_knows() {
    let own = Arc::new(cache_memory::MemoryCounters::new());
    let share = Fallback::share(own, std::num::NonZeroU32::new(4).expect("four"));
    for (fallback, by, statuses) in [
        (Fallback::Open, By::Open, [200, 200, 200]),
        (Fallback::Closed, By::Closed, [503, 503, 503]),
        (share, By::Share, [200, 200, 429]),
    ] {
        let layer = LimitLayer::new(away(fallback), anybody).with_fields(Fields::Both);
        let hello = service_fn(async |request: Request<()>| {
            let decided = request.extensions().get::<Decided>().copied();
            Ok::<_, Infallible>(Response::new(format!("{decided:?}")))
        });
        let mut service = layer.layer(hello);
        for status in statuses {
            let response = service.call(Request::new(())).await.expect("no error");
            assert_eq!(response.status().as_u16(), status, "{by:?}");
            assert_eq!(response.extensions().get(), Some(&Decided(by)));
            let fields = response.headers();
            assert_eq!(fields.contains_key("ratelimit"), by == By::Share, "{by:?}");
            assert_eq!(fields.contains_key("x-ratelimit-remaining"), by == By::Share, "{by:?}");
            assert_eq!(fields["ratelimit-policy"], r#""away";q=8;w=60"#);
            assert_eq!(fields.contains_key("retry-after"), status != 200, "{by:?}");
            if status == 200 {
                assert_eq!(*response.body(), format!("Some(Decided({by:?}))"), "the handler knows");
            }
        }
    }
}

/// A service that has one place, which whoever is ready holds until he is called or gone.
struct Place {
    free: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Clone for Place {
    fn clone(&self) -> Self {
        Self { free: Arc::clone(&self.free), held: None }
    }
}

impl Service<Request<()>> for Place {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.held.is_none() {
            self.held = Some(Arc::clone(&self.free).try_acquire_owned().expect("the place is free"));
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        drop(self.held.take().expect("it was ready"));
        std::future::ready(Ok(Response::new(String::new())))
    }
}

#[tokio::test]
async fn who_said_that_it_is_ready_is_called_and_whoever_is_denied_holds_no_place() {
    let limiter = Arc::new(LocalLimiter::new(Rule::exact(1, MINUTE).expect("small")));
    let place = Place { free: Arc::new(Semaphore::new(1)), held: None };
    let mut service = LimitLayer::new(limiter, anybody).layer(place);
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let ready = service.ready().await.expect("no error");
        statuses.push(ready.call(Request::new(())).await.expect("no error").status());
    }
    assert_eq!(statuses[0], StatusCode::OK);
    assert_eq!(statuses[1..], [StatusCode::TOO_MANY_REQUESTS; 4]);
}

#[tokio::test]
async fn layers_one_in_the_other_each_say_what_is_left() {
    let limiter =
        |limit, name| Arc::new(LocalLimiter::new(Rule::exact(limit, MINUTE).expect("small").named(name)));
    let inner = LimitLayer::new(limiter(2, "address"), anybody);
    let outer = LimitLayer::new(limiter(5, "account"), anybody);
    let hello = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(String::new())));
    let mut service = outer.layer(inner.layer(hello));
    let response = service.call(Request::new(())).await.expect("no error");
    let said: Vec<_> = response.headers().get_all("ratelimit").iter().collect();
    assert_eq!(said, [r#""address";r=1;t=60"#, r#""account";r=4;t=60"#]);
    assert!(format!("{service:?}").starts_with("limit(limit("), "{service:?}");
}

#[tokio::test]
async fn an_error_of_the_service_stays_what_it_is() {
    let limiter = Arc::new(LocalLimiter::new(Rule::exact(1, MINUTE).expect("small")));
    let fails = service_fn(async |_: Request<()>| Err::<Response<String>, _>("out of order"));
    let mut service = LimitLayer::new(limiter, anybody).layer(fails);
    assert_eq!(service.call(Request::new(())).await.expect_err("it fails"), "out of order");
}
