//! A server's process, which cannot outlive the one that started it.
//!
//! A shell stands between: it starts the server and then reads its input until that ends. The input is a pipe from this
//! process, so it ends when we close it, and also when we die without a chance to do anything.

#![expect(clippy::expect_used, reason = "where a server cannot be had, the test that needs it has failed")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const SHELL: &str = r#"
folder=$1; shift
"$@" </dev/null >"$folder/log" 2>&1 &
echo $!
cat >/dev/null
kill -9 $! 2>/dev/null
wait
rm -rf "$folder"
"#;

#[derive(Debug)]
pub(super) struct Process {
    shell: Child,
    pid: u32,
    folder: PathBuf,
}

impl Process {
    /// Runs `program` on a configuration, in a folder of its own that goes with it.
    pub(super) fn start(program: &str, configuration: &str) -> Self {
        assert!(is_there(program), "{}", missing(program));
        let folder = tempfile::Builder::new().prefix("strata-redis-").tempdir().expect("a temporary folder");
        let file = folder.path().join("conf");
        let text = format!("{configuration}\ndir {}\n", folder.path().display());
        fs::write(&file, text).expect("the folder is ours");
        let folder = folder.keep();
        let mut command = Command::new("sh");
        command.args(["-c", SHELL, "sh"]).arg(&folder).arg(program).arg(file);
        let shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut shell = shell.expect("there is a shell");
        let mut first = String::new();
        let output = shell.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut first).expect("it is text");
        let pid = first.trim().parse().expect("the shell tells the number of the process");
        Self { shell, pid, folder }
    }

    /// Its number.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal, such as `KILL` or `STOP`.
    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid)]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send {name} to {}", self.pid);
    }

    /// What it has written so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // The shell ends by itself now; waiting for it means that nothing is left when the test ends.
        let _ = self.shell.wait();
    }
}

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn missing(program: &str) -> String {
    format!(
        "`{program}` is missing; this test needs Redis 7 or later. Run: \
         apt-get install --yes redis-server redis-sentinel (or dnf install redis, apk add redis, brew install redis)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_server_is_told_with_the_command_that_installs_it() {
        let started = std::panic::catch_unwind(|| Process::start("redis-no-such-server", ""));
        let panic = started.expect_err("there is no such program");
        let told = panic.downcast_ref::<String>().expect("a text");
        assert!(told.contains("`redis-no-such-server` is missing"), "{told}");
        assert!(told.contains("apt-get install --yes redis-server redis-sentinel"), "{told}");
    }
}
