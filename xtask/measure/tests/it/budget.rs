//! `budget`: a short simulated day, and what is said of it.

use serde_json::Value;

use crate::tool;

/// A quarter of an hour of the scenario that comes along.
fn quarter_of_an_hour() -> tempfile::NamedTempFile {
    let day = include_str!("../../scenarios/market-day.toml");
    let short = day
        .replace("hours = 24.0", "hours = 0.25")
        .replace("warm_up_minutes = 15.0", "warm_up_minutes = 5.0");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), short).expect("written");
    file
}

#[test]
fn the_same_seed_is_the_same_day_and_the_scheduler_is_never_refused_once_warm() {
    let file = quarter_of_an_hour();
    let path = file.path().to_str().expect("text");
    let run = || tool::run(&["budget", "--json", "--scenario", path]).1;
    let out = run();
    let report: Value = serde_json::from_str(&out).expect("one object");
    let ways = report["ways"].as_array().expect("a list");
    assert_eq!(
        ways.iter().map(|row| row["way"].as_str().expect("text")).collect::<Vec<_>>(),
        ["ttl", "interval", "scheduler"]
    );
    for row in ways {
        let figure = |name: &str| row[name].as_u64().unwrap_or_else(|| panic!("{name} in {row}"));
        assert!(figure("requests") > 15_000, "{row}");
        assert!((300..=1_600).contains(&figure("calls")), "a hundred a minute at most: {row}");
        assert!(row["saved"].as_f64().expect("a number") > 0.9, "{row}");
    }
    let scheduler = &ways[2];
    assert_eq!(scheduler["refused_once_warm"], 0);
    let median = |row: &Value, class: usize| row["ages"][class]["p50_seconds"].as_f64().expect("a number");
    assert!(median(scheduler, 0) < median(&ways[1], 0), "what is critical is fresher: {out}");
    assert_eq!(run(), out);
}

#[test]
fn a_scenario_that_cannot_be_is_refused() {
    let (code, out, error) = tool::run(&["budget", "--scenario", "/nowhere.toml"]);
    assert_eq!((code, &*out), (Some(1), ""));
    assert!(error.contains("/nowhere.toml"), "{error}");
}
