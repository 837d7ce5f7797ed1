//! What is sent, what is not, and that nothing of it is lost at a stop.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use cache_testkit::tls::Certificates;

use crate::collector::{self, Span};

/// Nothing takes this long; it only ends a test that would hang.
const GUARD: Duration = Duration::from_secs(30);

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// The server as a process.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    address: SocketAddr,
}

impl Process {
    fn start(collector: SocketAddr, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_with(&format!("http://{collector}"), flags, variables)
    }

    fn start_with(endpoint: &str, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cache-server"));
        command.args(flags).env_clear().env("CACHE_LISTEN", "127.0.0.1:0").stderr(Stdio::piped());
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        let mut child = command.envs(variables.iter().copied()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.expect("text");
            Some(line.split_once("listening on http://")?.1.parse().expect("an address"))
        });
        Self { child, lines, address: address.expect("it says where it listens") }
    }

    fn ask(&self, line: &str, headers: &str, body: &str) -> String {
        let mut connection = TcpStream::connect(self.address).expect("it listens");
        connection.set_read_timeout(Some(GUARD)).expect("a socket");
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        connection.write_all(format!("{head}{body}").as_bytes()).expect("it reads");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// Stops it, and returns what it has said meanwhile.
    fn stop(mut self) -> String {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        let said =
            self.lines.map(|line| line.expect("text") + "\n").fold(String::new(), |all, line| all + &line);
        assert!(self.child.wait().expect("it ends").success(), "{said}");
        said
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).fold(String::new(), |all, byte| all + &byte)
}

/// Only a stop sends, so that a stop that does not is noticed.
const AT_THE_END: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "600000");

#[test]
fn requests_are_spans_of_the_callers_trace_without_keys_and_values_and_a_stop_loses_none() {
    let (collector, batches) = collector::listen(200);
    let variables = [
        AT_THE_END,
        ("OTEL_SERVICE_NAME", "edge-7"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=a"),
        ("CACHE_TOKEN", "hidden-token"),
    ];
    let process = Process::start(collector, &["--log", "debug"], &variables);
    let token = "authorization: Bearer hidden-token\r\n";
    let sampled = format!("{token}traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    let not_sampled = format!("{token}traceparent: 00-{TRACE}-{PARENT}-00\r\n");
    assert!(
        process.ask("PUT /v1/entries/hidden-key?tags=hidden-tag", &sampled, "hidden-value").contains(" 201 ")
    );
    assert!(process.ask("GET /v1/entries/hidden-other", token, "").contains(" 404 "));
    assert!(process.ask("GET /livez", &not_sampled, "").contains(" 200 "));
    assert!(process.ask("HIDDEN /nowhere/hidden", token, "").contains(" 404 "));
    let said = process.stop();
    // The log is as it would be without: no line begins with a span.
    assert!(said.contains("Cache MISS") && !said.contains("request{"), "{said}");

    let mut spans: Vec<Span> = Vec::new();
    for batch in batches.try_iter() {
        assert_eq!(batch.line, "POST /v1/traces HTTP/1.1");
        assert!(
            batch.headers.contains("content-type: application/x-protobuf")
                && batch.headers.contains("x-team: a"),
            "{}",
            batch.headers
        );
        let (resource, mut more) = collector::read(&batch.body);
        assert_eq!(resource.get("service.name").map(String::as_str), Some("edge-7"));
        assert!(!String::from_utf8_lossy(&batch.body).to_lowercase().contains("hidden"));
        spans.append(&mut more);
    }
    let names: BTreeSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["PUT /v1/entries/{key}", "GET /v1/entries/{key}", "_OTHER unmatched"].into());
    let span = |name: &str| spans.iter().find(|span| span.name == name).expect("it is there");
    let put = span("PUT /v1/entries/{key}");
    assert_eq!((hex(&put.trace), hex(&put.parent)), (TRACE.to_owned(), PARENT.to_owned()));
    let get = span("GET /v1/entries/{key}");
    assert!(get.parent.is_empty() && hex(&get.trace) != TRACE);
    for (span, method, status) in [(put, "PUT", "201"), (get, "GET", "404")] {
        let attribute = |name: &str| span.attributes.get(name).map(String::as_str);
        assert_eq!(attribute("http.request.method"), Some(method));
        assert_eq!(attribute("http.route"), Some("/v1/entries/{key}"));
        assert_eq!(attribute("http.response.status_code"), Some(status));
        // A server's span; a miss is no error.
        assert_eq!((span.kind, span.status), (2, 0));
    }
}

#[test]
fn an_error_of_the_server_is_one_of_its_span_and_a_collector_that_refuses_is_told_once() {
    let (collector, batches) = collector::listen(400);
    let process = Process::start(collector, &[], &[("OTEL_BSP_SCHEDULE_DELAY", "50")]);
    process.ask("GET /livez", "", "");
    // It was refused.
    batches.recv_timeout(GUARD).expect("a batch");
    let watchers: Vec<TcpStream> = (0..32)
        .map(|_| {
            let mut watcher = TcpStream::connect(process.address).expect("it listens");
            watcher.write_all(b"GET /v1/events/stats HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("it reads");
            watcher.read_exact(&mut [0]).expect("it is let in");
            watcher
        })
        .collect();
    assert!(process.ask("GET /v1/events/stats", "", "").contains(" 503 "));
    let mut failed = None;
    while failed.is_none() {
        let batch = batches.recv_timeout(GUARD).expect("a batch");
        let (_, spans) = collector::read(&batch.body);
        failed = spans.into_iter().find(|span| {
            span.attributes.get("http.response.status_code").is_some_and(|status| status == "503")
        });
    }
    assert_eq!(failed.map(|span| span.status), Some(2));
    drop(watchers);
    let said = process.stop();
    assert_eq!(said.matches("the collector refuses spans").count(), 1, "{said}");
    assert_eq!(said.matches("the collector takes spans again").count(), 1, "{said}");
}

#[test]
fn a_collector_with_tls_is_sent_to_if_somebody_vouches_for_it_and_not_otherwise() {
    let (own, other) = (Certificates::new(), Certificates::new());
    // Of these two addresses the certificate has the first alone.
    for (address, authority, is_trusted) in
        [("127.0.0.1", &own, true), ("127.0.0.1", &other, false), ("127.0.0.2", &own, false)]
    {
        let (collector, batches) = collector::listen_sealed(address, &own);
        let authority = authority.authority();
        let trusted = ("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.to_str().expect("text"));
        let process = Process::start_with(&format!("https://{collector}"), &[], &[AT_THE_END, trusted]);
        process.ask("GET /livez", "", "");
        let said = process.stop();
        assert_eq!(batches.try_iter().count(), usize::from(is_trusted), "{address}: {said}");
        assert_eq!(said.contains("the collector of spans is away"), !is_trusted, "{address}: {said}");
    }
}

#[test]
fn a_collector_that_is_away_costs_nobody_an_answer() {
    let process = Process::start("127.0.0.1:1".parse().expect("an address"), &[], &[]);
    for _ in 0..100 {
        assert!(process.ask("GET /livez", "", "").contains(" 200 "));
    }
    let said = process.stop();
    assert!(said.contains("the collector of spans is away"), "{said}");
}
