//! Limits: case by case on a clock by hand, at random against an oracle, in every schedule of a model, and over a real
//! Redis that comes and goes.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "it/budget.rs"]
mod budget;
#[path = "it/class.rs"]
mod class;
#[path = "it/flood.rs"]
mod flood;
#[path = "it/live.rs"]
mod live;
#[path = "it/local.rs"]
mod local;
#[path = "it/model.rs"]
mod model;
#[path = "it/oracle.rs"]
mod oracle;
#[path = "it/refund.rs"]
mod refund;
#[path = "it/shared.rs"]
mod shared;
