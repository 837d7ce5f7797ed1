//! Real servers: Redis, its Sentinels and its Cluster, on free ports of this machine, for as long as a test holds them.
//!
//! ```text
//! test process ──stdin──► sh ──► redis-server      the end of the test process, however it ends, closes stdin:
//!                          └ rm -rf folder         the shell kills the server and removes its folder
//!
//! test ──► proxy ──► server                        cut, hold, delay, throttle, half-close, end in mid-reply
//! ```
//!
//! A server that is missing fails the test with the command that installs it. Everything here blocks its caller, so a
//! test with tasks of its own runs on more than one thread. Nothing here knows what a cache stores.

#![expect(
    clippy::missing_panics_doc,
    reason = "where a server cannot be had, the test that needs it has failed"
)]

mod cluster;
mod process;
mod proxy;
mod resp;
mod sentinel;
mod server;
mod wait;

pub use cluster::Cluster;
pub use proxy::Proxy;
pub use resp::Reply;
pub use sentinel::Sentinels;
pub use server::{Server, Setup};
pub use wait::{PATIENCE, until};
