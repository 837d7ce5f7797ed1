//! The disk tier: asked what every store is asked, then killed, cut off from power, filled up, damaged, crowded and compared
//! with the obvious.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "it/crowd.rs"]
mod crowd;
#[path = "it/damage.rs"]
mod damage;
#[path = "it/faults.rs"]
mod faults;
#[cfg(unix)]
#[path = "it/kill.rs"]
mod kill;
#[path = "it/model.rs"]
mod model;
#[path = "it/notes.rs"]
mod notes;
#[cfg(target_os = "linux")]
#[path = "it/real.rs"]
mod real;
#[path = "it/sim.rs"]
mod sim;
#[path = "it/store.rs"]
mod store;

fn key(name: impl AsRef<str>) -> cache_core::Key {
    cache_core::Key::new(name).expect("a legal key")
}
