//! The suites once more where everything is asked for: TLS, a user with a password, a database, a name, several sockets.

use cache_redis::{Config, Connection, Tls};
use cache_testkit::redis::{Server, Setup};

use crate::conformance::all;
use crate::servers::patient;

#[test]
fn a_server_with_tls_user_password_and_database_keeps_every_promise() {
    let server = Server::with(&Setup::new().with_password("other").with_user("app", "s%cret").with_tls());
    let port = server.tls_port().expect("asked for");
    let authority = std::fs::read(server.authority().expect("asked for")).expect("it is there");
    let config = Config::from_url(&format!("rediss://app:s%25cret@localhost:{port}/3")).expect("legal");
    let tls = Tls::new().with_authorities(authority);
    let config = patient(config).with_tls(tls).with_client_name("suite").with_pool_size(4);
    all(&config);
    assert!(server.info("db3").is_some(), "nothing was kept in database 3");
}

#[tokio::test]
async fn each_socket_says_who_it_is() {
    let server = Server::with(&Setup::new().with_user("app", "secret"));
    let config = Config::from_url(&format!("redis://app:secret@{}", server.address())).expect("legal");
    let config = patient(config).with_client_name("named").with_pool_size(4);
    let connection = Connection::open(config).expect("legal");
    for _ in 0..8 {
        connection.ping().await.expect("it is there");
    }
    let clients = server.call(&["CLIENT", "LIST"]).text().to_owned();
    let ours: Vec<&str> = clients.lines().filter(|line| line.contains("name=named")).collect();
    assert!(!ours.is_empty() && ours.len() <= 4, "{clients}");
    assert!(ours.iter().all(|line| line.contains("user=app") && line.contains("resp=3")), "{clients}");
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_refused() {
    let server = Server::with(&Setup::new().with_tls());
    let other = Server::with(&Setup::new().with_tls());
    let authority = std::fs::read(other.authority().expect("asked for")).expect("it is there");
    let text = format!("rediss://localhost:{}", server.tls_port().expect("asked for"));
    for tls in [Tls::new(), Tls::new().with_authorities(authority)] {
        let config = patient(Config::from_url(&text).expect("legal").with_tls(tls));
        let error = Connection::open(config).expect("legal").ping().await.expect_err("nobody vouches for it");
        assert!(format!("{error:?}").contains("invalid peer certificate"), "{error:?}");
    }
}
