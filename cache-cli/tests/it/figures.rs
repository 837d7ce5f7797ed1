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

#[test]
fn what_changes_is_followed_line_by_line() {
    let server = Running::start("");
    let follow = |arguments: &[&str]| {
        let mut child = server.program(arguments).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = lines.next().expect("a line").expect("text");
        (child, lines, first)
    };
    let (mut child, lines, first) = follow(&["watch", "--changes", "--json", "--count", "4"]);
    assert_eq!(serde_json::from_str::<Value>(&first).expect("JSON")["event"], "watching");
    let (mut other, texts, first) = follow(&["watch", "--changes", "--count", "3"]);
    assert_eq!(first, "watching");
    server.run(&["set", "user:7", "v"]).expect(0);
    server.run(&["del", "--pattern", "user:[0-9]"]).expect(0);
    server.run(&["-r", "token", "set", "elsewhere", "v"]).expect(0);
    server.run(&["clear", "--yes"]).expect(0);
    let changes: Vec<Value> =
        lines.map(|line| serde_json::from_str(&line.expect("text")).expect("JSON")).collect();
    let expected = [
        serde_json::json!({"event": "set", "key": "user:7"}),
        serde_json::json!({"event": "pattern", "pattern": "user:[0-9]"}),
        serde_json::json!({"event": "clear"}),
    ];
    assert_eq!(changes, expected);
    let texts: Vec<String> = texts.map(|line| line.expect("text")).collect();
    assert_eq!(texts, ["set       user:7", "pattern   user:[0-9]"]);
    assert!(child.wait().expect("it ends").success() && other.wait().expect("it ends").success());
}

#[test]
fn a_stream_of_changes_may_be_silent_for_longer_than_a_server_otherwise() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let silent = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        let _ = connection.read(&mut [0; 1000]);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        connection.write_all(head.as_bytes()).expect("it listens");
        // Several times what it has to answer otherwise.
        connection.set_read_timeout(Some(Duration::from_millis(400))).expect("legal");
        assert!(connection.read(&mut [0]).is_err(), "it waits, and says nothing");
        connection.write_all(b"event: clear\ndata: {\"event\":\"clear\"}\n\n").expect("it still listens");
    });
    let arguments = ["-s", &address, "--timeout", "100ms", "watch", "--changes", "--count", "1"];
    let ended = crate::program::Ended::of(crate::program::program(&arguments), b"").expect(0);
    assert_eq!(ended.text(), "clear\n");
    silent.join().expect("no panic");
}

#[test]
fn long_work_is_listed_with_how_far_it_is_and_can_be_ended() {
    // A source that says nothing, so that its warmer is at work until it is ended.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", silent.local_addr().expect("bound"));
    let server = Running::start(&format!("warming_enabled = false\n[warmer.w]\nurl = {url:?}"));
    assert_eq!(server.json(&["jobs"]), serde_json::json!({"jobs": []}));
    server.later("/v1/warming/trigger");
    let text = server.run(&["jobs"]).expect(0).text();
    assert!(text.contains("running") && text.contains("POST /v1/warming/trigger"), "{text}");
    assert_eq!(server.run(&["jobs", "end", "1"]).expect(0).text(), "cancelled\n");
    assert_eq!(server.json(&["jobs"])["jobs"][0]["state"], "cancelled");
    server.later("/v1/clear");
    let mut text = String::new();
    while !text.contains("done") {
        text = server.run(&["jobs"]).expect(0).text();
    }
    server.run(&["jobs", "end", "99"]).expect(4);
}
