//! A cache server: named regions of the Strata cache over HTTP, with health and Prometheus metrics.
//!
//! ```text
//! serve    connections: how many, how long, sealed or not, and how they end
//!   │        ╰── shortcut: a plain read of what memory has
//! edge     every answer: counted, timed, and never anything but a problem when it is an error
//!   │
//! limits   how often may you? and before that cors: a browser is told whose pages may
//!   │
//! auth     may you? and origin: not on behalf of a page of another site
//!   │
//! api      what is asked: keys, bodies, lifetimes, all checked before anything is changed
//!   │
//! regions  named caches of blobs        insight  what they and the answers were like, for whoever looks
//!   │
//! places   the tiers below memory that they share: Redis, a folder
//! ```
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = cache_server::Settings::from_toml("[region.quotes]\nttl = \"5s\"")?;
//! let listener = tokio::net::TcpListener::bind(settings.listen).await?;
//! cache_server::run(listener, settings, std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```

mod addresses;
mod admin;
mod api;
mod app;
mod audit;
mod auth;
mod blob;
mod budgets;
pub mod config;
mod cors;
mod crowd;
mod edge;
mod figures;
mod handshake;
mod insight;
mod limits;
mod linger;
pub mod log;
mod metrics;
mod monitor;
mod news;
mod origin;
mod places;
mod prefixes;
mod problem;
mod regions;
mod requests;
mod role;
mod serve;
mod shortcut;
mod socket;
mod stream;
mod timer;
#[cfg(feature = "otel")]
mod traces;
mod trust;
mod warm;

pub use app::{Handle, Server, StartError};
pub use config::{Flags, Settings, SettingsError};
pub use monitor::monitor;
pub use role::Role;
#[cfg(feature = "otel")]
pub use traces::{Traces, TracesError};

use tokio::net::TcpListener;

/// Serves until `shutdown` is ready and the requests of that moment are finished, or the drain timeout is over.
///
/// # Errors
/// Regions that cannot be made from the settings. Nothing that a client does.
///
/// # Cancel safety
/// Dropping it ends the server and its connections at once.
pub async fn run(
    listener: TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartError> {
    Server::new(settings)?.run(listener, shutdown).await;
    Ok(())
}
