//! Records: an entry as it stands in Redis, one frame with everything in it, so that a read is one command.
//!
//! ```text
//! SET prefix e:key ─► frame( tags with their marks, version, ... │ end u64, µs since 1970 │ stale u64, ms │ write u64 │ value )
//! ```
//!
//! The end of its life stands twice: Redis removes it by its own expiry, which is exact and cannot be overlooked, and the frame
//! tells it to whoever reads, by the same server's clock. To ask Redis for the rest of it instead would be a second command for
//! each read, and within a transaction two more, because between the two another writer could come: measured, that cost
//! a quarter to a half of the throughput. The fresh life comes before the stale one, so one end and one length tell both.
//! They stand in the payload, because a frame's own life has milliseconds, and ends by the clock of whoever reads it.
//!
//! The write is a random number, so that two writes of the same value are two records: who compares them sees what happened
//! in between (`notes.rs`).

use std::time::Duration;

use bytes::{Buf as _, Bytes};
use cache_core::{Content, Entry, Frame, FrameError, Header, Key, Life, Meta, Tag, Ttl, TypeId};

use crate::clock::Moment;
use crate::random;

/// A longer stale life is cut to this: 100 years.
const LONGEST_STALE: Duration = Duration::from_hours(100 * 366 * 24);
/// From here on a life is one without end: 285 years, the last number of microseconds that a script has exactly.
const ENDLESS_MS: u64 = (1 << 53) / 1000;
/// How the value begins: with its end, its stale life and its write.
const FRONT: usize = 24;
const TYPE: &str = "strata record";

/// An entry that was found, with its tags still to be looked at.
#[derive(Debug)]
pub(crate) struct Record {
    header: Header,
    lives: Lives,
    value: Bytes,
}

/// When it ends, and for how long before that it is stale.
#[derive(Clone, Copy, Debug)]
struct Lives {
    end: Moment,
    stale_ms: u64,
}

/// What to write.
pub(crate) struct Written {
    pub(crate) frame: Bytes,
    /// When Redis shall remove it, in milliseconds; 0 for never.
    pub(crate) life_ms: u64,
}

/// How long an entry has to be kept, in whole milliseconds; 0 for ever, `None` if it is not to be kept at all.
pub(crate) fn life_ms(meta: &Meta) -> Option<u64> {
    let stale_for = meta.stale_for.min(LONGEST_STALE);
    let Some(life) = (Meta { stale_for, ..meta.clone() }).keep_for().finite() else { return Some(0) };
    let millis = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
    match millis {
        0 => None,
        millis if millis >= ENDLESS_MS => Some(0),
        millis => Some(millis),
    }
}

/// Writes an entry that begins to live now, for `life_ms` as [`life_ms`] tells it.
pub(crate) fn write(
    key: &Key,
    entry: &Entry,
    now: Moment,
    life_ms: u64,
    mark: impl FnMut(&Tag) -> u64,
) -> Result<Bytes, FrameError> {
    let Entry { value, meta } = entry;
    let mut header = Header::of(meta, now.wall()).with_marks(mark);
    header.life = Life::new(now.wall(), Ttl::FOREVER);
    let stale_ms = u64::try_from(meta.stale_for.min(LONGEST_STALE).as_millis()).unwrap_or(u64::MAX);
    frame(key, &header, Lives::from(now, life_ms, stale_ms), value)
}

impl Record {
    /// Reads what was written under this key.
    pub(crate) fn read(key: &Key, bytes: &Bytes) -> Result<Self, FrameError> {
        let (header, content, mut value) = Frame::read_parts(key, bytes)?;
        let is_ours =
            content == self::content(value.len()) && header.marks().len() == header.tags().as_slice().len();
        let lives = is_ours.then(|| Lives::read(&mut value)).flatten().ok_or(FrameError::Foreign)?;
        Ok(Self { header, lives, value })
    }

    /// Its tags, and their marks when it was written.
    pub(crate) fn marks(&self) -> impl ExactSizeIterator<Item = (&Tag, u64)> {
        self.header.marks()
    }

    /// The entry with what is left of it; `None` if nothing is.
    pub(crate) fn entry(self, now: Moment) -> Option<Entry> {
        let left = now.until(self.lives.end);
        let stale_for = Duration::from_millis(self.lives.stale_ms);
        let mut meta = self.header.meta(now.wall());
        (meta.ttl, meta.stale_for) = match left.finite() {
            Some(left) => (left.saturating_sub(stale_for).into(), stale_for.min(left)),
            None => (Ttl::FOREVER, stale_for),
        };
        (!left.is_zero()).then_some(Entry { value: self.value, meta })
    }

    /// The same with another life, from now on. `None` if that is nothing.
    pub(crate) fn touched(&self, key: &Key, ttl: Ttl, now: Moment) -> Result<Option<Written>, FrameError> {
        let stale_ms = self.lives.stale_ms;
        let meta = Meta { ttl, stale_for: Duration::from_millis(stale_ms), ..Meta::default() };
        let Some(life_ms) = life_ms(&meta) else { return Ok(None) };
        let frame = frame(key, &self.header, Lives::from(now, life_ms, stale_ms), &self.value)?;
        Ok(Some(Written { frame, life_ms }))
    }
}

impl Lives {
    fn from(now: Moment, life_ms: u64, stale_ms: u64) -> Self {
        Self { end: if life_ms == 0 { Moment::NEVER } else { now.after_millis(life_ms) }, stale_ms }
    }

    /// Takes them off the front of a payload.
    fn read(payload: &mut Bytes) -> Option<Self> {
        let (front, _) = payload.split_first_chunk::<FRONT>()?;
        let (end, rest) = front.split_first_chunk()?;
        let stale = rest.first_chunk()?;
        let end = Moment::from_micros(u64::from_le_bytes(*end));
        let lives = Self { end, stale_ms: u64::from_le_bytes(*stale) };
        payload.advance(FRONT);
        Some(lives)
    }
}

fn frame(key: &Key, header: &Header, lives: Lives, value: &[u8]) -> Result<Bytes, FrameError> {
    let (end, stale) = (lives.end.as_micros().to_le_bytes(), lives.stale_ms.to_le_bytes());
    let write = random::unique().to_le_bytes();
    let payload = [&end[..], &stale, &write, value].concat();
    Frame::write(key, header, content(payload.len()), &payload)
}

/// A payload of more bytes than that is refused by the frame.
fn content(bytes: usize) -> Content {
    Content::plain(TypeId::of(TYPE), u32::try_from(bytes).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use cache_core::{Tags, Wall};

    use super::*;

    fn key() -> Key {
        Key::new("k").expect("legal")
    }

    fn at(millis: u64) -> Moment {
        Moment::from_micros(1_800_000_000_000_000).after_millis(millis)
    }

    fn entry(ttl: Ttl, stale_ms: u64) -> Entry {
        let mut entry = Entry::new("v").with_ttl(ttl).with_tags(Tags::new(["a", "b"]).expect("legal"));
        entry.meta.stale_for = Duration::from_millis(stale_ms);
        entry
    }

    fn written(entry: &Entry) -> Bytes {
        let life = life_ms(&entry.meta).expect("it is to be kept");
        write(&key(), entry, at(0), life, |tag| tag.as_str().len() as u64).expect("small")
    }

    #[test]
    fn the_fresh_life_runs_out_first_and_then_the_stale_one() {
        let bytes = written(&entry(Ttl::from_millis(100), 50));
        let left = |now| Record::read(&key(), &bytes).expect("ours").entry(at(now));
        let lives = |now| left(now).map(|it| (it.meta.ttl.as_duration(), it.meta.stale_for));
        let ms = Duration::from_millis;
        assert_eq!(lives(30), Some((ms(70), ms(50))));
        assert_eq!(lives(130), Some((ms(0), ms(20))));
        assert_eq!(lives(150), None);
        assert_eq!(left(0), Some(entry(Ttl::from_millis(100), 50)));
    }

    #[test]
    fn a_life_without_end_keeps_the_stale_one_that_comes_after_a_touch() {
        let bytes = written(&entry(Ttl::FOREVER, 50));
        let record = Record::read(&key(), &bytes).expect("ours");
        let touched = record.touched(&key(), Ttl::from_millis(10), at(1000)).expect("small").expect("a life");
        assert_eq!(touched.life_ms, 60);
        let record = Record::read(&key(), &touched.frame).expect("ours");
        assert_eq!(record.marks().map(|(_, mark)| mark).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(record.entry(at(1000)), Some(entry(Ttl::from_millis(10), 50)));
    }

    #[test]
    fn the_same_entry_written_twice_is_two_records_of_one_length() {
        let [one, other] = [0, 0].map(|_| written(&entry(Ttl::FOREVER, 50)));
        assert_eq!(one.len(), other.len());
        assert_ne!(one[one.len() - 8..], other[other.len() - 8..], "their checksums");
    }

    #[test]
    fn lives_are_whole_milliseconds_or_endless() {
        let life = |ttl, stale_for| life_ms(&Meta { ttl, stale_for, ..Meta::default() });
        assert_eq!(life(Ttl::from(Duration::from_micros(999)), Duration::ZERO), None);
        assert_eq!(life(Ttl::ZERO, Duration::from_millis(1)), Some(1));
        assert_eq!(life(Ttl::from_millis(ENDLESS_MS - 1), Duration::ZERO), Some(ENDLESS_MS - 1));
        assert_eq!(life(Ttl::from_millis(ENDLESS_MS), Duration::ZERO), Some(0));
        let century = u64::try_from(LONGEST_STALE.as_millis()).expect("it fits");
        assert_eq!(life(Ttl::from_millis(1), Duration::MAX), Some(century + 1));
    }

    #[test]
    fn frames_of_others_are_foreign() {
        let header = Header::new(Life::new(Wall::default(), Ttl::FOREVER));
        let other = Frame::write(&key(), &header, Content::plain(TypeId::of("other"), 24), &[0; FRONT]);
        assert_eq!(Record::read(&key(), &other.expect("small")).unwrap_err(), FrameError::Foreign);
        let short = Frame::write(&key(), &header, content(23), &[0; 23]).expect("small");
        assert_eq!(Record::read(&key(), &short).unwrap_err(), FrameError::Foreign);
        let tagged = header.with_tags(Tags::new(["unmarked"]).expect("legal"));
        let unmarked = Frame::write(&key(), &tagged, content(FRONT), &[0; FRONT]).expect("small");
        assert_eq!(Record::read(&key(), &unmarked).unwrap_err(), FrameError::Foreign);
    }
}
