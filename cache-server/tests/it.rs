//! The server from outside: over sockets, as a process, and asked with whatever comes.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "it/admin.rs"]
mod admin;
#[path = "it/assets.rs"]
mod assets;
#[path = "it/auth.rs"]
mod auth;
#[path = "it/bulk.rs"]
mod bulk;
#[path = "it/client.rs"]
mod client;
#[path = "it/clients.rs"]
mod clients;
#[path = "it/conditions.rs"]
mod conditions;
#[path = "it/connections.rs"]
mod connections;
#[path = "it/contract.rs"]
mod contract;
#[path = "it/cors.rs"]
mod cors;
#[path = "it/documentation.rs"]
mod documentation;
#[path = "it/entries.rs"]
mod entries;
#[path = "it/events.rs"]
mod events;
#[path = "it/groups.rs"]
mod groups;
#[path = "it/health.rs"]
mod health;
#[path = "it/jobs.rs"]
mod jobs;
#[path = "it/keys.rs"]
mod keys;
#[path = "it/lease.rs"]
mod lease;
#[path = "it/many.rs"]
mod many;
#[path = "it/monitor.rs"]
mod monitor;
#[path = "it/msgpack.rs"]
mod msgpack;
#[path = "it/packaging.rs"]
mod packaging;
#[path = "it/page.rs"]
mod page;
#[path = "it/prefixes.rs"]
mod prefixes;
#[path = "it/process.rs"]
mod process;
#[path = "it/random.rs"]
mod random;
#[path = "it/refusals.rs"]
mod refusals;
#[path = "it/regions.rs"]
mod regions;
#[path = "it/scrape.rs"]
mod scrape;
#[path = "it/server.rs"]
mod server;
#[path = "it/settings.rs"]
mod settings;
#[path = "it/shortcut.rs"]
mod shortcut;
#[path = "it/stale.rs"]
mod stale;
#[path = "it/stats.rs"]
mod stats;
#[path = "it/stopping.rs"]
mod stopping;
#[path = "it/system_c.rs"]
mod system_c;
#[path = "it/tiers.rs"]
mod tiers;
#[path = "it/tls.rs"]
mod tls;
#[path = "it/transfer.rs"]
mod transfer;
#[path = "it/warming.rs"]
mod warming;
#[path = "it/watch.rs"]
mod watch;
#[path = "it/wire.rs"]
mod wire;
