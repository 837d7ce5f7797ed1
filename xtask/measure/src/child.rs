//! Processes that are measured: a cache server, or whatever else says on its standard error where it listens.
//!
//! They run beside this program, on a processor of their own where there are two, and end with it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::{Outcome, proc};

/// The processors of servers and of this program, where they are kept apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    servers: &'static str,
    own: &'static str,
}

impl Cores {
    /// None where there is one processor only, or no `taskset`.
    pub(crate) fn apart() -> Option<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let has_tool = Command::new("taskset").arg("--version").stdout(Stdio::null()).status().is_ok();
        (count > 1 && has_tool).then_some(Self { servers: "0", own: "1" })
    }

    /// Moves this program, and what it starts from now on, to its own.
    pub(crate) fn take(self) -> Outcome {
        pin(self.own, std::process::id())
    }

    /// Moves a process that runs to where servers are.
    pub(crate) fn give(self, process: u32) -> Outcome {
        pin(self.servers, process)
    }
}

fn pin(core: &str, process: u32) -> Outcome {
    let mut command = Command::new("taskset");
    command.args(["--all-tasks", "--cpu-list", "--pid", core, &process.to_string()]).stdout(Stdio::null());
    if command.status()?.success() { Ok(()) } else { Err("taskset failed; what it said stands above".into()) }
}

/// A running server, which is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts the cache server that was built beside this program, on a free port, with these variables.
    pub(crate) fn strata(variables: &[(&str, &str)], cores: Option<Cores>) -> Outcome<Self> {
        let program = std::env::current_exe()?.with_file_name(SERVER);
        if !program.exists() {
            let how =
                "build it beside this program, for example with `cargo build --release -p cache-server`";
            return Err(format!("there is no {}: {how}", program.display()).into());
        }
        let mut command = on(cores, &program);
        command.env("CACHE_LISTEN", "127.0.0.1:0").envs(variables.iter().copied());
        Self::start(command)
    }

    /// Starts this program again, with these arguments.
    pub(crate) fn own(arguments: &[&str], cores: Option<Cores>) -> Outcome<Self> {
        let mut command = on(cores, &std::env::current_exe()?);
        command.args(arguments);
        Self::start(command)
    }

    fn start(mut command: Command) -> Outcome<Self> {
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut log = BufReader::new(process.stderr.take().ok_or("its log is piped")?);
        let mut said = String::new();
        let address = loop {
            let from = said.len();
            if log.read_line(&mut said)? == 0 {
                return Err(format!("a server has ended before it listened: {said}").into());
            }
            if let Some((_, address)) = said[from..].trim_end().split_once(LISTENS) {
                break address.parse()?;
            }
        };
        // Its log is of no use from here on, but a full pipe would stop it.
        thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Ok(Self { process, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The memory that it holds now, in bytes.
    pub(crate) fn resident(&self) -> Outcome<u64> {
        Ok(proc::resident_of(self.pid()).ok_or("the memory of the server is not to be had")?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either it has ended already, or it ends now.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The processor time that a process has had.
pub(crate) fn cpu(process: u32) -> Outcome<Duration> {
    Ok(proc::cpu_of(process).ok_or("the processor time of the server is not to be had")?)
}

fn on(cores: Option<Cores>, program: &std::path::Path) -> Command {
    let Some(cores) = cores else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", cores.servers]).arg(program);
    command
}

const SERVER: &str = "cache-server";
/// What stands in front of the address in the line that says where a server listens.
pub(crate) const LISTENS: &str = "listening on http://";
