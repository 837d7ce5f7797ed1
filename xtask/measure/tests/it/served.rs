//! `bench server` and the suites of `load`, briefly: on the real server, which has to be built beside the tool.

use serde_json::Value;

use crate::tool::run;

/// The rows that a tool has printed.
#[track_caller]
fn rows(arguments: &[&str]) -> Vec<Value> {
    let (code, out, error) = run(&[arguments, &["--quick", "--json"]].concat());
    assert_eq!(code, Some(0), "{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    report["rows"].as_array().unwrap().clone()
}

/// What was found of what begins so.
#[track_caller]
fn found(rows: &[Value], what: &str) -> f64 {
    let row = rows.iter().find(|row| row["what"].as_str().unwrap().starts_with(what));
    row.unwrap_or_else(|| panic!("nothing of {what:?} in {rows:?}"))["found"].as_f64().unwrap()
}

#[test]
fn three_servers_answer_the_same_requests_in_turns() {
    let rows = rows(&["bench", "server"]);
    for side in ["strata", "bare axum", "redis"] {
        for depth in [1, 16] {
            assert!(found(&rows, &format!("{side}: GET of a hit, {depth} in a row")) > 0.0);
        }
    }
    let asked = rows.iter().filter(|row| row["at_least"].is_number()).count();
    assert_eq!(asked, 3, "one for speed, two for processor time");
}

#[test]
fn the_suites_run_and_say_what_they_found() {
    let rows_of = |suite| rows(&["load", "--suite", suite]);
    let production = rows_of("production");
    for subject in ["in process", "through the server"] {
        for number in 1..=10 {
            found(&production, &format!("{subject}: {number} "));
        }
        // What has to be exact is so however busy the machine is.
        for exact in
            ["6 answered after its life", "7 wrong answers", "7 errors", "5 errors while Redis is away"]
        {
            assert!(found(&production, &format!("{subject}: {exact}")) < f64::EPSILON, "{subject}: {exact}");
        }
        assert!(found(&production, &format!("{subject}: 2 latency of a hit, 99 of 100")) > 0.0);
    }
    let bounds = rows_of("bounds");
    assert!((found(&bounds, "entries that were stored") - 2_000.0).abs() < f64::EPSILON);
    for none in ["entries that the other has not", "entries that differ"] {
        assert!(found(&bounds, none) < f64::EPSILON, "{none}");
    }
    assert!(found(&bounds, "of the ten keys read most") >= 1.0, "the server names keys that are read much");
}

#[test]
fn a_suite_takes_nothing_that_it_would_not_heed() {
    let (code, _, error) = run(&["load", "--suite", "production", "--policy", "lru"]);
    assert_ne!(code, Some(0));
    assert!(error.contains("cannot be used with"), "{error}");
    let (code, _, error) = run(&["load", "--suite", "all"]);
    assert_ne!(code, Some(0));
    assert!(error.contains("production, bounds"), "{error}");
}
