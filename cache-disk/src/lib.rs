//! The file tier of Strata: it survives a restart and a kill, takes no more bytes than it may, and never answers
//! anything that was not stored.
//!
//! ```text
//! Disk ── the Store seam; nothing here blocks a caller, and no runtime is needed
//!   │
//! work ──── threads behind bounded queues: one that writes, some that read
//!   │
//! writer ── opens the folder, again if need be;  writes: what each verb writes;  read: from a place to a value
//!   │
//! log ───── appended to at one end;  segments: given up at the other      index ── in memory: hash → place
//!   │                                                                        │
//! record, stamp ── the bytes (FORMAT.md)                                  groups, ends ── who has this tag, who ends next
//!   │
//! medium ── files, exchangeable in tests                                  open, replay ── what can be believed at a start
//! ```
//!
//! What survives what: see [`Durability`]. Whatever is chosen, after any crash nothing wrong, torn or ended is
//! answered, and nothing that was removed and acknowledged comes back. What a crash may take is entries.
//!
//! How entries make room: whole segments go, the oldest first. Entries in them that were read since they were
//! written, or have a priority above normal, are written once more, as far as half a segment holds them. A segment that
//! holds nothing alive any more goes at once if it is the oldest.
//!
//! What faults do: a disk that is full or read-only fails writes and serves reads; the next write that can succeed does. An
//! entry that cannot be read or is damaged is missing. All of it is counted in [`Stats`].

mod builder;
mod disk;
mod ends;
mod files;
mod groups;
mod index;
mod log;
pub mod medium;
mod names;
mod open;
mod read;
mod record;
mod replay;
mod segments;
mod shared;
mod stamp;
mod stats;
mod work;
mod writer;
mod writes;

pub use builder::{BuildError, Builder, Durability};
pub use disk::Disk;
pub use stats::{Start, Stats};
