//! `cargo xtask readme` on small READMEs, with stand-ins for cargo and curl.
//!
//! The stand-in for cargo notes how it is called. As the server it knocks at a pipe, upon which the test serves in its
//! name, and waits to be told to end.

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::{env, thread};

use tempfile::TempDir;

use crate::{finished, text, xtask};

struct Repository(TempDir);

impl Repository {
    fn new() -> Self {
        let repository = Self(tempfile::tempdir().expect("a temporary folder"));
        repository.program("cargo", CARGO);
        repository.program("curl", "echo \"$*\"");
        for pipe in ["knock", "held"] {
            let made = Command::new("mkfifo").arg(repository.path(pipe)).status();
            assert!(made.expect("mkfifo starts").success());
        }
        repository
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn program(&self, name: &str, script: &str) {
        fs::write(self.path(name), format!("#!/bin/bash\n{script}\n")).expect("the stand-in is written");
        fs::set_permissions(self.path(name), Permissions::from_mode(0o755)).expect("the stand-in may run");
    }

    fn follow(&self, readme: &str) -> Output {
        fs::write(self.path("README.md"), readme).expect("the README is written");
        let path = env::var_os("PATH").unwrap_or_default();
        let path = [self.0.path().to_owned()].into_iter().chain(env::split_paths(&path));
        let path = env::join_paths(path).expect("the folder's name has no colon");
        finished(xtask(&["readme", "--root"]).arg(self.0.path()).env("PATH", path))
    }

    /// How cargo was called, one call a line.
    fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    /// A port at which somebody is ready once the server knocks.
    fn port(&self) -> u16 {
        let knock = self.path("knock");
        let (listener, port) = listen(0);
        drop(listener);
        thread::spawn(move || {
            fs::read(knock).expect("the pipe is there");
            for stream in listen(port).0.incoming() {
                let _ = stream.and_then(|mut stream| stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
            }
        });
        port
    }
}

const CARGO: &str = r#"
echo "$*" >> calls
case $* in *--check) ;; run*)
    trap 'echo ended >> calls; exit 0' TERM
    echo > knock
    read <> held
esac
"#;

fn listen(port: u16) -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    let port = listener.local_addr().expect("it has an address").port();
    (listener, port)
}

/// Follows a README of one line in a shell's block; it must fail and say this.
#[track_caller]
fn fails(line: &str, said: &str) {
    let output = Repository::new().follow(&format!("# T\n\n```sh\n{line}\n```\n"));
    let errors = text(&output.stderr);
    assert!(errors.contains("error: README.md:4: ") && errors.contains(said), "{line}\n{errors}");
    assert_eq!(output.status.code(), Some(1), "{line}\n{errors}");
}

#[test]
fn every_line_is_run_in_order_from_the_root() {
    let repository = Repository::new();
    let output = repository.follow(
        "```sh\ncargo one 'a b'\n# talk\necho x > made\n```\n\n```sh\ncat made   # => x\ncargo two\n```\n",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(repository.calls(), "one a b\ntwo\n");
    assert!(text(&output.stdout).contains("README.md: 4 commands and 2 blocks hold"));
}

#[test]
fn a_command_that_does_not_hold_fails_and_the_rest_is_run() {
    fails("exit 7", "`exit 7` failed (exit status: 7)");
    fails("curl Ada   # => Eve", "it should print `Eve`, and printed `Ada`");
    fails("curl '{\"title\":\"Bad Request\",\"status\":400}'", "the server refused");
    fails("no-such-program", "exit status: 127");

    let repository = Repository::new();
    let output = repository.follow("```sh\nfalse\ncargo two\n```\n```yaml\na: 1\n```\n");
    assert!(text(&output.stderr).contains("what does not hold: 2"), "{}", text(&output.stderr));
    assert_eq!(repository.calls(), "two\n");
}

#[test]
fn what_runs_the_readme_is_not_run_by_it() {
    let repository = Repository::new();
    let output = repository.follow("```sh\ncargo xtask test\ncargo xtask ci\ncargo xtask load\n```\n");
    assert_eq!(repository.calls(), "xtask load\n");
    assert_eq!(text(&output.stderr).matches("not again").count(), 2);
}

#[test]
fn the_server_is_built_serves_the_lines_after_it_and_is_ended() {
    let repository = Repository::new();
    let port = repository.port();
    let output = repository.follow(&format!(
        "On 127.0.0.1:{port}:\n```sh\ncargo run -p cache-server -- --x\n```\n```sh\ncargo run -p cache-server -- --check\n```\n"
    ));
    let errors = text(&output.stderr);
    assert!(output.status.success() && errors.contains("the server ended well"), "{errors}");
    let calls = repository.calls();
    let server = "build -p cache-server\nrun -p cache-server -- --x\n";
    assert_eq!(calls, format!("{server}run -p cache-server -- --check\nended\n"));
}

#[test]
fn a_stranger_at_the_server_s_address_is_left_alone() {
    let repository = Repository::new();
    let (_stranger, port) = listen(0);
    let output = repository
        .follow(&format!("On 127.0.0.1:{port}:\n```sh\ncargo run -p cache-server\ncargo two\n```\n"));
    assert!(text(&output.stderr).contains("is not free"), "{}", text(&output.stderr));
    assert_eq!(repository.calls(), "build -p cache-server\n");
    assert_eq!(output.status.code(), Some(1));
}
