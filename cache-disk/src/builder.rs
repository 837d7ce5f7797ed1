//! How a disk tier is set up, and what can be wrong with that.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use cache_core::{Clock, SystemClock};
use thiserror::Error;

use crate::disk::Disk;
use crate::files::Folder;
use crate::log::{Limits, OVERHEAD};
use crate::medium::Medium;
use crate::shared::Shared;
use crate::work::Work;
use crate::writer::Writer;

const DEFAULT_BYTES: u64 = 1 << 30;

/// A limit is divided into so many segments, of which one, half full on average, is not yet usable.
const SEGMENTS: u64 = 16;

const SMALLEST_SEGMENT: u64 = 4 << 10;
const LARGEST_SEGMENT: u64 = 1 << 30;

/// Larger ones would be given up in larger pieces, and gain nothing.
const LARGEST_DEFAULT_SEGMENT: u64 = 256 << 20;

/// Each is an open file.
const MOST_SEGMENTS: u64 = 4096;

const DEFAULT_READERS: usize = 4;
const MOST_READERS: usize = 256;
const DEFAULT_QUEUE: usize = 1024;
const LONGEST_QUEUE: usize = 1 << 20;

/// What an acknowledged write survives.
///
/// Whatever is chosen, nothing wrong, torn or ended is answered after any crash, and nothing that was removed and
/// acknowledged comes back.
///
/// A power cut is told from the end of a process by the run of the operating system, which Linux tells; elsewhere every end
/// without a [`Disk::close`] counts as a power cut. Nobody notices a folder that was put back from a copy, a volume that was
/// torn off and attached again, or a disk that loses what it has synced: empty the folder then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// The end of the process, however sudden. After a power cut or a crash of the system the store starts empty, because
    /// nobody can tell which of the last writes, removals among them, had reached the disk. After a [`Disk::close`] it
    /// starts with everything even then. Nothing waits for the disk.
    #[default]
    Process,
    /// A power cut too: nothing is acknowledged before it is synced. Writes that wait at the same time share one
    /// sync, and each waits for it, which takes milliseconds on most disks.
    Power,
}

/// A disk tier before it is opened.
#[derive(Clone)]
#[must_use]
pub struct Builder {
    folder: PathBuf,
    medium: Option<Arc<dyn Medium>>,
    max_bytes: u64,
    segment_bytes: Option<u64>,
    durability: Durability,
    readers: usize,
    queue: usize,
    clock: Arc<dyn Clock>,
}

impl Builder {
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            medium: None,
            max_bytes: DEFAULT_BYTES,
            segment_bytes: None,
            durability: Durability::default(),
            readers: DEFAULT_READERS,
            queue: DEFAULT_QUEUE,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Takes at most this many bytes of files. Default 1 GiB; at least two segments.
    pub fn with_max_bytes(self, max_bytes: u64) -> Self {
        Self { max_bytes, ..self }
    }

    /// Divides the files into segments of this many bytes, 4 KiB to 1 GiB.
    ///
    /// An entry has to fit into one segment, and room is made by one segment at a time. Default: a sixteenth of the
    /// limit, at least 4 KiB and at most 256 MiB. There are at most 4,096, and each is an open file.
    pub fn with_segment_bytes(self, segment_bytes: u64) -> Self {
        Self { segment_bytes: Some(segment_bytes), ..self }
    }

    /// Chooses what an acknowledged write survives. Default: [`Durability::Process`].
    pub fn with_durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Reads with so many threads, 1 to 256. Default 4.
    pub fn with_readers(self, readers: usize) -> Self {
        Self { readers, ..self }
    }

    /// Lets at most so many reads and as many writes wait, 1 to 1,048,576. Default 1,024. One more is refused at once,
    /// as is one that would let values of more than 64 MiB wait to be written.
    pub fn with_queue(self, queue: usize) -> Self {
        Self { queue, ..self }
    }

    /// Lives by this clock. Default: the system's monotonic clock.
    ///
    /// Ends are written down in wall time, which is asked for once, when the store is opened. If it was set back since the
    /// last write of the store before, entries that have an end are dropped.
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Stands on this in place of the folder.
    pub fn with_medium(self, medium: Arc<dyn Medium>) -> Self {
        Self { medium: Some(medium), ..self }
    }

    /// Opens the folder, making it if it is missing, and reads what lies in it: the head of every entry.
    ///
    /// Blocks meanwhile; a service that has hundreds of thousands of entries should do this before it serves, or on a
    /// thread of its own. A folder that cannot be used is no error, as a cache should be no reason not to start: reads
    /// miss and writes fail until it can be, and [`Disk::start`] says [`Waiting`](crate::Start::Waiting).
    ///
    /// # Errors
    /// A setting out of its range, a folder that another store uses, or no thread to work on.
    pub fn build(self) -> Result<Disk, BuildError> {
        let limits = self.limits()?;
        let medium = self.medium.unwrap_or_else(|| Arc::new(Folder::new(self.folder.clone())));
        let shared = Arc::new(Shared::new(self.clock));
        let folder = self.folder;
        let writer =
            Writer::new(Arc::clone(&shared), medium, limits).map_err(|_| BuildError::InUse { folder })?;
        let work = Work::start(writer, self.readers, self.queue).map_err(BuildError::Threads)?;
        Ok(Disk::new(shared, work, limits.max_bytes))
    }

    fn limits(&self) -> Result<Limits, BuildError> {
        let default = (self.max_bytes / SEGMENTS).clamp(SMALLEST_SEGMENT, LARGEST_DEFAULT_SEGMENT);
        let segment_bytes = self.segment_bytes.unwrap_or(default);
        let segments = SMALLEST_SEGMENT..=LARGEST_SEGMENT;
        check("segment_bytes", segment_bytes, segments.contains(&segment_bytes), "4096 to 1073741824")?;
        let many = self.max_bytes / segment_bytes > MOST_SEGMENTS;
        check(
            "segment_bytes",
            segment_bytes,
            !many,
            "at least max_bytes / 4096: each segment is an open file",
        )?;
        let room = self.max_bytes >= 2 * segment_bytes + OVERHEAD;
        check(
            "max_bytes",
            self.max_bytes,
            room,
            "at least two segments and 128 more; see with_segment_bytes",
        )?;
        check("readers", self.readers as u64, (1..=MOST_READERS).contains(&self.readers), "1 to 256")?;
        check("queue", self.queue as u64, (1..=LONGEST_QUEUE).contains(&self.queue), "1 to 1048576")?;
        let power = self.durability == Durability::Power;
        Ok(Limits { max_bytes: self.max_bytes, segment_bytes, power })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("folder", &self.folder).finish_non_exhaustive()
    }
}

fn check(option: &'static str, given: u64, right: bool, range: &'static str) -> Result<(), BuildError> {
    if right { Ok(()) } else { Err(BuildError::Option { option, given, right: range }) }
}

/// Why a disk tier cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting that can never work.
    #[error("the option {option} is {given}; it has to be {right}")]
    Option {
        /// Which option, as in `Builder::with_…`.
        option: &'static str,
        /// What was given.
        given: u64,
        /// What would be right.
        right: &'static str,
    },
    /// Two would overwrite each other's files.
    #[error("the folder {} is in use by another store; give each its own, and close one before the next is opened", folder.display())]
    InUse {
        /// Which folder.
        folder: PathBuf,
    },
    /// The system starts no more threads.
    #[error("no thread could be started for the work on files")]
    Threads(#[source] io::Error),
}
