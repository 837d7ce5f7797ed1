//! Everything that is tested through the public interface, against real servers, in one binary.

#![cfg(test)]

#[path = "it/servers.rs"]
mod servers;

#[path = "it/bus.rs"]
mod bus;
#[path = "it/cluster.rs"]
mod cluster;
#[path = "it/conformance.rs"]
mod conformance;
#[path = "it/faults.rs"]
mod faults;
#[cfg(feature = "fred")]
#[path = "it/fred.rs"]
mod fred;
#[path = "it/gathering.rs"]
mod gathering;
#[path = "it/lease.rs"]
mod lease;
#[path = "it/messages.rs"]
mod messages;
#[path = "it/network.rs"]
mod network;
#[path = "it/notes.rs"]
mod notes;
#[path = "it/removals.rs"]
mod removals;
#[path = "it/scripted.rs"]
mod scripted;
#[path = "it/skew.rs"]
mod skew;
#[path = "it/strangers.rs"]
mod strangers;
#[path = "it/takeover.rs"]
mod takeover;
#[cfg(feature = "tls")]
#[path = "it/tls.rs"]
mod tls;
