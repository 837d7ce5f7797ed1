//! What a head says, and how each part of it is written and read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use twox_hash::XxHash3_64;

use super::error::FrameError;
use super::life::{Life, NEVER, Wall};
use super::{FRAME_VERSION, MAGIC};
use crate::cursor::{Cursor, push_text, push_varint};
use crate::{Meta, Priority, Tag, Tags};

/// The most labels that a frame carries. Bounds what reading one can allocate.
pub const MAX_LABELS: usize = 64;

const MORTAL: u8 = 1;
const VERSIONED: u8 = 2;
const COSTED: u8 = 4;
const SEALED: u8 = 8;
const TAGGED: u8 = 16;
const MARKED: u8 = 32;
const LABELLED: u8 = 64;
const KNOWN: u8 = MORTAL | VERSIONED | COSTED | SEALED | TAGGED | MARKED | LABELLED;

/// What kind of value a frame holds: the hash of a name, so that a value of another type is a miss, not a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeId(pub u32);

impl TypeId {
    /// The type of this name: the lower half of its XXH3-64, the same in every process and release.
    pub fn of(name: &str) -> Self {
        let [a, b, c, d, ..] = XxHash3_64::oneshot(name.as_bytes()).to_le_bytes();
        Self(u32::from_le_bytes([a, b, c, d]))
    }
}

/// How the payload of a frame is to be read. The numbers are given by whoever writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Which type the value has.
    pub type_id: TypeId,
    /// How it was encoded.
    pub codec: u8,
    /// How it was compressed; 0 if not.
    pub compression: u8,
    /// How many bytes it has encoded, before it was compressed.
    pub raw_bytes: u32,
    /// By which key it was sealed, if it was.
    pub sealed_by: Option<u32>,
}

impl Content {
    /// Bytes as they are: codec 0, neither compressed nor sealed.
    pub const fn plain(type_id: TypeId, raw_bytes: u32) -> Self {
        Self { type_id, codec: 0, compression: 0, raw_bytes, sealed_by: None }
    }
}

/// What a frame knows about its entry besides the value: [`Meta`] with a life in wall time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// When its ages begin.
    pub life: Life,
    /// Orders writes of one key; larger is newer. 0 where nothing orders them.
    pub version: u64,
    /// Whom to evict first.
    pub priority: Priority,
    /// How long it took, or would take, to make again. At most 584 years are written.
    pub cost: Duration,
    /// Free text of the owner, at most [`MAX_LABELS`] of them.
    pub labels: Arc<BTreeMap<String, String>>,
    tags: Tags,
    marks: Vec<u64>,
}

impl Header {
    /// An untagged entry of normal priority.
    pub fn new(life: Life) -> Self {
        Self {
            life,
            version: 0,
            priority: Priority::default(),
            cost: Duration::ZERO,
            labels: Arc::default(),
            tags: Tags::NONE,
            marks: Vec::new(),
        }
    }

    /// The header of an entry that is handed over now.
    pub fn of(meta: &Meta, now: Wall) -> Self {
        Self {
            life: Life::new(now, meta.ttl).with_stale_for(meta.stale_for),
            version: meta.version,
            priority: meta.priority,
            cost: meta.cost,
            labels: Arc::clone(&meta.labels),
            tags: meta.tags.clone(),
            marks: Vec::new(),
        }
    }

    /// What is known about the entry now, with what is left of its life.
    pub fn meta(&self, now: Wall) -> Meta {
        Meta {
            ttl: self.life.ttl(now),
            stale_for: self.life.stale_for(now),
            version: self.version,
            tags: self.tags.clone(),
            priority: self.priority,
            cost: self.cost,
            labels: Arc::clone(&self.labels),
        }
    }

    /// Names its groups, which are not marked.
    #[must_use]
    pub fn with_tags(mut self, tags: Tags) -> Self {
        self.tags = tags;
        self.marks = Vec::new();
        self
    }

    /// Marks its groups: `mark` tells the present mark of each, by which a reader sees whether a group was invalidated
    /// since.
    #[must_use]
    pub fn with_marks(mut self, mark: impl FnMut(&Tag) -> u64) -> Self {
        self.marks = self.tags.iter().map(mark).collect();
        self
    }

    /// Its groups.
    pub fn tags(&self) -> &Tags {
        &self.tags
    }

    /// Its groups with their marks; nothing if they were not marked.
    pub fn marks(&self) -> impl ExactSizeIterator<Item = (&Tag, u64)> {
        self.tags.iter().zip(self.marks.iter().copied())
    }
}

pub(super) fn write(
    header: &Header,
    content: Content,
    payload_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let limit = u32::MAX as usize;
    let too_large = |_| FrameError::TooLarge { part: "payload", bytes: payload_bytes, limit };
    let payload = u32::try_from(payload_bytes).map_err(too_large)?;
    let count = header.labels.len();
    if count > MAX_LABELS {
        return Err(FrameError::TooLarge { part: "set of labels", bytes: count, limit: MAX_LABELS });
    }
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[FRAME_VERSION, 0, 0, flags(header, content)]);
    out.extend_from_slice(&[content.codec, content.compression, rank(header.priority)]);
    out.extend_from_slice(&content.type_id.0.to_le_bytes());
    out.extend_from_slice(&content.raw_bytes.to_le_bytes());
    out.extend_from_slice(&payload.to_le_bytes());
    write_optional(header, content, out);
    Ok(())
}

fn write_optional(header: &Header, content: Content, out: &mut Vec<u8>) {
    let flags = flags(header, content);
    let Life { stored_at, due, stale, gone } = header.life;
    out.extend_from_slice(&stored_at.as_unix_millis().to_le_bytes());
    if flags & MORTAL != 0 {
        for millis in [due, stale - due, gone - stale] {
            push_varint(out, millis);
        }
    }
    if flags & VERSIONED != 0 {
        out.extend_from_slice(&header.version.to_le_bytes());
    }
    if flags & COSTED != 0 {
        push_varint(out, nanos(header.cost));
    }
    if let Some(key) = content.sealed_by {
        out.extend_from_slice(&key.to_le_bytes());
    }
    if flags & TAGGED != 0 {
        push_count(out, header.tags.as_slice().len());
        for (at, tag) in header.tags.iter().enumerate() {
            push_text(out, tag.as_str());
            header.marks.get(at).iter().for_each(|mark| out.extend_from_slice(&mark.to_le_bytes()));
        }
    }
    if flags & LABELLED != 0 {
        push_count(out, header.labels.len());
        header.labels.iter().flat_map(|(name, text)| [name, text]).for_each(|text| push_text(out, text));
    }
}

/// Reads a head to its last byte; magic, version and lengths have been looked at.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<(Header, Content), FrameError> {
    let part = |field| FrameError::Field { field };
    cursor.skip(6).ok_or(part("beginning"))?;
    let flags = cursor.u8().filter(|flags| flags & !KNOWN == 0).ok_or(part("set of flags"))?;
    let has = |flag| flags & flag != 0;
    let codec = cursor.u8().ok_or(part("codec"))?;
    let compression = cursor.u8().ok_or(part("compression"))?;
    let priority = cursor.u8().and_then(|rank| Priority::ALL.get(usize::from(rank)).copied());
    let priority = priority.ok_or(part("priority"))?;
    let type_id = cursor.u32().map(TypeId).ok_or(part("type"))?;
    let raw_bytes = cursor.u32().ok_or(part("raw length"))?;
    cursor.skip(4).ok_or(part("payload length"))?;
    let life = read_life(cursor, has(MORTAL)).ok_or(part("life"))?;
    let version = optional(has(VERSIONED), || cursor.u64().filter(|version| *version > 0));
    let version = version.ok_or(part("version of the entry"))?;
    let cost = optional(has(COSTED), || cursor.varint().filter(|nanos| *nanos > 0));
    let cost = Duration::from_nanos(cost.ok_or(part("cost"))?);
    let sealed_by = optional(has(SEALED), || cursor.u32().map(Some)).ok_or(part("key of the seal"))?;
    let tags = optional(has(TAGGED), || read_tags(cursor, has(MARKED)));
    let (tags, marks) = tags.ok_or(part("set of tags"))?;
    let labels = optional(has(LABELLED), || read_labels(cursor)).ok_or(part("set of labels"))?;
    if !cursor.is_empty() || has(MARKED) && !has(TAGGED) {
        return Err(part("end"));
    }
    let header = Header { life, version, priority, cost, labels: Arc::new(labels), tags, marks };
    Ok((header, Content { type_id, codec, compression, raw_bytes, sealed_by }))
}

/// The default if it is not there and need not be, `None` if it should be there and cannot be read.
fn optional<T: Default>(present: bool, read: impl FnOnce() -> Option<T>) -> Option<T> {
    if present { read() } else { Some(T::default()) }
}

fn read_life(cursor: &mut Cursor<'_>, mortal: bool) -> Option<Life> {
    let stored_at = Wall::from_unix_millis(cursor.u64()?);
    if !mortal {
        return Some(Life { stored_at, due: NEVER, stale: NEVER, gone: NEVER });
    }
    let due = cursor.varint()?;
    let stale = due.checked_add(cursor.varint()?)?;
    let gone = stale.checked_add(cursor.varint()?)?;
    (due < NEVER).then_some(Life { stored_at, due, stale, gone })
}

fn read_tags(cursor: &mut Cursor<'_>, marked: bool) -> Option<(Tags, Vec<u64>)> {
    let count = cursor.u8()?;
    let (mut texts, mut marks) = (Vec::new(), Vec::new());
    for _ in 0..count {
        texts.push(cursor.text()?);
        if marked {
            marks.push(cursor.u64()?);
        }
    }
    let ordered = !texts.is_empty() && texts.windows(2).all(|pair| pair[0] < pair[1]);
    ordered.then(|| Tags::new(texts).ok())?.map(|tags| (tags, marks))
}

fn read_labels(cursor: &mut Cursor<'_>) -> Option<BTreeMap<String, String>> {
    let count = usize::from(cursor.u8()?);
    if count == 0 || count > MAX_LABELS {
        return None;
    }
    let mut labels = BTreeMap::<String, String>::new();
    for _ in 0..count {
        let (name, text) = (cursor.text()?, cursor.text()?);
        if labels.last_key_value().is_some_and(|(last, _)| last.as_str() >= name) {
            return None;
        }
        labels.insert(name.to_owned(), text.to_owned());
    }
    Some(labels)
}

fn flags(header: &Header, content: Content) -> u8 {
    let immortal = header.life.due == NEVER;
    [
        (!immortal, MORTAL),
        (header.version > 0, VERSIONED),
        (nanos(header.cost) > 0, COSTED),
        (content.sealed_by.is_some(), SEALED),
        (!header.tags.is_empty(), TAGGED),
        (!header.marks.is_empty(), MARKED),
        (!header.labels.is_empty(), LABELLED),
    ]
    .into_iter()
    .fold(0, |flags, (set, flag)| if set { flags | flag } else { flags })
}

fn rank(priority: Priority) -> u8 {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
        Priority::Critical => 3,
    }
}

/// Tags and labels are bounded by 64, which a byte holds.
fn push_count(out: &mut Vec<u8>, count: usize) {
    out.push(u8::try_from(count).unwrap_or(u8::MAX));
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
