//! Access traces: which key was asked for, in which order, as recorded from a running system.
//!
//! A file is zstd over the magic `CTR1`, the number of unique keys (u32 LE), the number of requests (u64 LE), one
//! byte of flags (1 sizes, 2 times-to-live, 4 times, 8 costs), then the column of key ids and each flagged column
//! in that order. A column is one zigzag LEB128 varint per request: the difference to the value before it, from 0.
//! Key ids are dense and numbered by first occurrence, so a trace of three million requests is held in columns of
//! 12 MB each.
//!
//! That is the format in which traces are kept. Those that others publish as text are read too: see [`Format`].

mod bytes;
mod ctr;
mod error;
mod format;
mod read;
mod text;
mod write;

use std::collections::HashMap;
use std::time::Duration;

pub use error::{Fault, Part, TraceError};
pub use format::{Format, UnknownFormat};
pub use read::{DEFAULT_MAX_BYTES, ReadOptions};

/// A whole trace in memory, one column per property.
///
/// ```
/// use cache_testkit::trace::Trace;
///
/// let trace = Trace::new("tiny", [70, 50, 70]).with_sizes(|request| [10, 20, 10][request]);
/// let mut file = Vec::new();
/// trace.write(&mut file)?;
///
/// let read = Trace::read("tiny", file.as_slice())?;
/// assert_eq!(read.keys(), [0, 1, 0]);
/// assert_eq!(read.unique(), 2);
/// assert_eq!(read.requests().nth(1).and_then(|request| request.size), Some(20));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    name: String,
    unique: u32,
    keys: Vec<u32>,
    sizes: Option<Vec<u32>>,
    ttls: Option<Vec<u32>>,
    times: Option<Vec<u32>>,
    costs: Option<Vec<u32>>,
}

/// One access of a [`Trace`]. What the trace does not record is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The key, as its number by first occurrence.
    pub key: u32,
    /// The size of the value, in bytes.
    pub size: Option<u32>,
    /// How long the value may live. `None` also where the trace holds 0: it lives for ever.
    pub ttl: Option<Duration>,
    /// When it happened, since the start of the trace, in whole seconds.
    pub at: Option<Duration>,
    /// What it takes to make the value again, in whole microseconds.
    pub cost: Option<Duration>,
}

impl Trace {
    /// Builds a trace without further columns from any key numbers; they are renumbered by first occurrence.
    pub fn new(name: impl Into<String>, keys: impl IntoIterator<Item = u64>) -> Self {
        let mut unique = 0;
        let mut ids = HashMap::new();
        let number = |key| {
            *ids.entry(key).or_insert_with(|| {
                unique += 1;
                unique - 1
            })
        };
        let keys = keys.into_iter().map(number).collect();
        Self { name: name.into(), unique, keys, sizes: None, ttls: None, times: None, costs: None }
    }

    /// Adds a column of sizes in bytes; `size_of` is asked once for each request's position.
    #[must_use]
    pub fn with_sizes(mut self, size_of: impl FnMut(usize) -> u32) -> Self {
        self.sizes = Some((0..self.len()).map(size_of).collect());
        self
    }

    /// Adds a column of times-to-live in seconds, 0 for none; `ttl_of` is asked once for each request's position.
    #[must_use]
    pub fn with_ttls(mut self, ttl_of: impl FnMut(usize) -> u32) -> Self {
        self.ttls = Some((0..self.len()).map(ttl_of).collect());
        self
    }

    /// Adds a column of seconds since the start; `time_of` is asked once for each request's position.
    #[must_use]
    pub fn with_times(mut self, time_of: impl FnMut(usize) -> u32) -> Self {
        self.times = Some((0..self.len()).map(time_of).collect());
        self
    }

    /// Adds a column of microseconds to recreate; `cost_of` is asked once for each request's position.
    #[must_use]
    pub fn with_costs(mut self, cost_of: impl FnMut(usize) -> u32) -> Self {
        self.costs = Some((0..self.len()).map(cost_of).collect());
        self
    }

    /// The name: of a file, its name without endings.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many different keys occur.
    pub const fn unique(&self) -> u32 {
        self.unique
    }

    /// How many requests there are.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no request at all.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key of every request, in order.
    pub fn keys(&self) -> &[u32] {
        &self.keys
    }

    /// Every request, in order.
    pub fn requests(&self) -> impl ExactSizeIterator<Item = Request> + '_ {
        (0..self.len()).map(|position| self.request(position))
    }

    fn request(&self, position: usize) -> Request {
        let value = |column: &Option<Vec<u32>>| column.as_ref().map(|values| values[position]);
        let seconds = |secs: u32| Duration::from_secs(secs.into());
        Request {
            key: self.keys[position],
            size: value(&self.sizes),
            ttl: value(&self.ttls).filter(|&secs| secs > 0).map(seconds),
            at: value(&self.times).map(seconds),
            cost: value(&self.costs).map(|micros| Duration::from_micros(micros.into())),
        }
    }
}

const MAGIC: [u8; 4] = *b"CTR1";
const HEADER_BYTES: usize = 17;
const SIZES: u8 = 1;
const TTLS: u8 = 2;
const TIMES: u8 = 4;
const COSTS: u8 = 8;
const KNOWN_FLAGS: u8 = SIZES | TTLS | TIMES | COSTS;
