//! Figures: at once, again and again, and measured.

use std::io::{BufRead, BufReader};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::program::Running;

fn busy() -> Running {
    let server = Running::start("");
    server.run(&["set", "hot", "v"]).expect(0);
    server.run(&["get", "hot"]).expect(0);
    server.run(&["get", "cold"]).expect(1);
    server
}

#[test]
fn health_and_figures_are_told_to_people_and_programs() {
    let server = busy();
    assert!(server.run(&["health"]).expect(0).text().starts_with("healthy\n"));
    assert_eq!(server.json(&["health"])["status"], "healthy");
    assert_eq!(server.run(&["health", "--ready"]).expect(0).text(), "");
    let text = server.run(&["stats"]).expect(0).text();
    assert!(text.contains("2 reads, 50.0 % hits") && text.contains("default "), "{text}");
    assert_eq!(server.json(&["stats"])["stats"]["sum"]["stats"]["hits"], 1);
    let top = server.json(&["top"]);
    let regions = top["regions"].as_array().expect("regions");
    let default = regions.iter().find(|region| region["region"] == "default").expect("it is there");
    assert_eq!((&default["reads"], &default["hit_ratio"]), (&2.into(), &0.5.into()));
    assert!(server.run(&["top", "--once"]).expect(0).text().contains("reads/min"));
}

#[test]
fn figures_are_followed_line_by_line() {
    let server = busy();
    let text = server.run(&["watch", "--json", "--count", "2"]).expect(0).text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0]["uptime_seconds"].as_f64() < lines[1]["uptime_seconds"].as_f64(), "{lines:?}");
    assert_eq!((&lines[0]["hit_ratio"], &lines[1]["hit_ratio"]), (&0.5.into(), &Value::Null));
    // A line is there as soon as it is known, though nobody looks.
    let mut child = server.program(&["watch"]).spawn().expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let (sender, said) = mpsc::channel();
    let reader =
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    // A full buffer would take minutes.
    let next = || said.recv_timeout(Duration::from_secs(20)).expect("a line at once");
    assert!(next().contains("reads/s"));
    assert!(next().contains("50.0 %"));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let _ = reader.join().expect("no panic");
}

#[test]
fn a_measurement_does_what_was_said_and_leaves_nothing() {
    let server = busy();
    let bench = ["bench", "--requests", "500", "--connections", "3", "--keys", "20", "--reads", "80"];
    let told = server.json(&bench);
    assert_eq!((&told["requests"], &told["errors"]), (&500.into(), &0.into()));
    let count = |kind: &str| told[kind]["requests"].as_u64().expect("a number");
    assert!(count("get") > 300 && count("set") > 30 && count("get") + count("set") == 500, "{told}");
    let number = |value: &Value| value.as_f64().expect("a number");
    assert!(number(&told["requests_per_second"]) > 0.0);
    assert!(number(&told["get"]["p50_ms"]) <= number(&told["get"]["p99_ms"]), "{told}");
    let regions = server.json(&["regions"]);
    assert!(!regions.to_string().contains("bench-"), "{regions}");
    assert_eq!(server.run(&["get", "hot"]).expect(0).text(), "v");
    let short = server.json(&["bench", "--requests", "100000000", "--time-limit", "100ms"]);
    assert!(short["requests"].as_u64().expect("a number") < 100_000_000);
}
