//! Over https: who is trusted, and who is not. The other side is `openssl`, which answers every request with 200.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::program::{Ended, program};

/// Many times what it takes to begin to listen.
const PATIENCE: usize = 1000;

/// A certificate of `localhost` that vouches for itself alone.
fn certificate(folder: &Path) {
    let config = "[req]\ndistinguished_name = name\n[name]\n";
    std::fs::write(folder.join("conf"), config).expect("a writable folder");
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]);
    command.args(["-config", "conf", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    command.args(["-keyout", "key.pem", "-out", "cert.pem"]).current_dir(folder).stdin(Stdio::null());
    let output = command.output().expect("`openssl` is missing. Run: apt-get install --yes openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A server that speaks TLS, and ends with this.
struct Tls {
    child: Child,
    port: u16,
}

impl Tls {
    fn start(folder: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let mut command = Command::new("openssl");
        command.args(["s_server", "-www", "-quiet", "-cert", "cert.pem", "-key", "key.pem"]);
        command.args(["-accept", &format!("127.0.0.1:{port}")]).current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = Self { child: command.spawn().expect("it was there"), port };
        let (_stays, pause) = std::sync::mpsc::channel::<()>();
        for _ in 0..PATIENCE {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return started;
            }
            let _ = pause.recv_timeout(Duration::from_millis(10));
        }
        panic!("nobody listens at {port}")
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_is_trusted_if_somebody_who_was_named_vouches_for_this_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    certificate(folder.path());
    let server = Tls::start(folder.path());
    let ca = folder.path().join("cert.pem");
    let ca = ca.to_str().expect("text");
    let ask = |host: &str, more: &[&str]| {
        let url = format!("https://{host}:{}", server.port);
        Ended::of(program(&[&["-s", &url, "health", "--ready"], more].concat()), b"")
    };
    ask("localhost", &["--ca-file", ca]).expect(0);
    for (host, more) in [("localhost", &[][..]), ("127.0.0.1", &["--ca-file", ca])] {
        let ended = ask(host, more);
        // Where a system trusts nobody at all, that is told before anything is sent.
        assert!([Some(2), Some(3)].contains(&ended.code) && ended.err.contains("--ca-file"), "{}", ended.err);
    }
    let empty = folder.path().join("conf");
    ask("localhost", &["--ca-file", empty.to_str().expect("text")]).expect(2);
    ask("localhost", &["--ca-file", "/no/such"]).expect(5);
}
