//! One primary, two replicas, and three Sentinels that agree on who is the primary.

#![expect(clippy::expect_used, reason = "where a server cannot be had, the test that needs it has failed")]

use std::net::{Ipv4Addr, SocketAddr};

use super::process::Process;
use super::resp::{self, Reply};
use super::server::{Server, Setup, free_port};
use super::wait::{PATIENCE, until, within};

/// A primary with two replicas, and three Sentinels, which fail over half a second after the primary is gone.
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<Server>,
    sentinels: Vec<Watcher>,
}

#[derive(Debug)]
struct Watcher {
    process: Process,
    port: u16,
}

impl Sentinels {
    /// The name under which the Sentinels know their primary.
    pub const NAME: &'static str = "main";

    /// Starts all six, and waits until they know each other.
    pub fn start() -> Self {
        let servers: Vec<Server> = (0..3).map(|_| Server::with(&Setup::new())).collect();
        for replica in &servers[1..] {
            replica.make_replica_of(&servers[0]);
        }
        let sentinels = (0..3).map(|_| Watcher::start(servers[0].port())).collect();
        let group = Self { servers, sentinels };
        until("each Sentinel knows two replicas and two other Sentinels", || {
            group.sentinels.iter().all(|sentinel| {
                [("num-slaves", "2"), ("num-other-sentinels", "2")]
                    .iter()
                    .all(|(field, count)| sentinel.says_of_primary(field).as_deref() == Some(count))
            })
        });
        group
    }

    /// Where the Sentinels listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sentinels.iter().map(Watcher::address).collect()
    }

    /// The server that the first Sentinel takes for the primary.
    pub fn primary(&self) -> &Server {
        let port = self.sentinels[0].primary().expect("a Sentinel knows its primary");
        let found = self.servers.iter().find(|server| server.port() == port);
        found.expect("it is one of ours")
    }

    /// The three servers.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Kills the primary, and returns when all Sentinels have agreed on another one that accepts writes.
    pub fn kill_primary(&mut self) {
        let port = self.primary().port();
        let dead = self.servers.iter_mut().find(|server| server.port() == port);
        dead.expect("it is one of ours").kill();
        self.wait_for_another_than(port);
    }

    /// Lets the Sentinels make another server the primary while the present one lives on, as a replica.
    pub fn fail_over(&self) {
        let port = self.primary().port();
        let command = ["SENTINEL", "FAILOVER", Self::NAME];
        until("a failover is begun", || self.sentinels[0].ask(&command).text() == "OK");
        self.wait_for_another_than(port);
        // What it took as a primary after the other one had become one, it would lose.
        let old = self.servers.iter().find(|server| server.port() == port).expect("it is one of ours");
        until("the old primary knows that it is none", || old.info("role").as_deref() == Some("slave"));
    }

    fn wait_for_another_than(&self, port: u16) {
        until("another server is the primary", || {
            let named: Vec<_> = self.sentinels.iter().map(Watcher::primary).collect();
            named[0] != Some(port)
                && named.iter().all(|name| *name == named[0])
                && self.primary().info("role").as_deref() == Some("master")
        });
    }
}

impl Watcher {
    fn start(primary: u16) -> Self {
        let name = Sentinels::NAME;
        for _ in 0..10 {
            let port = free_port();
            let lines = format!(
                "port {port}\nbind 127.0.0.1\nsentinel monitor {name} 127.0.0.1 {primary} 2\n\
                 sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 2000\n\
                 sentinel parallel-syncs {name} 2\n"
            );
            let watcher = Self { process: Process::start("redis-sentinel", &lines), port };
            if watcher.answers() {
                return watcher;
            }
        }
        panic!("no free port in ten attempts");
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn ask(&self, command: &[&str]) -> Reply {
        resp::ask(self.address(), &[command]).expect("a Sentinel answers")
    }

    fn primary(&self) -> Option<u16> {
        let address = self.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Sentinels::NAME]);
        address.parts().get(1)?.text().parse().ok()
    }

    fn says_of_primary(&self, field: &str) -> Option<String> {
        let told = self.ask(&["SENTINEL", "MASTER", Sentinels::NAME]);
        let pair = told.parts().chunks(2).find(|pair| pair[0].text() == field)?;
        Some(pair.get(1)?.text().to_owned())
    }

    fn answers(&self) -> bool {
        let ready = || resp::ask(self.address(), &[&["PING"]]).is_ok_and(|reply| reply.text() == "PONG");
        let refused = || self.process.log().contains("Failed listening on port");
        within(PATIENCE, || ready() || refused()) && !refused()
    }
}
