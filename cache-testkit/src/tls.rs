//! Certificates for a server of this machine, made anew for each test that asks.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "where there are no certificates, the test that needs them has failed"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// An authority, and a certificate by it for `localhost` and `127.0.0.1`. Files that are gone with this.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// Makes them with `openssl`, which takes some ten milliseconds.
    #[expect(clippy::new_without_default, reason = "what runs other programs is no default")]
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("strata-tls-").expect("a temporary folder");
        let made = Self { folder };
        let [authority, key, request, certificate] =
            ["ca.pem", "key.pem", "request.pem", "cert.pem"].map(|name| made.path(name));
        let authority_key = made.path("ca-key.pem");
        let [authority, key, request, certificate, authority_key] =
            [&authority, &key, &request, &certificate, &authority_key].map(|path| shown(path));
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        openssl(
            &[&["req", "-x509", "-days", "30", "-subj", "/CN=Strata tests"], &curve[..]].concat(),
            &["-keyout", authority_key, "-out", authority],
        );
        openssl(
            &[&["req", "-subj", "/CN=localhost"], &curve[..]].concat(),
            &["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", request],
        );
        openssl(
            &["x509", "-req", "-days", "30", "-copy_extensions", "copyall", "-set_serial", "2"],
            &["-in", request, "-CA", authority, "-CAkey", authority_key, "-out", certificate],
        );
        made
    }

    /// Whom a client has to trust, in PEM.
    pub fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// What the server shows, in PEM.
    pub fn certificate(&self) -> PathBuf {
        self.path("cert.pem")
    }

    /// The key of that, in PEM.
    pub fn key(&self) -> PathBuf {
        self.path("key.pem")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn shown(path: &Path) -> &str {
    path.to_str().expect("a temporary folder has a plain name")
}

fn openssl(first: &[&str], rest: &[&str]) {
    let mut command = Command::new("openssl");
    command.args(first).args(rest).stdin(Stdio::null());
    let output = command.output().expect("`openssl` is missing. Run: apt-get install --yes openssl");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
