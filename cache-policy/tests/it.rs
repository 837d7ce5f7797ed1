//! The decisions, each against the obvious form of it.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "it/evict.rs"]
mod evict;
#[path = "it/golden.rs"]
mod golden;
#[path = "it/wheel.rs"]
mod wheel;
