//! The layers as a client sees them: an application on axum, requests over real connections, and a Redis that comes and goes.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "it/app.rs"]
mod app;
#[path = "it/cache/mod.rs"]
mod cache;
#[path = "it/callers.rs"]
mod callers;
#[path = "it/limits.rs"]
mod limits;
#[path = "it/live.rs"]
mod live;
#[path = "it/session/mod.rs"]
mod session;
#[path = "it/stack.rs"]
mod stack;
