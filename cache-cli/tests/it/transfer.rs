//! Export and import: the same cache elsewhere, in bounded memory, and nothing half-done that looks whole.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;

use crate::program::{Ended, Running, program, text};

fn lines(server: &Running) -> Vec<String> {
    let mut lines: Vec<String> =
        server.run(&["export"]).expect(0).text().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn what_is_exported_is_imported_elsewhere_as_the_same_cache() {
    let (from, to) = (Running::start(""), Running::start(""));
    let line = |at: i32| {
        let said = json!({"by": at});
        json!({"key": format!("k{at}"), "base64": "AP8=", "tags": ["t", "u"], "priority": "high", "metadata": said}).to_string()
    };
    let all = text((0..300).map(line));
    let imported = Ended::of(from.program(&["import", "--json"]), all.as_bytes()).expect(0);
    assert_eq!(imported.text(), "{\"lines\":300,\"stored\":300}\n");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("cache.ndjson");
    let path = file.to_str().expect("text");
    let told = from.json(&["export", path]);
    assert_eq!(told["entries"], 300);
    assert_eq!(told["bytes"].as_u64(), std::fs::metadata(&file).ok().map(|about| about.len()));
    from.run(&["export", path]).expect(5);
    from.run(&["export", path, "--force"]).expect(0);
    assert_eq!(to.json(&["import", path]), json!({"lines": 300, "stored": 300}));
    assert_eq!(lines(&to), lines(&from));
    assert_eq!(names(folder.path()), ["cache.ndjson"]);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
}

#[test]
fn a_wrong_line_is_told_by_its_place_in_the_file_whatever_was_sent_before_it() {
    let server = Running::start("");
    // Enough for several batches, with an empty line in between.
    let long = "x".repeat(500);
    let lines = (0..3000).map(|at| format!("{{\"key\": \"k{at}\", \"value\": \"{long}\"}}\n"));
    let wrong = ["{\"key\": \"\", \"value\": 1}", "{\"key\": \"after\", \"value\": 1}"].map(str::to_owned);
    let text = text(lines.chain(wrong));
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), &text).expect("a writable file");
    let path = file.path().to_str().expect("text");
    let refused = server.run(&["import", path]).expect(4);
    assert!(refused.err.contains(&format!("{path}, line 6001: key")), "{}", refused.err);
    assert_eq!(server.json(&["del", "--prefix", "k"])["removed"], 3000);
    server.run(&["get", "after"]).expect(1);
}

#[test]
fn an_export_that_breaks_off_leaves_what_was_there() {
    let stranger = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", stranger.local_addr().expect("bound"));
    let half = std::thread::spawn(move || {
        let (mut connection, _) = stranger.accept().expect("a connection");
        let _ = connection.read(&mut [0; 1000]);
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
        connection.write_all(format!("{head}4\r\n{{}}\n\n\r\n").as_bytes()).expect("it listens");
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("cache.ndjson");
    std::fs::write(&file, "kept").expect("a writable file");
    let command = program(&["-s", &address, "export", "--force", file.to_str().expect("text")]);
    let ended = Ended::of(command, b"").expect(3);
    assert!(ended.err.contains("broke off"), "{}", ended.err);
    half.join().expect("no panic");
    assert_eq!(std::fs::read_to_string(&file).expect("it is there"), "kept");
    assert_eq!(names(folder.path()), ["cache.ndjson"]);
}

#[test]
fn both_ways_take_bounded_memory() {
    let server = Running::start("[region.default]\nmax_bytes = 268435456");
    // 20 MiB, of which a batch is half a MiB.
    let value = "x".repeat(1000);
    let text = text((0..20_000).map(|at| format!("{{\"key\": \"{at}\", \"value\": \"{value}\"}}")));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, again) = (folder.path().join("in"), folder.path().join("out"));
    std::fs::write(&file, &text).expect("a writable file");
    for arguments in [["import", file.to_str().expect("text")], ["export", again.to_str().expect("text")]] {
        let peak = peak_kibibytes(&server, &arguments);
        assert!(peak < 16 << 10, "{} took {peak} KiB", arguments[0]);
    }
    let exported = std::fs::read_to_string(&again).expect("it is there");
    assert_eq!(exported.lines().count(), 20_000);
}

/// The most memory that a run of the program had, by the kernel's count.
fn peak_kibibytes(server: &Running, arguments: &[&str]) -> u64 {
    let mut child = server.program(arguments).spawn().expect("it starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let (told, ended) = mpsc::channel();
    let waiter = std::thread::spawn(move || told.send(child.wait().expect("it ends")));
    let ended = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
        if let Ok(ended) = ended.recv_timeout(Duration::from_millis(2)) {
            break ended;
        }
    };
    waiter.join().expect("no panic").expect("it is heard");
    assert!(ended.success());
    assert!(peak > 0, "the system does not tell how much memory a process had");
    peak
}
