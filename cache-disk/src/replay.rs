//! Reads a segment from its first record to its end, and tells the index what it says.

use std::io;

use cache_core::{MAX_KEY_BYTES, MAX_TAGS, Priority};

use crate::index::{Cause, Index, Slot};
use crate::medium::File;
use crate::record::{Head, Kind, LENGTHS, Lengths, MAX_HEAD, Place};
use crate::stamp::HEADER;

/// How a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With its last record.
    Whole,
    /// In the middle of a record, which begins here: whoever wrote it was stopped.
    Torn(u64),
    /// Here stands something that nobody wrote. What came after it, and what it was, cannot be told.
    Damaged(u64),
}

/// Reads the records of a segment up to `end`, and says how it ends and when its latest record was written.
///
/// # Errors
/// Of the file, which may be read another time.
pub(crate) fn segment(
    file: &dyn File,
    number: u64,
    end: u64,
    index: &mut Index,
) -> io::Result<(Ending, u64)> {
    let mut window = Window { file, end, start: 0, bytes: Vec::new() };
    let (mut offset, mut latest) = (HEADER as u64, 0);
    while offset < end {
        let place = Place { store: index.store, segment: number, offset };
        let Some(lengths) = window.bytes(offset, LENGTHS)? else { return Ok((Ending::Torn(offset), latest)) };
        let lengths = Lengths::read(place, lengths).filter(|lengths| lengths.head <= MAX_HEAD);
        let Some(lengths) = lengths else { return Ok((Ending::Damaged(offset), latest)) };
        let next = offset + lengths.head as u64 + u64::from(lengths.body);
        if next > end {
            return Ok((Ending::Torn(offset), latest));
        }
        let head = window.bytes(offset, lengths.head)?.and_then(|bytes| Head::read(place, bytes));
        let noted = head.and_then(|head| {
            latest = latest.max(head.at);
            note(index, place, &head)
        });
        if noted.is_none() {
            return Ok((Ending::Damaged(offset), latest));
        }
        offset = next;
    }
    Ok((Ending::Whole, latest))
}

/// What a put of this head, at this place, has in the index.
pub(crate) fn slot(place: Place, head: &Head) -> Option<Slot> {
    Some(Slot {
        segment: place.segment,
        offset: u32::try_from(place.offset).ok()?,
        body: head.body,
        gone: head.gone,
        head: u16::try_from(head.bytes()).ok()?,
        tags: u8::try_from(head.names.len()).ok()?,
        used: false,
        keep: head.priority >= Priority::High,
    })
}

/// Notes a record; `None` if it cannot be one of ours.
fn note(index: &mut Index, place: Place, head: &Head) -> Option<()> {
    match head.kind {
        Kind::Put => {
            let legal = (1..=MAX_KEY_BYTES).contains(&head.key.len()) && head.names.len() <= MAX_TAGS;
            let slot = slot(place, head).filter(|_| legal)?;
            index.put(index.key_hash(&head.key), slot, &head.names);
        }
        Kind::Remove => {
            for hash in &head.names {
                index.take(*hash, Cause::Removed);
            }
        }
        Kind::Touch => head.names.iter().for_each(|hash| index.touch(*hash, head.gone)),
    }
    Some(())
}

/// A piece of a file that is in memory, so that small records are not read one by one.
struct Window<'a> {
    file: &'a dyn File,
    end: u64,
    start: u64,
    bytes: Vec<u8>,
}

/// Larger than every head.
const WINDOW: usize = 64 << 10;
const _: () = assert!(WINDOW >= MAX_HEAD, "a window must show a whole head");

impl Window<'_> {
    /// The bytes from this place on; `None` if the file ends before.
    fn bytes(&mut self, at: u64, length: usize) -> io::Result<Option<&[u8]>> {
        if at + length as u64 > self.end {
            return Ok(None);
        }
        let within = |window: &Self| {
            at >= window.start && at + length as u64 <= window.start + window.bytes.len() as u64
        };
        if !within(self) {
            let rest = usize::try_from(self.end - at).unwrap_or(WINDOW);
            self.bytes.resize(rest.min(WINDOW), 0);
            let read = self.file.read_at(&mut self.bytes, at)?;
            self.bytes.truncate(read);
            self.start = at;
        }
        if !within(self) {
            return Ok(None);
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        Ok(self.bytes.get(from..from + length))
    }
}
