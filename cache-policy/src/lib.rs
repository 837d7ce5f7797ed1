//! The decisions of Strata: whom to evict, who expires next, who is used most, whom not to ask for a while.
//!
//! Everything here is a value and a function of (state, now): no I/O, no clock, no lock, no key. An entry is a
//! [`Slot`], a small integer that its owner hands out and takes back, so each decision can be replayed, compared with
//! a naive twin and simulated a million times a second.
//!
//! What a decision has to remember about an entry stands in the owner's [`Slab`]: a [`Node`], which a hit touches, and
//! [`Links`], which it does not, of eight bytes each.

mod backoff;
mod breaker;
mod column;
mod evict;
mod node;
mod pace;
mod queue;
mod slots;
mod top;
mod wheel;

pub use backoff::Backoff;
pub use breaker::{Breaker, Pass, Passage, Trip};
pub use column::Column;
pub use evict::{Advice, Attention, Evictor, Objective, Policy, UnknownPolicy};
pub use node::{Links, Node, Slab, Slot};
pub use pace::{Pacer, Pacing, Strategy};
pub use slots::Slots;
pub use top::{Counted, Top};
pub use wheel::{Hand, Step, Wheel};
