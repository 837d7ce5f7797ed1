//! The suites once more where everything is asked for: TLS, a user with a password, a database, a name, several sockets.

use cache_redis::{Config, Connection, Tls};
use cache_testkit::redis::{Server, Setup};

use crate::conformance::all;
use crate::servers::patient;

#[tokio::test]
async fn a_server_with_tls_user_password_and_database_keeps_every_promise() {
    let server = Server::with(&Setup::new().with_password("other").with_user("app", "s%cret").with_tls());
    let port = server.tls_port().expect("asked for");
    let authority = std::fs::read(server.authority().expect("asked for")).expect("it is there");
    let config = Config::from_url(&format!("rediss://app:s%25cret@localhost:{port}/3")).expect("legal");
    let tls = Tls::new().with_authorities(authority);
    let config = patient(config).with_tls(tls).with_client_name("suite").with_pool_size(4);
    let connection = Connection::open(config).expect("legal");
    all(&connection).await;
    let clients = server.call(&["CLIENT", "LIST"]).text().to_owned();
    let ours: Vec<&str> = clients.lines().filter(|line| line.contains("name=suite")).collect();
    assert!(ours.len() >= 4 && ours.iter().all(|line| line.contains("user=app")), "{clients}");
    assert!(server.info("db3").is_some(), "nothing was kept in database 3");
}
