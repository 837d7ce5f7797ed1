//! The program against a real server, over a socket.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "it/entries.rs"]
mod entries;
#[path = "it/figures.rs"]
mod figures;
#[path = "it/https.rs"]
mod https;
#[path = "it/program.rs"]
mod program;
#[path = "it/refusals.rs"]
mod refusals;
#[path = "it/terminal.rs"]
mod terminal;
#[path = "it/transfer.rs"]
mod transfer;
