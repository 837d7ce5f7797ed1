//! The server that the README starts: up before the next line, and gone after the last.
//!
//! It is one process, and that process alone is told to end. Where a check fails, it is not left behind.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::run::{self, Failure, Outcome};

/// What the README promises: it serves within 10 seconds of the build's end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to end: its own drain time, which is 10 seconds, and a few for the machine.
pub(crate) const DRAIN: Duration = Duration::from_secs(15);

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    pid: u32,
    /// Tells once how it ended.
    ended: Receiver<io::Result<ExitStatus>>,
}

impl Server {
    /// Starts the server and waits until it is ready; an address that is taken, or too long a wait, is a failure.
    pub(crate) fn start(
        mut command: Command,
        address: SocketAddr,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let taken = |error| Failure::new(format!("{address} is not free for the server ({error}); free it"));
        drop(TcpListener::bind(address).map_err(taken)?);
        let child = command.spawn();
        let server =
            Self::watching(child.map_err(|error| Failure::new(format!("cannot run bash: {error}")))?);
        server.wait_until_ready(address, patience)?;
        Ok(server)
    }

    /// Asks the server to end, and checks that it ends well and in time.
    pub(crate) fn end(self, drain: Duration) -> Outcome {
        self.signal("TERM");
        let (ended, took) = run::timed(|| self.ended.recv_timeout(drain));
        match ended {
            Ok(Ok(status)) if status.success() => {
                eprintln!("\nthe server ended well, {:.1} s after it was told to", took.as_secs_f32());
                Ok(())
            }
            Ok(Ok(status)) => Err(Failure::new(format!("the server was told to end, and failed ({status})"))),
            Ok(Err(error)) => Err(Failure::new(format!("the server cannot be waited for: {error}"))),
            Err(_) => Err(Failure::new(format!(
                "the server still runs {} s after it was told to end",
                drain.as_secs()
            ))),
        }
    }

    fn watching(mut child: Child) -> Self {
        let (tell, ended) = mpsc::channel();
        let pid = child.id();
        thread::spawn(move || tell.send(child.wait()));
        Self { pid, ended }
    }

    fn wait_until_ready(&self, address: SocketAddr, patience: Duration) -> Outcome {
        let start = run::now();
        loop {
            match self.ended.recv_timeout(BETWEEN_QUESTIONS) {
                Err(RecvTimeoutError::Timeout) => {}
                ended => {
                    return Err(Failure::new(format!("the server ended before it was ready: {ended:?}")));
                }
            }
            let took = start.elapsed();
            if is_ready(address).is_ok_and(|ready| ready) {
                eprintln!("  ready on {address} {:.1} s after the build", took.as_secs_f32());
                return Ok(());
            }
            if took > patience {
                let message = format!("the server is not ready on {address} after {} s", patience.as_secs());
                return Err(Failure::new(message));
            }
        }
    }

    fn signal(&self, name: &str) {
        // If it is gone already, there is nobody to tell, and whoever waits for it learns how it ended.
        let _ = Command::new("kill").args(["-s", name, &self.pid.to_string()]).stderr(Stdio::null()).status();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.ended.try_recv(), Err(mpsc::TryRecvError::Empty)) {
            self.signal("KILL");
        }
    }
}

/// Whether the server answers 200 to `/readyz`.
fn is_ready(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status)?;
    Ok(status.ends_with(b" 200"))
}

const BETWEEN_QUESTIONS: Duration = Duration::from_millis(50);
const ANSWER: Duration = Duration::from_secs(1);

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use tempfile::TempDir;

    use super::*;

    /// What bash does in the server's place, once it is there for signals.
    const WAITS: &str = ": > up; read <> held";
    const NOW: Duration = Duration::ZERO;
    /// Longer than any test takes; whoever waits so long has failed.
    const EVER: Duration = Duration::from_mins(1);

    /// A folder with a pipe that nobody writes to.
    fn folder() -> TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = Command::new("mkfifo").arg(folder.path().join("held")).status();
        assert!(made.expect("mkfifo starts").success());
        folder
    }

    fn bash(folder: &Path, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", script]).current_dir(folder);
        command
    }

    fn stand_in(folder: &Path, script: &str) -> Server {
        Server::watching(bash(folder, script).spawn().expect("bash starts"))
    }

    /// Answers for the server: it is ready as soon as the file is there.
    fn ready_when(there: PathBuf) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let status = if there.exists() { "200 OK" } else { "503 Service Unavailable" };
                let _ = stream.and_then(|mut stream| write!(stream, "HTTP/1.1 {status}\r\n\r\n"));
            }
        });
        address
    }

    /// Starts a stand-in, ends it when it is ready, and gives what went wrong.
    #[track_caller]
    fn ended(script: &str, drain: Duration) -> String {
        let folder = folder();
        let server = stand_in(folder.path(), script);
        let ready = server.wait_until_ready(ready_when(folder.path().join("up")), EVER);
        assert!(ready.is_ok(), "{ready:?}");
        server.end(drain).err().map(|failure| format!("{failure:?}")).unwrap_or_default()
    }

    #[test]
    fn a_server_that_ends_when_told_is_well() {
        assert_eq!(ended(&format!("trap 'exit 0' TERM; {WAITS}"), EVER), "");
    }

    #[test]
    fn a_server_that_fails_when_told_to_end_is_reported() {
        assert!(ended(&format!("trap 'exit 4' TERM; {WAITS}"), EVER).contains("exit status: 4"));
        assert!(ended(WAITS, EVER).contains("signal: 15"));
        assert!(ended(&format!("trap '' TERM; {WAITS}"), NOW).contains("still runs"));
    }

    #[test]
    fn a_server_that_is_not_ready_in_time_is_reported() {
        let folder = folder();
        let server = stand_in(folder.path(), WAITS);
        let failure = server.wait_until_ready(ready_when("/nowhere".into()), NOW).expect_err("it never is");
        assert!(format!("{failure:?}").contains("not ready"), "{failure:?}");
    }

    #[test]
    fn a_server_that_ends_at_once_is_reported() {
        let folder = folder();
        let address = ready_when("/nowhere".into());
        let failure = stand_in(folder.path(), "exit 3").wait_until_ready(address, EVER);
        assert!(format!("{failure:?}").contains("before it was ready"), "{failure:?}");
    }

    #[test]
    fn a_taken_address_is_refused_before_the_start() {
        let folder = folder();
        let address = ready_when("/nowhere".into());
        let failure = Server::start(bash(folder.path(), ": > up"), address, EVER).expect_err("it is taken");
        assert!(format!("{failure:?}").contains("not free"), "{failure:?}");
        assert!(!fs::exists(folder.path().join("up")).expect("the folder can be read"), "it started");
    }
}
