//! Entries: stored, read, listed, removed, whatever their bytes and names are.

use serde_json::{Value, json};

use crate::program::{Ended, Running, text};

/// Every byte there is, with what shells and terminals care about.
fn bytes() -> Vec<u8> {
    (0..=255).chain(*b"\r\n\0\x1b[31m\n").collect()
}

#[test]
fn a_value_comes_back_byte_for_byte() {
    let server = Running::start("");
    let stored = Ended::of(server.program(&["set", "a/b ?#%.. ü", "--content-type", "image/x"]), &bytes());
    assert_eq!(stored.expect(0).text(), "stored\n");
    assert_eq!(server.run(&["get", "a/b ?#%.. ü"]).expect(0).out, bytes());
    assert_eq!(server.json(&["meta", "a/b ?#%.. ü"])["content_type"], "image/x");

    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes()).expect("a writable file");
    let path = file.path().to_str().expect("text");
    assert_eq!(server.run(&["set", "..", "--file", path]).expect(0).text(), "stored\n");
    assert_eq!(server.run(&["get", ".."]).expect(0).out, bytes());

    let large = vec![7; 900_000];
    Ended::of(server.program(&["set", "large", "-"]), &large).expect(0);
    assert_eq!(server.run(&["get", "large"]).expect(0).out, large);
    Ended::of(server.program(&["set", "empty"]), b"").expect(0);
    assert_eq!(server.run(&["get", "empty"]).expect(0).out, b"");
}

#[test]
fn what_is_said_of_an_entry_holds() {
    let server = Running::start("");
    let said =
        ["set", "k", "v", "--ttl", "1h", "--stale=30s", "--tag", "a", "--tag", "b c", "--priority", "high"];
    assert_eq!(server.json(&said), json!({"key": "k", "result": "stored"}));
    let meta = server.json(&["meta", "k"]);
    assert_eq!((&meta["tags"], &meta["priority"]), (&json!(["a", "b c"]), &json!("high")));
    assert_eq!((&meta["stale"], &meta["state"]), (&json!(30.0), &json!("fresh")));
    let left = server.json(&["ttl", "k"])["ttl_seconds"].as_f64().expect("a number");
    assert!(left > 3500.0 && left <= 3600.0, "{left}");
    assert_eq!(server.run(&["ttl", "k", "forever"]).expect(0).text(), "forever\n");
    assert_eq!(server.run(&["set", "k", "w"]).expect(0).text(), "replaced\n");
    let refused = server.run(&["set", "k", "x", "--if-absent"]).expect(4);
    assert!(refused.err.contains("there is an entry of the key k already"), "{}", refused.err);
    assert_eq!(server.run(&["get", "k"]).expect(0).text(), "w");
}

#[test]
fn several_values_are_told_as_json() {
    let server = Running::start("");
    server.run(&["set", "a", "[1]", "--content-type", "application/json"]).expect(0);
    server.run(&["set", "b", "text"]).expect(0);
    let told = server.json(&["get", "a", "b"]);
    assert_eq!((&told["entries"]["a"]["value"], &told["missing"]), (&json!([1]), &json!([])));
    let partly = server.run(&["get", "--json", "a", "none"]).expect(1);
    let told: Value = serde_json::from_str(&partly.text()).expect("JSON");
    assert_eq!(told["missing"], json!(["none"]));
    let error: Value = serde_json::from_str(&partly.err).expect("JSON");
    assert_eq!((&error["exit_code"], error["error"].is_string()), (&json!(1), true));
    server.run(&["get", "a", "b"]).expect(2);
}

#[test]
fn keys_are_listed_page_by_page_and_removed_in_groups() {
    let server = Running::start("");
    let lines = text((0..2500).map(|at| format!("{{\"key\": \"n:{at:04}\", \"value\": 1}}")));
    Ended::of(server.program(&["import"]), lines.as_bytes()).expect(0);
    server.run(&["set", "other", "v", "--tag", "t", "--ttl", "90s"]).expect(0);

    let listed = server.run(&["keys"]).expect(0).text();
    let keys: Vec<&str> = listed.lines().collect();
    assert_eq!((keys.len(), keys[0], keys[2500]), (2501, "n:0000", "other"));
    assert_eq!(
        server.run(&["keys", "--prefix", "n:2", "--limit", "1200"]).expect(0).text().lines().count(),
        500
    );
    assert_eq!(server.run(&["keys", "--limit", "1200"]).expect(0).text().lines().count(), 1200);
    let long = server.run(&["keys", "--long", "--prefix", "oth"]).expect(0).text();
    assert!(long.starts_with("key ") && long.contains(" 1m") && long.contains("text/plain"), "{long}");
    let line = server.run(&["keys", "--json", "--limit", "1"]).expect(0).text();
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["key"], "n:0000");

    assert_eq!(server.run(&["tags", "t"]).expect(0).text(), "other\n");
    assert_eq!(server.json(&["tags", "t"]), json!({"keys": ["other"], "count": 1, "truncated": false}));
    assert_eq!(server.json(&["del", "--tag", "t"]), json!({"removed": 1}));
    assert_eq!(server.json(&["del", "--prefix", "n:1"]), json!({"removed": 1000}));
    assert_eq!(server.run(&["del", "n:0000", "n:0001", "none"]).expect(0).text(), "2 removed\n");
    server.run(&["clear"]).expect(2);
    assert_eq!(server.json(&["clear", "--yes"]), json!({"removed": 1498}));
}

#[test]
fn regions_are_apart() {
    let server = Running::start("");
    let made =
        server.json(&["regions", "add", "quotes", "--max-entries", "5", "--ttl", "5s", "--policy", "lru"]);
    assert_eq!((&made["max_entries"], &made["ttl_seconds"]), (&json!(5), &json!(5.0)));
    server.run(&["-r", "quotes", "set", "k", "v"]).expect(0);
    server.run(&["get", "k"]).expect(1);
    let mut by_variable = server.program(&["get", "k"]);
    by_variable.env("STRATA_REGION", "quotes");
    assert_eq!(Ended::of(by_variable, b"").expect(0).text(), "v");
    let table = server.run(&["regions"]).expect(0).text();
    assert!(table.lines().any(|line| line.starts_with("quotes") && line.contains("lru")), "{table}");
    assert_eq!(server.json(&["clear", "--all", "--yes"]), json!({"removed": 1}));
    assert_eq!(server.json(&["regions", "remove", "quotes", "--yes"]), json!({"removed": 0}));
}
