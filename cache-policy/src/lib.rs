//! The decisions of Strata: whom to evict, who expires next.
//!
//! Everything here is a value and a function of (state, now): no I/O, no clock, no lock, no key. An entry is a
//! [`Slot`], a small integer that its owner hands out and takes back, so each decision can be replayed, compared with
//! a naive twin and simulated a million times a second.

mod evict;
mod links;
mod wheel;

pub use evict::{Evict, Facts, Policy, UnknownPolicy};
pub use wheel::{Step, Wheel};

/// An entry's place in its owner's slab. Reused after the entry has left.
pub type Slot = u32;
