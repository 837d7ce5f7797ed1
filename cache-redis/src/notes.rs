//! Notes on Redis: what stood under the name of an entry before its source was read, and the write that takes its place.
//!
//! ```text
//! note         an entry is there ── how long it is, its last eight bytes       and the marks of the tags that are named,
//!              nothing is ── a placeholder, under the entry's own name         made where there are none
//! put_noted    still the same? SET entry
//! ```
//!
//! What happens to a key happens to its placeholder, since it is the same key: a put replaces it, a removal by key, by prefix
//! or of everything removes it, and so does an eviction. So nobody who writes has to know of notes, or of who waits.
//! To compare lengths and the ends of frames is to compare frames: their last bytes are a checksum of all others, among which
//! there is a number that no other write has. Facebook's leases of memcache (NSDI 2013), as compare-and-set.
//!
//! A write goes over the connection that the note came by, or nowhere: a server that has restarted, and one that has taken
//! the place of another, may have the placeholder and not the removal.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use bytes::{Buf, BufMut, Bytes};
use cache_core::{Entry, Key, Note, Result, Tag, Tags};
use futures_util::future;

use crate::fault::Fault;
use crate::random;
use crate::record::{self, Written};
use crate::script::{Call, Script};
use crate::store::{EXCHANGE, RedisStore, invalid, odd};

/// What a placeholder begins with. No frame does, and none is so short.
const MAGIC: [u8; 8] = *b"noted by";
/// How long a placeholder is: that, and a random number.
pub(crate) const PLACEHOLDER: usize = 16;
/// How many bytes of what is there tell it from what was there before.
const TAIL: usize = 8;

static NOTE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("script/note.lua")));

/// What a note says.
#[derive(Debug, PartialEq)]
struct Known {
    /// The connection by which that was learned.
    connection: u64,
    /// What stood there, by its length and its end.
    bytes: u64,
    tail: [u8; TAIL],
    /// The tags that were named.
    marks: BTreeMap<Tag, u64>,
}

/// Whether somebody has left this in the place of an entry that he reads at its source.
pub(crate) fn is_placeholder(bytes: &[u8]) -> bool {
    bytes.len() == PLACEHOLDER && bytes.starts_with(&MAGIC)
}

impl RedisStore {
    /// One round trip.
    pub(crate) async fn take_note(&self, key: &Key, tags: &Tags) -> Result<Note> {
        let operation = "note";
        let life = self.note_life_ms();
        let placeholder = [MAGIC, random::number().to_le_bytes()].concat();
        let call = Call::on(self.name(key)).arg(placeholder).number(life);
        let marks: Vec<Call> = tags.iter().map(|tag| self.mark_call(tag, life)).collect();
        let there = self.connection().run_somewhere(operation, &NOTE, &call);
        let ((there, connection), marked) = self.with_marks(operation, there, &marks).await?;
        let (bytes, tail): (u64, Vec<u8>) = redis::from_redis_value(there).map_err(odd(operation))?;
        let tail = tail.try_into().map_err(|_| Fault::Odd.during(operation, false))?;
        let marks = tags.iter().cloned().zip(marked).collect();
        Ok(Note::new(Known { connection, bytes, tail, marks }.write()))
    }

    /// One round trip, and another one before it for tags that the note does not name.
    pub(crate) async fn put_under(&self, key: &Key, entry: &Entry, note: &Note) -> Result<bool> {
        let operation = "put noted";
        let Some(known) = Known::read(note.as_bytes()) else { return Ok(self.refused()) };
        let name = self.name(key);
        let life_ms = record::life_ms(&entry.meta);
        let (named, others): (Vec<&Tag>, Vec<&Tag>) = match life_ms {
            Some(_) => entry.meta.tags.iter().partition(|tag| known.marks.contains_key(*tag)),
            None => (Vec::new(), Vec::new()),
        };
        let mut marks = known.marks.clone();
        if let Some(life) = life_ms.filter(|_| !others.is_empty()) {
            let lives = others.into_iter().map(|tag| (tag, life)).collect();
            marks.append(&mut self.marks(operation, lives).await?);
        }
        let written = match life_ms {
            Some(life_ms) => {
                let now = self.now_at(operation, &name).await?;
                let marked = |tag: &Tag| marks.get(tag).copied().unwrap_or_default();
                let frame = record::write(key, entry, now, life_ms, marked).map_err(invalid(operation))?;
                Some(Written { frame, life_ms })
            }
            None => None,
        };
        let frame = written.as_ref().map(|written| written.frame.clone());
        let call = exchange(&name, (known.bytes, &known.tail), written);
        let kept: Vec<Call> =
            named.iter().map(|tag| self.mark_call(tag, life_ms.unwrap_or_default())).collect();
        let there = self.connection().run_there(operation, (&EXCHANGE, &call), known.connection);
        let (answer, present) = self.with_marks(operation, there, &kept).await?;
        let Some(answer) = answer else { return Ok(self.refused()) };
        let is_written = redis::from_redis_value::<u64>(answer).map_err(odd(operation))? == 1;
        let is_alive = named.iter().zip(present).all(|(tag, mark)| known.marks.get(*tag) == Some(&mark));
        if let Some(frame) = frame.filter(|_| is_written && !is_alive) {
            // Nobody reads it, but it would take its room for as long as it lives. It stays if this fails.
            let call = exchange(&name, identity(&frame), None);
            let _ = Box::pin(self.connection().run(operation, &EXCHANGE, &call)).await;
        }
        Ok((is_written && is_alive) || self.refused())
    }

    /// Waits for something, and has some marks made or prolonged meanwhile. The marks as they are then.
    async fn with_marks<T>(
        &self,
        operation: &'static str,
        something: impl Future<Output = Result<T>>,
        calls: &[Call],
    ) -> Result<(T, Vec<u64>)> {
        if calls.is_empty() {
            return Ok((something.await?, Vec::new()));
        }
        future::try_join(something, Box::pin(self.run_marks(operation, calls))).await
    }

    fn refused(&self) -> bool {
        self.counts().refused.fetch_add(1, Ordering::Relaxed);
        false
    }
}

/// A call that replaces what was read, or removes it.
pub(crate) fn exchange(name: &[u8], (bytes, tail): (u64, &[u8]), by: Option<Written>) -> Call {
    let by = by.unwrap_or(Written { frame: Bytes::new(), life_ms: 0 });
    Call::on(name.to_vec()).number(bytes).arg(tail).arg(by.frame.to_vec()).number(by.life_ms)
}

/// What tells these bytes from all others.
pub(crate) fn identity(read: &[u8]) -> (u64, &[u8]) {
    (read.len() as u64, &read[read.len().saturating_sub(TAIL)..])
}

impl Known {
    /// The connection, the length, the end, and for each tag its mark, its own length and its text.
    fn write(&self) -> Bytes {
        let mut out =
            Vec::with_capacity(24 + self.marks.keys().map(|tag| 10 + tag.as_str().len()).sum::<usize>());
        out.put_u64_le(self.connection);
        out.put_u64_le(self.bytes);
        out.put_slice(&self.tail);
        for (tag, mark) in &self.marks {
            out.put_u64_le(*mark);
            out.put_u16_le(u16::try_from(tag.as_str().len()).unwrap_or(u16::MAX));
            out.put_slice(tag.as_str().as_bytes());
        }
        out.into()
    }

    /// `None` if this was written by nobody.
    fn read(mut note: &[u8]) -> Option<Self> {
        let connection = note.try_get_u64_le().ok()?;
        let bytes = note.try_get_u64_le().ok()?;
        let (tail, mut rest) = note.split_first_chunk::<TAIL>()?;
        let mut marks = BTreeMap::new();
        while !rest.is_empty() {
            let mark = rest.try_get_u64_le().ok()?;
            let length = usize::from(rest.try_get_u16_le().ok()?);
            let (tag, others) = rest.split_at_checked(length)?;
            marks.insert(Tag::new(str::from_utf8(tag).ok()?).ok()?, mark);
            rest = others;
        }
        Some(Self { connection, bytes, tail: *tail, marks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_was_noted_and_a_part_of_it_nothing() {
        let tag = |name: &str| Tag::new(name).expect("legal");
        let longest = "x".repeat(cache_core::MAX_TAG_BYTES);
        let marks = BTreeMap::from([(tag("größe"), 7), (tag(&longest), u64::MAX)]);
        let known = Known { connection: 3, bytes: 1 << 40, tail: *b"checksum", marks };
        let written = known.write();
        assert_eq!(Known::read(&written), Some(known));
        let whole: Vec<usize> =
            (0..written.len()).filter(|length| Known::read(&written[..*length]).is_some()).collect();
        assert_eq!(whole.len(), 2, "without tags, and without the last one: {whole:?}");
    }

    #[test]
    fn a_placeholder_is_known_by_its_beginning_and_its_length() {
        let placeholder = [MAGIC, *b"12345678"].concat();
        assert!(is_placeholder(&placeholder) && placeholder.len() == PLACEHOLDER);
        for other in [&placeholder[1..], &placeholder[..15], b"noted on12345678", b""] {
            assert!(!is_placeholder(other));
        }
    }
}
