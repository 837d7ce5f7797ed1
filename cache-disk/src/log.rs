//! The log: segments, one after another, of which only the last grows and only the first goes.
//!
//! ```text
//!  0007 ─────── 0008 ─────── 0009 ─────── 000a ──►  appended here
//!  goes first   each header says how long the one before is
//! ```
//!
//! Two rules make it safe to lose any of it. What a record says is about what stands before it, so every end of the
//! log, read alone, says nothing that was not so. And no file goes before the ones that are older. So a removal is
//! there for as long as anything that it removed.
//!
//! The room of a whole segment is made before the segment is begun (`segments.rs`), so nothing that is appended to it can
//! exceed the limit.

use std::any::Any;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::index::{Index, Slot};
use crate::medium::{File, Medium};
use crate::names;
use crate::open::Opened;
use crate::record::{Head, Kind, Place};
use crate::replay;
use crate::stamp::{End, HEADER, STATE, State};

/// What is gathered before it is written.
const STAGE: usize = 1 << 20;

/// Besides the segments: the state, and for a moment its successor.
pub(crate) const OVERHEAD: u64 = 2 * STATE as u64;

/// What a log is told when it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_bytes: u64,
    pub(crate) segment_bytes: u64,
    /// Whether it is synced before anything is acknowledged.
    pub(crate) power: bool,
}

#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) medium: Arc<dyn Medium>,
    pub(crate) limits: Limits,
    pub(crate) index: Arc<Mutex<Index>>,
    /// Keeps other processes out.
    _lock: Box<dyn Any + Send>,
    pub(crate) state: State,
    pub(crate) active: Option<Active>,
    /// The last segment, and how many bytes of it count.
    pub(crate) last: (u64, u64),
    /// The latest moment that a record was written at.
    pub(crate) latest: u64,
    /// Entries that are no longer in the index, each with its segment, and whose removal is not written down yet.
    pub(crate) owed: Vec<(u64, u64)>,
    /// Whether entries have ended by time since a record was last written.
    pub(crate) forgotten: bool,
    /// Whether a sync has failed, so that nobody can vouch for everything any more.
    sync_failed: bool,
    /// Whether files came or went since the folder was synced.
    pub(crate) folder_dirty: bool,
    staged: Vec<u8>,
    changes: Vec<Change>,
}

/// The segment that grows.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn File>,
}

/// What a record does to the index once it is written.
#[derive(Debug)]
enum Change {
    Put {
        hash: u64,
        slot: Slot,
        tags: Vec<u64>,
        again: bool,
    },
    Touch {
        hash: u64,
        gone: u64,
    },
    /// The index has done it already.
    Remove,
}

/// A record before it has its place.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) head: Head,
    pub(crate) body: Bytes,
    /// The hash of the key of a put.
    pub(crate) hash: u64,
    /// Whether it stood elsewhere before.
    pub(crate) again: bool,
}

impl Draft {
    /// A record that is about other records.
    pub(crate) fn about(kind: Kind, names: Vec<u64>, at: u64, gone: u64) -> Self {
        Self { head: Head::about(kind, names, at, gone), body: Bytes::new(), hash: 0, again: false }
    }

    pub(crate) fn bytes(&self) -> u64 {
        (self.head.bytes() + self.body.len()) as u64
    }
}

impl Log {
    /// Goes on from what was found, and makes it known to those who read.
    pub(crate) fn new(
        medium: Arc<dyn Medium>,
        limits: Limits,
        index: Arc<Mutex<Index>>,
        found: Opened,
    ) -> Self {
        let Opened { lock, state, index: fresh, active, last, latest, owed } = found;
        *index.lock() = fresh;
        let (staged, changes) = (Vec::new(), Vec::new());
        let (forgotten, sync_failed, folder_dirty) = (true, false, false);
        Self {
            medium,
            limits,
            index,
            _lock: lock,
            state,
            active,
            last,
            latest,
            owed,
            forgotten,
            sync_failed,
            folder_dirty,
            staged,
            changes,
        }
    }

    /// The largest record that fits into a segment.
    pub(crate) fn largest(&self) -> u64 {
        self.limits.segment_bytes - HEADER as u64
    }

    /// Takes a record in, which must not be larger than [`largest`](Self::largest). It counts once it is
    /// [flushed](Self::flush).
    ///
    /// # Errors
    /// Neither this record nor any other that was staged has happened, nor is it staged any more.
    pub(crate) fn stage(&mut self, draft: Draft) -> io::Result<()> {
        if !self.fits(draft.bytes()) {
            self.flush()?;
            for survivor in self.rotate(draft.bytes())? {
                self.place(survivor);
            }
        }
        self.place(draft);
        if self.staged.len() >= STAGE { self.flush() } else { Ok(()) }
    }

    /// Writes what is staged, and lets the index know.
    ///
    /// # Errors
    /// As [`stage`](Self::stage).
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let (number, end) = self.last;
        while let Err(error) = self.append(end) {
            if !self.makes_room(&error) {
                self.staged.clear();
                self.changes.clear();
                return Err(error);
            }
        }
        let bytes = self.staged.len() as u64;
        self.last = (number, end + bytes);
        self.staged.clear();
        self.forgotten = false;
        let mut index = self.index.lock();
        index.stats.bytes_written += bytes;
        if let Some(segment) = index.segments.get_mut(&number) {
            segment.bytes = end + bytes;
            segment.dirty = true;
        }
        self.changes.drain(..).for_each(|change| apply(&mut index, change));
        Ok(())
    }

    /// Writes what is staged behind the end, or leaves everything as it was.
    fn append(&mut self, end: u64) -> io::Result<()> {
        let Some(active) = &self.active else { return Err(io::ErrorKind::NotFound.into()) };
        active.file.write_at(&self.staged, end).inspect_err(|_| self.mend(end))
    }

    /// Returns once everything that was flushed would survive a power cut.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        // What a failed sync was about may be lost, and a later one that succeeds says nothing of it. So nothing that counts
        // may come to stand behind it in the same segment.
        self.sync_files().inspect_err(|_| (self.active, self.sync_failed) = (None, true))
    }

    fn sync_files(&mut self) -> io::Result<()> {
        let dirty: Vec<(u64, Arc<dyn File>)> = {
            let index = self.index.lock();
            let dirty = index.segments.iter().filter(|(_, segment)| segment.dirty);
            dirty.map(|(number, segment)| (*number, Arc::clone(&segment.file))).collect()
        };
        for (number, file) in dirty {
            file.sync()?;
            if let Some(segment) = self.index.lock().segments.get_mut(&number) {
                segment.dirty = false;
            }
        }
        if self.folder_dirty {
            self.medium.sync()?;
            self.folder_dirty = false;
        }
        Ok(())
    }

    /// Writes down that all is in order, and how far it goes.
    pub(crate) fn close(mut self) -> io::Result<()> {
        self.flush()?;
        self.sync()?;
        if self.sync_failed {
            return Err(io::Error::other("a sync has failed, and what it was about may be lost"));
        }
        let (segment, bytes) = if self.oldest().is_some() { self.last } else { (0, 0) };
        self.state.closed = Some(End { segment, bytes, at: self.latest });
        write_state(&*self.medium, self.state)
    }

    fn fits(&self, bytes: u64) -> bool {
        self.active.is_some() && self.last.1 + self.staged.len() as u64 + bytes <= self.limits.segment_bytes
    }

    /// Gives a record its place behind what is staged.
    fn place(&mut self, draft: Draft) {
        let Draft { mut head, body, hash, again } = draft;
        let offset = self.last.1 + self.staged.len() as u64;
        let place = Place { store: self.state.store, segment: self.last.0, offset };
        self.latest = self.latest.max(head.at);
        head.write(place, &mut self.staged);
        self.staged.extend_from_slice(&body);
        let change = match head.kind {
            Kind::Put => replay::slot(place, &head).map(|slot| Change::Put {
                hash,
                slot,
                tags: std::mem::take(&mut head.names),
                again,
            }),
            Kind::Touch => head.names.first().map(|hash| Change::Touch { hash: *hash, gone: head.gone }),
            Kind::Remove => Some(Change::Remove),
        };
        self.changes.extend(change);
    }

    /// Takes back what a failed write may have left behind the end. Where that fails too, the segment grows no more: the
    /// header of the next one tells how much of it counts.
    fn mend(&mut self, end: u64) {
        let Some(active) = &self.active else { return };
        if active.file.cut(end).is_err() {
            let (number, bytes) = (active.number, active.file.bytes());
            if let (Some(segment), Ok(bytes)) = (self.index.lock().segments.get_mut(&number), bytes) {
                segment.bytes = bytes;
            }
            self.active = None;
        }
    }
}

/// Puts a state in the place of the one before, in one step that survives a power cut.
pub(crate) fn write_state(medium: &dyn Medium, state: State) -> io::Result<()> {
    match medium.remove(names::NEXT_STATE) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = medium.create(names::NEXT_STATE)?;
    file.write_at(&state.write(), 0)?;
    file.sync()?;
    medium.rename(names::NEXT_STATE, names::STATE)?;
    medium.sync()
}

fn apply(index: &mut Index, change: Change) {
    match change {
        Change::Put { hash, slot, tags, again } => {
            index.put(hash, slot, &tags);
            index.stats.inserts += u64::from(!again);
            index.stats.kept += u64::from(again);
            // It was counted when its segment went.
            index.stats.evicted -= u64::from(again);
        }
        Change::Touch { hash, gone } => index.touch(hash, gone),
        Change::Remove => {}
    }
}
