//! Fleets in a simulation keep their promises.

#[cfg(test)]
#[path = "it/lives.rs"]
mod lives;
