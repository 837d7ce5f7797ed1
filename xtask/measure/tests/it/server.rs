//! `load` on a server: against a small one of the test's own, so that its protocol and its counts are known.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::tool::run;

/// Stores what it is told, once it was shown the token.
#[derive(Default)]
struct Server {
    entries: Mutex<HashMap<String, Vec<u8>>>,
    /// What was done with the region `load`.
    regions: Mutex<Vec<(String, String)>>,
    /// Answers 500 to paths with this ending.
    broken: Option<&'static str>,
    token: Option<&'static str>,
    /// Is gone after so many connections.
    dies_after: Option<usize>,
}

struct Request {
    method: String,
    path: String,
    authorization: Option<String>,
    body: Vec<u8>,
}

impl Server {
    /// Serves on a free port, one thread per connection.
    fn start(self) -> (String, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(self);
        let shared = Arc::clone(&server);
        thread::spawn(move || {
            for stream in listener.incoming().take(shared.dies_after.unwrap_or(usize::MAX)) {
                let (stream, server) = (stream.unwrap(), Arc::clone(&shared));
                thread::spawn(move || server.converse(stream));
            }
        });
        (url, server)
    }

    fn converse(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some(request) = Request::read(&mut reader) {
            let (status, body) = self.answer(request);
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.into_bytes(), body].concat()).unwrap();
            if self.dies_after.is_some() {
                return;
            }
        }
    }

    fn answer(&self, request: Request) -> (&'static str, Vec<u8>) {
        let expected = self.token.map(|token| format!("Bearer {token}"));
        if expected != request.authorization {
            return ("401 Unauthorized", b"who is it?".to_vec());
        }
        if self.broken.is_some_and(|broken| request.path.ends_with(broken)) {
            return ("500 Broken", b"as told".to_vec());
        }
        let mut entries = self.entries.lock().unwrap();
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/metrics") => ("200 OK", b"process_resident_memory_bytes 3145728\n".to_vec()),
            ("PUT" | "DELETE", "/v1/regions/load") => {
                self.regions.lock().unwrap().push((request.method, String::from_utf8(request.body).unwrap()));
                ("200 OK", vec![])
            }
            ("GET", path) => {
                entries.get(path).map_or(("404 Not Found", vec![]), |value| ("200 OK", value.clone()))
            }
            _ => {
                entries.insert(request.path, request.body);
                ("204 No Content", vec![])
            }
        }
    }
}

impl Request {
    fn read(from: &mut impl BufRead) -> Option<Self> {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| !line.is_empty()) {
            let mut line = String::new();
            from.read_line(&mut line).ok().filter(|&length| length > 0)?;
            lines.push(line.trim_end().to_owned());
        }
        let header = |name| lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
        from.read_exact(&mut body).ok()?;
        let mut words = lines[0].split(' ').map(str::to_owned);
        let authorization = header("authorization").map(str::to_owned);
        Some(Self { method: words.next()?, path: words.next()?, authorization, body })
    }
}

#[track_caller]
fn load(url: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    run(&[&["load", "--server", url, "--workload", "loop"], arguments].concat())
}

#[test]
fn what_is_missing_is_put_and_then_hit() {
    let (url, server) = Server { token: Some("s3cret"), ..Server::default() }.start();
    let region = ["--fraction", "0.5", "--policy", "sieve"];
    let workload = ["--keys", "40", "--requests", "200", "--value-bytes", "30", "--token", "s3cret"];
    let workload = [region.as_slice(), &workload].concat();
    let (code, out, error) = load(&url, &[&["--concurrency", "1", "--json"], workload.as_slice()].concat());
    assert_eq!(code, Some(0), "{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let of = |field| report[field].as_u64().unwrap();
    assert_eq!([of("requests"), of("hits"), of("misses"), of("operations")], [200, 160, 40, 240]);
    assert_eq!(report["latency"]["recorded"], "every operation");
    assert_eq!(report["memory"]["after_bytes"], 3_145_728);
    let entries = server.entries.lock().unwrap();
    assert_eq!(entries.len(), 40);
    assert_eq!(entries["/v1/regions/load/entries/7"].len(), 30);
    let made = ("PUT".to_owned(), r#"{"max_entries":20,"policy":"sieve"}"#.to_owned());
    assert_eq!(*server.regions.lock().unwrap(), [made, ("DELETE".to_owned(), String::new())]);
}

#[test]
fn a_wrong_token_is_told_once() {
    let (url, _server) = Server { token: Some("s3cret"), ..Server::default() }.start();
    let (code, out, error) = load(&url, &["--token", "guess"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(error, "error: PUT answered 401 Unauthorized: who is it?\n");
}

#[test]
fn errors_are_counted_by_kind_and_shown() {
    let (url, _server) = Server { broken: Some("/3"), ..Server::default() }.start();
    let (code, out, error) = load(&url, &["--keys", "10", "--requests", "100"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("10 operations failed"), "{error}");
    assert!(out.contains("10 server error; the first of them:\n    GET answered 500"), "{out}");
    assert!(out.contains("3.0 MiB at the end, peak unknown"), "{out}");
}

#[test]
fn a_value_of_another_key_is_an_error() {
    let (url, server) = Server::default().start();
    server.entries.lock().unwrap().insert("/v1/regions/load/entries/1".into(), vec![9; 8]);
    let (code, out, _) = load(&url, &["--keys", "3", "--requests", "3"]);
    assert_eq!(code, Some(1));
    assert!(out.contains("1 wrong value"), "{out}");
}

#[test]
fn a_server_that_dies_ends_the_run() {
    let (url, _server) = Server { dies_after: Some(2), ..Server::default() }.start();
    let (code, out, _) = load(&url, &["--concurrency", "2"]);
    assert_eq!(code, Some(1));
    assert!(out.contains("(ended early)") && out.contains(" connect"), "{out}");
}

#[test]
fn a_named_region_is_used_as_it_is() {
    let (url, server) = Server::default().start();
    server.entries.lock().unwrap().insert("/v1/regions/mine".into(), b"{}".to_vec());
    let (code, out, error) = load(&url, &["--region", "mine", "--keys", "3", "--requests", "3"]);
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(server.regions.lock().unwrap().is_empty());
    assert!(server.entries.lock().unwrap().contains_key("/v1/regions/mine/entries/2"));
    let (code, _, error) = load(&url, &["--region", "other"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("GET answered 404"), "{error}");
}
