//! Segments: how one is begun, and how the oldest go.
//!
//! The room of a whole segment is made before it is begun. Whoever was used, or matters, in a segment that has to go for
//! that is written once more, at the beginning of the new one, as far as half of that holds it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::index::{Cause, Index, Segment, Slot};
use crate::log::{Active, Draft, Limits, Log, OVERHEAD};
use crate::medium::File;
use crate::names;
use crate::record::{Head, Place};
use crate::stamp::{HEADER, Header};

/// How many entries are looked at under one lock.
pub(crate) const SLICE: usize = 1024;

/// So many segments are never too many.
const FEW: u64 = 16;

/// What is held in memory between two segments.
const MOST_RESCUED: u64 = 32 << 20;

impl Log {
    /// Begins a segment with room for so many bytes, and answers what of the segments that had to go is to be kept.
    pub(crate) fn rotate(&mut self, needed: u64) -> io::Result<Vec<Draft>> {
        if self.limits.power {
            self.sync()?;
        }
        self.active = None;
        // Half a segment at most, so that every rotation makes progress, and what memory may hold for a moment.
        let mut room = (self.limits.segment_bytes / 2).min(self.largest() - needed).min(MOST_RESCUED);
        let mut kept = Vec::new();
        while let Some(oldest) = self.oldest().filter(|_| !self.has_room()) {
            let rescued = self.rescue(oldest, &mut room);
            self.drop_segment(oldest)?;
            kept.extend(rescued);
        }
        while let Err(error) = self.begin() {
            if !self.makes_room(&error) {
                return Err(error);
            }
        }
        Ok(kept)
    }

    fn begin(&mut self) -> io::Result<()> {
        let before = if self.oldest().is_some() { self.last.1 } else { 0 };
        let number = self.last.0 + 1;
        let name = names::segment(number);
        let file = match self.medium.create(&name) {
            // An attempt that failed has left it behind.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = self.medium.open(&name)?;
                file.cut(0)?;
                file
            }
            other => other?,
        };
        self.folder_dirty = true;
        let header = Header { store: self.state.store, segment: number, before };
        if let Err(error) = file.write_at(&header.write(), 0) {
            // A file that is too short for a header is taken for one that was just begun, so nothing is lost by it.
            let _left = file.cut(0).and_then(|()| self.medium.remove(&name));
            return Err(error);
        }
        self.last = (number, HEADER as u64);
        let mut index = self.index.lock();
        index.stats.bytes_written += HEADER as u64;
        index.segments.insert(number, Segment::new(Arc::clone(&file), HEADER as u64, true));
        self.active = Some(Active { number, file });
        Ok(())
    }

    /// What of a segment was used, or is to be kept in any case, as far as there is room for it.
    fn rescue(&self, number: u64, room: &mut u64) -> Vec<Draft> {
        let file = self.index.lock().segments.get(&number).map(|segment| Arc::clone(&segment.file));
        let (Some(file), store) = (file, self.state.store) else { return Vec::new() };
        let mut kept = Vec::new();
        self.each_resident(number, |index, hash, slot| {
            if (slot.used || slot.keep) && slot.lives(self.latest) && slot.bytes() <= *room {
                *room -= slot.bytes();
                kept.push((hash, slot));
                // Whoever stands in the list twice is asked for once.
                index.spare(hash);
            }
        });
        kept.into_iter().filter_map(|(hash, slot)| rescued(store, &*file, hash, slot)).collect()
    }

    /// Goes through the entries that stand in a segment, in slices that let readers pass.
    fn each_resident(&self, number: u64, mut act: impl FnMut(&mut Index, u64, Slot)) {
        let written = self.index.lock().written(number);
        for slice in written.chunks(SLICE) {
            let mut index = self.index.lock();
            for hash in slice {
                if let Some(slot) = index.resident(*hash, number) {
                    act(&mut index, *hash, slot);
                }
            }
        }
    }

    fn drop_segment(&mut self, number: u64) -> io::Result<()> {
        self.medium.remove(&names::segment(number))?;
        self.folder_dirty = true;
        self.active.take_if(|active| active.number == number);
        self.each_resident(number, |index, hash, _| {
            index.take(hash, Cause::Evicted);
        });
        self.index.lock().segments.remove(&number);
        Ok(())
    }

    /// A disk that is full before the limit is reached is a lower limit: gives up the oldest segment, but for the last, and
    /// tells whether another attempt makes sense.
    pub(crate) fn makes_room(&mut self, error: &io::Error) -> bool {
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let oldest = self.oldest().filter(|oldest| full && *oldest != self.last.0);
        oldest.is_some_and(|oldest| {
            self.index.lock().stats.io_errors += 1;
            self.drop_segment(oldest).is_ok()
        })
    }

    /// Removes the oldest segments, up to this one.
    pub(crate) fn drop_through(&mut self, last: u64) -> io::Result<()> {
        while let Some(oldest) = self.oldest().filter(|oldest| *oldest <= last) {
            self.drop_segment(oldest)?;
        }
        Ok(())
    }

    /// Removes the oldest segments for as long as nothing in them is alive and they are not the last.
    pub(crate) fn drop_dead(&mut self) -> io::Result<()> {
        loop {
            let dead = {
                let index = self.index.lock();
                let oldest = index.segments.first_key_value();
                oldest
                    .filter(|(number, it)| it.live == 0 && **number != self.last.0)
                    .map(|(number, _)| *number)
            };
            match dead {
                Some(number) => self.drop_segment(number)?,
                None => return Ok(()),
            }
        }
    }

    /// The segment that goes next.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.index.lock().segments.first_key_value().map(|(number, _)| *number)
    }

    /// Tells whether a whole segment more is within the limit, and one file more. Segments that each end with a process
    /// may be small, but are as many open files as large ones.
    fn has_room(&self) -> bool {
        let Limits { max_bytes, segment_bytes, .. } = self.limits;
        let (bytes, files) = {
            let index = self.index.lock();
            (index.bytes(), index.segments.len() as u64)
        };
        bytes + segment_bytes + OVERHEAD <= max_bytes && files < 2 * (max_bytes / segment_bytes) + FEW
    }
}

/// An entry's record as a draft of itself; `None` if it cannot be read.
fn rescued(store: u64, file: &dyn File, hash: u64, slot: Slot) -> Option<Draft> {
    let mut record = vec![0; usize::try_from(slot.bytes()).ok()?];
    let read = file.read_at(&mut record, slot.offset.into()).ok()?;
    if read < record.len() {
        return None;
    }
    let body = Bytes::from(record.split_off(slot.head.into()));
    let place = Place { store, segment: slot.segment, offset: slot.offset.into() };
    let head = Head::read(place, &record)?;
    Some(Draft { head: Head { gone: slot.gone, ..head }, body, hash, again: true })
}
