//! Everything that is tested through the public interface, against real servers, in one binary.

#![cfg(test)]

#[path = "it/servers.rs"]
mod servers;

#[path = "it/conformance.rs"]
mod conformance;
#[cfg(feature = "tls")]
#[path = "it/tls.rs"]
mod tls;
