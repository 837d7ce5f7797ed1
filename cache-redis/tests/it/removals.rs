//! A removal of many keys: no command of it looks at so many that others would have to wait, and it comes to its end whatever happens meanwhile.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::thread;

use cache_core::{Entry, Removed, Rest, Result, Store};
use cache_redis::{Config, Connection, RedisStore};
use cache_testkit::redis::{Cluster, Proxy, Sentinels, Server};

use crate::servers::{cluster_config, config, connection, hasty, key, patient, sentinel_config, succeeds};

const KEYS: usize = 50_000;
const LAST: &str = "the last word";

/// The commands that a server is given from now on until it is given the last word, as it tells them.
fn watched(server: &Server) -> thread::JoinHandle<Vec<Vec<String>>> {
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    stream.write_all(b"MONITOR\r\n").expect("it reads");
    let mut lines = BufReader::new(stream).lines();
    assert_eq!(lines.next().expect("it answers").expect("text"), "+OK");
    // 1339518083.107412 [0 127.0.0.1:60866] "unlink" "strata:e:1" "strata:e:2"
    let words = |line: String| -> Vec<String> {
        let words = line.split_once("] ").map_or("", |(_, words)| words);
        words.trim_matches('"').split("\" \"").map(str::to_owned).collect()
    };
    thread::spawn(move || {
        let told = lines.map(|line| words(line.expect("text")));
        told.take_while(|words| words.last().is_none_or(|word| word != LAST)).collect()
    })
}

#[tokio::test]
pub(crate) async fn no_command_of_a_removal_of_50_000_keys_looks_at_more_than_500() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    let entries = (0..KEYS).map(|number| (key(&format!("p:{number}")), Entry::new("v"))).collect();
    store.put_many(entries).await?;
    let told = watched(&server);
    assert_eq!(store.remove_prefix("p:").await?, Removed::Exactly(KEYS as u64));
    server.call(&["ECHO", LAST]);
    let told = told.join().expect("no panic");
    let (mut pages, mut unlinked, mut asked) = (0, 0, 0);
    for words in &told {
        match words[0].to_lowercase().as_str() {
            "scan" => {
                let count =
                    words.iter().position(|word| word.eq_ignore_ascii_case("count")).expect("it is bounded");
                assert!(words[count + 1].parse::<u64>().expect("a number") <= 500, "{words:?}");
                pages += 1;
            }
            "unlink" => {
                assert!(words.len() - 1 <= 500, "{} keys at once", words.len() - 1);
                unlinked += words.len() - 1;
            }
            // Whose cursors these are.
            "info" => {
                assert_eq!(words[1], "server");
                asked += 1;
            }
            "strlen" | "ping" | "time" => {}
            other => panic!("{other} may look at anything"),
        }
    }
    assert_eq!((unlinked, asked), (KEYS, 1));
    assert!(pages >= KEYS / 500, "{pages} pages");
    Ok(())
}

/// Enough for twenty pages.
const SOME: usize = 5_000;

/// A store of many keys that begin with `p:`, and a removal of those that begin like this, which has come to its fifth page.
struct Walk {
    store: RedisStore,
    prefix: &'static str,
    rest: Option<Rest>,
}

impl Walk {
    async fn begin(config: Config, prefix: &'static str) -> Self {
        let store = RedisStore::new(Connection::open(config).expect("legal"));
        let entries: Vec<_> =
            (0..SOME).map(|number| (key(&format!("p:{number}")), Entry::new("v"))).collect();
        for some in entries.chunks(500) {
            succeeds(async || store.put_many(some.to_vec()).await).await;
        }
        let mut walk = Self { store, prefix, rest: None };
        walk.go_on(5).await;
        walk
    }

    async fn part(&mut self) {
        let part =
            succeeds(async || self.store.remove_prefix_part(self.prefix, self.rest.as_ref()).await).await;
        self.rest = part.rest;
    }

    async fn go_on(&mut self, parts: usize) {
        for _ in 0..parts {
            self.part().await;
            assert!(self.rest.is_some(), "so few parts are not all");
        }
    }

    async fn end(&mut self) {
        while self.rest.is_some() {
            self.part().await;
        }
    }

    /// How many pages it takes from beginning to end.
    async fn pages(&mut self, server: &Server) -> u64 {
        let before = pages(server);
        self.part().await;
        self.end().await;
        pages(server) - before
    }
}

fn pages(server: &Server) -> u64 {
    let calls = server.info("cmdstat_scan").unwrap_or_default();
    let calls = calls.strip_prefix("calls=").and_then(|rest| rest.split_once(','));
    calls.map_or(0, |(calls, _)| calls.parse().expect("a number"))
}

fn left(server: &Server) -> Option<i64> {
    server.call(&["DBSIZE"]).integer()
}

#[tokio::test]
pub(crate) async fn a_removal_goes_on_over_another_connection_where_it_has_come_to() {
    let server = Server::start();
    let proxy = Proxy::to(server.address());
    let mut walk = Walk::begin(hasty(config(proxy.address())), "q:").await;
    let accepted = proxy.accepted();
    // However often that happens, it is no reason to begin anew.
    for _ in 0..3 {
        proxy.cut();
        walk.go_on(4).await;
    }
    walk.end().await;
    assert!(proxy.accepted() >= accepted + 3, "it was cut off");
    let asked = pages(&server);
    let once = walk.pages(&server).await;
    // A page may have been asked for twice each time: its answer was cut off.
    assert!((once..=once + 3).contains(&asked), "{asked} pages, of {once}");
}

#[tokio::test]
pub(crate) async fn a_removal_begins_anew_where_nobody_says_whose_cursors_these_are() {
    let server = Server::start();
    server.call(&["ACL", "SETUSER", "default", "-info"]);
    let proxy = Proxy::to(server.address());
    let mut walk = Walk::begin(hasty(config(proxy.address())), "q:").await;
    proxy.cut();
    walk.end().await;
    server.call(&["ACL", "SETUSER", "default", "+info"]);
    let asked = pages(&server);
    let once = walk.pages(&server).await;
    assert!((once + 5..=once + 6).contains(&asked), "{asked} pages, of {once}");
}

#[tokio::test]
pub(crate) async fn after_a_failover_a_removal_begins_anew_at_the_new_primary() {
    let group = Sentinels::start();
    let mut walk = Walk::begin(hasty(sentinel_config(&group)), "p:").await;
    let before = group.primary().port();
    group.fail_over();
    assert_ne!(group.primary().port(), before);
    walk.end().await;
    assert_eq!(left(group.primary()), Some(0), "it counts otherwise, so cursors of the other one skip some");
}

#[tokio::test]
pub(crate) async fn a_removal_finds_what_moves_to_a_server_that_it_has_done() {
    moves_meanwhile(Cluster::move_slot).await;
}

#[tokio::test]
pub(crate) async fn a_removal_finds_what_of_half_a_slot_moves_to_a_server_that_it_has_done() {
    moves_meanwhile(|cluster, slot, to| {
        cluster.begin_moving(slot, to);
        cluster.carry(slot, to, 1);
    })
    .await;
}

/// Has slots moved to the first server that is done.
async fn moves_meanwhile(moved: impl Fn(&Cluster, u16, usize)) {
    let cluster = Cluster::start();
    let mut walk = Walk::begin(patient(cluster_config(&cluster)), "p:").await;
    let done = loop {
        let empty = cluster.servers().iter().position(|server| left(server) == Some(0));
        match empty {
            Some(done) => break done,
            None => walk.go_on(1).await,
        }
    };
    walk.go_on(1).await;
    let not_done = |number: &usize| {
        let slot = cluster.slot(&format!("strata:e:p:{number}"));
        let owner = cluster.owner(slot);
        let count =
            || cluster.servers()[owner].call(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).integer();
        (owner != done && count() > Some(0)).then_some(slot)
    };
    let slots: Vec<u16> = (0..SOME).filter_map(|number| not_done(&number)).take(5).collect();
    assert_eq!(slots.len(), 5);
    for slot in slots {
        moved(&cluster, slot, done);
    }
    assert!(left(&cluster.servers()[done]) > Some(0));
    walk.end().await;
    for server in cluster.servers() {
        assert_eq!(left(server), Some(0));
    }
}
