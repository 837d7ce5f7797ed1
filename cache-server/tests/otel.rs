//! Spans of requests, as a collector of OpenTelemetry receives them.
//!
//! Apart, because what it needs takes long to compile: `cargo test -p cache-server --features otel --test otel`.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "otel/collector.rs"]
mod collector;
#[path = "otel/spans.rs"]
mod spans;
