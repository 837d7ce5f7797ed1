//! Everything that is tested through the public interface, in one binary.

#![cfg(test)]

#[path = "it/nodes.rs"]
mod nodes;

#[path = "it/bus.rs"]
mod bus;
#[path = "it/history.rs"]
mod history;
#[path = "it/life.rs"]
mod life;
#[path = "it/rules.rs"]
mod rules;
#[path = "it/signed.rs"]
mod signed;
#[path = "it/wire.rs"]
mod wire;
