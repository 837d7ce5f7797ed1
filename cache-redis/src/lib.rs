//! Redis as a place of Strata: entries, messages, limits and leases over a single server, Sentinel or Cluster.
//!
//! ```text
//! RedisStore ─ RedisTransport ─ RedisCounters ─ RedisLease          the four seams
//!      │             │                └─ script ─┘                  read, decide and write as one step, by server time
//! Connection ── deadline ── bound on calls ── redirects             every call ends, in time
//!      │
//! route ── one server │ whom Sentinel names │ who has the slot
//!      │
//! node ── N links ── link ── supervisor: connect, watch, probe, connect again
//!                      │
//!                    driver: `redis`, or `fred`              the protocol on one connection, and nothing else
//! ```
//!
//! A call never waits for a reconnection longer than for its own deadline, and fails at once while the server is known to be
//! away. Nothing here retries what may have taken effect, breaks circuits or knows what an entry means; the layers above do.
//!
//! Redis 7 or later, or whatever speaks its protocol (RESP3).

mod backoff;
mod clock;
mod config;
mod conn;
mod counters;
mod driver;
mod fault;
mod lease;
mod marks;
mod notes;
mod random;
mod record;
mod script;
mod store;
mod transport;
mod walk;

pub use config::{Address, Config, ConfigError, Mode};
#[cfg(feature = "tls")]
pub use config::{Identity, Tls};
pub use conn::{Connection, ConnectionStats};
pub use counters::RedisCounters;
pub use driver::Driver;
pub use lease::RedisLease;
pub use store::{RedisStore, RedisStoreStats};
pub use transport::RedisTransport;
