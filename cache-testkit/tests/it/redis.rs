//! Real servers: they do what the kit says of them, and nothing of them is left.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use cache_core::{Clock, SystemClock};
use cache_testkit::redis::{Cluster, PATIENCE, Proxy, Reply, Sentinels, Server, Setup, until};

fn ping(address: std::net::SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    (&stream).write_all(b"PING\r\n")?;
    Ok(stream)
}

/// All that comes until the connection ends.
fn rest(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

fn exact<const N: usize>(mut stream: &TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).expect("an answer");
    bytes
}

#[test]
fn a_server_is_killed_and_comes_back_empty() {
    let mut server = Server::start();
    server.call(&["SET", "k", "v"]);
    assert_eq!(server.call(&["GET", "k"]), Reply::Text("v".into()));
    server.kill();
    assert!(TcpStream::connect(server.address()).is_err());
    server.restart();
    assert_eq!(server.call(&["GET", "k"]), Reply::Nil);
}

#[test]
fn a_stopped_server_answers_when_it_goes_on() {
    let server = Server::start();
    server.stop();
    let stream = ping(server.address()).expect("the system accepts for it");
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("legal");
    let waited = (&stream).read(&mut [0; 1]).expect_err("it is stopped");
    assert!(matches!(waited.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
    server.cont();
    stream.set_read_timeout(Some(PATIENCE)).expect("legal");
    assert_eq!(&exact(&stream), b"+PONG\r\n");
}

#[test]
fn a_replica_refuses_writes_and_a_full_server_too() {
    let [server, primary] = [Server::start(), Server::start()];
    primary.call(&["SET", "k", "v"]);
    server.make_replica_of(&primary);
    assert_eq!(server.call(&["GET", "k"]), Reply::Text("v".into()));
    assert!(server.call(&["SET", "k", "w"]).text().starts_with("READONLY"));
    server.make_primary();
    server.fill_memory();
    assert!(server.call(&["SET", "k", "w"]).text().starts_with("OOM"));
    server.free_memory();
    assert_eq!(server.call(&["SET", "k", "w"]).text(), "OK");
}

#[test]
fn a_password_a_user_and_tls_are_asked_for() {
    let server = Server::with(&Setup::new().with_password("secret").with_user("app", "word").with_tls());
    let refused = ping(server.address()).expect("it listens");
    assert_eq!(&exact(&refused), b"-NOAUTH");
    assert_eq!(server.call(&["ACL", "WHOAMI"]).text(), "default");
    let tls = ping((std::net::Ipv4Addr::LOCALHOST, server.tls_port().expect("asked for")).into());
    assert!(!rest(&tls.expect("it listens")).starts_with(b"-NOAUTH"), "plain text where TLS is asked for");
    assert!(server.authority().is_some_and(|file| file.is_file()));
}

#[test]
fn nothing_is_left_of_a_server_whose_test_has_panicked() {
    let (address, folder) = {
        let (tell, told) = std::sync::mpsc::channel();
        let panicked = std::thread::spawn(move || {
            let server = Server::start();
            let folder = server.call(&["CONFIG", "GET", "dir"]).parts()[1].text().to_owned();
            tell.send((server.address(), folder)).expect("it is awaited");
            panic!("as a failed test does");
        });
        assert!(panicked.join().is_err());
        told.recv().expect("it was started")
    };
    assert!(TcpStream::connect(address).is_err());
    assert!(!std::path::Path::new(&folder).exists());
}

/// This very test again, as a process of its own: there it starts a server and dies without a word.
#[test]
fn nothing_is_left_of_a_server_whose_process_has_died() {
    const VARIABLE: &str = "STRATA_TEST_DIES";
    if std::env::var_os(VARIABLE).is_some() {
        let server = Server::start();
        let folder = server.call(&["CONFIG", "GET", "dir"]).parts()[1].text().to_owned();
        println!("at {} {folder} .", server.address());
        std::process::abort();
    }
    let mut command = Command::new(std::env::current_exe().expect("it runs"));
    command.args(["redis::nothing_is_left_of_a_server_whose_process_has_died", "--exact", "--nocapture"]);
    let output = command.env(VARIABLE, "1").output().expect("it starts");
    assert!(!output.status.success(), "it should have died");
    let text = String::from_utf8_lossy(&output.stdout);
    let (_, told) = text.split_once("at ").expect("it tells where the server is");
    let mut words = told.split(' ');
    let address: std::net::SocketAddr = words.next().and_then(|it| it.parse().ok()).expect("an address");
    let folder = words.next().expect("a folder");
    until("server and folder are gone", || {
        TcpStream::connect(address).is_err() && !std::path::Path::new(folder).exists()
    });
}

#[test]
fn sentinels_agree_on_another_primary() {
    let mut group = Sentinels::start();
    let first = group.primary().port();
    group.primary().call(&["SET", "k", "v"]);
    group.fail_over();
    let second = group.primary().port();
    assert_ne!(second, first);
    group.kill_primary();
    assert_ne!(group.primary().port(), second);
    assert_eq!(group.primary().call(&["SET", "k", "w"]).text(), "OK");
}

#[test]
fn a_cluster_moves_slots_and_replaces_a_dead_primary() {
    let mut cluster = Cluster::with_replicas(1);
    let owner =
        |cluster: &Cluster| (0..3).find(|number| cluster.owns(*number, 12_182)).expect("each has one");
    // `foo` has slot 12182 by the specification of Redis Cluster.
    assert_eq!(owner(&cluster), 2);
    cluster.servers()[2].call(&["SET", "foo", "v"]);
    cluster.move_slot(12_182, 0);
    assert_eq!(owner(&cluster), 0);
    assert_eq!(cluster.servers()[0].call(&["GET", "foo"]), Reply::Text("v".into()));
    assert!(cluster.servers()[2].call(&["GET", "foo"]).text().starts_with("MOVED"));
    cluster.kill(1);
    let replica = &cluster.servers()[4];
    assert_eq!(replica.info("role").as_deref(), Some("master"));
}

#[test]
fn a_proxy_cuts_refuses_holds_and_half_closes() {
    let server = Server::start();
    let proxy = Proxy::to(server.address());
    let first = ping(proxy.address()).expect("it listens");
    assert_eq!(&exact(&first), b"+PONG\r\n");
    proxy.cut();
    assert_eq!(rest(&first), b"");

    proxy.refuse();
    assert_eq!(rest(&ping(proxy.address()).expect("it listens")), b"");
    proxy.heal();

    proxy.hold();
    let held = ping(proxy.address()).expect("it listens");
    held.set_read_timeout(Some(Duration::from_millis(50))).expect("legal");
    assert!((&held).read(&mut [0; 1]).is_err(), "nothing comes through");
    held.set_read_timeout(Some(PATIENCE)).expect("legal");
    proxy.heal();
    assert_eq!(&exact(&held), b"+PONG\r\n");

    proxy.half_close();
    assert_eq!(rest(&held), b"");
    assert_eq!(proxy.accepted(), 3);
}

#[test]
fn a_proxy_ends_an_answer_in_the_middle_once() {
    let server = Server::start();
    let proxy = Proxy::to(server.address());
    proxy.cut_after(3);
    assert_eq!(rest(&ping(proxy.address()).expect("it listens")), b"+PO");
    assert_eq!(&exact(&ping(proxy.address()).expect("it listens")), b"+PONG\r\n");
}

#[test]
fn a_proxy_delays_and_throttles() {
    let server = Server::start();
    let proxy = Proxy::to(server.address());
    let clock = SystemClock::new();
    proxy.delay(Duration::from_millis(100));
    let begun = clock.now();
    assert_eq!(&exact(&ping(proxy.address()).expect("it listens")), b"+PONG\r\n");
    assert!(clock.now().since(begun) >= Duration::from_millis(100), "it came at once");
    proxy.heal();
    proxy.throttle(70);
    let begun = clock.now();
    assert_eq!(&exact(&ping(proxy.address()).expect("it listens")), b"+PONG\r\n");
    assert!(clock.now().since(begun) >= Duration::from_millis(100), "seven bytes at 70 a second");
}

#[test]
fn a_configuration_that_is_not_legal_is_told_at_once() {
    let started = std::panic::catch_unwind(|| Server::with(&Setup::new().with_line("no-such-setting 1")));
    let panic = started.expect_err("there is no such setting");
    let told = panic.downcast_ref::<String>().expect("a text");
    assert!(told.contains("no-such-setting"), "{told}");
}
