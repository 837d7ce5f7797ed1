//! TLS by the server itself: who gets in, who is told why not, and how a certificate is changed.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use cache_server::Settings;
use cache_testkit::tls::Certificates;
use http_body_util::Full;
use hyper::Request;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{Answer, Raw, send_over, soon};
use crate::process::Process;
use crate::server::{Running, settings};

fn with(certificates: &Certificates) -> String {
    let quoted = |path: &Path| format!("{:?}", path.to_str().expect("text"));
    format!(
        "tls_cert_file = {}\ntls_key_file = {}\n",
        quoted(&certificates.certificate()),
        quoted(&certificates.key())
    )
}

/// A client that trusts this authority alone and speaks this version, and how its handshake goes.
async fn shake(
    address: SocketAddr,
    authority: &Certificates,
    spoken: &'static SupportedProtocolVersion,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let pem = CertificateDer::from_pem_file(authority.authority()).expect("a certificate");
    roots.add(pem).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[spoken]);
    let mut config = config.expect("known versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TcpStream::connect(address).await.expect("it listens");
    soon(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

async fn connect(address: SocketAddr, authority: &Certificates) -> TlsStream<TcpStream> {
    shake(address, authority, &version::TLS13).await.expect("a handshake")
}

async fn get(address: SocketAddr, authority: &Certificates, path: &str) -> Answer {
    let request = Request::get(path).body(Full::default()).expect("legal");
    send_over(connect(address, authority).await, address, request).await
}

/// What has become of handshakes so far.
async fn handshakes(address: SocketAddr, authority: &Certificates, result: &str) -> u64 {
    let scrape = get(address, authority, "/metrics").await.expect(200).text();
    let start = format!("cache_tls_handshakes_total{{result=\"{result}\"}} ");
    let line = scrape.lines().find_map(|line| line.strip_prefix(&start)).expect("a line");
    line.parse().expect("a number")
}

const GET: &str = "GET /v1/entries/k HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn what_is_stored_over_tls_comes_back_in_both_versions() {
    let certificates = Certificates::new();
    let server = Running::start(&with(&certificates)).await;
    let large = vec![b'x'; 1 << 20];
    for spoken in [&version::TLS12, &version::TLS13] {
        let stream = shake(server.address, &certificates, spoken).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let request = Request::put("/v1/entries/k").body(Full::from(large.clone())).expect("legal");
        let stored = send_over(stream, server.address, request).await;
        assert!([201, 204].contains(&stored.status), "{}", stored.text());
        assert!(get(server.address, &certificates, "/v1/entries/k").await.expect(200).body == large);
    }
    // Sixteen requests in one record.
    let mut raw = Raw(connect(server.address, &certificates).await);
    raw.write("GET /v1/entries/none HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(16)).await;
    for _ in 0..16 {
        raw.answer().await.problem(404);
    }
    assert_eq!(handshakes(server.address, &certificates, "failed").await, 0);
}

/// By a client of another make, which checks the chain and the name.
#[tokio::test]
async fn a_client_of_another_make_gets_in() {
    let certificates = Certificates::new();
    let server = Running::start(&with(&certificates)).await;
    let mut command = Command::new("openssl");
    command.args([
        "s_client",
        "-quiet",
        "-verify_return_error",
        "-verify_hostname",
        "localhost",
        "-alpn",
        "http/1.1",
    ]);
    command.args(["-connect", &server.address.to_string(), "-CAfile"]).arg(certificates.authority());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut client = command.spawn().expect("`openssl` is missing. Run: apt-get install --yes openssl");
    let request = "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut input = client.stdin.take().expect("piped");
    soon(input.write_all(request.as_bytes())).await.expect("it reads");
    let output = soon(client.wait_with_output()).await.expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("live\n"), "{text} {output:?}");
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_drops_none() {
    let (old, new) = (Certificates::new(), Certificates::new());
    let server = Running::start(&with(&old)).await;
    let mut held = Raw(connect(server.address, &old).await);
    held.write(GET).await;
    held.answer().await.problem(404);

    let restarts = server.handle.reload(settings(&with(&new))).expect("a right certificate");
    assert!(restarts.is_empty(), "{restarts:?}");
    held.write(GET).await;
    held.answer().await.problem(404);
    get(server.address, &new, "/livez").await.expect(200);
    let refused = shake(server.address, &old, &version::TLS13).await.expect_err("nobody vouches for it");
    assert!(refused.to_string().contains("invalid peer certificate"), "{refused}");

    // What says nothing of TLS any more does not open the port.
    let restarts = server.handle.reload(settings("")).expect("right settings");
    assert_eq!(restarts, ["tls_cert_file"]);
    get(server.address, &new, "/livez").await.expect(200);
}

/// The whole way: files on a disk, a signal, and what the log says.
#[tokio::test]
async fn on_sighup_a_certificate_is_renewed_and_a_broken_file_keeps_the_old_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let install = |from: &Certificates| {
        std::fs::copy(from.certificate(), &certificate).expect("a writable folder");
        std::fs::copy(from.key(), &key).expect("a writable folder");
    };
    let (old, new) = (Certificates::new(), Certificates::new());
    install(&old);
    let paths = [&certificate, &key].map(|path| path.to_str().expect("text"));
    let flags = ["--listen", "127.0.0.1:0", "--tls-cert-file", paths[0], "--tls-key-file", paths[1]];
    let mut process = Process::start(&flags, &[]).await;
    get(process.address, &old, "/livez").await.expect(200);

    std::fs::write(&certificate, "not a certificate").expect("a writable folder");
    process.signal("-HUP").await;
    let said = process.says("stay as they were").await;
    assert!(said.contains("tls_cert_file = ") && said.contains(paths[0]), "{said}");
    assert!(said.contains("holds no certificate"), "{said}");
    get(process.address, &old, "/livez").await.expect(200);

    install(&new);
    process.signal("-HUP").await;
    process.says("were read again").await;
    get(process.address, &new, "/livez").await.expect(200);
    process.signal("-TERM").await;
    assert!(process.ended().await.success());
}

#[test]
fn a_file_that_is_wrong_is_named_with_the_reason() {
    let (one, other) = (Certificates::new(), Certificates::new());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let nothing = folder.path().join("nothing.pem");
    std::fs::write(&nothing, "nothing").expect("a writable file");
    let torn = folder.path().join("torn.pem");
    let whole = std::fs::read_to_string(one.key()).expect("text");
    std::fs::write(&torn, &whole[..whole.len() / 2]).expect("a writable file");
    let missing = folder.path().join("missing.pem");
    let cases = [
        (one.certificate(), other.key(), "tls_key_file", "does not go with tls_cert_file"),
        (nothing.clone(), one.key(), "tls_cert_file", "holds no certificate"),
        (one.certificate(), nothing, "tls_key_file", "holds no private key"),
        (one.certificate(), torn, "tls_key_file", "is not PEM"),
        (missing.clone(), one.key(), "tls_cert_file", "cannot be read"),
        (one.certificate(), missing, "tls_key_file", "cannot be read"),
        (one.key(), one.key(), "tls_cert_file", "holds no certificate"),
    ];
    for (certificate, key, name, reason) in cases {
        let path = if name == "tls_cert_file" { &certificate } else { &key };
        let path = path.to_str().expect("text").to_owned();
        let text = format!("tls_cert_file = {certificate:?}\ntls_key_file = {key:?}");
        let error = Settings::from_toml(&text).expect_err(reason).to_string();
        assert!(error.contains(name) && error.contains(&path) && error.contains(reason), "{error}");
        assert!(!error.contains("PRIVATE KEY-----\n"), "{error}");
    }
    for alone in ["tls_cert_file", "tls_key_file"] {
        let error = Settings::from_toml(&format!("{alone} = \"x\"")).expect_err("alone").to_string();
        assert!(error.contains(&format!("{alone} is given")) && error.contains("TLS needs both"), "{error}");
    }
}

#[tokio::test]
async fn half_a_handshake_is_closed_in_time_and_counted_and_others_do_not_wait_for_it() {
    let certificates = Certificates::new();
    let server = Running::start(&(with(&certificates) + "header_timeout = \"500ms\"")).await;
    let mut slow = Vec::new();
    for at in 0..40 {
        let mut raw = server.raw().await;
        // The head of a record that never comes, or nothing at all.
        raw.write(if at % 2 == 0 { &[22, 3, 1, 2, 0, 1][..] } else { &[] }).await;
        slow.push(raw);
    }
    get(server.address, &certificates, "/livez").await.expect(200);
    for mut raw in slow {
        assert_eq!(raw.rest().await, "");
    }
    assert_eq!(handshakes(server.address, &certificates, "late").await, 40);
}

#[tokio::test]
async fn who_speaks_plainly_to_a_port_with_tls_is_told_so_and_counted() {
    let certificates = Certificates::new();
    let server = Running::start(&with(&certificates)).await;
    let body = "x".repeat(256 << 10);
    let length = body.len();
    for request in [
        GET.to_owned(),
        format!("PUT /v1/entries/k HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}"),
    ] {
        let mut raw = server.raw().await;
        raw.write(request).await;
        let refusal = raw.answer().await;
        assert!(refusal.problem(400)["detail"].to_string().contains("https://"));
        soon(raw.0.shutdown()).await.expect("an open connection");
        assert_eq!(raw.rest().await, "");
    }
    let mut unspoken = server.raw().await;
    soon(unspoken.0.shutdown()).await.expect("an open connection");
    assert_eq!(unspoken.rest().await, "");
    assert_eq!(handshakes(server.address, &certificates, "plain").await, 2);
    assert_eq!(handshakes(server.address, &certificates, "failed").await, 0);
    get(server.address, &certificates, "/v1/entries/k").await.problem(404);
}

#[tokio::test]
async fn what_is_older_than_tls_1_2_is_refused() {
    let certificates = Certificates::new();
    let server = Running::start(&with(&certificates)).await;
    // A hello of TLS 1.1: its version, a random, no session, one suite, no compression, and how it signs.
    let signs = [0, 8, 0, 13, 0, 4, 0, 2, 4, 3];
    let hello = [&[3, 2][..], &[7; 32], &[0], &[0, 2, 0xc0, 0x13], &[1, 0], &signs].concat();
    let length = u8::try_from(hello.len()).expect("short");
    let record = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &hello].concat();
    let mut raw = server.raw().await;
    raw.write(record).await;
    let mut alert = Vec::new();
    let _ = soon(raw.0.read_to_end(&mut alert)).await;
    assert_eq!(alert.get(..1), Some(&[21][..]), "{alert:?}");
    assert_eq!(alert.get(5..7), Some(&[2, 70][..]), "fatal, protocol_version: {alert:?}");
    assert_eq!(handshakes(server.address, &certificates, "failed").await, 1);
}

#[tokio::test]
async fn who_asks_over_tls_and_does_not_read_is_closed() {
    let certificates = Certificates::new();
    let server =
        Running::start(&(with(&certificates) + "body_timeout = \"500ms\"\nmax_connections = 1")).await;
    let large = Full::from(vec![b'x'; 1 << 20]);
    let put = Request::put("/v1/entries/k").body(large).expect("legal");
    send_over(connect(server.address, &certificates).await, server.address, put).await.expect(201);
    let mut greedy = Raw(soon(admitted(server.address, &certificates)).await);
    greedy.write(GET.repeat(60)).await;
    soon(admitted(server.address, &certificates)).await;
    assert!(greedy.rest().await.len() < 60 << 20, "only what was under way arrives");
}

/// Tries until there is a place.
async fn admitted(address: SocketAddr, authority: &Certificates) -> TlsStream<TcpStream> {
    loop {
        if let Ok(stream) = shake(address, authority, &version::TLS13).await {
            return stream;
        }
    }
}

#[tokio::test]
async fn a_warmer_asks_over_tls_whom_somebody_vouches_for_and_nobody_else() {
    let (certificates, strangers) = (Certificates::new(), Certificates::new());
    let peer = Running::start(&with(&certificates)).await;
    let put = Request::put("/v1/entries/from-peer").body(Full::from("value")).expect("legal");
    send_over(connect(peer.address, &certificates).await, peer.address, put).await.expect(201);
    let warmer = |name: &str, authority: &Certificates| {
        let (port, file) = (peer.address.port(), authority.authority());
        let file = file.to_str().expect("text").to_owned();
        format!("[warmer.{name}]\nurl = \"https://localhost:{port}/v1/export\"\nca_file = {file:?}\n")
    };
    let server = Running::start(&(warmer("known", &certificates) + &warmer("strange", &strangers))).await;
    let told = soon(async {
        loop {
            let told = server.get("/v1/warming").await.expect(200).json();
            let all = told["strategies"].as_object().expect("strategies");
            if all.len() == 2 && all.values().all(|run| run["is_running"] == false) {
                return told["strategies"].clone();
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(
        (&told["known"]["success"], &told["known"]["items_processed"]),
        (&true.into(), &1.into()),
        "{told}"
    );
    assert_eq!(server.get("/v1/entries/from-peer").await.expect(200).text(), "value");
    let error = told["strange"]["errors"][0].as_str().expect("an error");
    assert!(
        error.contains("no safe connection to localhost") && told["strange"]["success"] == false,
        "{told}"
    );
}
