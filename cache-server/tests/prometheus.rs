//! A real Prometheus, which scrapes real servers and alerts by the rules that are handed out beside them.
//!
//! Apart, because it needs one: `cargo test -p cache-server --features prometheus --test prometheus`.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "prometheus/alerts.rs"]
mod alerts;
#[path = "it/client.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod client;
#[path = "prometheus/tools.rs"]
mod tools;
