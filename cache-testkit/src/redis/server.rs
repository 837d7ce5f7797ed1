//! One server: started, stopped, killed, made a replica, filled to its limit.

#![expect(clippy::expect_used, reason = "where a server cannot be had, the test that needs it has failed")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use super::process::Process;
use super::resp::{self, Reply};
use super::wait::{PATIENCE, until, within};
use crate::tls::Certificates;

/// What a server should be like, besides empty, in memory alone and reachable from this machine alone.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    password: Option<String>,
    user: Option<(String, String)>,
    has_tls: bool,
    lines: Vec<String>,
}

impl Setup {
    /// Open to everybody on this machine, without TLS.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for this password.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Knows a user who may do everything.
    #[must_use]
    pub fn with_user(mut self, name: &str, password: &str) -> Self {
        self.user = Some((name.to_owned(), password.to_owned()));
        self
    }

    /// Listens with TLS as well, on another port.
    #[must_use]
    pub fn with_tls(mut self) -> Self {
        self.has_tls = true;
        self
    }

    /// Adds a line to its configuration.
    #[must_use]
    pub fn with_line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }
}

/// A running `redis-server`, which ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    process: Option<Process>,
    setup: Setup,
    port: u16,
    tls_port: Option<u16>,
    certificates: Option<Certificates>,
}

impl Server {
    /// Starts a plain one.
    pub fn start() -> Self {
        Self::with(&Setup::new())
    }

    /// Starts one with this setup, and waits until it answers.
    pub fn with(setup: &Setup) -> Self {
        let certificates = setup.has_tls.then(Certificates::new);
        // A port that was free may be taken before the server gets to it; then it ends, and another one is tried.
        for _ in 0..10 {
            let (port, tls_port) = (free_port(), setup.has_tls.then(free_port));
            let mut server = Self { process: None, setup: setup.clone(), port, tls_port, certificates: None };
            server.process = Some(server.run(certificates.as_ref()));
            if server.answers() {
                return Self { certificates, ..server };
            }
        }
        panic!("no free port in ten attempts");
    }

    /// Where it listens without TLS.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its port without TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its port with TLS, if it has one.
    pub fn tls_port(&self) -> Option<u16> {
        self.tls_port
    }

    /// Whom a client has to trust to talk to it with TLS, as a file in PEM.
    pub fn authority(&self) -> Option<PathBuf> {
        self.certificates.as_ref().map(Certificates::authority)
    }

    /// Its address as a URL, without user and password.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Sends it a command, as an administrator.
    ///
    /// # Panics
    /// Where the server cannot be reached. An error that it answers is an answer.
    pub fn call(&self, command: &[&str]) -> Reply {
        self.try_call(command).unwrap_or_else(|error| panic!("{command:?} to {}: {error}", self.port))
    }

    /// The value of a field of `INFO`.
    pub fn info(&self, field: &str) -> Option<String> {
        let info = self.call(&["INFO", "everything"]);
        info.text().lines().find_map(|line| Some(line.strip_prefix(field)?.strip_prefix(':')?.to_owned()))
    }

    /// Ends it at once, as a crash would, and returns when nobody listens there any more. Does nothing to a dead one.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal("KILL");
            drop(process);
            until("the killed server is gone", || !is_taken(self.port));
        }
    }

    /// Starts it again on the same ports, empty, killing it if it still runs.
    pub fn restart(&mut self) {
        self.kill();
        self.process = Some(self.run(self.certificates.as_ref()));
        assert!(self.answers(), "it does not start again: {}", self.log());
    }

    /// Suspends it: connections stay, nothing is answered.
    pub fn stop(&self) {
        self.process().signal("STOP");
    }

    /// Lets it go on.
    pub fn cont(&self) {
        self.process().signal("CONT");
    }

    /// Makes it a replica, which refuses writes, and returns when it has what the other one has.
    pub fn make_replica_of(&self, primary: &Self) {
        let port = primary.port.to_string();
        self.expect_ok(&["REPLICAOF", "127.0.0.1", &port]);
        until("the replica is in step", || self.info("master_link_status").as_deref() == Some("up"));
    }

    /// Makes it a primary, which accepts writes.
    pub fn make_primary(&self) {
        self.expect_ok(&["REPLICAOF", "NO", "ONE"]);
    }

    /// Lets every further write fail for want of memory.
    pub fn fill_memory(&self) {
        self.expect_ok(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
        self.expect_ok(&["CONFIG", "SET", "maxmemory", "1"]);
    }

    /// Lets writes succeed again.
    pub fn free_memory(&self) {
        self.expect_ok(&["CONFIG", "SET", "maxmemory", "0"]);
    }

    /// How many clients are connected, this question included.
    pub fn clients(&self) -> usize {
        self.call(&["CLIENT", "LIST"]).text().lines().count()
    }

    fn expect_ok(&self, command: &[&str]) {
        assert_eq!(self.call(command), Reply::Text("OK".into()), "{command:?}");
    }

    fn try_call(&self, command: &[&str]) -> std::io::Result<Reply> {
        match &self.setup.password {
            Some(password) => resp::ask(self.address(), &[&["AUTH", password], command]),
            None => resp::ask(self.address(), &[command]),
        }
    }

    /// Whether it answers, which it never does where its port was taken: then another one does.
    fn answers(&self) -> bool {
        let own = format!("process_id:{}", self.process().pid());
        let ready = || {
            let answer = self.try_call(&["INFO", "server"]);
            answer.is_ok_and(|reply| reply.text().lines().any(|line| line == own))
        };
        let taken = || self.log().contains("Failed listening on port");
        let is_decided = || {
            let log = self.log();
            let is_legal = !log.contains("FATAL CONFIG") && !log.contains("Critical error");
            assert!(is_legal, "the configuration of this test is not legal: {log}");
            ready() || taken()
        };
        within(PATIENCE, is_decided) && ready()
    }

    fn run(&self, certificates: Option<&Certificates>) -> Process {
        let mut lines = vec![
            format!("port {}", self.port),
            "bind 127.0.0.1".into(),
            "save \"\"".into(),
            "appendonly no".into(),
            "repl-diskless-sync-delay 0".into(),
        ];
        if let Some(password) = &self.setup.password {
            lines.extend([format!("requirepass {password}"), format!("masterauth {password}")]);
        }
        if let Some((name, password)) = &self.setup.user {
            lines.push(format!("user {name} on >{password} ~* &* +@all"));
        }
        if let (Some(port), Some(files)) = (self.tls_port, certificates) {
            lines.extend([
                format!("tls-port {port}"),
                format!("tls-cert-file {}", files.certificate().display()),
                format!("tls-key-file {}", files.key().display()),
                format!("tls-ca-cert-file {}", files.authority().display()),
                "tls-auth-clients no".into(),
            ]);
        }
        lines.extend(self.setup.lines.iter().cloned());
        Process::start("redis-server", &lines.join("\n"))
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("the test has not killed this server")
    }

    fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }
}

/// A port that is free at the moment.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("this machine has a free port");
    listener.local_addr().expect("it is bound").port()
}

fn is_taken(port: u16) -> bool {
    std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}
