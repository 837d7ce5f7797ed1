//! The words and seams of Strata: what a cache talks about, and the places where one part can be exchanged for another.
//!
//! ```text
//! words   key · pattern · entry · frame · age · tag · clock · metric · error    plain values, no I/O
//! seams   store      a place that keeps bytes for a while
//!         transport  messages between processes, and "I may have missed some"
//!         counters   may I? read, decide and charge as one step
//!         lease      only one of us, for a while, with a fencing number
//! ```
//!
//! Every seam is an object-safe trait with at most eight required methods. `cache-memory` holds an in-process twin
//! of each, and `cache-testkit` one conformance suite per seam that every implementation runs.
//!
//! # Glossary
//!
//! | word | meaning, everywhere in Strata |
//! |---|---|
//! | key | what names an entry: namespace, version, parts ([`Key`]) |
//! | pattern | which keys are meant, as a glob ([`Pattern`]) |
//! | entry | bytes, and when and why they die ([`Entry`]) |
//! | tag | a name for a group of entries that are invalidated together ([`Tag`]) |
//! | age | fresh, due, stale or gone: what may be done with an entry now ([`Age`]) |
//! | store | a place that keeps entries ([`Store`]) |
//! | tier | a store in its position of reading order: L1 memory, L2 Redis, L3 disk |
//! | layer | a store around a store: timeout, retry, breaker |
//! | flight | one running load and everyone who waits for it |
//! | loader | the user's function that fetches what the cache does not have |
//! | codec | how a value becomes bytes and back |
//! | frame | those bytes with a header that says how to read them |
//! | bus | how processes tell each other what changed |
//! | note | what a store knew of a key before a load began; what is written under it is refused if something has happened since ([`Note`]) |
//! | lease | the right to be the only one who does something, for a while ([`Lease`]) |
//! | quota | how many calls are allowed in how much time ([`Quota`]) |
//! | receipt | where an admitted call was charged; with it the call can be given back ([`Receipt`]) |
//! | region | a named cache with its own size, lifetime, policy and statistics |

mod age;
mod clock;
mod counters;
#[cfg(feature = "frame")]
pub mod cursor;
mod encoding;
mod entry;
mod error;
#[cfg(feature = "frame")]
mod frame;
mod key;
mod lease;
pub mod metric;
mod note;
mod params;
mod pattern;
mod store;
mod tag;
mod transport;
mod ttl;

pub use age::{Age, Lifetime};
pub use clock::{Clock, SystemClock, Time};
pub use counters::{Charge, Counters, Demand, Quota, QuotaError, Receipt, Shape, Verdict};
pub use encoding::Encoding;
pub use entry::{Entry, Meta, Priority};
pub use error::{Error, ErrorKind, Result};
#[cfg(feature = "frame")]
pub use frame::{Content, Draft, FRAME_VERSION, Frame, FrameError, Header, Life, MAX_LABELS, TypeId, Wall};
pub use key::{CacheKey, Key, KeyError, KeyReader, KeyWriter, MAX_KEY_BYTES, Namespace};
pub use lease::{Grant, Lease};
pub use note::{Note, Notes};
pub use params::{Param, Params};
pub use pattern::{MAX_PATTERN_BYTES, Pattern, PatternError};
pub use store::{Part, Removed, Rest, Store, StoreExt, StoreInfo};
pub use tag::{MAX_TAG_BYTES, MAX_TAGS, Tag, TagError, Tags};
pub use transport::{Received, Subscription, Transport};
pub use ttl::{Ttl, TtlError};
