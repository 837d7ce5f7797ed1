//! Telling other processes what changed, and knowing when one may have missed such news.
//!
//! ```text
//! rules     "price.updated" of BTC ─► which keys, tags, prefixes and patterns
//! event     what is no longer true: one key, tag, prefix, pattern, or everything
//! message   events as bytes, with who sends them and a number
//! bus       outbox ─► transport ─► listeners        heartbeats, and a doubt whenever something may be missing
//! gap       who has been heard, and up to which number
//! secret    who is heard at all, where not everybody is to be trusted who may write to the channel
//! monitor   how often copies disagreed with what they are copies of, and for how long
//! ```
//!
//! A transport delivers at most once. So the bus promises what can be kept: each event that was taken by the transport is
//! received, or the listeners are told to distrust what they hold, within a time that is known. Nothing here knows what a
//! cache holds, and no message carries a value.

mod bus;
mod chance;
mod doubt;
mod event;
mod gap;
mod listener;
mod message;
mod monitor;
mod outbox;
mod rules;
mod secret;
mod stats;

pub use bus::{Bus, BusBuilder, BusError, Closed};
pub use doubt::Doubt;
pub use event::{Action, Event, EventError, MAX_NAMESPACE_BYTES, Target};
pub use listener::{Attachment, Listener};
pub use message::{Body, MAX_EVENTS, MAX_MESSAGE_BYTES, MESSAGE_VERSION, Message, MessageError};
pub use monitor::{Book, Consistency, Disagreement, Finding, Stamp};
pub use outbox::Delivery;
pub use rules::{Rule, RuleError, Rules};
pub use secret::{BusSecret, BusSecretError};
pub use stats::BusStats;
