//! `load` on the library: exact counts, and an end in time.

use std::collections::VecDeque;

use cache_testkit::trace::Trace;
use serde_json::Value;

use crate::tool::{run, trace};

fn report(arguments: &[&str]) -> Value {
    let (code, out, error) = run(&[&["load", "--json"], arguments].concat());
    assert_eq!(code, Some(0), "{error}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn one_thread_on_a_trace_hits_exactly_where_the_policy_does() {
    let multi3 = trace("multi3.ctr.zst");
    let hits = textbook_lru(Trace::open(&multi3).unwrap().keys(), 100);
    // A hundred entries are too few for a second shard, so the decisions are the policy's own.
    for target in ["--library", "--memory"] {
        let arguments =
            [target, "--trace", &multi3, "--capacity", "100", "--policy", "lru", "--concurrency", "1"];
        let report = report(&arguments);
        assert_eq!(report["requests"], 30_241);
        assert_eq!(report["hits"], hits, "{target}");
        assert!(report["errors"].as_object().unwrap().is_empty());
    }
}

/// A queue in order of use, searched from end to end.
fn textbook_lru(keys: &[u32], capacity: usize) -> u64 {
    let (mut queue, mut hits) = (VecDeque::new(), 0);
    for key in keys {
        if let Some(position) = queue.iter().position(|held| held == key) {
            queue.remove(position);
            hits += 1;
        } else if queue.len() == capacity {
            queue.pop_back();
        }
        queue.push_front(*key);
    }
    hits
}

#[test]
fn two_threads_share_the_requests_of_a_workload() {
    let report = report(&["--workload", "zipf", "--keys", "500", "--requests", "50000", "--fraction", "1"]);
    assert_eq!(report["requests"], 50_000);
    assert_eq!(report["source"], "zipf,keys=500,skew=1,seed=0");
    let hits = report["hits"].as_u64().unwrap();
    assert!((49_000..=49_999).contains(&hits), "every key misses once, or is waited for: {hits}");
    assert_eq!(report["latency"]["recorded"], "one operation in 64");
    assert!(report["memory"]["peak_bytes"].as_u64() > report["memory"]["before_bytes"].as_u64());
}

#[test]
fn time_ends_what_requests_do_not() {
    // One thread and LRU: nothing else makes it certain that a loop never hits.
    let endless = "--workload loop --requests 18446744073709551615 --capacity 9 --seconds 1 --concurrency 1 --policy lru";
    let (code, out, error) =
        run(&["load", "--memory"].into_iter().chain(endless.split(' ')).collect::<Vec<_>>());
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("(ended early)"), "{out}");
    assert!(out.contains("0.00 %: 0 hits"), "a loop beyond its capacity never hits: {out}");
}

#[test]
fn wrong_arguments_are_named_with_what_would_be_right() {
    #[track_caller]
    fn check(arguments: &[&str], expected: &[&str]) {
        let (code, _, error) = run(&[&["load"], arguments].concat());
        assert_ne!(code, Some(0));
        for part in expected {
            assert!(error.contains(part), "{part} is missing in {error}");
        }
    }
    check(&["--capacity", "9"], &["--trace", "--workload"]);
    check(&["--workload", "zip", "--capacity", "9"], &["zip", "zipf, uniform, scan, loop, burst, mix"]);
    check(&["--workload", "zipf"], &["--capacity", "--fraction"]);
    check(&["--workload", "zipf", "--capacity", "9", "--concurrency", "5000"], &["5000 is not in 1..=1024"]);
    check(&["--workload", "zipf", "--capacity", "9", "--seconds", "0"], &["--seconds", "0 is not in 1.."]);
    check(&["--workload", "zipf", "--capacity", "9", "--skew", "11"], &["skew 11", "0 to 10"]);
    check(&["--workload", "zipf", "--keys", "0", "--capacity", "9"], &["'0'", "--keys"]);
    check(&["--workload", "zipf", "--server", "localhost:80"], &["http://host:port"]);
    check(
        &["--workload", "zipf", "--server", "http://x", "--region", "r", "--capacity", "9"],
        &["cannot be used with", "--capacity"],
    );
    check(&["--workload", "zipf", "--server", "http://127.0.0.1:1"], &["cannot connect to 127.0.0.1:1"]);
}
