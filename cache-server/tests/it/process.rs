//! The process: how it starts, what it refuses, what it prints, and how it ends.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use cache_testkit::redis::Server as Redis;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::client::{Raw, soon};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cache-server");

/// The program, with an environment of the test's own.
fn program(flags: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(flags).env_clear().envs(variables.iter().copied());
    piped(command)
}

fn piped(mut command: Command) -> Command {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs the program to its end.
async fn ends(flags: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = soon(program(flags, variables).output()).await.expect("the program starts");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout),
    )
}

/// A running program.
pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    pub(crate) address: SocketAddr,
}

impl Process {
    pub(crate) async fn start(flags: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::spawn(program(flags, variables)).await
    }

    async fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let address = soon(async {
            loop {
                let line = lines.next_line().await.expect("text").expect("a line that says where it listens");
                if let Some((_, address)) = line.split_once("listening on ") {
                    let address = address.trim_start_matches("https://").trim_start_matches("http://");
                    let end = address.find(['"', '\u{1b}']).unwrap_or(address.len());
                    break address[..end].parse().expect("an address");
                }
            }
        })
        .await;
        Self { child, lines, address }
    }

    async fn next_line(&mut self) -> String {
        soon(self.lines.next_line()).await.expect("text").unwrap_or_default()
    }

    /// Reads its log up to a line that says this.
    pub(crate) async fn says(&mut self, part: &str) -> String {
        soon(async {
            loop {
                let line = self.lines.next_line().await.expect("text").expect("it runs");
                if line.contains(part) {
                    return line;
                }
            }
        })
        .await
    }

    pub(crate) async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = soon(Command::new("kill").args([signal, &id]).status()).await.expect("kill runs");
        assert!(sent.success());
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        soon(self.child.wait()).await.expect("it ends")
    }

    pub(crate) fn resident_kibibytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().expect("it runs")));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

pub(crate) const ANY_PORT: (&str, &str) = ("CACHE_LISTEN", "127.0.0.1:0");

#[tokio::test]
async fn starts_without_configuration_and_says_how_to_try_it() {
    let mut process = Process::start(&[], &[ANY_PORT]).await;
    let hint = process.next_line().await;
    assert!(hint.contains("try: curl -X PUT"), "{hint}");
    let mut raw = Raw::connect(process.address).await;
    raw.write("PUT /v1/entries/k?ttl=5m HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello").await;
    raw.answer().await.expect(201);
    raw.write("GET /v1/entries/k HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(raw.answer().await.expect(200).text(), "hello");
    process.signal("-INT").await;
    assert!(process.ended().await.success());
}

/// Flags, variables, and a part of what is said.
type Start = (&'static [&'static str], &'static [(&'static str, &'static str)], &'static str);

#[tokio::test]
async fn a_wrong_setting_stops_the_start_with_code_2() {
    let cases: &[Start] = &[
        (&[], &[("CACHE_TOKEN_SIZE", "many")], "CACHE_TOKEN_SIZE: region.token.max_entries = \"many\""),
        (&["--listen", "0.0.0.0:0"], &[], "without a token"),
        (&["--log", "=="], &[], "--log: log ="),
        (&["--config", "/no/such"], &[], "--config: /no/such"),
        (&["--lisen", "x"], &[], "--listen"),
        (&["--token", "x"], &[], "unexpected argument '--token'"),
        (&["stray"], &[], "unexpected argument 'stray'"),
    ];
    for (flags, variables, part) in cases {
        let (code, said) = ends(flags, variables).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn settings_can_be_checked_and_explained_without_starting() {
    let (code, said) =
        ends(&["--check"], &[("CACHE_LISTEN", "0.0.0.0:1"), ("CACHE_TOKEN", "top-secret")]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the settings are right") && !said.contains("top-secret"), "{said}");
    let (code, _) = ends(&["--check"], &[("CACHE_PROFILE", "none")]).await;
    assert_eq!(code, Some(2));
    let (code, help) = ends(&["--help"], &[]).await;
    assert_eq!(code, Some(0));
    for name in ["--listen", "--drain-timeout", "CACHE_TOKEN=", "CACHE_<REGION>_SIZE", "Exit codes"] {
        assert!(help.contains(name), "{name}: {help}");
    }
}

#[tokio::test]
async fn what_has_no_effect_is_said_without_its_value() {
    let variables = [
        ("REDIS_URL", "redis://:hidden@host"),
        ("REDIS_RETRY_ON_TIMEOUT", "true"),
        ("CACHE_MONITORING_ENABLED", "true"),
        ("CACHE_LISTNE", "y"),
    ];
    let (code, said) = ends(&["--check"], &variables).await;
    assert_eq!(code, Some(0));
    assert_eq!(said.matches("WARN").count(), 2, "{said}");
    assert!(said.contains("ignores CACHE_MONITORING_ENABLED, REDIS_RETRY_ON_TIMEOUT"), "{said}");
    assert!(said.contains("CACHE_LISTNE (did you mean CACHE_LISTEN?)") && !said.contains("hidden"), "{said}");
}

#[tokio::test]
async fn an_address_that_is_taken_ends_with_code_1() {
    let process = Process::start(&[], &[ANY_PORT]).await;
    let (code, said) = ends(&["--listen", &process.address.to_string()], &[]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("cannot listen on {}", process.address)), "{said}");
}

#[tokio::test]
async fn a_hostile_key_is_one_line_of_the_log_and_values_are_none() {
    let mut process = Process::start(&["--log", "debug", "--log-format", "json"], &[ANY_PORT]).await;
    let mut raw = Raw::connect(process.address).await;
    raw.write("GET /v1/entries/%22%5D%E2%80%AE%E2%80%A8x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    raw.answer().await.problem(404);
    raw.write("PUT /v1/entries/k HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\n\r\ntop-text").await;
    raw.answer().await.expect(201);
    raw.write("GET /v1/entries/k HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    raw.answer().await.expect(200);
    let mut seen = String::new();
    while !seen.contains("Cache HIT") {
        let line = process.next_line().await;
        let event: serde_json::Value = serde_json::from_str(&line).expect("an object per line");
        if event["fields"]["message"] == "Cache MISS" {
            assert_eq!(event["fields"]["key"], r#"\"]\u{202e}\u{2028}x"#);
            assert_eq!(event["fields"]["region"], "default");
        }
        seen += &line;
    }
    assert!(seen.contains("Cache MISS") && !seen.contains("top-text"), "{seen}");
}

/// Lines of the log until one of this message.
async fn until(process: &mut Process, message: &str) -> Vec<serde_json::Value> {
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last: &serde_json::Value| last["fields"]["message"] != message) {
        let line = process.next_line().await;
        seen.push(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}; {seen:?}")));
    }
    seen
}

#[tokio::test]
async fn every_way_to_read_is_logged_and_errors_are_at_error() {
    let mut process = Process::start(&["--log", "debug", "--log-format", "json"], &[ANY_PORT]).await;
    let mut raw = Raw::connect(process.address).await;
    raw.write("GET /api/v1/enhanced-cache/get/first HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    raw.answer().await.problem(404);
    let body = r#"{"keys": ["second"]}"#;
    let head = format!("content-type: application/json\r\ncontent-length: {}", body.len());
    raw.write(format!("POST /v1/get-many HTTP/1.1\r\nhost: localhost\r\n{head}\r\n\r\n{body}")).await;
    raw.answer().await.expect(200);
    for key in ["first", "second"] {
        let seen = until(&mut process, "Cache MISS").await;
        let last = seen.last().expect("a line");
        assert_eq!((&last["fields"]["key"], &last["level"]), (&key.into(), &"DEBUG".into()));
    }
    let mut watchers = Vec::new();
    for _ in 0..32 {
        let mut watcher = Raw::connect(process.address).await;
        watcher.write("GET /v1/events/stats HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        soon(tokio::io::AsyncReadExt::read_u8(&mut watcher.0)).await.expect("it is let in");
        watchers.push(watcher);
    }
    raw.write("GET /v1/events/stats HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    raw.answer().await.problem(503);
    let seen = until(&mut process, "an error of the server").await;
    let last = seen.last().expect("a line");
    assert_eq!((&last["level"], &last["fields"]["status"]), (&"ERROR".into(), &503.into()));
    assert_eq!(last["fields"]["route"], "/v1/events/stats");
}

#[tokio::test]
async fn a_signal_under_load_loses_no_request_that_was_begun() {
    let mut process = Process::start(&[], &[ANY_PORT]).await;
    let mut begun = Vec::new();
    for at in 0..50 {
        let mut raw = Raw::connect(process.address).await;
        let length = "expect: 100-continue\r\ncontent-length: 5";
        raw.write(format!("PUT /v1/entries/{at} HTTP/1.1\r\nhost: localhost\r\n{length}\r\n\r\n")).await;
        raw.answer().await.expect(100);
        begun.push(raw);
    }
    let mut idle = Raw::connect(process.address).await;
    idle.write("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    idle.answer().await.expect(200);

    process.signal("-TERM").await;
    assert_eq!(idle.rest().await, "");
    for raw in &mut begun {
        raw.write("hello").await;
        raw.answer().await.expect(201);
    }
    assert!(process.ended().await.success());
}

/// Puts one after the other until the server closes, and returns how many it has acknowledged.
async fn put_to_the_end(mut raw: Raw, writer: String, all: Arc<AtomicUsize>) -> usize {
    for at in 0.. {
        let head =
            format!("PUT /v1/entries/{writer}:{at}?ttl=1h HTTP/1.1\r\nhost: localhost\r\ncontent-length: 6");
        let sent = raw.0.write_all(format!("{head}\r\n\r\n{at:06}").as_bytes()).await;
        let Ok(answer) = (match sent {
            Ok(()) => raw.answer_or_end().await,
            Err(error) => Err(error),
        }) else {
            return at;
        };
        answer.expect(201);
        all.fetch_add(1, SeqCst);
    }
    unreachable!("the server ends")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_signal_is_there_afterwards() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().expect("a temporary folder"));
    let url = format!("redis://{}", redis.address());
    let places = [("CACHE_REDIS_URL", url.as_str()), ("CACHE_DIR", folder.path().to_str().expect("text"))];
    for (place, at_least) in [(0, 1), (0, 100), (1, 1), (1, 40), (1, 170)] {
        let mut process = Process::start(&[], &[ANY_PORT, places[place]]).await;
        let all = Arc::<AtomicUsize>::default();
        let mut writers = Vec::new();
        for writer in 0..4 {
            let (raw, writer) = (Raw::connect(process.address).await, format!("{at_least}-{writer}"));
            writers.push(tokio::spawn(put_to_the_end(raw, writer, Arc::clone(&all))));
        }
        soon(async {
            while all.load(SeqCst) < at_least {
                tokio::task::yield_now().await;
            }
        })
        .await;
        process.signal("-TERM").await;
        assert!(process.ended().await.success());

        let mut after = Process::start(&[], &[ANY_PORT, places[place]]).await;
        let mut raw = Raw::connect(after.address).await;
        for (writer, acknowledged) in writers.into_iter().enumerate() {
            for at in 0..acknowledged.await.expect("no panic") {
                raw.write(format!(
                    "GET /v1/entries/{at_least}-{writer}:{at} HTTP/1.1\r\nhost: localhost\r\n\r\n"
                ))
                .await;
                assert_eq!(raw.answer().await.expect(200).text(), format!("{at:06}"), "{}", places[place].0);
            }
        }
        // The folder has to be free for the next one.
        after.signal("-TERM").await;
        assert!(after.ended().await.success());
    }
}

#[tokio::test]
async fn a_stuck_client_does_not_keep_the_process() {
    let mut process = Process::start(&["--drain-timeout", "200ms"], &[ANY_PORT]).await;
    let mut stuck = Raw::connect(process.address).await;
    stuck
        .write("PUT /v1/entries/k HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
        .await;
    stuck.answer().await.expect(100);
    process.signal("-TERM").await;
    assert!(process.ended().await.success());
}

#[tokio::test]
async fn a_process_without_file_handles_recovers() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 40 && exec \"$0\" --log off,cache_server=info", PROGRAM]);
    command.env(ANY_PORT.0, ANY_PORT.1);
    let mut process = Process::spawn(piped(command)).await;
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(Raw::connect(process.address).await);
    }
    let mut said = String::new();
    while !said.contains("could not be accepted") {
        said += &process.next_line().await;
    }
    assert!(said.contains("may open 40 files, and max_connections = 960 needs 992"), "{said}");
    drop(held);
    // Nobody reads the log from here on; the pipe holds more than what is still to come.
    let mut raw = Raw::connect(process.address).await;
    raw.write("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    raw.answer().await.expect(200);
}

#[tokio::test]
async fn settings_are_printed_with_where_they_were_said_and_without_secrets() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let text = "body_timeout = 7\n[region.\"a.b\"]\nttl = 5\n[region.empty]\n[ttl]\ntick = \"1s\"\n[tokens.ci]\nrole = \"read\"\nsha256 = \"SUM\"\n";
    std::fs::write(file.path(), text.replace("SUM", &"0f".repeat(32))).expect("a writable file");
    let path = file.path().to_str().expect("text");
    let variables =
        [("CACHE_TOKEN", "top-secret"), ("REDIS_URL", "redis://:hidden-too@host"), ("CACHE_TTL_HOT", "9")];
    let flags = ["--config", path, "--print-config", "--max-connections", "5"];
    let (code, shown) = ends(&flags, &variables).await;
    assert_eq!(code, Some(0), "{shown}");
    for line in [
        "listen = \"127.0.0.1:7400\" # defaults",
        "max_connections = \"5\" # --max-connections",
        &format!("body_timeout = \"7\" # {path}:1"),
        "token = \"(hidden)\" # CACHE_TOKEN",
        "redis_url = \"(hidden)\" # REDIS_URL",
        "[region.\"a.b\"]",
        "[region.\"empty\"]",
        "[tokens.\"ci\"]",
        "hot = \"9\" # CACHE_TTL_HOT",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    assert!(!shown.contains("top-secret") && !shown.contains("hidden-too"), "{shown}");
    // What is printed is read again, but for its secrets.
    let again: String = shown
        .lines()
        .filter(|line| !line.contains("(hidden)"))
        .fold(String::new(), |all, line| all + line + "\n");
    std::fs::write(file.path(), again).expect("a writable file");
    let (code, said) = ends(&["--config", path, "--check"], &[]).await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn on_sighup_what_can_change_changes_and_a_wrong_setting_changes_nothing() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let write = |text: &str| std::fs::write(file.path(), text).expect("a writable file");
    let path = file.path().to_str().expect("text").to_owned();
    write("[region.default]\nmax_entries = 100");
    let mut process = Process::start(&["--config", &path], &[ANY_PORT]).await;
    let address = process.address;
    let region = async |name: &str| {
        let path = format!("/v1/regions/{name}");
        let request = hyper::Request::get(path).body(http_body_util::Full::default()).expect("legal");
        crate::client::send(address, request).await
    };
    assert_eq!(region("default").await.expect(200).json()["max_entries"], 100);
    for (text, says) in [
        ("[region.default]\nmax_entries = 0", "stay as they were"),
        ("[region.default]\nmax_entries = 50\nttl = \"5s\"\n[region.more]\n", "were read again"),
        ("max_connections = 7\n[region.default]\nmax_entries = 50", "max_connections takes a restart"),
    ] {
        write(text);
        process.signal("-HUP").await;
        process.says(says).await;
    }
    let changed = region("default").await.expect(200).json();
    assert_eq!(
        (&changed["max_entries"], &changed["ttl_seconds"]),
        (&serde_json::json!(50), &serde_json::Value::Null)
    );
    region("more").await.expect(200);
}
