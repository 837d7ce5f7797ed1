//! Many who ask for the same at the same time: one question to the application, and nobody's answer for somebody else.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use cache_http::cache::CacheLayer;
use cache_testkit::clock::ManualClock;
use http::Response;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::site::{Site, is_hit, pages, says, wall};
use crate::app::Answer;

const LIMIT: Duration = Duration::from_secs(20);

/// A site that answers only when it is let.
async fn gated(
    answer: impl Fn(&http::request::Parts, usize) -> Response<String> + Clone + Send + Sync + 'static,
) -> (Site, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let clock = ManualClock::new();
    let layer = CacheLayer::new(pages(&clock).build().expect("legal")).with_wall_clock(wall(&clock));
    let held = Arc::clone(&gate);
    let site = Site::behind(layer, clock, move |parts, number| {
        let (gate, answer) = (Arc::clone(&held), answer(&parts, number));
        async move {
            gate.acquire().await.expect("it is never closed").forget();
            answer.map(|own| Body::from(if own.is_empty() { number.to_string() } else { own }))
        }
    })
    .await;
    (site, gate)
}

/// So many ask at once; the gate is opened when all of them wait.
async fn crowd(
    site: &Site,
    gate: &Semaphore,
    callers: Vec<Vec<(&'static str, &'static str)>>,
) -> Vec<Answer> {
    let mut tasks = Vec::new();
    for caller in callers {
        let address = site.address;
        tasks.push(tokio::spawn(async move {
            crate::app::Client::connect(address).await.get("/", &caller).await
        }));
    }
    let most = tasks.len() as u64;
    let waiting = async {
        while site.layer.cache().stats().coalesced + site.times() as u64 != most {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, waiting).await.expect("all of them wait");
    gate.add_permits(1_000);
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(timeout(LIMIT, task).await.expect("in time").expect("no panic"));
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_who_miss_one_page_ask_for_it_once() {
    let (site, gate) = gated(|_, _| says(&[("cache-control", "max-age=60")])).await;
    let answers = crowd(&site, &gate, vec![vec![]; 100]).await;
    assert!(answers.iter().all(|answer| answer.body == "1"));
    assert_eq!(site.times(), 1);
    let collapsed =
        answers.iter().filter(|it| it.field("cache-status") == Some("strata; fwd=miss; collapsed")).count();
    assert_eq!(collapsed, 99);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_for_one_alone_is_given_to_none_of_those_who_wait() {
    for said in ["private", "no-store", "max-age=0", "no-cache"] {
        let (site, gate) = gated(move |_, _| says(&[("cache-control", said), ("etag", "\"x\"")])).await;
        let answers = crowd(&site, &gate, vec![vec![]; 10]).await;
        let mut bodies: Vec<u32> =
            answers.iter().map(|answer| answer.body.parse().expect("a number")).collect();
        bodies.sort_unstable();
        assert_eq!(bodies, (1..=10).collect::<Vec<_>>(), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_who_he_is_gets_what_was_made_for_him() {
    let (site, gate) = gated(|asked, _| {
        let mut response = says(&[("cache-control", "max-age=60")]);
        *response.body_mut() = format!("{:?}", asked.headers.get("authorization"));
        response
    })
    .await;
    let callers = vec![
        vec![("authorization", "ada")],
        vec![("authorization", "bob")],
        vec![],
        vec![("authorization", "cem")],
    ];
    let answers = crowd(&site, &gate, callers.clone()).await;
    for (caller, answer) in callers.iter().zip(answers) {
        let own = caller.first().map(|(_, who)| http::HeaderValue::from_static(who));
        assert_eq!(answer.body, format!("{own:?}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_another_ones_variant_gets_his_own() {
    let (site, gate) = gated(|asked, _| {
        let mut response = says(&[("cache-control", "max-age=60"), ("vary", "x-a")]);
        *response.body_mut() = format!("{:?}", asked.headers.get("x-a"));
        response
    })
    .await;
    let callers: Vec<_> = (0..30).map(|caller| vec![("x-a", ["1", "2", "3"][caller % 3])]).collect();
    let answers = crowd(&site, &gate, callers.clone()).await;
    for (caller, answer) in callers.iter().zip(answers) {
        assert_eq!(answer.body, format!("{:?}", Some(http::HeaderValue::from_static(caller[0].1))));
    }
    assert_eq!(site.times(), 3, "each variant once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_goes_away_takes_nothing_from_those_who_wait() {
    let (site, gate) = gated(|_, _| says(&[("cache-control", "max-age=60")])).await;
    let address = site.address;
    let first = tokio::spawn(async move { crate::app::Client::connect(address).await.get("/", &[]).await });
    timeout(LIMIT, site.until_asked(1)).await.expect("it is asked");
    first.abort();
    let _ = first.await;
    gate.add_permits(2);
    let second = timeout(LIMIT, site.client().await.get("/", &[])).await.expect("in time");
    assert_eq!((second.body.as_str(), site.times()), ("1", 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_changed_while_it_is_loaded_is_not_kept() {
    let (site, gate) = gated(|asked, _| {
        if asked.method == "POST" {
            says(&[])
        } else {
            says(&[("cache-control", "max-age=60"), ("surrogate-key", "a")])
        }
    })
    .await;
    for change in ["unsafe method", "surrogate key"] {
        let (before, address) = (site.times(), site.address);
        let first =
            tokio::spawn(async move { crate::app::Client::connect(address).await.get("/", &[]).await });
        timeout(LIMIT, site.until_asked(before + 1)).await.expect("it is asked");
        if change == "surrogate key" {
            site.layer.cache().remove_tag("a").await.expect("memory");
            gate.add_permits(1);
        } else {
            // Whichever of the two is let first: both began before the removal.
            let second = tokio::spawn(async move {
                crate::app::Client::connect(address).await.send("POST", "/", &[], "x").await
            });
            timeout(LIMIT, site.until_asked(before + 2)).await.expect("it is asked");
            site.layer.purge(&"http://localhost/".parse().expect("an address")).await;
            gate.add_permits(2);
            timeout(LIMIT, second).await.expect("in time").expect("no panic");
        }
        timeout(LIMIT, first).await.expect("in time").expect("no panic");
        gate.add_permits(1);
        assert!(!is_hit(&site.client().await.get("/", &[]).await), "{change}");
        site.layer.cache().clear().await.expect("memory");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_panics_fails_its_caller_and_nobody_else() {
    let clock = ManualClock::new();
    let layer = CacheLayer::new(pages(&clock).build().expect("legal"));
    let site = Site::behind(layer, clock, |_, number| async move {
        assert!(number > 1, "the first one panics");
        says(&[("cache-control", "max-age=60")]).map(|_| Body::from("well"))
    })
    .await;
    let mut client = site.client().await;
    assert_eq!(client.get("/", &[]).await.status.as_u16(), 500);
    assert_eq!(client.get("/", &[]).await.body, "well");
    assert!(is_hit(&client.get("/", &[]).await));
}
