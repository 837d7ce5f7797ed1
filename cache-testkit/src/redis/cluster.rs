//! A Cluster: three primaries that share the slots, with a replica each if a test asks for them.

#![expect(clippy::expect_used, reason = "where a server cannot be had, the test that needs it has failed")]

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use super::resp::Reply;
use super::server::{Server, Setup, free_port};
use super::wait::until;

/// Three primaries of a Cluster, which ends when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Server>,
}

const SLOTS: [RangeInclusive<u16>; 3] = [0..=5460, 5461..=10_922, 10_923..=16_383];

impl Cluster {
    /// Starts three primaries.
    pub fn start() -> Self {
        Self::with_replicas(0)
    }

    /// Starts three primaries with this many replicas each, and waits until all agree on who has which slots.
    pub fn with_replicas(replicas: usize) -> Self {
        // Without replicas nothing is won by a quick verdict that a server is dead, and one that merely waits for a processor would
        // take the whole Cluster down.
        let timeout = if replicas == 0 { 5000 } else { 1000 };
        let servers: Vec<Server> = (0..3 * (1 + replicas)).map(|_| node(timeout)).collect();
        for (server, slots) in servers.iter().zip(SLOTS) {
            let [first, last] = [slots.start(), slots.end()].map(u16::to_string);
            ok(server, &["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
        }
        let first = &servers[0];
        for (epoch, server) in (1..).zip(&servers) {
            ok(server, &["CLUSTER", "SET-CONFIG-EPOCH", &i32::to_string(&epoch)]);
        }
        for server in &servers[1..] {
            let [port, bus] = [server.port(), bus_port(server)].map(|port| port.to_string());
            ok(first, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        let cluster = Self { servers };
        let count = cluster.servers.len().to_string();
        cluster.until_all("all know all", |server| says(server, "cluster_known_nodes") == count);
        for (number, replica) in cluster.servers[3..].iter().enumerate() {
            let primary = id(&cluster.servers[number % 3]);
            ok(replica, &["CLUSTER", "REPLICATE", &primary]);
            until("the replica is in step", || replica.info("master_link_status").as_deref() == Some("up"));
        }
        cluster.until_all("the Cluster is whole", |server| {
            says(server, "cluster_state") == "ok" && owners(server).parts().len() == 3
        });
        cluster
    }

    /// Where its servers listen, primaries first.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(Server::address).collect()
    }

    /// Its servers; the first three began as primaries.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Kills the server of this number, and returns when, if it had a replica, that has taken its place.
    pub fn kill(&mut self, number: usize) {
        let port = self.servers[number].port();
        self.servers[number].kill();
        if self.servers.len() > 3 {
            let living = || self.servers.iter().filter(|server| server.port() != port);
            until("the Cluster is whole again", || {
                living().all(|server| says(server, "cluster_state") == "ok" && !is_owner(server, port))
            });
        }
    }

    /// Gives a slot, with what is in it, to another primary.
    pub fn move_slot(&self, slot: u16, to: usize) {
        self.begin_moving(slot, to);
        while self.carry(slot, to, 100) > 0 {}
        self.end_moving(slot, to);
    }

    /// Begins to give a slot to another primary: from now on the owner sends whoever asks for what it does not have there.
    pub fn begin_moving(&self, slot: u16, to: usize) {
        let text = slot.to_string();
        let [source, target] = [self.owner(slot), to].map(|number| &self.servers[number]);
        ok(target, &["CLUSTER", "SETSLOT", &text, "IMPORTING", &id(source)]);
        ok(source, &["CLUSTER", "SETSLOT", &text, "MIGRATING", &id(target)]);
    }

    /// Carries at most so many keys of a slot that is being moved, and says how many there were to carry.
    pub fn carry(&self, slot: u16, to: usize, most: usize) -> usize {
        let source = &self.servers[self.owner(slot)];
        let port = self.servers[to].port().to_string();
        let keys = source.call(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &most.to_string()]);
        for key in keys.parts() {
            ok(source, &["MIGRATE", "127.0.0.1", &port, key.text(), "0", "5000"]);
        }
        keys.parts().len()
    }

    /// Tells both that the slot has been moved.
    pub fn end_moving(&self, slot: u16, to: usize) {
        let [source, target] = [self.owner(slot), to].map(|number| &self.servers[number]);
        for server in [target, source] {
            ok(server, &["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &id(target)]);
        }
    }

    /// The number of the primary that has the slot.
    ///
    /// # Panics
    /// Where none has it.
    pub fn owner(&self, slot: u16) -> usize {
        (0..3).find(|number| self.owns(*number, slot)).expect("somebody has each slot")
    }

    /// The slot of a name.
    pub fn slot(&self, name: &str) -> u16 {
        let slot = self.servers[0].call(&["CLUSTER", "KEYSLOT", name]).integer();
        slot.and_then(|slot| u16::try_from(slot).ok()).expect("every name has a slot")
    }

    /// Takes a slot from whoever has it; nobody has it then.
    pub fn abandon(&self, slot: u16) {
        let owner = self.owner(slot);
        // Who had it says so to others, so it is the first to let go of it.
        for number in [owner, (owner + 1) % 3, (owner + 2) % 3] {
            self.servers[number].call(&["CLUSTER", "DELSLOTS", &slot.to_string()]);
        }
    }

    /// Gives a slot that nobody has to the primary of this number.
    pub fn adopt(&self, slot: u16, number: usize) {
        ok(&self.servers[number], &["CLUSTER", "ADDSLOTS", &slot.to_string()]);
    }

    /// Whether the primary of this number has the slot, as it says itself.
    pub fn owns(&self, number: usize, slot: u16) -> bool {
        let server = &self.servers[number];
        owners(server).parts().iter().any(|range| {
            let bound = |at: usize| range.parts()[at].integer();
            let port = range.parts()[2].parts()[1].integer();
            bound(0) <= Some(slot.into())
                && Some(slot.into()) <= bound(1)
                && port == Some(server.port().into())
        })
    }

    fn until_all(&self, what: &str, is_so: impl Fn(&Server) -> bool) {
        until(what, || self.servers.iter().all(&is_so));
    }
}

/// A server that holds others for dead after so many milliseconds of silence.
fn node(timeout: u32) -> Server {
    let bus = free_port();
    let setup = Setup::new().with_line("cluster-enabled yes").with_line("cluster-config-file nodes");
    let setup = setup.with_line(format!("cluster-node-timeout {timeout}"));
    Server::with(&setup.with_line(format!("cluster-port {bus}")))
}

fn bus_port(server: &Server) -> u16 {
    let port = server.call(&["CONFIG", "GET", "cluster-port"]);
    port.parts()[1].text().parse().expect("a number")
}

fn id(server: &Server) -> String {
    server.call(&["CLUSTER", "MYID"]).text().to_owned()
}

fn says(server: &Server, field: &str) -> String {
    let info = server.call(&["CLUSTER", "INFO"]);
    let value = info.text().lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_default().trim().to_owned()
}

/// Which ranges of slots belong to whom.
fn owners(server: &Server) -> Reply {
    server.call(&["CLUSTER", "SLOTS"])
}

/// Whether the server at this port has slots, as another one sees it.
fn is_owner(seen_by: &Server, port: u16) -> bool {
    owners(seen_by).parts().iter().any(|range| range.parts()[2].parts()[1].integer() == Some(port.into()))
}

fn ok(server: &Server, command: &[&str]) {
    assert_eq!(server.call(command), Reply::Text("OK".into()), "{command:?}");
}
