//! A server in this process, on a port of its own, and the program as a process that asks it.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

use cache_server::{Server, Settings};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A running server.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    _runtime: Runtime,
}

impl Running {
    /// Starts one with these settings. It ends when this is dropped.
    pub(crate) fn start(toml: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let settings = Settings::from_toml(toml).expect("legal settings");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        // Made where a runtime is, because its regions have tasks.
        runtime.spawn(async move {
            let server = Server::new(settings).expect("legal regions");
            server.run(listener, std::future::pending()).await;
        });
        Self { address, _runtime: runtime }
    }

    /// The program, told to ask this server.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_strata"));
        command.args(arguments);
        command
    }

    /// Another one, in the same environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = alone(program);
        command.env("STRATA_URL", format!("http://{}", self.address));
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.program(arguments), b"")
    }

    /// Asks the server for long work, and does not wait for it.
    pub(crate) fn later(&self, path: &str) {
        use std::io::Read;
        let mut connection = std::net::TcpStream::connect(self.address).expect("the server listens");
        let head = "host: localhost\r\nprefer: respond-async\r\ncontent-length: 0\r\nconnection: close";
        connection.write_all(format!("POST {path} HTTP/1.1\r\n{head}\r\n\r\n").as_bytes()).expect("open");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    }

    /// What it writes, which must be one line of JSON.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["--json"]].concat()).expect(0);
        serde_json::from_str(&ended.text()).expect("JSON")
    }
}

/// The program with an environment of the test's own.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = alone(env!("CARGO_BIN_EXE_strata"));
    command.args(arguments);
    command
}

fn alone(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Lines as a text.
pub(crate) fn text(lines: impl Iterator<Item = String>) -> String {
    lines.fold(String::new(), |text, line| text + &line + "\n")
}

/// What the program has said and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn of(mut command: Command, input: &[u8]) -> Self {
        let mut child: Child = command.spawn().expect("the program starts");
        let mut to = child.stdin.take().expect("piped");
        let input = input.to_vec();
        // It may end before it has read all of it.
        let writer = std::thread::spawn(move || to.write_all(&input));
        let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
        let _ = writer.join().expect("no panic");
        Self { code: status.code(), out: stdout, err: String::from_utf8_lossy(&stderr).into_owned() }
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.err, self.text());
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}
