//! Prometheus and its tool: started, asked, and what its tool thinks of our files.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;

use crate::client;

/// Fails with what to do unless the program is there.
fn needs(program: &str) {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(
        command.status().is_ok_and(|status| status.success()),
        "`{program}` is missing; these tests need Prometheus 2.42 or later. Run: apt-get install --yes --no-install-recommends prometheus \
         (or dnf install prometheus, apk add prometheus, brew install prometheus)"
    );
}

/// Runs `promtool` and fails unless it finds nothing.
#[track_caller]
pub(crate) fn promtool(arguments: &[&str], input: &str) {
    needs("promtool");
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it was there");
    let mut to = child.stdin.take().expect("piped");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || to.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    let _ = writer.join().expect("no panic");
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

/// A file of the repository.
pub(crate) fn asset(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets")).join(name)
}

/// A running Prometheus, which ends with this.
pub(crate) struct Prometheus {
    address: SocketAddr,
    _process: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes these servers twice a second, and waits until it is ready.
    pub(crate) async fn start(targets: &[SocketAddr], rules: &str) -> Self {
        needs("prometheus");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name: &str| folder.path().join(name);
        let targets: Vec<String> = targets.iter().map(|target| format!("{:?}", target.to_string())).collect();
        let config = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 500ms}}\nrule_files: [rules.yml]\n\
             scrape_configs: [{{job_name: strata, static_configs: [{{targets: [{}]}}]}}]\n",
            targets.join(", ")
        );
        std::fs::write(file("rules.yml"), rules).expect("a writable folder");
        std::fs::write(file("prometheus.yml"), config).expect("a writable folder");
        promtool(&["check", "config", file("prometheus.yml").to_str().expect("text")], "");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("bound");
        drop(free);
        let mut command = tokio::process::Command::new("prometheus");
        command.arg(format!("--config.file={}", file("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", file("data").display()));
        command.args([&format!("--web.listen-address={address}"), "--log.level=error"]);
        let process = command.stdin(Stdio::null()).kill_on_drop(true).spawn().expect("it was there");
        let mut pause = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..600 {
            pause.tick().await;
            // Nobody listens there before it is up.
            if TcpStream::connect(address).await.is_ok() && get(address, "/-/ready").await.status == 200 {
                return Self { address, _process: process, _folder: folder };
            }
        }
        panic!("prometheus is not ready after half a minute")
    }

    /// The answer of its API.
    pub(crate) async fn ask(&self, path: &str) -> Value {
        get(self.address, path).await.expect(200).json()["data"].take()
    }
}

async fn get(address: SocketAddr, path: &str) -> client::Answer {
    let request = Request::get(path).header("host", address.to_string()).body(Full::new(Bytes::new()));
    client::send(address, request.expect("legal")).await
}
