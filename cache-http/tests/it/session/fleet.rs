//! Sessions in a real Redis: on all nodes, over a restart, and with nothing in the store that could be stolen.

use std::sync::Arc;
use std::time::Duration;

use cache_http::session::{SessionId, Sessions};
use cache_testkit::clock::ManualClock;
use cache_testkit::redis::{Reply, Server};
use strata::codec::Keyring;
use strata::redis::{Config, Connection, RedisStore, RedisTransport};
use strata::{Bus, Tier};
use tokio::time::timeout;

use super::{by, key};

const LIMIT: Duration = Duration::from_secs(20);

fn node(server: &Server, keys: Keyring) -> Sessions<String> {
    let config = Config::from_url(&server.url()).expect("a legal address");
    let connection =
        Connection::open(config.with_command_timeout(Duration::from_millis(500))).expect("legal");
    let bus = Bus::builder(Arc::new(RedisTransport::new(connection.clone()))).open().expect("legal");
    let tier = Tier::new(Arc::new(RedisStore::new(connection)));
    Sessions::new(by(&ManualClock::new(), keys).tier(tier).bus(bus).build().expect("legal"))
}

/// Begins a session on one node that another one knows: one that has just begun may not have reached Redis yet.
async fn shared(from: &Sessions<String>, to: &Sessions<String>, user: &str) -> SessionId {
    let sharing = async {
        loop {
            let id = from.create(Some(user), format!("data of {user}")).await.expect("begun");
            for _ in 0..20 {
                if is_there(to, &id).await {
                    return id;
                }
            }
        }
    };
    timeout(LIMIT, sharing).await.expect("sooner or later")
}

async fn is_there(sessions: &Sessions<String>, id: &SessionId) -> bool {
    sessions.read(id).await.expect("no error").is_some()
}

async fn until_gone(sessions: &Sessions<String>, id: &SessionId) {
    let going = async { while is_there(sessions, id).await {} };
    timeout(LIMIT, going).await.expect("sooner or later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_outlive_their_process_and_end_on_all_nodes() {
    let server = Server::start();
    let keys = || Keyring::new(1, key(1));
    let (one, other) = (node(&server, keys()), node(&server, keys()));
    let first = shared(&one, &other, "ada").await;
    let second = shared(&other, &one, "ada").await;
    let bobs = shared(&one, &other, "bob").await;
    drop(one);
    let again = node(&server, keys());
    for id in [&first, &second, &bobs] {
        timeout(LIMIT, async { while !is_there(&again, id).await {} }).await.expect("after a restart");
    }
    other.update(&bobs, "changed elsewhere".to_owned()).await.expect("no error");
    let seen = async {
        while again.read(&bobs).await.expect("no error").expect("there").data() != "changed elsewhere" {}
    };
    timeout(LIMIT, seen).await.expect("sooner or later");

    other.revoke_all("ada").await.expect("no error");
    for sessions in [&again, &other] {
        until_gone(sessions, &first).await;
        until_gone(sessions, &second).await;
    }
    assert!(is_there(&again, &bobs).await);
    again.revoke(&bobs).await.expect("no error");
    until_gone(&other, &bobs).await;
    assert!(!is_there(&node(&server, keys()), &bobs).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_the_store_tells_an_id_a_user_or_what_is_in_a_session() {
    let server = Server::start();
    let (one, other) = (node(&server, Keyring::new(1, key(1))), node(&server, Keyring::new(1, key(1))));
    let id = shared(&one, &other, "ada@example.org").await.to_string();
    let stored = dump(&server);
    assert!(stored.contains("sessions"), "the session is there: {stored}");
    // Digests are told in hexadecimal digits, of which "ada" alone is three.
    for (what, secret) in [("the id", id.as_str()), ("the user", "ada@"), ("the data", "data of")] {
        assert!(!stored.contains(secret), "{what} stands in the store: {stored}");
    }
}

/// All keys and values, as far as they are text.
fn dump(server: &Server) -> String {
    server.call(&["CONFIG", "SET", "rdbcompression", "no"]);
    let Reply::Array(keys) = server.call(&["KEYS", "*"]) else { panic!("no keys") };
    let entry = |key: &Reply| format!("{} {}\n", key.text(), server.call(&["DUMP", key.text()]).text());
    keys.iter().map(entry).collect::<Vec<_>>().concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_changed_without_a_log_out_and_who_has_none_reads_nothing() {
    let server = Server::start();
    let ring = |seals: u8, opens: u8| {
        Keyring::new(seals.into(), key(seals)).with_key_to_open(opens.into(), key(opens))
    };
    let (old, both) = (node(&server, Keyring::new(1, key(1))), node(&server, ring(2, 1)));
    let before = shared(&old, &both, "ada").await;
    let after = shared(&both, &node(&server, ring(1, 2)), "ada").await;
    let new = node(&server, Keyring::new(2, key(2)));
    timeout(LIMIT, async { while !is_there(&new, &after).await {} }).await.expect("sealed with the new key");
    assert!(!is_there(&new, &before).await, "sealed with a key that it does not have");
    let stranger = node(&server, Keyring::new(2, key(3)));
    assert!(!is_there(&stranger, &after).await);
}
